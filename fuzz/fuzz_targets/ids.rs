//! Ids lists: what is understood renders to a list that reads the same.
#![no_main]
use passthru_plan::text::ids::List;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let list = List::parse(text);
    assert_eq!(
        List::parse(&List::render(&list.entries)).entries,
        list.entries
    );
});
