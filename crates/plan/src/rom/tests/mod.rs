//! Chains as cards have them, and files as people have them.

mod laws;

use alloc::{string::ToString, vec, vec::Vec};

use super::{
    builder::{AT, Build, nvgi, rom, vfct},
    *,
};
use crate::{
    facts::{Bar, Function},
    finding::{Finding, Severity, Status, Verdict},
    pci::{Address, Class},
};

const CARD: Ids = Ids::new(0x10de, 0x1b80);

fn card() -> Function {
    Function {
        ids: CARD,
        class: Class(0x03_0000),
        bars: Vec::from([Bar {
            index: 6,
            start: 0xf700_0000,
            size: 0x8_0000,
            flags: 0x4_6200,
        }]),
        ..Function::new(Address::new(0, 1, 0, 0))
    }
}

/// A card's ROM: legacy code and a UEFI driver.
fn both() -> Vec<u8> {
    rom(&[Build::legacy().more(), Build::efi()])
}

fn parsed(bytes: &[u8]) -> Rom {
    parse(bytes, Some(CARD)).unwrap()
}

#[track_caller]
fn finding(rom: &Rom, id: &str) -> Finding {
    let findings = judge(rom, Some(&card()));
    let found = findings.iter().find(|finding| finding.id == id);
    found
        .unwrap_or_else(|| panic!("no {id}: {findings:?}"))
        .clone()
}

#[track_caller]
fn says(bytes: &[u8], words: &str) {
    let error = parse(bytes, Some(CARD)).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(no_rom(&error).status, Status::No);
}

#[test]
fn a_good_rom_has_nothing_to_say() {
    let rom = parsed(&both());
    assert_eq!(rom.images.len(), 2);
    assert_eq!(rom.chain, Chain::Complete);
    assert!(rom.is_trimmed());
    assert_eq!(rom.images[0].checksum, Some(Checksum::Good));
    assert_eq!(rom.images[1].checksum, None);
    assert_eq!(rom.images[1].offset, 1024);
    let findings = judge(&rom, Some(&card()));
    assert!(
        findings.iter().all(|f| f.status == Status::Yes),
        "{findings:#?}"
    );
    // Without a card its device is an open question.
    assert_eq!(Verdict::of(&judge(&rom, None)), Verdict::Unknown);
}

#[test]
fn legacy_code_alone_is_a_warning_and_no_more() {
    let rom = parsed(&rom(&[Build::legacy()]));
    let finding = finding(&rom, "rom.gop");
    assert_eq!(
        (finding.status, finding.severity),
        (Status::No, Severity::Warning)
    );
    assert_eq!(Verdict::of(&judge(&rom, Some(&card()))), Verdict::Ready);
    assert!(
        judge(&rom, Some(&card()))
            .iter()
            .all(|f| f.id != "rom.shadow")
    );
}

#[test]
fn a_driver_for_another_processor_is_no_picture() {
    for (build, words) in [
        (
            Build {
                machine: 0xaa64,
                ..Build::efi()
            },
            "ARM64",
        ),
        (
            Build {
                compression: 2,
                ..Build::efi()
            },
            "compression (2)",
        ),
        (
            Build {
                ids: (0x10de, 0x1b81),
                ..Build::efi()
            },
            "another device",
        ),
    ] {
        let rom = parsed(&rom(&[Build::legacy().more(), build]));
        let finding = finding(&rom, "rom.gop");
        assert_eq!(finding.status, Status::No);
        assert!(finding.evidence[0].contains(words), "{finding:?}");
    }
    // An uncompressed driver has to begin as one.
    let mut bytes = rom(&[Build {
        compression: 0,
        ..Build::efi()
    }]);
    assert_eq!(finding(&parsed(&bytes), "rom.gop").status, Status::Yes);
    bytes[0x100] = 0;
    assert_eq!(finding(&parsed(&bytes), "rom.gop").status, Status::No);
}

#[test]
fn the_device_is_compared_also_with_the_list() {
    let other = Build {
        ids: (0x10de, 0x1b81),
        ..Build::efi()
    };
    let wrong = finding(&parsed(&rom(std::slice::from_ref(&other))), "rom.device");
    assert_eq!(wrong.status, Status::No);
    assert!(wrong.evidence[0].contains("10de:1b81") && wrong.evidence[0].contains("10de:1b80"));
    let listed = Build {
        list: Vec::from([0x1b82, 0x1b80]),
        ..other
    };
    let rom = parsed(&rom(&[listed]));
    assert_eq!(rom.images[0].devices, [0x1b82, 0x1b80]);
    assert_eq!(finding(&rom, "rom.device").status, Status::Yes);
}

