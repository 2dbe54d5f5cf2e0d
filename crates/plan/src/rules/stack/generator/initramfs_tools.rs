//! initramfs-tools: vfio-pci in every image, loaded before udev if the command line asks for it.
//!
//! init-top scripts run in tsort and then alphabetical order (initramfs-tools(7)); udev is one of
//! them, and it loads drivers. A name that sorts before it comes first.

use alloc::{format, string::String, vec, vec::Vec};

use super::{File, Recipe, WHY_MODULES, WHY_SCRIPT, check_compression, images, script};
use crate::{facts::Facts, rules::Draft, text::shell};

const HOOK: &str = "/etc/initramfs-tools/hooks/passthru";
pub(crate) const SCRIPT: &str = "/etc/initramfs-tools/scripts/init-top/aa-passthru";
/// Where the script and the rules are inside the image.
const SCRIPT_IN_IMAGE: &str = "scripts/init-top/aa-passthru";
const MODPROBE_IN_IMAGE: &str = "etc/modprobe.d/passthru.conf";

const HOOK_TEXT: &str = "\
#!/bin/sh
# Written by passthru: puts vfio-pci into the initramfs. It binds only what the
# kernel command line names. Taken away by: passthru undo
case \"$1\" in
prereqs)
\techo \"\"
\texit 0
\t;;
esac
. /usr/share/initramfs-tools/hook-functions
manual_add_modules vfio_pci vfio_iommu_type1
";

/// What runs before the shared script: initramfs-tools asks every script for its prerequisites.
const SCRIPT_HEAD: &str = "\
#!/bin/sh
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Without passthru.load= or passthru.bind= on the kernel command line it does
# nothing. Taken away by: passthru undo
case \"$1\" in
prereqs)
\techo \"\"
\texit 0
\t;;
esac

";

fn script_text() -> String {
    format!("{SCRIPT_HEAD}{}", script::TEXT)
}

pub(super) fn recipe<'a>(draft: &mut Draft<'_>, rules: &str) -> Recipe<'a> {
    check_compression(
        draft,
        compression(draft.facts),
        "Set COMPRESS=zstd in /etc/initramfs-tools/initramfs.conf (and in conf.d there), then plan again.",
    );
    let file = |path: &str, text: String, why| File {
        path: path.into(),
        text,
        mode: 0o755,
        why,
    };
    Recipe {
        files: vec![
            file(HOOK, HOOK_TEXT.into(), WHY_MODULES),
            file(SCRIPT, script_text(), WHY_SCRIPT),
        ],
        command: images::Command {
            argv: &["update-initramfs", "-u", "-k", "all"],
            family: "/boot/initrd.img-*",
            modules: images::KERNELS_MODULES,
            texts: vec![
                (MODPROBE_IN_IMAGE.into(), rules.into()),
                (SCRIPT_IN_IMAGE.into(), script_text()),
            ],
            more: Vec::new(),
            beside: None,
        },
    }
}

/// `COMPRESS=` of initramfs.conf(5). Unset means zstd, or gzip where that is not installed
/// (mkinitramfs(8)).
fn compression(facts: &Facts) -> Option<String> {
    let drop_ins = facts
        .files
        .keys()
        .filter(|path| path.starts_with("/etc/initramfs-tools/conf.d/"));
    let paths =
        core::iter::once("/etc/initramfs-tools/initramfs.conf").chain(drop_ins.map(String::as_str));
    let mut values = shell::evaluate(paths.filter_map(|path| facts.text(path)));
    values.remove("COMPRESS").flatten()
}
