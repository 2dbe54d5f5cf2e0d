//! ROM files that a domain gives to functions.

use alloc::{format, vec::Vec};

use super::{RomFiles, View};
use crate::{
    doctor::check::check,
    finding::{Finding, Severity, Status},
    guest::existing::{Hostdev, child},
    measured::Measured,
    rom::{judge, no_rom, parse},
    text::quote::word,
};

/// The ROM file of a function.
pub(super) fn file<'a>(hostdev: &Hostdev<'a, '_>) -> Option<&'a str> {
    child(hostdev.node, "rom")?.attribute("file")
}

pub(super) fn roms(view: &View<'_, '_>, roms: &RomFiles) -> Vec<Finding> {
    let given = view.owned.iter().filter_map(|one| Some((one, file(one)?)));
    given
        .map(|(one, file)| rom(view, one, file, roms.get(file)))
        .collect()
}

fn rom(
    view: &View<'_, '_>,
    hostdev: &Hostdev<'_, '_>,
    file: &str,
    bytes: Option<&Measured<Vec<u8>>>,
) -> Finding {
    let check = check(
        format!("guest.rom:{}", hostdev.host),
        format!("The ROM in {file} is for {} and can be used", hostdev.host),
        Severity::Warning,
        "With a ROM that does not fit, the card shows no picture, or its driver does not start.",
    );
    let bytes = match bytes {
        Some(Measured::Value(bytes)) => bytes,
        Some(Measured::NotMeasured(why)) => {
            return check.unknown(
                why.clone(),
                format!(
                    "As root: sudo passthru vm check {}, or sudo passthru rom check {}",
                    view.name,
                    word(file)
                ),
            );
        }
        None => {
            return check.unknown(
                "it was not looked at",
                format!("passthru rom check {}", word(file)),
            );
        }
    };
    let function = view.facts.function(hostdev.host);
    let findings = match parse(bytes, function.map(|function| function.ids)) {
        Ok(rom) => judge(&rom, function),
        Err(error) => Vec::from([no_rom(&error)]),
    };
    let uefi = is_uefi(view);
    let wrong: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.status == Status::No && finding.severity != Severity::Info)
        // Firmware of the old kind runs the other image.
        .filter(|finding| uefi || finding.id != "rom.gop")
        .collect();
    let Some(first) = wrong.first() else {
        let seen = format!("{} bytes", bytes.len());
        return if function.is_none() {
            check.unknown(
                format!(
                    "{seen}, and there is no device at {} to compare it with",
                    hostdev.host
                ),
                "passthru devices --all shows where the card is now",
            )
        } else {
            check.yes([seen])
        };
    };
    let seen = wrong.iter().map(|finding| {
        let evidence = finding.evidence.join("; ");
        format!("not so: {} ({evidence})", finding.title)
    });
    let remedy = first.remedy.clone().unwrap_or_default();
    check.no(
        seen,
        format!(
            "{remedy}. passthru rom check {} --gpu {} says more.",
            word(file),
            hostdev.host
        ),
    )
}

/// The guest starts by UEFI.
fn is_uefi(view: &View<'_, '_>) -> bool {
    let Some(os) = child(view.domain, "os") else {
        return false;
    };
    os.attribute("firmware") == Some("efi")
        || child(os, "loader").is_some_and(|loader| loader.attribute("type") == Some("pflash"))
}
