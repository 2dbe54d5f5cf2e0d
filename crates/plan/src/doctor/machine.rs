//! The machine and its firmware: processor, memory, what it runs on.

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{as_root, check, on_host},
};
use crate::{
    facts::{CpuVendor, Facts, Firmware, Reading},
    finding::{Finding, Severity},
    text::size,
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    found.extend(unreadable(facts));
    found.push(architecture(facts));
    found.push(virtualization(facts));
    found.extend(kvm_device(facts));
    found.push(hypervisor(facts));
    found.push(memory(facts));
    found.push(secure_boot(facts));
    found.push(lockdown(facts));
}

fn unreadable(facts: &Facts) -> Option<Finding> {
    (!facts.unreadable.is_empty()).then(|| {
        let mut finding = check(
            "facts.unreadable",
            "Everything that was looked at could be understood",
            Severity::Warning,
            "What could not be read is missing from every answer below.",
        )
        .unknown(
            "parts of this host could not be read",
            match facts.reading {
                Reading::User => "Run it as root: sudo passthru doctor. If it says the same, report the lines above to the makers of passthru.",
                Reading::Copy | Reading::Root => {
                    "Report the lines above to the makers of passthru."
                }
            },
        );
        finding.evidence.extend(facts.unreadable.iter().cloned());
        finding
    })
}

fn architecture(facts: &Facts) -> Finding {
    let check = check(
        "cpu.architecture",
        "The processor is an x86-64 one that passthru knows",
        Severity::Blocker,
        "How translation of device memory is turned on differs by maker; passthru knows Intel, AMD, Hygon and Zhaoxin.",
    );
    let cpu = &facts.machine.cpu;
    let model = cpu.model.as_deref().unwrap_or("no model name");
    let evidence = |vendor: &str| [format!("/proc/cpuinfo: {vendor}, {model}")];
    match cpu.vendor {
        CpuVendor::Intel => check.yes(evidence("Intel")),
        CpuVendor::Amd => check.yes(evidence("AMD or Hygon")),
        CpuVendor::Zhaoxin => check.yes(evidence("Zhaoxin")),
        // vmx and svm are flags of x86 only.
        CpuVendor::Other if cpu.virtualization.is(&true) => check.yes(evidence("another x86 maker")),
        CpuVendor::Other => check.no(
            evidence("unknown maker"),
            "passthru does not support this processor. ARM hosts have another kind of IOMMU (SMMU) that it does not set up.",
        ),
        CpuVendor::Unknown => check.unknown(
            "/proc/cpuinfo was not there",
            on_host(facts),
        ),
    }
}

fn virtualization(facts: &Facts) -> Finding {
    let check = check(
        "cpu.virtualization",
        "The processor can run virtual machines",
        Severity::Blocker,
        "Without hardware virtualisation a guest runs too slowly to be of use, and KVM refuses to start it.",
    );
    match facts.machine.cpu.virtualization.value() {
        Some(true) => check.yes(["/proc/cpuinfo: the flag vmx (Intel) or svm (AMD) is there"]),
        Some(false) => check.no(
            ["/proc/cpuinfo: neither the flag vmx nor svm"],
            virtualization_menu(facts),
        ),
        None if facts.machine.kvm_device => check.yes(["/dev/kvm exists"]),
        None => check.unknown(
            facts
                .machine
                .cpu
                .virtualization
                .why_not()
                .unwrap_or("not looked at"),
            on_host(facts),
        ),
    }
}

fn kvm_device(facts: &Facts) -> Option<Finding> {
    let machine = &facts.machine;
    if !machine.kvm_device && !machine.cpu.virtualization.is(&true) {
        return None;
    }
    let check = check(
        "kvm.device",
        "KVM is ready",
        Severity::Blocker,
        "QEMU reaches the processor's virtualisation through /dev/kvm.",
    );
    if machine.kvm_device {
        return Some(check.yes(["/dev/kvm exists"]));
    }
    let module = match machine.cpu.vendor {
        CpuVendor::Amd => "kvm_amd",
        _ => "kvm_intel",
    };
    Some(match facts.kernel.loaded.value() {
        Some(loaded) if loaded.iter().any(|m| m == module) => check.no(
            [
                String::from("/dev/kvm does not exist"),
                format!("the module {module} is loaded"),
            ],
            virtualization_menu(facts),
        ),
        Some(_) => check.no(
            [
                String::from("/dev/kvm does not exist"),
                format!("the module {module} is not loaded"),
            ],
            format!(
                "Run: sudo modprobe {module}. If it answers \"Operation not supported\", the firmware has virtualisation locked. {}",
                virtualization_menu(facts)
            ),
        ),
        None => check.unknown(
            "there is no /dev/kvm, and the list of loaded modules was not read",
            on_host(facts),
        ),
    })
}

