//! grub.cfg, and which of its entries starts by default.
#![no_main]
use passthru_plan::{rules::grub_mistakes, text::grub_cfg};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for entry in grub_cfg::entries(text) {
        assert!(!entry.titles.is_empty());
        let _ = (entry.purpose(), entry.title());
    }
    // The first line is what GRUB_DEFAULT is.
    let (default, menu) = text.split_once('\n').unwrap_or_default();
    let entries = grub_cfg::entries(menu);
    if let Some(found) = grub_cfg::by_default(&entries, default) {
        assert!(entries.contains(found));
    }
    let _ = grub_mistakes(text, &["passthru.load=1".into()], &["iommu=off".into()]);
});
