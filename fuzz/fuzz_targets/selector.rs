//! Addresses, ids and selectors print as they are read.
#![no_main]
use passthru_plan::{Address, Ids, Selector};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(ids) = text.parse::<Ids>() {
        assert_eq!(ids.to_string().parse(), Ok(ids));
    }
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string().parse(), Ok(selector));
    }
});
