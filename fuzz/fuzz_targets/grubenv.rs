//! GRUB's environment block: any text.
#![no_main]
use passthru_plan::text::grubenv;

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| {
    grubenv::get(texts.0, texts.1);
    grubenv::get(&format!("# GRUB Environment Block\n{}", texts.0), texts.1);
});