/// Where virtualisation is switched on.
fn virtualization_menu(facts: &Facts) -> String {
    if let Some(Some(name)) = facts.machine.hypervisor.value() {
        return format!(
            "This host is itself a guest ({name}). Turn on nested virtualisation for it in the outer hypervisor (libvirt: <cpu mode='host-passthrough'/>)."
        );
    }
    String::from(match facts.machine.cpu.vendor {
        CpuVendor::Amd => {
            "Enter the firmware setup and enable \"SVM Mode\", often under Advanced > CPU Configuration."
        }
        CpuVendor::Intel | CpuVendor::Zhaoxin => {
            "Enter the firmware setup and enable \"Intel VT-x\" (\"Intel Virtualization Technology\"), often under Advanced > CPU Configuration. Switch the machine fully off once afterwards."
        }
        CpuVendor::Other | CpuVendor::Unknown => {
            "Enter the firmware setup and enable virtualisation (\"Intel VT-x\", on AMD \"SVM Mode\")."
        }
    })
}

fn hypervisor(facts: &Facts) -> Finding {
    let check = check(
        "machine.hypervisor",
        "This host runs on bare metal",
        Severity::Warning,
        "A host that is itself a guest owns no real cards. It can pass on only what the outer hypervisor gave it, and only with a virtual IOMMU.",
    );
    match facts.machine.hypervisor.value() {
        Some(None) => check.yes(["no hypervisor shows itself"]),
        Some(Some(name)) => check.no(
            [format!("this host runs inside {name}")],
            "If you want to give a real card to a guest, run passthru on the outer machine. To try passthru out here, give this guest an emulated IOMMU with interrupt remapping (QEMU: -device intel-iommu,intremap=on,caching-mode=on; libvirt: <iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>).",
        ),
        None => check.unknown(
            facts.machine.hypervisor.why_not().unwrap_or("not looked at"),
            as_root(facts),
        ),
    }
}

/// Below this a guest with a GPU leaves the host too little.
const LITTLE_MEMORY_KIB: u64 = 7 * 1024 * 1024;

fn memory(facts: &Facts) -> Finding {
    let check = check(
        "memory.size",
        "There is memory for a guest",
        Severity::Warning,
        "The whole memory of a guest that owns a card stays in RAM while it runs: the card may write to any of it, so none can be swapped out.",
    );
    let memory = &facts.machine.memory;
    let Some(total) = memory.total_kib else {
        return check.unknown("/proc/meminfo was not there", on_host(facts));
    };
    let mut evidence = Vec::from([format!("/proc/meminfo: {} in all", size::kib_words(total))]);
    if let Some(available) = memory.available_kib {
        evidence.push(format!(
            "{} free for new programs now",
            size::kib_words(available)
        ));
    }
    if let Some(pages) = memory.hugepages_kib.filter(|kib| *kib > 0) {
        evidence.push(format!(
            "{} set aside as huge pages, which only guests use",
            size::kib_words(pages)
        ));
    }
    if total < LITTLE_MEMORY_KIB {
        check.no(
            evidence,
            "Give the guest at most half of it, or add memory. Windows 11 alone asks for 4 GiB.",
        )
    } else {
        check.yes(evidence)
    }
}

fn secure_boot(facts: &Facts) -> Finding {
    let check = check(
        "firmware.secure-boot",
        "Secure Boot does not stand in the way",
        Severity::Info,
        "Secure Boot refuses kernel modules that nobody signed. vfio-pci comes with the kernel and is signed; modules built here (kvmfr, vendor-reset) need a key of your own.",
    );
    match (
        facts.machine.firmware.value(),
        facts.machine.secure_boot.value(),
    ) {
        (_, Some(true)) => check.yes(["Secure Boot is on; passthrough works with it"]),
        (_, Some(false)) => check.yes(["Secure Boot is off"]),
        (Some(Firmware::Bios), None) => {
            check.yes(["this host was started by a BIOS, which has no Secure Boot"])
        }
        (_, None) => check.unknown(
            facts
                .machine
                .secure_boot
                .why_not()
                .unwrap_or("not looked at"),
            as_root(facts),
        ),
    }
}

fn lockdown(facts: &Facts) -> Finding {
    // security/lockdown/, drivers/pci/pci-sysfs.c: config writes and resource mmap are refused,
    // the `rom` file and VFIO are not.
    let check = check(
        "kernel.lockdown",
        "Kernel lockdown does not stand in the way",
        Severity::Info,
        "Lockdown keeps even root from writing to a card's registers and from loading unsigned modules. It does not keep vfio-pci from giving a card away.",
    );
    match facts.machine.lockdown.value() {
        Some(mode) => check.yes([format!("/sys/kernel/security/lockdown: {mode}")]),
        None => check.unknown(
            facts.machine.lockdown.why_not().unwrap_or("not looked at"),
            as_root(facts),
        ),
    }
}
