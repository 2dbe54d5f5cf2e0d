//! Taking an edit back: exact where nothing else changed, and never a panic.
#![no_main]
use passthru_plan::text::merge::take_back;

libfuzzer_sys::fuzz_target!(|texts: (&str, &str, &str)| {
    let (before, after, current) = texts;
    let exact = take_back(before, after, after);
    assert_eq!((exact.text.as_str(), exact.left.len()), (before, 0));
    take_back(before, after, current);
});
