//! PE images: any bytes.
#![no_main]
use passthru_plan::text::pe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(sections) = pe::sections(bytes) {
        pe::section(&sections, ".cmdline");
    }
    pe::text(bytes);
});
