//! Order of kernel releases, as `sort -V` and dpkg(1) order them.

use core::cmp::Ordering;

/// Compares two releases: runs of digits by number, everything else by character, where letters
/// sort before other characters and `~` before everything, even the end.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        // The part without digits.
        while is_other(a) || is_other(b) {
            let order = weight(a).cmp(&weight(b));
            if order.is_ne() {
                return order;
            }
            // Equal weights that are not zero are the same character.
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
        let (x, rest_a) = number(a);
        let (y, rest_b) = number(b);
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The text goes on with something that is no digit.
fn is_other(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| !byte.is_ascii_digit())
}

/// Sort weight of the first character; a digit and the end weigh the same.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The digits the text starts with, without leading zeros, and the rest.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    (&digits[zeros..], rest)
}

/// The first two numbers of a release: `6.12.48+deb13-amd64` -> (6, 12).
pub fn major_minor(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kernels_in_order() {
        let sorted = [
            "5.4.0-9-generic",
            "6.1.0-9-amd64",
            "6.1.0-10-amd64",
            "6.2.0~rc1",
            "6.2.0",
            "6.12.48+deb13-amd64",
            "6.12.48+deb13-cloud-amd64",
            "6.12.107+deb13-amd64",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(major_minor("6.12.48+deb13-amd64"), Some((6, 12)));
        assert_eq!(major_minor("linux"), None);
    }

    proptest! {
        #[test]
        fn an_order(a in "[0-9a-z.~+-]{0,12}", b in "[0-9a-z.~+-]{0,12}", c in "[0-9a-z.~+-]{0,12}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn any_text(a: alloc::string::String, b: alloc::string::String) {
            compare(&a, &b);
            major_minor(&a);
        }
    }
}
