//! Configuration and presets of mkinitcpio.
#![no_main]
use passthru_plan::text::mkinitcpio;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let found = mkinitcpio::arrays(text);
    for (name, words) in &found {
        assert!(!name.is_empty());
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
    if mkinitcpio::is_scalar(text, "HOOKS") {
        assert!(text.contains("HOOKS="));
        let more = format!("{text}\nHOOKS=(x)");
        // Unless a list above has no end, a list behind it takes its place.
        let lists = mkinitcpio::arrays(&more);
        assert!(
            !mkinitcpio::is_scalar(&more, "HOOKS")
                || lists.values().flatten().any(|word| word.contains("HOOKS"))
        );
    }
});
