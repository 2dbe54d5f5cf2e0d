//! Kernel command lines: words come in order and nothing but blanks is between them.
#![no_main]
use passthru_plan::text::kargs;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut rest = text;
    for word in kargs::all_words(text) {
        let at = rest.find(word.raw).expect("words come in order");
        rest = &rest[at + word.raw.len()..];
        let _ = (word.name(), word.value());
    }
    for word in kargs::words(text) {
        assert!(kargs::has_word(text, word.raw));
    }
});
