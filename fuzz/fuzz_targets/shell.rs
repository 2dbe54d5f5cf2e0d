//! Shell assignments: ranges lie in the text, and a removed word leaves the other bytes.
#![no_main]
use passthru_plan::text::shell;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for assignment in shell::assignments(text) {
        assert!(text.get(assignment.range).is_some());
    }
    let _ = shell::evaluate([text]);
    if let Some(after) = shell::remove_word(text, "GRUB_CMDLINE_LINUX", "iommu=off") {
        assert!(after.len() < text.len());
    }
});
