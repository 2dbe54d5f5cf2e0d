//! What the kernel's and libvirt's logs say when passthrough fails, and what it means.

use alloc::{format, string::String, vec::Vec};

use super::{
    View,
    check::{as_root, check},
};
use crate::finding::{Finding, Severity};

/// A message and its meaning.
struct Symptom {
    id: &'static str,
    title: &'static str,
    severity: Severity,
    /// The message has all parts of one of these.
    patterns: &'static [&'static [&'static str]],
    cause: &'static str,
    remedy: &'static str,
}

const SYMPTOMS: &[Symptom] = &[
    Symptom {
        id: "symptom.group-not-viable",
        title: "No guest failed because of its group",
        severity: Severity::Warning,
        // drivers/vfio/, hw/vfio of QEMU
        patterns: &[&["group", "is not viable"]],
        cause: "Another member of the card's group was with a host driver when the guest started.",
        remedy: "See the group.viable check of the card: it names the member. List every function of the card in the guest, and let passthru plan --gpu … bind the rest.",
    },
    Symptom {
        id: "symptom.interrupt-remapping",
        title: "No guest failed for want of interrupt remapping",
        severity: Severity::Warning,
        patterns: &[
            &["No interrupt remapping support"],
            &["No interrupt remapping for device"],
        ],
        cause: "The kernel gives no card away while interrupts are not remapped.",
        remedy: "See the iommu.interrupt-remapping check.",
    },
    Symptom {
        id: "symptom.reserved-region",
        title: "No guest failed because the firmware keeps memory",
        severity: Severity::Warning,
        // drivers/iommu/iommu.c, drivers/iommu/intel/iommu.c
        patterns: &[
            &["Firmware has requested this device have a 1:1 IOMMU mapping"],
            &["ineligible for IOMMU domain attach"],
        ],
        cause: "The firmware says that this device must always reach a piece of memory, so the kernel does not give it away.",
        remedy: "No boot parameter changes this. Look for a firmware update, turn off legacy USB or management access to the device in the firmware, or use another slot.",
    },
    Symptom {
        id: "symptom.bar-reserved",
        title: "No card's memory was held by something else",
        severity: Severity::Warning,
        // drivers/pci/pci.c
        patterns: &[&["BAR", "can't reserve"], &["BAR", "cannot reserve"]],
        cause: "The firmware's console or another driver still used the card's memory when vfio-pci took the card.",
        remedy: "Look who holds it: sudo cat /proc/iomem (BOOTFB, efifb and simplefb are consoles of the firmware). Binding at boot is early enough: passthru plan --gpu … sets it up. Or make another GPU the primary display in the firmware.",
    },
    Symptom {
        id: "symptom.rom",
        title: "The ROM of every card could be read",
        severity: Severity::Info,
        // drivers/pci/rom.c
        patterns: &[
            &["Invalid PCI ROM header signature"],
            &["Invalid PCI ROM data signature"],
        ],
        cause: "The card shows no ROM of its own: the host started on it and hides it behind a copy, or the card has none (many laptops).",
        remedy: "Most guests do not need it. If the guest's screen stays black, make another GPU the primary display in the firmware and start again, or give the guest a ROM file that was read from this very card.",
    },
    Symptom {
        id: "symptom.reset",
        title: "Every card came back from its reset",
        severity: Severity::Warning,
        // drivers/pci/pci.c
        patterns: &[
            &["not ready", "giving up"],
            &["Unable to change power state from D3cold to D0"],
            &["Unable to change power state", "device inaccessible"],
        ],
        cause: "The card did not answer after a reset or a sleep. It stays dead until the host restarts.",
        remedy: "Restart the host. If it comes back after sleep only, keep the card awake: put \"options vfio-pci disable_idle_d3=1\" in /etc/modprobe.d/vfio-idle.conf and make the initramfs anew. See the card.reset check.",
    },
    Symptom {
        id: "symptom.memlock",
        title: "Guests may hold their memory in RAM",
        severity: Severity::Warning,
        // drivers/vfio/vfio_iommu_type1.c
        patterns: &[
            &["RLIMIT_MEMLOCK", "exceeded"],
            &["VFIO_MAP_DMA", "Cannot allocate memory"],
        ],
        cause: "The whole memory of a guest with a card is pinned, and the guest's process was not allowed that much.",
        remedy: "With libvirt: take <hard_limit> out of the guest's <memtune>, or raise it above the guest's memory by 1 GiB or more for each card. For QEMU by hand: raise the limit (ulimit -l, LimitMEMLOCK=).",
    },
    Symptom {
        id: "symptom.address-width",
        title: "The IOMMU reached every address of the guest",
        severity: Severity::Warning,
        patterns: &[&["VFIO_MAP_DMA", "Invalid argument"]],
        cause: "The guest put the card's memory higher than this host's IOMMU reaches.",
        remedy: "Limit the guest's addresses: <maxphysaddr mode='passthrough' limit='39'/> in <cpu> (libvirt 9.3 or later). The iommu.address-width check says which number fits.",
    },
    Symptom {
        id: "symptom.sriov",
        title: "No card was refused for its virtual functions",
        severity: Severity::Warning,
        // drivers/vfio/pci/vfio_pci_core.c
        patterns: &[&["Cannot bind to PF with SR-IOV enabled"]],
        cause: "The card's virtual functions were on when vfio-pci was to take it.",
        remedy: "Turn them off first: echo 0 | sudo tee /sys/bus/pci/devices/ADDRESS/sriov_numvfs, with the address from the message.",
    },
    Symptom {
        id: "symptom.nvidia-in-use",
        title: "No NVIDIA card was taken while in use",
        severity: Severity::Warning,
        patterns: &[&["Attempting to remove device", "non-zero usage count"]],
        cause: "The card was taken from the nvidia driver while programs had it open. The driver waits in the kernel until they end.",
        remedy: "End the programs that use it: sudo fuser -v /dev/nvidia*. Stop nvidia-persistenced and nvidia-powerd before a guest starts, or bind the card at boot: passthru plan --gpu ….",
    },
    Symptom {
        id: "symptom.apparmor",
        title: "AppArmor kept nothing from a guest",
        severity: Severity::Warning,
        // The kernel's audit messages; a guest's profile is named libvirt-UUID.
        // Much else that they ask for and do without is denied in passing.
        patterns: &[
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".rom\""],
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".bin\""],
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".iso\""],
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".img\""],
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".raw\""],
            &["apparmor=\"DENIED\"", "profile=\"libvirt-", ".qcow2\""],
            &[
                "apparmor=\"DENIED\"",
                "profile=\"libvirt-",
                "name=\"/dev/input/",
            ],
        ],
        cause: "A guest of libvirt may open its disks and little else, and asked for more: name= in the message is the file. Of ROM files (<rom file=…/>) libvirt does not tell AppArmor.",
        remedy: "If the guest did not start because of it: add a line with the file's path and \"r,\" to /etc/apparmor.d/local/abstractions/libvirt-qemu (make the file if it is missing), or move the file where guests may read it; sudo passthru rom dump ADDR --install and rom trim FILE --install put a ROM there.",
    },
    Symptom {
        id: "symptom.hook-hangs",
        title: "No guest's start hung in libvirt",
        severity: Severity::Warning,
        patterns: &[&["cannot acquire state change lock"]],
        cause: "Something in the start or stop of a guest did not end in time. Most often a hook called virsh, which waits for the very start that waits for it.",
        remedy: "Take every virsh call out of /etc/libvirt/hooks; <hostdev managed='yes'> does what they were for.",
    },
    Symptom {
        id: "symptom.dma-fault",
        title: "No device wrote where it may not",
        severity: Severity::Warning,
        // drivers/iommu/amd/iommu.c, drivers/iommu/intel/dmar.c
        patterns: &[
            &["AMD-Vi", "IO_PAGE_FAULT"],
            &["DMAR:", "[DMA", "fault"],
            &["DMAR:", "DMAR", "fault addr"],
        ],
        cause: "A device reached for memory that it does not own, and the IOMMU stopped it: after a reset that did not work, or because a function of the card was left out of the guest.",
        remedy: "Look which device the message names (sudo journalctl -k). Give the guest every function of the card. See the card.reset check.",
    },
];

