//! Doctor as a whole: on a healthy host, with everything wrong, and on any text.

mod common;

use common::{case::no_iommu, two_gpus::*};
use passthru_plan::{Facts, Finding, Measured, Severity, Status, Verdict, doctor::doctor};
use proptest::prelude::*;

#[test]
fn a_healthy_host_is_ready_and_nothing_is_wrong() {
    let findings = doctor(&healthy());
    assert_eq!(Verdict::of(&findings), Verdict::Ready);
    let wrong: Vec<_> = findings
        .iter()
        .filter(|f| f.status != Status::Yes)
        .map(|f| (f.id.as_str(), f.severity))
        .collect();
    // One GPU has the host's picture: that is said, and no more.
    assert_eq!(wrong, [("display.remains:0000:01:00.0", Severity::Info)]);
    for prefix in [
        "cmdline.",
        "modprobe.",
        "initramfs.",
        "hooks.",
        "ids.",
        "symptom.",
    ] {
        assert!(
            findings.iter().all(|f| !f.id.starts_with(prefix)),
            "{prefix}"
        );
    }
}

#[test]
fn ids_are_unique_and_every_no_has_a_remedy() {
    for facts in [healthy(), everything_wrong(), Facts::default()] {
        let findings = doctor(&facts);
        let mut ids: Vec<_> = findings.iter().map(|f| &f.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), findings.len());
        for finding in &findings {
            assert!(!finding.evidence.is_empty(), "{}", finding.id);
            assert!(!finding.why.is_empty(), "{}", finding.id);
            let needs = finding.status != Status::Yes;
            assert_eq!(finding.remedy.is_some(), needs, "{}", finding.id);
        }
    }
}

/// One host with every mistake of the guides on it.
fn everything_wrong() -> Facts {
    let mut f = healthy();
    words(
        &mut f,
        "amd_iommu=on intel_iommu=on iommu=pt iommu=1 intel_iommu=off video=efifb:off pcie_acs_override=downstream kvm.ignore_msrs=1 preempt=voluntary rd.driver.pre=vfio-pci vfio-pci.ids=<<10de:1f08, 10de:10f9 console=ttyS0 module_blacklist=snd_hda_intel",
    );
    no_iommu(&mut f);
    f.boot.boot_free = Measured::Value(10 << 20);
    f.machine.encrypted_root = Measured::Value(true);
    f.machine.hypervisor = Measured::Value(Some("VMware".into()));
    f.log = Measured::not("permission denied");
    at(&mut f, GUEST_GPU).reset_methods = Some(Vec::new());
    file(
        &mut f,
        "/etc/modprobe.d/vfio.conf",
        "options vfio-pci ids=10de:1f08 10de:10f9\n",
    );
    file(
        &mut f,
        "/etc/modprobe.d/blacklist.conf",
        "blacklist xhci_hcd\nblacklist nouveau\nblacklist amdgpu\n",
    );
    file(
        &mut f,
        "/etc/initramfs-tools/modules",
        "vfio\nvfio_virqfd\noptions vfio-pci ids=10de:1f08\n",
    );
    file(&mut f, "/etc/modules-load.d/vfio-pci.conf", "vfio-pci\n");
    file(
        &mut f,
        "/etc/initramfs-tools/scripts/init-top/vfio.sh",
        "#!/bin/sh\necho vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override\n",
    );
    script(
        &mut f,
        "/etc/libvirt/hooks/qemu",
        "#!/bin/bash\nif [ -f \"$HOOKPATH\" ] && [ -s \"$HOOKPATH\"] && [ -x \"$HOOKPATH\" ]; then\n    eval \\\"$HOOKPATH\\\" \"$@\"\nfi\n",
    );
    file(
        &mut f,
        "/etc/libvirt/hooks/kvm.conf",
        "VIRSH_GPU_USB=pci_0000_02_00_2\n",
    );
    script(
        &mut f,
        "/etc/libvirt/hooks/qemu.d/win10/prepare/begin/start.sh",
        "#!/bin/bash\nvirsh nodedev-detach $VIRSH_USB\n",
    );
    f
}

/// The findings as a person reads them.
fn render(findings: &[Finding]) -> String {
    let mut text = format!("verdict: {:?}\n", Verdict::of(findings));
    for f in findings {
        text += &format!(
            "\n{:?} {:?} {}\n  {}\n",
            f.status, f.severity, f.id, f.title
        );
        for line in &f.evidence {
            text += &format!("  - {line}\n");
        }
        text += &format!("  why: {}\n", f.why);
        if let Some(remedy) = &f.remedy {
            text += &format!("  do:  {remedy}\n");
        }
    }
    text
}

#[test]
fn the_healthy_host_reads_well() {
    insta::assert_snapshot!(render(&doctor(&healthy())));
}

#[test]
fn the_host_with_everything_wrong_reads_well() {
    insta::assert_snapshot!(render(&doctor(&everything_wrong())));
}

/// Texts like those that stand in the files doctor reads.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "options ",
        "vfio-pci ",
        "ids=",
        "10de:1f08",
        ",",
        " ",
        "\n",
        "\"",
        "'",
        "\\",
        "blacklist ",
        "install ",
        "/bin/false",
        "nouveau",
        "amdgpu",
        "GRUB_CMDLINE_LINUX_DEFAULT=",
        "+=",
        "GRUB_TERMINAL=serial\n",
        "console=ttyS0",
        "video=efifb:off",
        "iommu=",
        "off",
        "force_drivers+=\"",
        "eval \"$",
        "[ -s \"$X\"]",
        "virsh ",
        "$VIRSH_",
        "${",
        "é…",
        "cgroup_device_acl = [",
        "]",
        "#",
        "module_blacklist=",
        "softdep ",
        "pre: ",
        "menuentry 'x' {",
        "}",
        "linux /v ",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|v| v.concat())
}

const PATHS: [&str; 16] = [
    "/etc/default/grub",
    "/etc/default/grub.d/x.cfg",
    "/boot/grub/grub.cfg",
    "/etc/kernel/cmdline",
    "/boot/loader/entries/a.conf",
    "/etc/modprobe.d/x.conf",
    "/etc/modprobe.d/x",
    "/etc/initramfs-tools/modules",
    "/etc/initramfs-tools/scripts/init-top/vfio",
    "/etc/dracut.conf.d/x.conf",
    "/etc/dracut.conf.d/x",
    "/etc/mkinitcpio.conf",
    "/etc/modules-load.d/x.conf",
    "/etc/libvirt/hooks/qemu",
    "/etc/libvirt/hooks/qemu.d/x.bak",
    "/etc/libvirt/qemu.conf",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_gives_an_answer_and_always_the_same(
        files in prop::collection::vec((prop::sample::select(PATHS.to_vec()), prop_oneof![soup(), any::<String>()], any::<u32>()), 0..12),
        cmdline in prop_oneof![soup(), any::<String>()],
        log in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let mut facts = healthy();
        for (path, text, mode) in files {
            file(&mut facts, path, &text);
            if let Some(file) = facts.files.get_mut(path) {
                file.mode = mode;
            }
        }
        facts.kernel.cmdline = Measured::Value(cmdline);
        facts.log = Measured::Value(log);
        let first = doctor(&facts);
        prop_assert_eq!(&first, &doctor(&facts));
        for finding in &first {
            prop_assert_eq!(finding.remedy.is_some(), finding.status != Status::Yes);
        }
    }
}
