//! Option ROMs that Debian ships, where they are installed (packages seabios and ipxe-qemu): what their
//! own build puts into them has to come out again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use passthru_plan::{
    Ids,
    rom::{Chain, Checksum, CodeType, NotRom, Rom, Tail, parse},
};

const VGA: &str = "/usr/share/seabios";
const NET: &str = "/usr/lib/ipxe/qemu";

/// The file, or `None` and a word on standard error.
fn real(directory: &str, name: &str) -> Option<Vec<u8>> {
    let path = format!("{directory}/{name}");
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {path}: {error}");
            None
        }
    }
}

#[track_caller]
fn whole(bytes: &[u8]) -> Rom {
    let rom = parse(bytes, None).unwrap();
    assert_eq!(rom.chain, Chain::Complete);
    assert_eq!(rom.tail, Tail::None);
    assert!(rom.is_trimmed());
    assert_eq!(rom.images[0].checksum, Some(Checksum::Good));
    rom
}

#[test]
fn vga_bioses() {
    for (name, ids) in [
        ("vgabios-stdvga.bin", Ids::new(0x1234, 0x1111)),
        ("vgabios-virtio.bin", Ids::new(0x1af4, 0x1050)),
        ("vgabios-qxl.bin", Ids::new(0x1b36, 0x0100)),
        ("vgabios-ati.bin", Ids::new(0x1002, 0x5159)),
    ] {
        let Some(bytes) = real(VGA, name) else {
            continue;
        };
        let rom = whole(&bytes);
        assert_eq!(rom.images.len(), 1);
        assert_eq!(rom.images[0].ids, ids);
        assert_eq!(rom.images[0].class.0, 0x03_0000);
        assert_eq!(rom.images[0].code, CodeType::X86);
        // Its structure stands near the end, so half of it has none; the length in front tells.
        let error = parse(&bytes[..bytes.len() / 2], None).unwrap_err();
        let missing = format!("{} bytes are missing", bytes.len() - bytes.len() / 2);
        assert!(error.to_string().contains(&missing), "{error}");
    }
}

#[test]
fn a_bios_for_no_pci_device() {
    if let Some(bytes) = real(VGA, "vgabios-isavga.bin") {
        let error = parse(&bytes, None).unwrap_err();
        assert!(matches!(error, NotRom::Broken(_)), "{error}");
        assert!(error.to_string().contains("belongs to no PCI device"));
    }
}

#[test]
fn network_roms_with_a_uefi_driver() {
    for (name, ids) in [
        ("efi-e1000.rom", Ids::new(0x8086, 0x100e)),
        ("efi-virtio.rom", Ids::new(0x1af4, 0x1041)),
        ("efi-rtl8139.rom", Ids::new(0x10ec, 0x8139)),
    ] {
        let Some(bytes) = real(NET, name) else {
            continue;
        };
        let rom = whole(&bytes);
        let [legacy, efi] = rom.images.as_slice() else {
            panic!("{rom:?}");
        };
        assert_eq!((legacy.ids, efi.ids), (ids, ids));
        assert_eq!((legacy.revision, efi.revision), (3, 0));
        assert_eq!(legacy.devices, [ids.device]);
        assert_eq!(legacy.end(), efi.offset);
        assert!(efi.efi.unwrap().is_startable());
        let cut = parse(&bytes[..bytes.len() - 7], None).unwrap();
        assert_eq!(cut.chain, Chain::Truncated { missing: 7 });
    }
}
