//! Which entry systemd-boot starts: loader.conf(5), its patterns, and the order of entries, as
//! systemd's src/boot/boot.c has them (`boot_entry_compare`, `config_select_default_entry`).

use alloc::string::String;
use core::cmp::Ordering;

/// What decides an entry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry<'a> {
    /// File name without the boot counter.
    pub id: &'a str,
    /// `sort-key`.
    pub sort_key: Option<&'a str>,
    /// `machine-id`.
    pub machine_id: Option<&'a str>,
    /// `version`.
    pub version: Option<&'a str>,
    /// Boot counting has given it up.
    pub exhausted: bool,
}

/// The place in the menu: the smaller one comes first, and the first one starts if nothing else is
/// said.
pub fn compare(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    let id = |entry: &Entry<'_>| entry.id.to_lowercase();
    a.exhausted
        .cmp(&b.exhausted)
        .then_with(|| a.sort_key.is_none().cmp(&b.sort_key.is_none()))
        .then_with(|| match (a.sort_key, b.sort_key) {
            (Some(x), Some(y)) => x
                .cmp(y)
                .then_with(|| a.machine_id.cmp(&b.machine_id))
                .then_with(|| {
                    versions(b.version.unwrap_or_default(), a.version.unwrap_or_default())
                }),
            _ => Ordering::Equal,
        })
        .then_with(|| versions(&id(b), &id(a)))
}