#[test]
fn what_is_missing_is_counted() {
    let bytes = both();
    let rom = parsed(&bytes[..bytes.len() - 100]);
    assert_eq!(rom.chain, Chain::Truncated { missing: 100 });
    let text = &finding(&rom, "rom.complete").evidence[0];
    assert!(
        text.contains("100 bytes are missing") && !text.contains("follows"),
        "{text}"
    );
    // Cut within the first image: more is missing than can be counted.
    let rom = parsed(&bytes[..1000]);
    assert_eq!(rom.chain, Chain::Truncated { missing: 24 });
    assert!(finding(&rom, "rom.complete").evidence[0].contains("whatever follows"));
    // Cut between two images.
    let rom = parsed(&bytes[..1024]);
    assert_eq!(
        rom.chain,
        Chain::Broken {
            error: ImageError::Unmarked { offset: 1024 }
        }
    );
    // Cut before the structure: the legacy header still says how long the image is.
    says(&bytes[..AT], "960 bytes are missing");
}

#[test]
fn what_follows_is_padding_or_not_and_trim_takes_it_away() {
    for (byte, tail) in [(0xff, Tail::Ones), (0, Tail::Zeros), (7, Tail::Data)] {
        let mut bytes = both();
        bytes.resize(0x1000, byte);
        let rom = parsed(&bytes);
        assert_eq!((rom.tail, rom.range()), (tail, 0..2048));
        let finding = finding(&rom, "rom.tail");
        assert!(
            finding.evidence[0].contains("2048 bytes from offset 0x800"),
            "{finding:?}"
        );
        assert_eq!(Verdict::of(&judge(&rom, Some(&card()))), Verdict::Ready);
    }
}

#[test]
fn flash_files_lead_to_the_first_image() {
    for version in 1..=3 {
        let bytes = nvgi(version, &both());
        let rom = parsed(&bytes);
        assert_eq!(rom.start, Start::Nvgi { version });
        assert_eq!(&bytes[rom.range()], &both());
        assert_eq!(finding(&rom, "rom.start").status, Status::No);
    }
    says(&nvgi(4, &both()), "version is 4; expected 1, 2 or 3");
    let mut bytes = nvgi(3, &both());
    bytes[0x1200] = b'X';
    says(&bytes, "at offset 0x1200: expected the directory");
    let mut bytes = nvgi(1, &both());
    bytes[0x24] = 2;
    says(&bytes, "expected a multiple of 4");
    says(&nvgi(2, &[]), "first image is at offset 0x2000");
    says(b"NVGI", "at offset 0x4");
}

#[test]
fn without_a_header_the_device_decides_where_the_rom_is() {
    let decoy = rom(&[Build {
        ids: (0x1002, 0x67df),
        ..Build::legacy()
    }]);
    let bytes = [vec![1; 512], decoy, both()].concat();
    let rom = parsed(&bytes);
    assert_eq!((&rom.start, rom.range().start), (&Start::Searched, 1536));
    assert!(finding(&rom, "rom.start").evidence[0].contains("guess"));
    assert_eq!(parse(&bytes, None).unwrap().range().start, 512);
    says(&bytes[..1536], "it begins with 01 01 01 01");
}

#[test]
fn nvidias_extension_overrules_what_pci_says() {
    let efi = || Build {
        npde: Some((2, false)),
        ..Build::efi()
    };
    let own = |last| Build {
        signature: [0x56, 0x4e],
        structure: *b"NPDS",
        code: 0xe0,
        npde: Some((2, last)),
        ..Build::legacy()
    };
    let legacy = || Build {
        npde: Some((2, false)),
        ..Build::legacy().more()
    };
    let bytes = rom(&[legacy(), efi(), own(false), own(true)]);
    let whole = parsed(&bytes);
    assert_eq!((whole.images.len(), whole.private), (4, Private::Present));
    assert_eq!(whole.range(), 0..bytes.len());
    assert_eq!(whole.public().count(), 2);
    // What the kernel's rom file holds of it is complete too.
    let dump = parsed(&bytes[..2048]);
    assert_eq!((dump.images.len(), dump.private), (2, Private::Missing));
    assert_eq!(Verdict::of(&judge(&dump, Some(&card()))), Verdict::Ready);
    let cut = parsed(&bytes[..bytes.len() - 1]);
    assert_eq!((cut.images.len(), &cut.chain), (3, &Chain::Complete));
    // Its length counts where PCI's own is shorter, unless the file shows that it does not.
    let mut long = Build {
        units: 4,
        npde: Some((4, true)),
        ..Build::legacy()
    }
    .bytes();
    long[AT + 0x10] = 2;
    assert_eq!(parsed(&long).images[0].length, 2048);
    assert_eq!(parsed(&long[..1024]).images[0].length, 1024);
    // Other revisions of it are not understood, and pass for nothing.
    long[AT + 0x25] = 2;
    assert_eq!(parsed(&long).images[0].length, 1024);
}

