//! What passthru must do on real hosts.

mod guest;
mod harness;
mod iommu_off;
mod left_alone;
mod no_remap;
mod power_cut;
mod repair;
mod rom;
mod static_binding;
mod trial;
mod twins;
mod without_words;

use crate::error::Result;
use crate::session::Lab;

/// A story with a host in it, which succeeds or says what was not as promised.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it proves, in one sentence.
    pub about: &'static str,
    /// Every change must pass it: one host per boot loader, trials that fail, a power cut. The others
    /// run with `all`, and some try the lab itself.
    pub core: bool,
    /// Does it.
    pub run: fn(&Lab<'_>) -> Result<()>,
}

/// All of them.
pub static SCENARIOS: [Scenario; 21] = [
    Scenario {
        name: "static",
        about: "doctor, apply, reboot, verify, a guest with the card, undo, every byte back",
        core: true,
        run: static_binding::run,
    },
    Scenario {
        name: "without-words",
        about: "a bound host started from its recovery entry behaves as before",
        core: false,
        run: without_words::run,
    },
    Scenario {
        name: "trial",
        about: "a trial boot that panics, and one that lost a service, take themselves back",
        core: true,
        run: trial::run,
    },
    Scenario {
        name: "power-cut",
        about: "the power goes at six points of apply; the host boots and recovers",
        core: false,
        run: power_cut::run,
    },
    Scenario {
        name: "power-cut-esp",
        about: "the power goes while the EFI system partition is written: the host comes back by itself",
        core: true,
        run: power_cut::on_esp,
    },
    Scenario {
        name: "power-cut-dracut",
        about: "the power goes while dracut makes an image of a host with GRUB; it boots and recovers",
        core: false,
        run: power_cut::on_dracut,
    },
    Scenario {
        name: "left-alone",
        about: "a guest's whole disk: udisks hides it and the boot menu does not list it, until undo",
        core: false,
        run: left_alone::run,
    },
    Scenario {
        name: "twins",
        about: "of two identical cards one is bound, the other keeps its drivers",
        core: false,
        run: twins::run,
    },
    Scenario {
        name: "iommu-off",
        about: "an IOMMU switched off on the command line: one plan, one reboot, done",
        core: false,
        run: iommu_off::run,
    },
    Scenario {
        name: "repair",
        about: "leftovers of guides are put right with the plan that binds, and come back with undo",
        core: false,
        run: repair::run,
    },
    Scenario {
        name: "rom",
        about: "a card's ROM read, checked and trimmed, while its driver has the card",
        core: false,
        run: rom::run,
    },
    Scenario {
        name: "no-remap",
        about: "without interrupt remapping apply refuses, and works with consent",
        core: false,
        run: no_remap::run,
    },
    Scenario {
        name: "efi-dracut",
        about: "static on GRUB on EFI with dracut, and a boot of the entry without passthru",
        core: true,
        run: |lab| static_binding::on(lab, "efi-dracut"),
    },
    Scenario {
        name: "systemd-boot",
        about: "the same on systemd-boot with entries for two kernels, each of which binds",
        core: true,
        run: |lab| static_binding::on(lab, "systemd-boot"),
    },
    Scenario {
        name: "uki",
        about: "the same on systemd-boot with a unified kernel image",
        core: true,
        run: |lab| static_binding::on(lab, "uki"),
    },
    Scenario {
        name: "guest",
        about: "vm new with a whole disk: started, reached by SSH, pinned, alone on pages and CPUs, undone",
        core: true,
        run: guest::on_disk,
    },
    Scenario {
        name: "guest-image",
        about: "vm new from an image in a file, with a whole core and memory set aside at boot",
        core: false,
        run: guest::on_image,
    },
    Scenario {
        name: "harness",
        about: "the lab itself, without passthru: a card bound by hand, a guest, reboots, a power cut",
        core: false,
        run: |lab| harness::on(lab, "intel"),
    },
    Scenario {
        name: "harness-efi-dracut",
        about: "the same on GRUB on EFI with dracut",
        core: false,
        run: |lab| harness::on(lab, "efi-dracut"),
    },
    Scenario {
        name: "harness-systemd-boot",
        about: "the same on systemd-boot with entries",
        core: false,
        run: |lab| harness::on(lab, "systemd-boot"),
    },
    Scenario {
        name: "harness-uki",
        about: "the same on systemd-boot with a unified kernel image",
        core: false,
        run: |lab| harness::on(lab, "uki"),
    },
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
