//! initramfs-tools: vfio-pci in every image, loaded before udev if the command line asks for it.
//!
//! init-top scripts run in tsort and then alphabetical order (initramfs-tools(7)); udev is one of
//! them, and it loads drivers. A name that sorts before it comes first.

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
        HOOK,
        HOOK_TEXT.into(),
        0o755,
        "puts vfio-pci into the initramfs of every kernel, also of later ones",
    ));
    changes.extend(edit(
        facts,
        SCRIPT,
        script_text(),
        0o755,
        "loads vfio-pci before udev runs and binds functions by address; it does nothing without passthru's words on the command line",
    ));
    let texts = [
        (MODPROBE_IN_IMAGE.into(), rules),
        (SCRIPT_IN_IMAGE.into(), script_text()),
    ];
    let command = images::Command {
        argv: &["update-initramfs", "-u", "-k", "all"],
        family: "/boot/initrd.img-*",
        texts: &texts,
    };
    changes.extend(command.change(facts, kernels, !changes.is_empty()));
    changes
}

/// An image that cannot be opened cannot be checked, and an unchecked image is not trusted.
fn check_compression(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    let drop_ins = facts
        .files
        .keys()
        .filter(|path| path.starts_with("/etc/initramfs-tools/conf.d/"));
    let paths =
        core::iter::once("/etc/initramfs-tools/initramfs.conf").chain(drop_ins.map(String::as_str));
    let mut values = shell::evaluate(paths.filter_map(|path| facts.text(path)));
    // Unset means zstd, or gzip where that is not installed (mkinitramfs(8)).
    let compress = values.remove("COMPRESS").flatten().unwrap_or_default();
    if !matches!(compress.as_str(), "" | "zstd" | "gzip" | "pigz") {
        draft.refuse(
            "stack.compression",
            format!("The initramfs is compressed with {compress}, which passthru cannot open to check it."),
            "Set COMPRESS=zstd in /etc/initramfs-tools/initramfs.conf (and in conf.d there), then plan again.",
        );
    }
}
