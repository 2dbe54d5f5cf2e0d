//! The hosts of the lab, as data.

use crate::recipe::{self, Recipe};

/// A machine that passthru is tried on.
#[derive(Debug)]
pub struct Host {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is special about it, in one sentence.
    pub about: &'static str,
    /// The IOMMU it has.
    pub iommu: Iommu,
    /// The display that the host keeps.
    pub display: &'static str,
    /// What the cards' first function is; every card has the same.
    pub gpu: Gpu,
    /// Every card has a fourth function whose driver is built into Debian's kernel (8250_pci).
    pub builtin: bool,
    /// How many cards there are, each behind a root port of its own.
    pub cards: u8,
    /// The Debian on its disk.
    pub recipe: &'static Recipe,
    /// How much of a machine it is.
    pub size: &'static Size,
    /// It has a second disk with a system for a guest (see [`crate::guest_system`]).
    pub guest: bool,
    /// Words in `GRUB_CMDLINE_LINUX_DEFAULT`, as an earlier attempt may have left them.
    pub words: &'static str,
}

/// Processors and memory of a host.
#[derive(Debug)]
pub struct Size {
    /// Megabytes.
    pub memory: u32,
    /// QEMU's `-smp`.
    pub processors: &'static str,
}

/// The IOMMU of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iommu {
    /// VT-d with interrupt remapping.
    Intel,
    /// AMD-Vi without interrupt remapping.
    AmdWithoutRemapping,
}

/// The first function of a card.
#[derive(Debug)]
pub struct Gpu {
    /// QEMU's device, with its properties.
    pub device: &'static str,
    /// `vendor:device`.
    pub id: &'static str,
    /// The driver the host gives it.
    pub driver: &'static str,
}

/// One function of a card as the host sees it before passthru.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFunction {
    /// `0000:01:00.0`
    pub address: String,
    /// `vendor:device`
    pub id: &'static str,
    /// The driver it has on an untouched host.
    pub driver: &'static str,
}

/// Radeon 7000: an old chip with a current driver and many candidates (radeonfb, amdgpu).
const RADEON: Gpu = Gpu {
    device: "ati-vga,model=rv100",
    id: "1002:5159",
    driver: "radeon",
};

/// QEMU's own display without the VGA ports, which only one card may own.
const BOCHS: Gpu = Gpu {
    device: "secondary-vga",
    id: "1234:1111",
    driver: "bochs-drm",
};

/// Enough to bind a card and to run a guest that lists it.
const SMALL: Size = Size {
    memory: 2048,
    processors: "2",
};

/// Enough for libvirt and a Debian as its guest, with processors left for the host.
const LARGE: Size = Size {
    memory: 3584,
    processors: "4,cores=2,threads=2",
};

/// All hosts.
pub static HOSTS: [Host; 9] = [
    Host {
        name: "intel",
        about: "VT-d with interrupt remapping, a Radeon with audio, USB and a serial port beside the host's display",
        iommu: Iommu::Intel,
        display: "VGA",
        gpu: RADEON,
        builtin: true,
        cards: 1,
        recipe: &recipe::GRUB_BIOS,
        size: &SMALL,
        guest: false,
        words: "",
    },
    Host {
        name: "twins",
        about: "two cards that only their slot tells apart",
        iommu: Iommu::Intel,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: false,
        cards: 2,
        recipe: &recipe::GRUB_BIOS,
        size: &SMALL,
        guest: false,
        words: "",
    },
    Host {
        name: "iommu-off",
        about: "an earlier attempt left intel_iommu=off and a list of ids that never acted on the kernel command line",
        iommu: Iommu::Intel,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: false,
        cards: 1,
        recipe: &recipe::GRUB_BIOS,
        size: &SMALL,
        guest: false,
        words: "intel_iommu=off vfio-pci.ids=1234:1111",
    },
    Host {
        name: "amd-no-remap",
        about: "AMD-Vi without interrupt remapping",
        iommu: Iommu::AmdWithoutRemapping,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: false,
        cards: 1,
        recipe: &recipe::GRUB_BIOS,
        size: &SMALL,
        guest: false,
        // QEMU's emulated IO-APIC loses its interrupts behind this IOMMU.
        words: "noapic",
    },
    Host {
        name: "efi-dracut",
        about: "GRUB on EFI with dracut; a card with a serial port that the kernel itself drives",
        iommu: Iommu::Intel,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: true,
        cards: 1,
        recipe: &recipe::GRUB_EFI_DRACUT,
        size: &SMALL,
        guest: false,
        words: "",
    },
    Host {
        name: "systemd-boot",
        about: "systemd-boot with entries of kernel-install for two kernels, initramfs-tools",
        iommu: Iommu::Intel,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: true,
        cards: 1,
        recipe: &recipe::SYSTEMD_BOOT,
        size: &SMALL,
        guest: false,
        words: "",
    },
    Host {
        name: "uki",
        about: "systemd-boot with a unified kernel image of kernel-install and ukify, dracut",
        iommu: Iommu::Intel,
        display: "virtio-vga",
        gpu: BOCHS,
        builtin: true,
        cards: 1,
        recipe: &recipe::UKI,
        size: &SMALL,
        guest: false,
        words: "",
    },
    Host {
        name: "guests",
        about: "libvirt, four processors, and a disk with a Debian for a guest; otherwise as intel",
        iommu: Iommu::Intel,
        display: "VGA",
        gpu: RADEON,
        builtin: true,
        cards: 1,
        recipe: &recipe::LIBVIRT,
        size: &LARGE,
        guest: true,
        words: "",
    },
    Host {
        name: "probing",
        about: "libvirt, a disk with a Debian for a guest, and what looks at every disk (udisks, os-prober)",
        iommu: Iommu::Intel,
        display: "VGA",
        gpu: RADEON,
        builtin: true,
        cards: 1,
        recipe: &recipe::PROBING,
        size: &LARGE,
        guest: true,
        words: "",
    },
];

