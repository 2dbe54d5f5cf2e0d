//! The `ids` parameter of vfio-pci: `vendor:device[:subvendor[:subdevice[:class[:mask]]]]`, comma
//! separated, at most 1023 characters (drivers/vfio/pci/vfio_pci.c).

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use crate::pci::{Class, Ids};

/// Longest list that the kernel keeps: `static char ids[1024]`.
pub const LIMIT: usize = 1023;

/// One entry of the list. Parts that are left out match anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Vendor and device.
    pub ids: Ids,
    /// Subsystem vendor, if given.
    pub subvendor: Option<u16>,
    /// Subsystem device, if given.
    pub subdevice: Option<u16>,
    /// Class and mask, if given.
    pub class: Option<(u32, u32)>,
}

impl Entry {
    /// Every function with these ids.
    pub const fn of(ids: Ids) -> Self {
        Self {
            ids,
            subvendor: None,
            subdevice: None,
            class: None,
        }
    }

    /// Every function with these ids on boards with this subsystem.
    pub const fn on_board(ids: Ids, subsystem: Ids) -> Self {
        Self {
            ids,
            subvendor: Some(subsystem.vendor),
            subdevice: Some(subsystem.device),
            class: None,
        }
    }

    /// Would vfio-pci take a function with this identity?
    pub fn matches(&self, ids: Ids, subsystem: Option<Ids>, class: Class) -> bool {
        let board = subsystem.unwrap_or(Ids::new(0, 0));
        self.ids == ids
            && self.subvendor.is_none_or(|vendor| vendor == board.vendor)
            && self.subdevice.is_none_or(|device| device == board.device)
            && self
                .class
                .is_none_or(|(want, mask)| (want ^ class.0) & mask == 0)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ids)?;
        if self.subvendor.is_none() && self.subdevice.is_none() && self.class.is_none() {
            return Ok(());
        }
        let part = |part: Option<u16>| {
            part.map_or_else(|| String::from("ffffffff"), |id| format!("{id:04x}"))
        };
        write!(f, ":{}", part(self.subvendor))?;
        if self.subdevice.is_some() || self.class.is_some() {
            write!(f, ":{}", part(self.subdevice))?;
        }
        if let Some((class, mask)) = self.class {
            write!(f, ":{class:06x}:{mask:06x}")?;
        }
        Ok(())
    }
}

/// A parsed list: what is understood, and what the kernel would reject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Entries in order.
    pub entries: Vec<Entry>,
    /// Texts between commas that are no entry.
    pub bad: Vec<String>,
}

impl List {
    /// Reads a list as the kernel does: split at commas, empty parts skipped.
    pub fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match entry(part) {
                Some(entry) => list.entries.push(entry),
                None => list.bad.push(part.into()),
            }
        }
        list
    }

    /// The list as the kernel reads it.
    pub fn render(entries: &[Entry]) -> String {
        let parts: Vec<_> = entries.iter().map(|entry| format!("{entry}")).collect();
        parts.join(",")
    }
}

/// `word` is an id pair, or several, and no parameter: what stands behind a blank in a list that was
/// meant to go on.
pub fn is_pair(word: &str) -> bool {
    let word = word.trim_matches(['"', '<', '>', ',']);
    !word.is_empty() && word.contains(':') && {
        let list = List::parse(word);
        list.bad.is_empty() && !list.entries.is_empty()
    }
}

fn entry(text: &str) -> Option<Entry> {
    let mut numbers = [None; 6];
    for (i, part) in text.split(':').enumerate() {
        // sscanf would take a prefix of garbage; a list that relies on that is a mistake to report.
        let valid = (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
        *numbers.get_mut(i)? = Some(
            valid
                .then(|| u32::from_str_radix(part, 16).ok())
                .flatten()?,
        );
    }
    let id = |n: Option<u32>| n.and_then(|n| u16::try_from(n).ok());
    // PCI_ANY_ID is all ones.
    let any = |n: Option<u32>| match n {
        None | Some(u32::MAX) => Some(None),
        Some(n) => Some(Some(u16::try_from(n).ok()?)),
    };
    Some(Entry {
        ids: Ids::new(id(numbers[0])?, id(numbers[1])?),
        subvendor: any(numbers[2])?,
        subdevice: any(numbers[3])?,
        // A class without a mask has mask 0 and matches everything.
        class: numbers[4].map(|class| (class, numbers[5].unwrap_or(0))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_kernel_reads() {
        let list =
            List::parse("10de:1f08,,10de:10f9:1043:86f0,1002:1478:ffffffff:ffffffff:030000:ffff00");
        assert!(list.bad.is_empty());
        assert_eq!(
            List::render(&list.entries),
            "10de:1f08,10de:10f9:1043:86f0,1002:1478:ffffffff:ffffffff:030000:ffff00"
        );
        let entry = list.entries[1];
        assert!(entry.matches(
            Ids::new(0x10de, 0x10f9),
            Some(Ids::new(0x1043, 0x86f0)),
            Class(0x04_0300)
        ));
        assert!(!entry.matches(Ids::new(0x10de, 0x10f9), None, Class(0x04_0300)));
    }

    #[test]
    fn stray_letters_are_reported() {
        let list = List::parse("<<10de:1f08,10de:10f9 10de:1ada,x");
        assert_eq!(list.entries, []);
        assert_eq!(list.bad, ["<<10de:1f08", "10de:10f9 10de:1ada", "x"]);
    }

    proptest! {
        #[test]
        fn render_then_parse_is_the_same(ids in prop::collection::vec((any::<u16>(), any::<u16>(), any::<Option<(u16, u16)>>()), 0..6)) {
            let entries: Vec<_> = ids.iter().map(|&(v, d, sub)| match sub {
                Some((sv, sd)) => Entry::on_board(Ids::new(v, d), Ids::new(sv, sd)),
                None => Entry::of(Ids::new(v, d)),
            }).collect();
            prop_assert_eq!(List::parse(&List::render(&entries)), List { entries, bad: Vec::new() });
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let list = List::parse(&text);
            let _ = List::render(&list.entries);
        }
    }
}
