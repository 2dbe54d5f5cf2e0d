//! Processor, memory, firmware and distribution.

use passthru_plan::{
    Measured,
    facts::{Firmware, Machine},
    text::{os_release, procfs},
};

use super::block::Storage;
use crate::root::Root;

const EFI: &str = "/sys/firmware/efi";
const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

pub(super) fn observe(root: &Root, storage: &Storage) -> Machine {
    let mut machine = Machine::default();
    let cpuinfo = super::text(root, "/proc/cpuinfo");
    let mut hypervisor_flag = None;
    match &cpuinfo {
        Measured::Value(text) => (machine.cpu, hypervisor_flag) = procfs::cpuinfo(text),
        Measured::NotMeasured(why) => {
            machine.cpu.virtualization = Measured::NotMeasured(why.clone());
        }
    }
    if let Measured::Value(text) = super::text(root, "/proc/meminfo") {
        machine.memory = procfs::meminfo(&text);
    }
    machine.firmware = firmware(root);
    machine.secure_boot = secure_boot(root, &machine.firmware);
    machine.lockdown = lockdown(root);
    machine.hypervisor = hypervisor(root, &cpuinfo, hypervisor_flag);
    machine.distribution = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| {
            super::text(root, path)
                .value()
                .map(|text| os_release::parse(text))
        });
    machine.kvm_device = root.exists("/dev/kvm");
    machine.encrypted_root = storage.encrypted_root(root);
    machine.gpu_mux_discrete = [
        "/sys/devices/platform/asus-nb-wmi/gpu_mux_mode",
        "/sys/class/firmware-attributes/asus-armoury/attributes/gpu_mux_mode/current_value",
    ]
    .iter()
    .find_map(|path| root.attribute(path))
    .map(|mode| mode == "0");
    machine
}

fn firmware(root: &Root) -> Measured<Firmware> {
    if root.exists(EFI) {
        Measured::Value(Firmware::Efi)
    } else if root.exists("/sys/firmware/acpi") || root.exists("/sys/firmware/memmap") {
        Measured::Value(Firmware::Bios)
    } else {
        Measured::not("/sys/firmware is empty or not part of this host's tree")
    }
}

/// Four bytes of attributes, then the value (`Documentation/filesystems/efivarfs.rst`).
fn secure_boot(root: &Root, firmware: &Measured<Firmware>) -> Measured<bool> {
    match firmware {
        Measured::Value(Firmware::Efi) => match root.read(SECURE_BOOT) {
            Ok(bytes) => match bytes.get(4) {
                Some(byte) => Measured::Value(*byte == 1),
                None => Measured::not(format!("{SECURE_BOOT} is shorter than five bytes")),
            },
            Err(error) => super::not(root, SECURE_BOOT, &error),
        },
        Measured::Value(Firmware::Bios) => {
            Measured::not("the host was not started through UEFI, so there is no Secure Boot state")
        }
        Measured::NotMeasured(why) => Measured::NotMeasured(why.clone()),
    }
}

fn lockdown(root: &Root) -> Measured<String> {
    const PATH: &str = "/sys/kernel/security/lockdown";
    match super::text(root, PATH) {
        Measured::Value(text) => match procfs::chosen(&text) {
            Some(word) => Measured::Value(word.to_owned()),
            None => Measured::not(format!("{PATH} names no state")),
        },
        // securityfs is mounted but has no such file: this kernel has no lockdown at all.
        Measured::NotMeasured(_) if root.exists("/sys/kernel/security/lsm") => {
            Measured::Value("none".to_owned())
        }
        not => not,
    }
}

/// What machines call themselves when they are virtual: DMI vendor or product, and who it is.
const VIRTUAL: [(&str, &str); 14] = [
    ("QEMU", "QEMU"),
    ("KVM", "KVM"),
    ("OpenStack", "OpenStack (KVM)"),
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("innotek", "VirtualBox"),
    ("Xen", "Xen"),
    ("Microsoft Corporation Virtual Machine", "Hyper-V"),
    ("Amazon EC2", "Amazon EC2"),
    ("Google Compute Engine", "Google Compute Engine"),
    ("Bochs", "Bochs"),
    ("Parallels", "Parallels"),
    ("BHYVE", "bhyve"),
    ("Apple Virtualization", "Apple Virtualization"),
];

/// The processor flag `hypervisor` decides; a Xen dom0 has it hidden or not, depending on its kind,
/// and is a host whatever the flag says.
fn hypervisor(
    root: &Root,
    cpuinfo: &Measured<String>,
    flag: Option<bool>,
) -> Measured<Option<String>> {
    let dmi = |name| root.attribute(&format!("/sys/class/dmi/id/{name}"));
    let product = format!(
        "{} {}",
        dmi("sys_vendor").unwrap_or_default(),
        dmi("product_name").unwrap_or_default()
    );
    let known = VIRTUAL
        .iter()
        .find(|(word, _)| product.to_lowercase().contains(&word.to_lowercase()))
        .map(|(_, name)| (*name).to_owned());
    if root
        .attribute("/sys/hypervisor/type")
        .is_some_and(|kind| kind == "xen")
    {
        let dom0 = root
            .attribute("/proc/xen/capabilities")
            .is_some_and(|text| text.contains("control_d"));
        return Measured::Value(Some(if dom0 { "Xen (dom0)" } else { "Xen" }.to_owned()));
    }
    match (flag, known) {
        (Some(true), known) => Measured::Value(Some(
            known.unwrap_or_else(|| "an unnamed hypervisor".to_owned()),
        )),
        // EC2 bare metal calls itself "Amazon EC2" without the flag.
        (Some(false), _) => Measured::Value(None),
        (None, Some(known)) => Measured::Value(Some(known)),
        (None, None) => match cpuinfo {
            Measured::NotMeasured(why) => Measured::NotMeasured(why.clone()),
            Measured::Value(_) => Measured::not("/proc/cpuinfo has no flags"),
        },
    }
}
