//! grub.cfg.
#![no_main]
use passthru_plan::{rules::grub_mistakes, text::grub_cfg};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for entry in grub_cfg::entries(text) {
        assert!(!entry.titles.is_empty());
        let _ = (entry.purpose(), entry.title());
    }
    let _ = grub_mistakes(text, &["passthru.load=1".into()], &["iommu=off".into()]);
});