#[test]
fn structures_that_firmware_refuses_are_refused() {
    let broken = |at: usize, byte: u8| {
        let mut bytes = both();
        bytes[at] = byte;
        bytes
    };
    says(
        &broken(AT, b'X'),
        "expected a PCI data structure (\"PCIR\")",
    );
    says(&broken(0x18, 0x42), "expected a multiple of 4");
    says(&broken(0x18, 0), "without a PCI data structure");
    says(&broken(0x19, 0xff), "leads to 0xff40");
    says(&broken(AT + 0xa, 0x17), "is 23 bytes long");
    says(&broken(AT + 0x10, 0), "the image's length is 0");
    let rom = parsed(&broken(1024, 0));
    let Chain::Broken { error } = &rom.chain else {
        panic!("{rom:?}")
    };
    assert!(
        error.to_string().contains("0x400: expected an image"),
        "{error}"
    );
}

#[test]
fn other_files_are_named() {
    says(b"", "empty");
    says(&[0xff; 4096], "all 4096 bytes are 0xff");
    says(&[0; 512], "all 512 bytes are 0x00");
    says(b"\n <!DOCTYPE html><html>", "web page");
    says(b"\x7fELF\x02", "ELF");
    says(b"\x1f\x8b\x08", "gzip");
    says(b"PK\x03\x04", "zip");
    says(&vfct(&[]), "VFCT");
    says(b"hello", "begins with 68 65 6c 6c");
}

#[test]
fn the_copy_in_memory_is_suspected() {
    let mut bytes = rom(&[Build::legacy()]);
    bytes.resize(128 << 10, 0);
    let area = finding(&parsed(&bytes), "rom.shadow");
    assert!(area.evidence[1].contains("128 KiB"));
    let mut bytes = rom(&[Build::legacy()]);
    bytes[0x200] ^= 1;
    assert_eq!(finding(&parsed(&bytes), "rom.checksum").status, Status::No);
    assert_eq!(finding(&parsed(&bytes), "rom.shadow").status, Status::No);
    // With a UEFI driver it was read from the card.
    let mut bytes = both();
    bytes[0x200] ^= 1;
    let findings = judge(&parsed(&bytes), None);
    assert!(findings.iter().all(|f| f.id != "rom.shadow"));
}

#[test]
fn a_rom_is_measured_against_the_address_range() {
    let rom = parsed(&both());
    let mut card = card();
    let status = |card: &Function| {
        let findings = judge(&rom, Some(card));
        findings.iter().find(|f| f.id == "rom.size").unwrap().status
    };
    card.bars[0].size = 2047;
    assert_eq!(status(&card), Status::Yes);
    card.bars[0].size = 1024;
    assert_eq!(status(&card), Status::No);
    card.bars[0].flags |= 2;
    assert!(card.has_rom_shadow());
    assert_eq!(status(&card), Status::Unknown);
    card.bars.clear();
    assert_eq!(status(&card), Status::Unknown);
}

#[test]
fn vfct_entries_are_found_by_place_and_by_ids() {
    let (own, other) = (both(), rom(&[Build::efi()]));
    let ids = (CARD.vendor, CARD.device);
    let table = vfct(&[
        ((1, 0, 0), ids, &other),
        ((6, 0, 0), (0x1002, 1), &[]),
        ((7, 0, 0), ids, &own),
    ]);
    let entries = vfct::parse(&table).unwrap();
    assert_eq!(entries.len(), 2);
    let at = |bus| vfct::find(&entries, Address::new(0, bus, 0, 0), CARD);
    assert_eq!(&table[at(7).unwrap().image.clone()], &own);
    assert_eq!(&table[at(1).unwrap().image.clone()], &other);
    // Two have these ids, and neither is there.
    assert_eq!(at(2), None);
    assert_eq!(
        vfct::find(&entries[..1], Address::new(0, 9, 0, 0), CARD),
        Some(&entries[0])
    );
    assert_eq!(
        vfct::find(&entries, Address::new(0, 7, 0, 0), Ids::new(1, 2)),
        None
    );
    let error = vfct::parse(&table[..table.len() - 1]).unwrap_err();
    assert!(error.to_string().contains("ends at"), "{error}");
    assert_eq!(vfct::parse(b"DSDT"), Err(vfct::VfctError::Signature));
}
