//! os-release(5): shell-like assignments, one per line.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use crate::facts::Distribution;

/// The distribution that an os-release describes. `ID` is `linux` where the file names none, as
/// os-release(5) says.
pub fn parse(text: &str) -> Distribution {
    let mut distribution = Distribution::default();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = unquote(value.trim());
        let some = || (!value.is_empty()).then(|| value.clone());
        match key.trim_end() {
            "ID" => distribution.id = value.to_ascii_lowercase(),
            "ID_LIKE" => {
                distribution.like = value
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>();
            }
            "VERSION_ID" => distribution.version = some(),
            "PRETTY_NAME" => distribution.pretty = some(),
            "VARIANT_ID" => distribution.variant = some(),
            _ => {}
        }
    }
    if distribution.id.is_empty() {
        distribution.id = "linux".to_owned();
    }
    distribution
}

/// A value without its quotes. Inside double quotes a backslash stands before `"$\` and backquote,
/// as in a shell; inside single quotes it stands for itself.
fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split('\'').next().unwrap_or_default().to_owned();
    }
    let (inner, quoted) = match value.strip_prefix('"') {
        Some(inner) => (inner, true),
        None => (value, false),
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted => break,
            '\\' => match chars.next() {
                Some(next) if !quoted || matches!(next, '"' | '$' | '`' | '\\') => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => {}
            },
            // An unquoted value ends at a blank, where a shell would see the next word.
            c if !quoted && c.is_whitespace() => break,
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn debian_and_quotes() {
        let d = parse(
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID='13'\n\
             ID_LIKE=\"a b\"\n# ID=x\nVARIANT_ID=\n",
        );
        assert_eq!(d.id, "debian");
        assert_eq!(d.version.as_deref(), Some("13"));
        assert_eq!(d.pretty.as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
        assert!(d.is_like("a") && d.is_like("b") && !d.is_like("x"));
        assert_eq!(d.variant, None);
    }

    #[test]
    fn escapes() {
        assert_eq!(unquote(r#""a \"b\" \$c \n""#), r#"a "b" $c \n"#);
        assert_eq!(unquote("plain # x"), "plain");
        assert_eq!(unquote(r"'a\b' x"), r"a\b");
    }

    #[test]
    fn nothing_named() {
        assert_eq!(parse("").id, "linux");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            prop_assert!(!parse(&text).id.is_empty());
        }
    }
}
