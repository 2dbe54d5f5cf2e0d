//! Amounts of memory and of disk space: as they are typed, and in words.
//!
//! Units are powers of 1024, as in QEMU and libvirt's `unit='GiB'`.

use alloc::{format, string::String};
use thiserror::Error;

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a size such as 16G or 8192M")]
pub struct BadSize;

/// `16G`, `16GiB`, `8192M`: in KiB.
///
/// # Errors
/// If it has no unit, no whole number, or is larger than can be counted.
pub fn parse_kib(text: &str) -> Result<u64, BadSize> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "k" | "kib" => 1,
        "m" | "mib" => 1 << 10,
        "g" | "gib" => 1 << 20,
        "t" | "tib" => 1_u64 << 30,
        _ => return Err(BadSize),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or(BadSize)
}

/// `16 GiB`, `1536 MiB`, `1280 KiB`: without loss where that takes at most four digits; else with one
/// decimal, as in `62.7 GiB`.
pub fn words(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let exact = UNITS
        .iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size) && bytes / size < 10_000);
    if let Some((unit, size)) = exact {
        return format!("{} {unit}", bytes / size);
    }
    let Some((unit, size)) = UNITS.iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} bytes");
    };
    // In u128: ten times the largest amount does not fit into 64 bits.
    let tenths = (u128::from(bytes) * 10 + u128::from(size / 2)) / u128::from(*size);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// The same, of KiB.
pub fn kib_words(kib: u64) -> String {
    words(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed() {
        assert_eq!(parse_kib("16G"), Ok(16 << 20));
        assert_eq!(parse_kib("16GiB"), Ok(16 << 20));
        assert_eq!(parse_kib("8192m"), Ok(8192 << 10));
        assert_eq!(parse_kib("512k"), Ok(512));
        assert_eq!(parse_kib("1T"), Ok(1 << 30));
        for bad in [
            "",
            "16",
            "G",
            "16GB",
            "-1G",
            "1.5G",
            "99999999999999999999G",
            "18446744073709551615T",
        ] {
            assert_eq!(parse_kib(bad), Err(BadSize), "{bad}");
        }
    }

    #[test]
    fn in_words() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 10, "1 KiB"),
            (1280 << 10, "1280 KiB"),
            (96 << 20, "96 MiB"),
            (1536 << 20, "1536 MiB"),
            (16 << 30, "16 GiB"),
            (1 << 40, "1 TiB"),
            ((62 << 30) + (700 << 20) + 1, "62.7 GiB"),
            ((38 << 20) + (1 << 10), "38.0 MiB"),
            ((1 << 30) - 1, "1024.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(words(bytes), text, "{bytes}");
        }
        assert_eq!(kib_words(24 << 20), "24 GiB");
    }
}
