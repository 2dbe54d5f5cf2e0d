//! GRUB's environment block: a line that says what it is, `name=value` lines, and `#` up to 1024
//! bytes (grub-core/lib/envblk.c). Only grub-editenv(1) writes it.

use alloc::string::String;

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// The value of `name`; `None` if it is not set, or the text is no environment block.
pub fn get(text: &str, name: &str) -> Option<String> {
    let lines = text.strip_prefix(SIGNATURE)?.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next_back()?;
    // A backslash keeps the next character (a line feed cannot be in a value that GRUB wrote).
    let mut plain = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        plain.extend(match letter {
            '\\' => letters.next(),
            letter => Some(letter),
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    #[test]
    fn values_are_found() {
        let text = format!("{SIGNATURE}saved_entry=a\nnext_entry=passthru-trial\nx=a\\\\b\n####");
        assert_eq!(get(&text, "next_entry").as_deref(), Some("passthru-trial"));
        assert_eq!(get(&text, "x").as_deref(), Some("a\\b"));
        assert_eq!(get(&text, "next"), None);
        assert_eq!(get("next_entry=1\n", "next_entry"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*", name in ".*") {
            get(&text, &name);
            get(&format!("{SIGNATURE}{text}"), &name);
        }
    }
}
