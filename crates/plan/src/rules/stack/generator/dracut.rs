//! dracut: a module of its own, whose hook binds before udev runs.
//!
//! A module is dracut's extension point (dracut.modules(7)) and works for images with and without
//! systemd, host-only and generic: kernels of hosts with unified images are built both ways.

use alloc::{format, string::String, vec, vec::Vec};

use super::{File, Recipe, WHY_MODULES, WHY_SCRIPT, check_compression, images, script};
use crate::{
    facts::{Facts, InstalledKernel},
    rules::{Draft, stack::loader},
    text::shell,
};

const SETUP: &str = "/usr/lib/dracut/modules.d/90passthru/module-setup.sh";
const BIND: &str = "/usr/lib/dracut/modules.d/90passthru/passthru.sh";
/// Where the hook is in the image: dracut 106 and later, and before.
const HOOK_IN_IMAGE: &str = "var/lib/dracut/hooks/pre-udev/00-passthru.sh|usr/lib/dracut/hooks/pre-udev/00-passthru.sh|lib/dracut/hooks/pre-udev/00-passthru.sh";
const RULES_IN_IMAGE: &str = "etc/modprobe.d/passthru.conf";

const SETUP_TEXT: &str = "\
#!/bin/bash
# Written by passthru: puts vfio-pci into the initramfs. It binds only what the
# kernel command line names. Taken away by: passthru undo
check() {
\treturn 0
}

depends() {
\treturn 0
}

installkernel() {
\thostonly='' instmods vfio_pci vfio_iommu_type1
}

install() {
\t# Generic images leave /etc/modprobe.d out.
\tinst_simple /etc/modprobe.d/passthru.conf
\tinst_hook pre-udev 00 \"$moddir/passthru.sh\"
}
";

/// dracut reads hooks into its own shell, which must not end.
fn hook_text() -> String {
    format!(
        "\
#!/bin/sh
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Without passthru.load= or passthru.bind= on the kernel command line it does
# nothing. Taken away by: passthru undo
(
{})
",
        script::TEXT
    )
}

pub(super) fn recipe<'a>(draft: &mut Draft<'_>, rules: &str) -> Recipe<'a> {
    check_compression(
        draft,
        compression(draft.facts),
        "Set compress=\"zstd\" in a file of /etc/dracut.conf.d that sorts last, then plan again.",
    );
    let file = |path: &str, text: String, why| File {
        path: path.into(),
        text,
        mode: 0o755,
        why,
    };
    // Debian's and Ubuntu's package of dracut may bring this one, which knows their names of images.
    let argv: &[&str] = if draft.facts.boot.update_initramfs {
        &["update-initramfs", "-u", "-k", "all"]
    } else {
        &["dracut", "--force", "--regenerate-all"]
    };
    Recipe {
        files: vec![
            file(BIND, hook_text(), WHY_SCRIPT),
            file(SETUP, SETUP_TEXT.into(), WHY_MODULES),
        ],
        command: images::Command {
            argv,
            family: "/boot/init*",
            modules: images::KERNELS_MODULES,
            texts: vec![
                (RULES_IN_IMAGE.into(), rules.into()),
                (HOOK_IN_IMAGE.into(), hook_text()),
            ],
            more: Vec::new(),
            beside: is_beside(draft.facts).then_some(one_image),
        },
    }
}

/// dracut writes an image over the one that is there (dracut.sh copies it onto its output). Other boot
/// loaders have copies of it; GRUB has not, so there every image is made beside it. So are images that
/// are not named by their release (Arch), which it does not find by itself. Hooks of Debian's dracut
/// are told the path that was written, and would go by the wrong one.
pub(in crate::rules::stack) fn is_beside(facts: &Facts) -> bool {
    let other_name = |kernel: &InstalledKernel| {
        let image = kernel.image.as_ref();
        image.is_some_and(|image| {
            !image.path.contains(&kernel.release) && !image.path.ends_with(".efi")
        })
    };
    (loader::is_by_grub_defaults(facts) || facts.kernel.installed.iter().any(other_name))
        && facts.boot.post_update_hooks.is_empty()
}

/// The command for one image (dracut(8)).
fn one_image(path: &str, release: &str) -> Vec<String> {
    ["dracut", "--force", path, release]
        .map(String::from)
        .to_vec()
}

/// `compress=` of dracut.conf(5).
fn compression(facts: &Facts) -> Option<String> {
    let is_config = |path: &&String| {
        let directory = path.starts_with("/usr/lib/dracut/dracut.conf.d/")
            || path.starts_with("/etc/dracut.conf.d/");
        *path == "/etc/dracut.conf" || (directory && path.ends_with(".conf"))
    };
    let files = facts.files.keys().filter(is_config);
    let mut values = shell::evaluate(files.filter_map(|path| facts.text(path)));
    values.remove("compress").flatten()
}
