//! modprobe.d files.
#![no_main]
use passthru_plan::text::modprobe;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    for directive in modprobe::directives(text) {
        assert!((1..=lines).contains(&directive.line));
    }
    let _ = modprobe::option_values(text, "vfio-pci", "ids");
});
