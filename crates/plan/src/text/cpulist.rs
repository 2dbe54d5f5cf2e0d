//! Sets of CPUs or NUMA nodes as the kernel writes them: lists (`0-3,8`) and masks (`ff,0000000f`),
//! `lib/bitmap-str.c`.

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// No number from here on is a CPU or a node: the kernel's own limit on x86 is 8192 CPUs
/// (`arch/x86/Kconfig`, `NR_CPUS`), and a file that says `0-4294967295` must not fill the memory.
const LIMIT: u32 = 1 << 16;

/// A set of CPU or NUMA node numbers, written as the kernel writes it: `0-3,8`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CpuSet(BTreeSet<u32>);

/// Text that is no set of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a list of CPUs such as 0-3,8")]
pub struct BadCpuList(pub String);

impl CpuSet {
    /// No CPU.
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// A list such as `0-3,8`; empty text is the empty set. `None` if it is anything else.
    pub fn from_list(text: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        let text = text.trim();
        if text.is_empty() {
            return Some(Self(set));
        }
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            set.extend(first..=last);
        }
        Some(Self(set))
    }

    /// A mask in words of 32 bits, the highest first, such as `1,0000000f`. `None` if it is anything
    /// else.
    pub fn from_mask(text: &str) -> Option<Self> {
        let mut set = BTreeSet::new();
        let words: Vec<&str> = text.trim().split(',').collect();
        for (i, word) in words.iter().rev().enumerate() {
            if word.is_empty() || word.len() > 8 || !word.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let bits = u32::from_str_radix(word, 16).ok()?;
            let base = u32::try_from(i).ok()?.checked_mul(32)?;
            for bit in (0..32).filter(|bit| bits >> bit & 1 == 1) {
                let cpu = base.checked_add(bit).filter(|&cpu| cpu < LIMIT)?;
                set.insert(cpu);
            }
        }
        Some(Self(set))
    }

    /// Holds `cpu`.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Adds `cpu`; false if it was there.
    pub fn insert(&mut self, cpu: u32) -> bool {
        self.0.insert(cpu)
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest.
    pub fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// The numbers that `other` holds as well.
    #[must_use]
    pub fn among(&self, other: &Self) -> Self {
        self.0.intersection(&other.0).copied().collect()
    }

    /// The numbers that `other` does not hold.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.0.difference(&other.0).copied().collect()
    }

    /// Share no number.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }
}

fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&n| n < LIMIT)
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl Extend<u32> for CpuSet {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, numbers: T) {
        self.0.extend(numbers);
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<(u32, u32)> = Vec::new();
        for &n in &self.0 {
            match parts.last_mut() {
                Some((_, last)) if *last + 1 == n => *last = n,
                _ => parts.push((n, n)),
            }
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|(first, last)| match last - first {
                0 => first.to_string(),
                _ => format!("{first}-{last}"),
            })
            .collect();
        f.write_str(&parts.join(","))
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

impl TryFrom<String> for CpuSet {
    type Error = BadCpuList;

    fn try_from(text: String) -> Result<Self, BadCpuList> {
        Self::from_list(&text).ok_or(BadCpuList(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_masks_of_real_hosts() {
        let list = |text| CpuSet::from_list(text).map(|set| set.to_string());
        assert_eq!(list("0-2,48-50\n").as_deref(), Some("0-2,48-50"));
        assert_eq!(list("0,1,2,4").as_deref(), Some("0-2,4"));
        assert_eq!(list("\n").as_deref(), Some(""));
        for bad in ["a", "3-1", "1,,2", "-", "+1", "0-4294967295", "1 2"] {
            assert_eq!(list(bad), None, "{bad}");
        }
        let mask = |text| CpuSet::from_mask(text).map(|set| set.to_string());
        assert_eq!(
            mask("00000000,00070000,00000007").as_deref(),
            Some("0-2,48-50")
        );
        assert_eq!(mask("00000101\n").as_deref(), Some("0,8"));
        for bad in ["", "g", "1,,2", "123456789", "+1"] {
            assert_eq!(mask(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            CpuSet::from_list(&text);
            CpuSet::from_mask(&text);
        }

        #[test]
        fn written_and_read_is_the_same(numbers in proptest::collection::btree_set(0..300_u32, 0..80)) {
            let set: CpuSet = numbers.iter().copied().collect();
            prop_assert_eq!(CpuSet::from_list(&set.to_string()), Some(set.clone()));
            let words: Vec<String> = (0..10_u32).rev().map(|word| {
                let bits = numbers.iter().filter(|&n| n / 32 == word).fold(0_u32, |b, n| b | 1 << (n % 32));
                format!("{bits:08x}")
            }).collect();
            prop_assert_eq!(CpuSet::from_mask(&words.join(",")), Some(set));
        }
    }
}
