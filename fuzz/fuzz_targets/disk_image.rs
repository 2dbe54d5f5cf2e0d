//! The first bytes of a disk image: any are called something, and an image that names another file is
//! never copied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_plan::guest::{image::read, spec::Format};

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = read("/x", bytes, bytes.len() as u64) else {
        return;
    };
    if image.format == Format::Qcow2 {
        assert_eq!(bytes[8..16], [0; 8], "a backing file");
    }
});