/// The host of that name.
pub fn find(name: &str) -> Option<&'static Host> {
    HOSTS.iter().find(|host| host.name == name)
}

impl Host {
    /// The functions of card `number`, which counts from 1 as the bus numbers do.
    pub fn card(&self, number: u8) -> Vec<CardFunction> {
        let function = |function: u8, id, driver| CardFunction {
            address: format!("0000:{number:02x}:00.{function}"),
            id,
            driver,
        };
        let mut card = vec![
            function(0, self.gpu.id, self.gpu.driver),
            function(1, "8086:293e", "snd_hda_intel"),
            function(2, "1b36:000d", "xhci_hcd"),
        ];
        if self.builtin {
            card.push(function(3, "1b36:0002", "serial"));
        }
        card
    }

    /// Whether QEMU can save the running machine: its AMD IOMMU refuses.
    pub fn can_be_saved(&self) -> bool {
        self.iommu == Iommu::Intel
    }

    /// QEMU's arguments for everything that makes this host what it is.
    pub fn arguments(&self, accelerator: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut push = |words: &[&str]| all.extend(words.iter().map(|&word| word.to_owned()));
        let memory = self.size.memory.to_string();
        push(&["-accel", accelerator, "-m", &memory]);
        push(&["-smp", self.size.processors]);
        match self.iommu {
            Iommu::Intel => push(&[
                "-machine",
                "q35,kernel-irqchip=split",
                "-cpu",
                "max",
                "-device",
                "intel-iommu,intremap=on,caching-mode=on",
            ]),
            Iommu::AmdWithoutRemapping => push(&[
                "-machine",
                "q35",
                "-cpu",
                "max,vendor=AuthenticAMD",
                "-device",
                "amd-iommu,intremap=off",
            ]),
        }
        push(&["-device", &format!("{},addr=0x2", self.display)]);
        for card in 1..=self.cards {
            let port = format!("port{card}");
            let slot = card + 2;
            push(&[
                "-device",
                &format!("pcie-root-port,id={port},chassis={card},slot={card},addr={slot:#x}"),
                "-device",
                &format!("{},bus={port},addr=0.0,multifunction=on", self.gpu.device),
                "-device",
                &format!("ich9-intel-hda,bus={port},addr=0.1"),
                "-device",
                &format!("qemu-xhci,bus={port},addr=0.2"),
            ]);
            if self.builtin {
                push(&["-device", &format!("pci-serial,bus={port},addr=0.3")]);
            }
        }
        push(&["-netdev", "user,id=net"]);
        push(&["-device", "virtio-net-pci,netdev=net,romfile=,addr=0x9"]);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for host in &HOSTS {
            assert!(std::ptr::eq(find(host.name).unwrap(), host));
        }
    }

    #[test]
    fn every_card_is_behind_its_own_port() {
        let twins = find("twins").unwrap();
        let line = twins.arguments("tcg").join(" ");
        assert!(line.contains("-device secondary-vga,bus=port1,addr=0.0,multifunction=on"));
        assert!(line.contains("-device qemu-xhci,bus=port2,addr=0.2"));
        assert_eq!(twins.card(2)[1].address, "0000:02:00.1");
    }
}
