//! Boot entries: an edit keeps every other line, and made twice it is made once.
#![no_main]
use passthru_plan::text::{bls, kargs};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let add = [String::from("P.a=1"), String::from("P.b=x:y,z")];
    let once = bls::with_words(text, &add, |_| false);
    assert_eq!(bls::with_words(&once, &add, |_| false), once);
    let others = |text: &str| -> Vec<String> {
        text.trim_end_matches('\n')
            .split('\n')
            .filter(|line| !line.is_empty() && !line.trim_start().starts_with("options"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(others(&once), others(text));
    assert_eq!(kargs::edited(text, &[], |_| false), text);
});
