//! Passwords of a domain's screens are for nobody who looks on.

use alloc::string::String;

const NAME: &str = "passwd=";

/// The text with `…` in the place of each password: `passwd='…'` of `<graphics>`, and of nothing else in
/// libvirt's domains.
pub fn hidden(xml: &str) -> String {
    let mut shown = String::new();
    let mut rest = xml;
    while let Some(at) = rest.find(NAME) {
        let (before, value) = rest.split_at(at + NAME.len());
        shown.push_str(before);
        rest = value;
        let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let apart = before[..at].ends_with(|c: char| c.is_ascii_whitespace());
        let inside = quote
            .filter(|_| apart)
            .map(|quote| &value[quote.len_utf8()..]);
        let end = quote
            .zip(inside)
            .and_then(|(quote, inside)| inside.find(quote));
        if let (Some(inside), Some(end)) = (inside, end) {
            shown.push_str(&value[..1]);
            shown.push('…');
            rest = &inside[end..];
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let xml = "<graphics type='spice' passwd='a&quot;b\"' port='1'/><x passwd=\"c\"/> passwd=d";
        let shown = "<graphics type='spice' passwd='…' port='1'/><x passwd=\"…\"/> passwd=d";
        assert_eq!(hidden(xml), shown);
        assert_eq!(hidden(" passwd='open"), " passwd='open");
        assert_eq!(hidden(" passwd="), " passwd=");
        assert_eq!(
            hidden("<graphics\n  passwd='a'/><y passwd='b'/>"),
            "<graphics\n  passwd='…'/><y passwd='…'/>"
        );
        assert_eq!(hidden("<x my-passwd='a'/>"), "<x my-passwd='a'/>");
    }
}
