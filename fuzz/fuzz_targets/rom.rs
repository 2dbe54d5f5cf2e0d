//! Option ROMs, NVIDIA's flash files and the ACPI table VFCT: any bytes.
#![no_main]
use passthru_plan::{
    Ids,
    rom::{judge, no_rom, parse, vfct},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for ids in [None, Some(Ids::new(0x10de, 0x1b80))] {
        match parse(bytes, ids) {
            Ok(rom) => {
                assert!(bytes.get(rom.range()).is_some_and(|rom| !rom.is_empty()));
                judge(&rom, None);
            }
            Err(error) => {
                no_rom(&error);
            }
        }
    }
    for entry in vfct::parse(bytes).unwrap_or_default() {
        assert!(bytes.get(entry.image).is_some());
    }
});
