//! Scalars for YAML: any text, written so that it reads back as that text and nothing else.

use alloc::string::String;
use core::fmt::Write as _;

/// `text` in double quotes. What is not plainly printable is escaped (YAML 1.2, 5.1 and 5.7), which
/// JSON's escapes are a part of.
pub fn scalar(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // A String takes everything.
            c if !is_printable(c) => {
                let code = u32::from(c);
                let _ = if code > 0xffff {
                    write!(out, "\\U{code:08x}")
                } else {
                    write!(out, "\\u{code:04x}")
                };
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Printable, and neither a line break nor a byte order mark to any version of YAML.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}
