//! Whether a guest's firmware can run what is in the ROM.

use alloc::{format, string::String, vec::Vec};

use super::super::{Checksum, CodeType, Image, Rom};
use crate::{
    doctor::check::check,
    facts::Function,
    finding::{Finding, Severity},
};

/// The video BIOS in memory of a PC: 0xc0000 to 0xdffff (arch/x86/pci/fixup.c, `pci_fixup_video`).
const SHADOW_SIZE: usize = 128 << 10;

/// Whether UEFI firmware finds a driver in it: for a graphics card the one that makes a picture.
pub(super) fn firmware(rom: &Rom, function: Option<&Function>) -> Finding {
    let display = match function {
        Some(function) => function.class.is_display(),
        None => rom
            .public()
            .next()
            .is_some_and(|image| image.class.is_display()),
    };
    let check = if display {
        check(
            "rom.gop",
            "A UEFI guest has a picture from its start (GOP)",
            Severity::Warning,
            "OVMF shows nothing on this card; a picture comes only when the guest's own driver has loaded. That usually works, but its boot menu and a failing boot stay invisible.",
        )
    } else {
        check(
            "rom.uefi",
            "A UEFI guest's firmware can start it",
            Severity::Info,
            "OVMF has no driver for the device before the guest's own has loaded.",
        )
    };
    let fits = |image: &&Image| function.is_none_or(|function| image.is_for(function.ids));
    let drivers: Vec<&Image> = rom.public().filter(|i| i.code == CodeType::Efi).collect();
    let good = drivers
        .iter()
        .find(|image| image.efi.is_some_and(|efi| efi.is_startable()) && fits(image));
    if let Some(image) = good {
        return check.yes([format!(
            "a UEFI driver for x86-64 at offset {:#x}",
            image.offset
        )]);
    }
    let mut evidence: Vec<String> = drivers
        .iter()
        .map(|image| {
            format!(
                "the UEFI driver at offset {:#x} {}",
                image.offset,
                unfit(image)
            )
        })
        .collect();
    if evidence.is_empty() {
        let legacy = rom.public().any(|image| image.code == CodeType::X86);
        evidence.push(if legacy {
            "there is only code for the legacy BIOS, and no UEFI driver".into()
        } else {
            "there is no UEFI driver".into()
        });
    }
    let remedy = if display {
        "nothing, if the guest's driver brings the picture; else ask the card's maker for a video BIOS with UEFI support (GOP), or give the guest SeaBIOS"
    } else {
        "nothing, unless the guest has to boot from the device"
    };
    check.no(evidence, remedy)
}

/// Why firmware does not start a UEFI driver.
fn unfit(image: &Image) -> String {
    let Some(efi) = image.efi else {
        return "has no UEFI header (0x0ef1)".into();
    };
    if efi.machine != 0x8664 {
        return format!("is for {}, not for x86-64", efi.processor());
    }
    if efi.compression > 1 {
        return format!("has an unknown compression ({})", efi.compression);
    }
    if efi.executable == Some(false) {
        return "does not begin as a program does (MZ)".into();
    }
    if efi.is_startable() {
        return format!("is for {}, another device", image.ids);
    }
    format!("is no driver (PE subsystem {:#x})", efi.subsystem)
}

pub(super) fn checksum(rom: &Rom) -> Option<Finding> {
    let check = check(
        "rom.checksum",
        "The legacy code adds up",
        Severity::Warning,
        "SeaBIOS does not run code whose bytes do not add up to zero; OVMF does not care.",
    );
    let summed: Vec<(&Image, Checksum)> = rom
        .public()
        .filter_map(|image| Some((image, image.checksum?)))
        .collect();
    let wrong: Vec<String> = summed
        .iter()
        .filter(|(_, sum)| *sum == Checksum::Bad)
        .map(|(image, _)| {
            format!(
                "the checksum of the image at offset {:#x} is wrong",
                image.offset
            )
        })
        .collect();
    if summed.is_empty() {
        return None;
    }
    if !wrong.is_empty() {
        return Some(check.no(
            wrong,
            "the ROM was changed after it was made: by its own code if this is the copy in memory, by an editor, or by damage; read it from the card again",
        ));
    }
    if summed.iter().any(|(_, sum)| *sum == Checksum::NotMeasured) {
        let reason =
            "the legacy image gives no length, or one that is longer than the image is in the file";
        return Some(check.unknown(reason, "read the ROM again if a SeaBIOS guest is to use it"));
    }
    Some(check.yes(["the bytes of each legacy image add up to 0 modulo 256"]))
}

/// Legacy code alone, in the size of the area in memory or changed after its checksum was made: that is
/// how the copy looks that a PC's firmware makes at 0xc0000 and that the code then modifies.
pub(super) fn shadow(rom: &Rom) -> Option<Finding> {
    let mut images = rom.public();
    let only = images.next().filter(|_| images.next().is_none())?;
    let legacy = only.code == CodeType::X86 && only.class.is_display();
    let area = rom.size == SHADOW_SIZE;
    let changed = only.checksum == Some(Checksum::Bad);
    if !legacy || !(area || changed) {
        return None;
    }
    let check = check(
        "rom.shadow",
        "The ROM was read from the card, not from the copy in memory",
        Severity::Warning,
        "On a legacy boot the kernel gives the copy at 0xc0000 for the boot card: without the UEFI part, and changed by the code that ran.",
    );
    let mut evidence = Vec::from([String::from("legacy code only")]);
    if area {
        evidence.push("the file is 128 KiB long, as the memory at 0xc0000 is".into());
    }
    if changed {
        evidence.push("the checksum does not hold".into());
    }
    Some(check.no(
        evidence,
        "if it was read while the card was the boot card of a legacy boot: make another card the primary one, or boot the host with UEFI, and read it again",
    ))
}
