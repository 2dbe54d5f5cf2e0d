//! modprobe.d files.
#![no_main]
use passthru_plan::text::modprobe;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    for directive in modprobe::directives(text) {
        assert!((1..=lines).contains(&directive.line));
    }
    let found = modprobe::option_values(text, "vfio-pci", "ids");
    match modprobe::without_option(text, "vfio-pci", "ids") {
        Some(after) => assert!(modprobe::option_values(&after, "vfio-pci", "ids").is_empty()),
        None => assert!(found.is_empty()),
    }
});
