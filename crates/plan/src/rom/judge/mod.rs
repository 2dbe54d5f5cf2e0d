//! What a guest can do with an option ROM, as findings.

mod firmware;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Chain, Foreign, Image, ImageError, NotRom, Private, Rom, Start, Tail};
use crate::{
    doctor::check::{Check, check},
    facts::Function,
    finding::{Finding, Severity},
};

/// What makes the kernel hand out the copy in memory instead of the ROM
/// (`IORESOURCE_ROM_SHADOW`, include/linux/ioport.h).
const ROM_SHADOW: u64 = 1 << 1;
/// The number of the ROM's address register among the BARs of [`Function`].
const ROM_BAR: u8 = 6;
/// The remedy for bytes around a ROM.
const TRIM: &str = "passthru rom trim FILE OUT writes the ROM alone to a new file; not one byte inside it is changed";

/// Findings about `rom`, the gravest questions first; about `function` where one is given.
pub fn judge(rom: &Rom, function: Option<&Function>) -> Vec<Finding> {
    let mut findings = Vec::from([
        format(rom),
        start(rom),
        complete(rom),
        device(rom, function),
    ]);
    findings.extend(class(rom, function));
    findings.push(firmware::firmware(rom, function));
    findings.extend(firmware::checksum(rom));
    findings.extend(firmware::shadow(rom));
    findings.extend(function.map(|function| size(rom, function)));
    findings.extend(tail(rom));
    findings
}

/// The finding about a file that holds no ROM.
pub fn no_rom(error: &NotRom) -> Finding {
    let remedy = match error {
        NotRom::Foreign(Foreign::Filled { .. }) => {
            "read the ROM again with the card awake and in use by nothing: sudo passthru rom dump ADDR"
        }
        NotRom::Foreign(_) => {
            "name the file that holds the card's video BIOS, or read it: sudo passthru rom dump ADDR"
        }
        NotRom::Broken(ImageError::NotPci { .. }) => {
            "name the file that holds the card's video BIOS; this one is for the ISA bus, or for a machine's built-in emulated graphics"
        }
        NotRom::Nvgi(_) | NotRom::Broken(_) => {
            "the file is damaged or cut short; read the ROM again: sudo passthru rom dump ADDR"
        }
    };
    holds().no([error.to_string()], remedy)
}

fn holds() -> Check {
    check(
        "rom.format",
        "The file holds a PCI option ROM",
        Severity::Blocker,
        "A guest's firmware passes over anything else, and the card stays without its ROM.",
    )
}

fn format(rom: &Rom) -> Finding {
    let images = match rom.images.len() {
        1 => "1 image".into(),
        n => format!("{n} images"),
    };
    let range = rom.range();
    holds().yes([format!("{images}, {} bytes", range.len())])
}

fn start(rom: &Rom) -> Finding {
    let offset = rom.range().start;
    let check = check(
        "rom.start",
        "The ROM is at the beginning of the file",
        Severity::Blocker,
        "QEMU gives the file to the guest as it is, and firmware looks for a ROM at its first byte only.",
    );
    let evidence = [rom.start.words(offset)];
    match (&rom.start, offset) {
        (_, 0) => check.yes(evidence),
        (Start::Searched, _) => check.no(
            evidence,
            format!(
                "{TRIM}; then check the new file with --gpu ADDR, because the place is a guess"
            ),
        ),
        _ => check.no(evidence, TRIM),
    }
}

fn complete(rom: &Rom) -> Finding {
    let check = check(
        "rom.complete",
        "The ROM is complete",
        Severity::Blocker,
        "Part of the code is missing: the card may stay dark, or the guest may hang when it runs it.",
    );
    let again = "read the ROM again (sudo passthru rom dump ADDR), or copy the file again from where it came";
    let last = rom.images.last().map_or(0, |image| image.offset);
    match &rom.chain {
        Chain::Complete => {
            let mut evidence = Vec::from([String::from("the last image is marked as the last")]);
            evidence.extend(private(rom));
            check.yes(evidence)
        }
        Chain::Truncated { missing } => {
            let follow = match rom.images.last() {
                Some(image) if !image.last => ", and whatever follows it",
                _ => "",
            };
            let text = format!(
                "the image at offset {last:#x} is cut off: its last {missing} bytes are missing{follow}"
            );
            check.no([text], again)
        }
        Chain::Broken { error } => check.no(
            [format!(
                "the image at offset {last:#x} is not the last, but {error}"
            )],
            again,
        ),
    }
}

/// A word about NVIDIA's own images.
fn private(rom: &Rom) -> Option<String> {
    match rom.private {
        Private::None => None,
        Private::Present => {
            let count = rom.images.len() - rom.public().count();
            Some(format!("{count} more of NVIDIA's own follow"))
        }
        Private::Missing => Some(
            "NVIDIA's own images, which follow on the card, are not in the file; the driver reads them from the card itself"
                .into(),
        ),
    }
}