/// The order of versions (`strverscmp_improved`; the version format of the UAPI group).
pub fn versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let first = |text: &[u8]| text.first().copied();
    loop {
        a = skip(a, |byte| !is_version(byte));
        b = skip(b, |byte| !is_version(byte));
        if first(a) == Some(b'~') || first(b) == Some(b'~') {
            let order = (first(a) != Some(b'~')).cmp(&(first(b) != Some(b'~')));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        if a.is_empty() || b.is_empty() {
            return first(a).cmp(&first(b));
        }
        for mark in [b'-', b'^', b'.'] {
            if first(a) == Some(mark) || first(b) == Some(mark) {
                let order = (first(a) != Some(mark)).cmp(&(first(b) != Some(mark)));
                if order.is_ne() {
                    return order;
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
        let digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
        if digit(a) || digit(b) {
            let order = digit(a).cmp(&digit(b));
            if order.is_ne() {
                return order;
            }
            let (x, rest_a) = split(a, |byte| byte.is_ascii_digit());
            let (y, rest_b) = split(b, |byte| byte.is_ascii_digit());
            let (x, y) = (skip(x, |byte| byte == b'0'), skip(y, |byte| byte == b'0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        } else {
            let (x, rest_a) = split(a, |byte| byte.is_ascii_alphabetic());
            let (y, rest_b) = split(b, |byte| byte.is_ascii_alphabetic());
            let order = x.cmp(y);
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        }
    }
}

fn is_version(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'~' | b'-' | b'^' | b'.')
}

fn skip(text: &[u8], which: impl Fn(u8) -> bool) -> &[u8] {
    split(text, which).1
}

fn split(text: &[u8], which: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|&byte| !which(byte))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `id` matches `pattern`, which may hold `*`, `?` and `[…]`; case does not matter
/// (`config_find_entry`).
pub fn matches(pattern: &str, id: &str) -> bool {
    glob(
        pattern.to_lowercase().as_bytes(),
        id.to_lowercase().as_bytes(),
    )
}

fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // Where to go on after the last `*` if what follows it does not fit.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match pattern.split_first() {
            None if text.is_empty() => return true,
            None => None,
            Some((b'*', rest)) => {
                again = Some((rest, text));
                pattern = rest;
                continue;
            }
            Some((b'?', rest)) => (!text.is_empty()).then_some(rest),
            Some((b'[', rest)) => text.first().and_then(|&byte| set(rest, byte)),
            Some((b'\\', rest)) => rest
                .split_first()
                .filter(|(byte, _)| text.first() == Some(*byte))
                .map(|(_, rest)| rest),
            Some((byte, rest)) => (text.first() == Some(byte)).then_some(rest),
        };
        match (step, again) {
            (Some(rest), _) => {
                pattern = rest;
                text = &text[1..];
            }
            (None, Some((after, from))) if !from.is_empty() => {
                again = Some((after, &from[1..]));
                (pattern, text) = (after, &from[1..]);
            }
            _ => return false,
        }
    }
}

/// The rest of a pattern after `[…]`, if `byte` is in it.
fn set(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let end = pattern.iter().skip(1).position(|&b| b == b']')? + 1;
    let (members, rest) = (&pattern[..end], &pattern[end + 1..]);
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        if members.get(at + 1) == Some(&b'-') && at + 2 < members.len() {
            found |= (members[at]..=members[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= members[at] == byte;
            at += 1;
        }
    }
    found.then_some(rest)
}

/// The value of `key` in loader.conf; the last one counts.
pub fn setting(loader_conf: &str, key: &str) -> Option<String> {
    loader_conf
        .lines()
        .filter_map(|line| {
            let (found, value) = line.trim_start().split_once([' ', '\t'])?;
            let value = value.trim().trim_matches('"');
            (found == key && !value.is_empty()).then(|| value.into())
        })
        .next_back()
}

/// What tells systemd-boot which entry starts, beside the entries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// The EFI variable `LoaderEntryDefault`.
    pub variable: Option<&'a str>,
    /// `default` of loader.conf.
    pub configured: Option<&'a str>,
    /// The EFI variable `LoaderEntryLastBooted`, for `@saved`.
    pub last: Option<&'a str>,
}

/// The number of the entry that starts by default.
pub fn default_entry(entries: &[Entry<'_>], choice: Choice<'_>) -> Option<usize> {
    let mut order: alloc::vec::Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| compare(&entries[a], &entries[b]));
    let find = |pattern: Option<&str>| {
        let pattern = match pattern? {
            "@saved" => choice.last?,
            pattern => pattern,
        };
        let first = |pattern: &str| {
            order
                .iter()
                .copied()
                .find(|&number| matches(pattern, entries[number].id))
        };
        // kernelstub leaves the ending out, which older loaders did too.
        first(pattern).or_else(|| first(&alloc::format!("{pattern}.conf")))
    };
    find(choice.variable)
        .or_else(|| find(choice.configured))
        .or_else(|| order.first().copied())
}

/// The file name of an entry or image without its boot counter: `x+3-1.conf` -> `x.conf`, and
/// whether the counter has run out.
pub fn without_counter(name: &str) -> (String, bool) {
    let plain = || (String::from(name), false);
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return plain();
    };
    let Some((stem, counter)) = stem.rsplit_once('+') else {
        return plain();
    };
    let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
    let number = |text: &str| {
        !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !number(left) || !number(done) {
        return plain();
    }
    (
        alloc::format!("{stem}.{ending}"),
        left.bytes().all(|byte| byte == b'0'),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// The example of systemd's own comment, oldest first.
    #[test]
    fn versions_in_order() {
        let sorted = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(versions(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(versions("00123", "123"), Ordering::Equal);
        assert_eq!(versions("123_a", "123a"), Ordering::Equal);
    }

    #[test]
    fn newest_first_and_old_style_last() {
        let newest = Entry {
            id: "t-6.13.conf",
            sort_key: Some("debian"),
            version: Some("6.13"),
            ..Entry::default()
        };
        let older = Entry {
            id: "t-6.12.conf",
            version: Some("6.12"),
            ..newest
        };
        let by_hand = Entry {
            id: "zz.conf",
            ..Entry::default()
        };
        let spent = Entry {
            exhausted: true,
            ..newest
        };
        let mut entries = [by_hand, spent, older, newest];
        entries.sort_by(compare);
        assert_eq!(entries, [newest, older, by_hand, spent]);
    }

    #[test]
    fn the_default_is_found() {
        let entry = |id| Entry {
            id,
            ..Entry::default()
        };
        let entries = [
            entry("arch.conf"),
            entry("arch-lts.conf"),
            entry("token-6.12.conf"),
        ];
        let choose = |configured| {
            default_entry(
                &entries,
                Choice {
                    configured: Some(configured),
                    last: Some("arch.conf"),
                    ..Choice::default()
                },
            )
        };
        assert_eq!(
            choose("arch*"),
            Some(0),
            "a longer name is newer only where it goes on with letters"
        );
        assert_eq!(choose("TOKEN-*"), Some(2));
        assert_eq!(choose("@saved"), Some(0));
        assert_eq!(choose("gone.conf"), Some(2));
        assert_eq!(
            setting("#default x\ntimeout 3\ndefault  a*\n", "default").as_deref(),
            Some("a*")
        );
    }

    #[test]
    fn counters_are_no_part_of_the_id() {
        assert_eq!(without_counter("x+3.conf"), ("x.conf".into(), false));
        assert_eq!(without_counter("x+0-3.efi"), ("x.efi".into(), true));
        assert_eq!(
            without_counter("6.12+deb13-amd64.conf"),
            ("6.12+deb13-amd64.conf".into(), false)
        );
    }

    proptest! {
        #[test]
        fn order_is_total(texts in proptest::collection::vec("[a-c0-2~^._-]{0,6}", 3)) {
            let [a, b, c] = &texts[..] else { unreachable!() };
            prop_assert_eq!(versions(a, b), versions(b, a).reverse());
            if versions(a, b).is_le() && versions(b, c).is_le() {
                prop_assert!(versions(a, c).is_le(), "{} {} {}", a, b, c);
            }
        }

        /// bootctl 254 lists them in the same order.
        #[test]
        fn an_id_that_begins_with_a_dash_comes_last(
            id in "[A-Za-z0-9][A-Za-z0-9.+_-]{0,12}",
            ours in prop::sample::select(&["_-passthru-trial.conf", "_-passthru-without.conf"][..]),
            key in prop::option::of("[a-z]{1,4}"),
        ) {
            let id = alloc::format!("{id}.conf");
            let theirs = Entry { id: &id, sort_key: key.as_deref(), ..Entry::default() };
            let ours = Entry { id: ours, ..Entry::default() };
            prop_assert_eq!(compare(&theirs, &ours), Ordering::Less);
        }

        #[test]
        fn anything_is_survived(a: String, b: String) {
            versions(&a, &b);
            matches(&a, &b);
            setting(&a, &b);
            without_counter(&a);
        }

        #[test]
        fn a_text_matches_itself_and_any(text in "[a-z0-9.-]{0,12}", cut in 0_usize..12) {
            prop_assert!(matches(&text, &text));
            prop_assert!(matches("*", &text));
            let cut = cut.min(text.len());
            let starred = alloc::format!("{}*{}", &text[..cut], &text[cut..]);
            prop_assert!(matches(&starred, &text));
            let any: Vec<u8> = text.bytes().map(|_| b'?').collect();
            prop_assert!(matches(&String::from_utf8(any).unwrap(), &text));
        }
    }
}
