//! initramfs-tools: vfio-pci in every image, loaded before udev if the command line asks for it.
//!
//! init-top scripts run in tsort and then alphabetical order (initramfs-tools(7)); udev is one of
//! them, and it loads drivers. A name that sorts before it comes first.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::rules::stack::{edit, foreign};
use crate::{
    change::{Change, Expect, Output},
    facts::{Image, InstalledKernel, ModuleState},
    plan::BoundFunction,
    rules::Draft,
    text::{modprobe, shell},
};

pub(crate) const MODPROBE: &str = "/etc/modprobe.d/passthru.conf";
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

const SCRIPT_TEXT: &str = "\
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

bind=
load=
for word in $(cat /proc/cmdline); do
\tcase \"$word\" in
\tpassthru.bind=*)
\t\tbind=\"${word#*=}\"
\t\tload=y
\t\t;;
\tpassthru.load=*)
\t\tload=y
\t\t;;
\tesac
done
[ -n \"$load\" ] || exit 0

say() {
\techo \"passthru: $1\" >/dev/kmsg
}

hex() {
\tread -r value 2>/dev/null <\"$1\" || value=
\techo \"${value#0x}\"
}

# By its path: the shell here is often busybox, whose own modprobe does not find
# vfio-pci's parameters on the kernel command line.
/sbin/modprobe -q vfio_iommu_type1
/sbin/modprobe -q vfio-pci
if [ ! -d /sys/bus/pci/drivers/vfio-pci ]; then
\tsay \"vfio-pci could not be loaded; every function stays with its driver\"
\texit 0
fi

# address=vendor:device[/subvendor:subdevice],...
IFS=,
for entry in $bind; do
\taddress=\"${entry%%=*}\"
\tdevice=\"/sys/bus/pci/devices/$address\"
\tif [ ! -e \"$device/vendor\" ]; then
\t\tsay \"there is nothing at $address\"
\t\tcontinue
\tfi
\tfound=\"$(hex \"$device/vendor\"):$(hex \"$device/device\")\"
\tcase \"$entry\" in
\t*/*) found=\"$found/$(hex \"$device/subsystem_vendor\"):$(hex \"$device/subsystem_device\")\" ;;
\tesac
\tif [ \"$address=$found\" != \"$entry\" ]; then
\t\tsay \"at $address there is $found, not ${entry#*=}; left alone\"
\t\tcontinue
\tfi
\techo vfio-pci >\"$device/driver_override\"
\tif [ -e \"$device/driver\" ]; then
\t\t# A driver built into the kernel was there first.
\t\techo \"$address\" >\"$device/driver/unbind\"
\tfi
\techo \"$address\" >/sys/bus/pci/drivers_probe
done
exit 0
";

pub(super) fn changes(
    draft: &mut Draft<'_>,
    bindings: &[BoundFunction],
    kernels: &[&InstalledKernel],
) -> Vec<Change> {
    let facts = draft.facts;
    check_compression(draft);
    let rules = rules_text(draft, bindings);
    let mut changes = foreign::take_over(draft);
    changes.extend(edit(
        facts,
        MODPROBE,
        rules.clone(),
        0o644,
        "loads vfio-pci before any driver of the card, wherever that driver is loaded; by itself that binds nothing",
    ));
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
        SCRIPT_TEXT.into(),
        0o755,
        "loads vfio-pci before udev runs and binds functions by address; it does nothing without passthru's words on the command line",
    ));
    let images: Vec<_> = kernels
        .iter()
        .filter_map(|k| Some((k, k.image.as_ref()?)))
        .collect();
    let as_planned = images
        .iter()
        .all(|(kernel, image)| image_mistakes(kernel, image, &rules).is_empty());
    if changes.is_empty() && as_planned {
        return changes;
    }
    let mut outputs = Vec::new();
    let mut expect = Vec::new();
    for (kernel, image) in images {
        let path = image.path.clone();
        outputs.push(Output {
            path: path.clone(),
            staged: None,
        });
        // Older versions keep a checksum of the image here and refuse to touch an altered one.
        let state = format!("/var/lib/initramfs-tools/{}", kernel.release);
        if facts.files.contains_key(&state) {
            outputs.push(Output {
                path: state,
                staged: None,
            });
        }
        expect.push(Expect::Image {
            path,
            entries: entries(kernel),
            texts: texts(&rules),
        });
    }
    changes.push(Change::Run {
        argv: ["update-initramfs", "-u", "-k", "all"]
            .map(String::from)
            .to_vec(),
        undo: None,
        outputs,
        family: Some("/boot/initrd.img-*".into()),
        expect,
        why: "makes the initramfs of every installed kernel anew, with these files in it".into(),
    });
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

/// What an image that was opened lacks. One that was not opened cannot be judged here; verify says
/// so.
fn image_mistakes(kernel: &InstalledKernel, image: &Image, rules: &str) -> Vec<String> {
    if let Some(damage) = &image.damage {
        return vec![damage.clone()];
    }
    match image.entries.value() {
        Some(found) => {
            crate::change::image_mistakes(&entries(kernel), &texts(rules), found, &image.texts)
        }
        None => Vec::new(),
    }
}

fn entries(kernel: &InstalledKernel) -> Vec<String> {
    if kernel.vfio_pci != ModuleState::Module {
        return Vec::new();
    }
    let modules = format!(
        "lib/modules/{}/kernel/drivers/vfio/pci/vfio-pci.ko*",
        kernel.release
    );
    vec![format!("{modules}|usr/{modules}")]
}

fn texts(rules: &str) -> Vec<(String, String)> {
    vec![
        (MODPROBE_IN_IMAGE.into(), rules.to_string()),
        (SCRIPT_IN_IMAGE.into(), SCRIPT_TEXT.into()),
    ]
}

/// One softdep line for each driver that could bind a chosen function; lines for other cards that
/// an earlier plan wrote stay.
fn rules_text(draft: &Draft<'_>, bindings: &[BoundFunction]) -> String {
    let facts = draft.facts;
    let mut drivers: BTreeSet<String> = bindings
        .iter()
        .filter_map(|bound| facts.function(bound.function.address))
        .flat_map(|function| &function.candidates)
        .filter(|candidate| !candidate.builtin && !candidate.module.contains("vfio"))
        .map(|candidate| candidate.module.clone())
        .collect();
    for directive in facts
        .text(MODPROBE)
        .map(modprobe::directives)
        .unwrap_or_default()
    {
        if directive.keyword == "softdep" {
            drivers.extend(directive.arguments.first().cloned());
        }
    }
    let mut text = String::from(
        "# Written by passthru: vfio-pci is loaded before these drivers. It binds only what the\n\
         # kernel command line names. Taken away by: passthru undo\n",
    );
    for driver in drivers {
        text.push_str(&format!("softdep {driver} pre: vfio-pci\n"));
    }
    text
}