fn device(rom: &Rom, function: Option<&Function>) -> Finding {
    let check = check(
        "rom.device",
        "The ROM is for this device",
        Severity::Blocker,
        "Firmware starts an image only on the device it names; another card's code can hang the guest.",
    );
    let mut named: Vec<String> = Vec::new();
    for image in rom.public() {
        let more = match image
            .devices
            .iter()
            .filter(|id| **id != image.ids.device)
            .count()
        {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let text = format!("{}{more}", image.ids);
        if !named.contains(&text) {
            named.push(text);
        }
    }
    let named = named.join(", ");
    let Some(function) = function else {
        return check.unknown(
            format!("no device was named; the ROM is for {named}"),
            "name the card: passthru rom check FILE --gpu ADDR",
        );
    };
    let (address, ids) = (function.address, function.ids);
    let all = rom.public().count();
    match rom.public().filter(|image| image.is_for(ids)).count() {
        0 => check.no(
            [format!("the ROM is for {named}; {address} is {ids}")],
            format!("use the ROM of this card: sudo passthru rom dump {address}"),
        ),
        fit => {
            let mut evidence = Vec::from([format!("{address} is {ids}, and so says the ROM")]);
            if fit < all {
                evidence.push(format!(
                    "of {all} images {fit} name it; the ROM is for {named}"
                ));
            }
            evidence.push(
                "a ROM does not name the board: that of another board with the same chip passes too".into(),
            );
            check.yes(evidence)
        }
    }
}

fn class(rom: &Rom, function: Option<&Function>) -> Option<Finding> {
    let image = rom.public().next()?;
    let is = format!(
        "the ROM is for class {} ({})",
        image.class,
        image.class.word()
    );
    let (title, same, evidence) = match function {
        Some(f) => (
            "The ROM is for this kind of device",
            f.class.base() == image.class.base(),
            format!(
                "{is}; {} is class {} ({})",
                f.address,
                f.class,
                f.class.word()
            ),
        ),
        None => ("The ROM is a graphics card's", image.class.is_display(), is),
    };
    let check = check(
        "rom.class",
        title,
        Severity::Warning,
        "Only a graphics card's ROM makes a picture.",
    );
    Some(if same {
        check.yes([evidence])
    } else {
        check.no([evidence], "make sure that this is the ROM you mean")
    })
}

fn size(rom: &Rom, function: &Function) -> Finding {
    let check = check(
        "rom.size",
        "The ROM fits the card's ROM address range",
        Severity::Warning,
        "What is larger was not read from this card.",
    );
    // NVIDIA's own images lie beyond what the address range shows.
    let end = rom.public().last().map_or(0, Image::end).min(rom.size);
    let length = end.saturating_sub(rom.range().start) as u64;
    let bar = function.bars.iter().find(|bar| bar.index == ROM_BAR);
    match bar {
        Some(bar) if bar.flags & ROM_SHADOW != 0 => check.unknown(
            format!(
                "the kernel shows the copy in memory for {}, not the address range",
                function.address
            ),
            "make another card the primary one, or boot the host with UEFI",
        ),
        Some(bar) if bar.size > 0 => {
            let evidence = [format!("{length} bytes; the range has {}", bar.size)];
            let room = bar.size.checked_next_power_of_two().unwrap_or(bar.size);
            if length <= room {
                check.yes(evidence)
            } else {
                check.no(evidence, "make sure that this is the ROM of this very card")
            }
        }
        _ => check.unknown(
            format!("{} shows no ROM address range", function.address),
            "as root the kernel shows it, if there is one: sudo passthru rom check FILE --gpu ADDR",
        ),
    }
}

fn tail(rom: &Rom) -> Option<Finding> {
    let range = rom.range();
    let bytes = rom.size - range.end;
    let what = match rom.tail {
        Tail::None => return None,
        Tail::Ones => "padding (0xff)",
        Tail::Zeros => "padding (zeros)",
        Tail::Data => "something else that no image counts as its own",
    };
    let check = check(
        "rom.tail",
        "Nothing follows the ROM in the file",
        Severity::Info,
        "It does no harm: firmware stops at the last image.",
    );
    Some(check.no(
        [format!(
            "{bytes} bytes from offset {:#x} on are {what}",
            range.end
        )],
        TRIM,
    ))
}

impl Function {
    /// The kernel reads the copy in memory (0xc0000) where its option ROM is asked for.
    pub fn has_rom_shadow(&self) -> bool {
        let mut bars = self.bars.iter();
        bars.any(|bar| bar.index == ROM_BAR && bar.flags & ROM_SHADOW != 0)
    }
}