/// Lines shown as evidence of one symptom.
const SHOWN: usize = 3;

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let log = match (view.facts.log.value(), view.facts.log.why_not()) {
        (Some(log), _) => log,
        (None, why) => {
            found.push(
                check(
                    "symptoms.log",
                    "The logs were read",
                    Severity::Info,
                    "The kernel's and libvirt's logs say why a guest with a card did not start.",
                )
                .unknown(why.unwrap_or("not looked at"), as_root(view.facts)),
            );
            return;
        }
    };
    let before = found.len();
    found.extend(SYMPTOMS.iter().filter_map(|symptom| judge(symptom, log)));
    if found.len() == before {
        found.push(
            check(
                "symptoms.log",
                "The logs show no known symptom",
                Severity::Info,
                "The kernel's and libvirt's logs say why a guest with a card did not start.",
            )
            .yes(["no message of a failed passthrough in the kernel's and libvirt's logs"]),
        );
    }
}

fn judge(symptom: &Symptom, log: &[String]) -> Option<Finding> {
    let lines: Vec<&String> = log
        .iter()
        .filter(|line| {
            symptom
                .patterns
                .iter()
                .any(|parts| parts.iter().all(|part| line.contains(part)))
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let mut evidence: Vec<String> = lines
        .iter()
        .take(SHOWN)
        .map(|line| line.trim().into())
        .collect();
    if lines.len() > SHOWN {
        evidence.push(format!("… and {} more such lines", lines.len() - SHOWN));
    }
    Some(
        check(symptom.id, symptom.title, symptom.severity, symptom.cause)
            .no(evidence, symptom.remedy),
    )
}
