//! dracut: a module of its own, whose hook binds before udev runs.
//!
//! A module is dracut's extension point (dracut.modules(7)) and works for images with and without
//! systemd, host-only and generic: kernels of hosts with unified images are built both ways.

use alloc::{format, string::String, vec::Vec};

use super::{images, rules, script};
use crate::{
    change::Change,
    facts::InstalledKernel,
    plan::BoundFunction,
    rules::{
        Draft,
        stack::{edit, foreign},
    },
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

pub(super) fn changes(
    draft: &mut Draft<'_>,
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Vec<Change> {
    let facts = draft.facts;
    check_compression(draft);
    let rules = rules::text(draft, bindings);
    let mut changes = foreign::take_over(draft);
    changes.extend(edit(facts, rules::PATH, rules.clone(), 0o644, rules::WHY));
    changes.extend(edit(
        facts,
        BIND,
        hook_text(),
        0o755,
        "loads vfio-pci before udev runs and binds functions by address; it does nothing without passthru's words on the command line",
    ));
    changes.extend(edit(
        facts,
        SETUP,
        SETUP_TEXT.into(),
        0o755,
        "puts vfio-pci into the initramfs of every kernel, also of later ones",
    ));
    let texts = [
        (RULES_IN_IMAGE.into(), rules),
        (HOOK_IN_IMAGE.into(), hook_text()),
    ];
    let wrapper = ["update-initramfs", "-u", "-k", "all"];
    let own = ["dracut", "--force", "--regenerate-all"];
    let command = images::Command {
        // Debian's and Ubuntu's package of dracut may bring this one, which knows their names of
        // images.
        argv: if facts.boot.update_initramfs {
            &wrapper
        } else {
            &own
        },
        family: "/boot/init*",
        texts: &texts,
    };
    changes.extend(command.change(facts, kernels, !changes.is_empty()));
    changes
}

/// An image that cannot be opened cannot be checked, and an unchecked image is not trusted.
fn check_compression(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    let is_config = |path: &&String| {
        let directory = path.starts_with("/usr/lib/dracut/dracut.conf.d/")
            || path.starts_with("/etc/dracut.conf.d/");
        *path == "/etc/dracut.conf" || (directory && path.ends_with(".conf"))
    };
    let files = facts.files.keys().filter(is_config);
    let mut values = shell::evaluate(files.filter_map(|path| facts.text(path)));
    let compress = values.remove("compress").flatten().unwrap_or_default();
    let tool = compress.split_whitespace().next().unwrap_or_default();
    let tool = tool.rsplit('/').next().unwrap_or_default();
    if !matches!(tool, "" | "zstd" | "gzip" | "pigz" | "cat") {
        draft.refuse(
            "stack.compression",
            format!("The initramfs is compressed with {tool}, which passthru cannot open to check it."),
            "Set compress=\"zstd\" in a file of /etc/dracut.conf.d that sorts last, then plan again.",
        );
    }
}
