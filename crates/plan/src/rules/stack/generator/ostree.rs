//! rpm-ostree: the initramfs is part of a deployment, made by dracut from the configuration in /etc once
//! rpm-ostree is told to (rpm-ostree(1), `initramfs --enable`). /usr is an image, so there is no module
//! of dracut: a unit in /etc starts the script, and only in the initramfs.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{File, WHY_MODULES, WHY_SCRIPT, edits, rules, script};
use crate::{
    change::Change,
    rules::{
        Draft,
        stack::{edit, foreign},
    },
};

const CONFIG: &str = "/etc/dracut.conf.d/90-passthru.conf";
const BIND: &str = "/etc/passthru/bind";
const UNIT: &str = "/etc/systemd/system/passthru-bind.service";
/// Wants it: a drop-in, for an edit is text and a link is not.
const WANTS: &str = "/etc/systemd/system/systemd-udev-trigger.service.d/passthru.conf";

/// What rpm-ostree hands to dracut: it names the drivers, and tells passthru's request from others.
const ARGUMENTS: [&str; 2] = ["--add-drivers", "vfio_pci vfio_iommu_type1"];

const CONFIG_TEXT: &str = "\
# Written by passthru: puts vfio-pci and the script that binds into the initramfs.
# Taken away by: passthru undo
add_drivers+=\" vfio_pci vfio_iommu_type1 \"
install_items+=\" /etc/modprobe.d/passthru.conf /etc/passthru/bind /etc/systemd/system/passthru-bind.service /etc/systemd/system/systemd-udev-trigger.service.d/passthru.conf \"
";

const UNIT_TEXT: &str = "\
# Written by passthru: gives functions to vfio-pci before udev loads any driver, in
# the initramfs only. Taken away by: passthru undo
[Unit]
Description=Give functions to vfio-pci
DefaultDependencies=no
ConditionPathExists=/etc/initrd-release
Before=systemd-udev-trigger.service systemd-modules-load.service
[Service]
Type=oneshot
ExecStart=/bin/sh /etc/passthru/bind
";

const WANTS_TEXT: &str = "\
# Written by passthru. Taken away by: passthru undo
[Unit]
Wants=passthru-bind.service
";

pub(super) fn changes(draft: &mut Draft<'_>, rules: String) -> Vec<Change> {
    let facts = draft.facts;
    let Some(before) = facts.boot.ostree_initramfs.value() else {
        let why = facts.boot.ostree_initramfs.why_not().unwrap_or_default();
        draft.refuse(
            "stack.initramfs",
            format!("Whether rpm-ostree makes an initramfs for this host was not measured: {why}."),
            "Run passthru as root on the host itself.",
        );
        return Vec::new();
    };
    let mut changes = foreign::take_over(draft);
    changes.extend(edit(facts, rules::PATH, rules, 0o644, rules::WHY));
    let bind = format!(
        "\
#!/bin/sh
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Without passthru.load= or passthru.bind= on the kernel command line it does
# nothing. Taken away by: passthru undo
{}",
        script::TEXT
    );
    let file = |path: &str, text: &str, mode, why| File {
        path: path.into(),
        text: text.into(),
        mode,
        why,
    };
    changes.extend(edits(
        facts,
        vec![
            file(BIND, &bind, 0o755, WHY_SCRIPT),
            file(
                UNIT,
                UNIT_TEXT,
                0o644,
                "starts that script in the initramfs",
            ),
            file(
                WANTS,
                WANTS_TEXT,
                0o644,
                "starts that unit before udev looks for devices",
            ),
            file(CONFIG, CONFIG_TEXT, 0o644, WHY_MODULES),
        ],
    ));
    let ours = |arguments: &Vec<String>| arguments.windows(2).any(|two| two == ARGUMENTS);
    let is_made = before.as_ref().is_some_and(ours);
    if is_made && changes.is_empty() {
        return changes;
    }
    if is_made {
        draft.refuse(
            "stack.initramfs",
            "The initramfs of this deployment was made with other files of passthru's, and rpm-ostree makes it anew for other arguments only.",
            "Undo first (sudo passthru undo), reboot, and plan again.",
        );
        return Vec::new();
    }
    let enable = |arguments: &[String]| -> Vec<String> {
        let start = ["rpm-ostree", "initramfs", "--enable"].map(String::from);
        let arguments = arguments.iter().map(|word| format!("--arg={word}"));
        start.into_iter().chain(arguments).collect()
    };
    let mut after = before.clone().unwrap_or_default();
    after.extend(ARGUMENTS.map(ToString::to_string));
    changes.push(Change::Run {
        argv: enable(&after),
        undo: Some(match before {
            Some(before) => enable(before),
            None => ["rpm-ostree", "initramfs", "--disable"].map(String::from).to_vec(),
        }),
        outputs: Vec::new(),
        family: None,
        anew: None,
        once: false,
        expect: Vec::new(),
        why: "makes a deployment whose initramfs has these files in it; it takes minutes, and the deployment that runs now stays in the boot menu".into(),
    });
    changes
}
