//! The indexes that depmod(8) writes under /lib/modules/VERSION, and module names.
//!
//! `modules.alias` has lines `alias PATTERN MODULE`; `modules.builtin.modinfo` has records
//! `MODULE.alias=PATTERN`, each closed by NUL. Patterns are globs (fnmatch(3)) over a device's
//! modalias, `pci:vVVVVVVVVdDDDDDDDDsvSSSSSSSSsdSSSSSSSSbcCCscSSiPP` (`drivers/pci/pci-driver.c`).

use alloc::{format, string::String};

use crate::pci::{Class, Ids};

/// A module's name as the kernel spells it: underscores, no directory, no `.ko`, no compression
/// suffix. Module names are equal up to `-` and `_` (modprobe(8)).
pub fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// True if `index`, the text of modules.builtin or modules.dep, lists the module `wanted` (spelled
/// with underscores). Both have a path per line; modules.dep goes on with `: dependencies`.
pub fn lists(index: &str, wanted: &str) -> bool {
    index.lines().any(|line| {
        let path = line.split_once(':').map_or(line, |(path, _)| path).trim();
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
        stem.len() == wanted.len()
            && stem
                .bytes()
                .zip(wanted.bytes())
                .all(|(a, b)| a == b || (a == b'-' && b == b'_'))
    })
}

/// What a pci: modalias is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciId {
    /// Vendor and device.
    pub ids: Ids,
    /// Subsystem vendor and device; zeros where there is none.
    pub subsystem: Ids,
    /// Class code.
    pub class: Class,
}

impl PciId {
    /// The modalias text.
    pub fn modalias(self) -> String {
        format!(
            "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}",
            self.ids.vendor,
            self.ids.device,
            self.subsystem.vendor,
            self.subsystem.device,
            self.class.base(),
            self.class.sub() & 0xff,
            self.class.0 & 0xff
        )
    }

    /// Takes a modalias apart; `None` if it is none of PCI.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = [0_u32; 7];
        let mut rest = text.strip_prefix("pci:")?.as_bytes();
        for (field, (key, width)) in fields.iter_mut().zip(FIELDS) {
            rest = rest.strip_prefix(key.as_bytes())?;
            *field = hex(rest.get(..width)?)?;
            rest = &rest[width..];
        }
        let half = |n: u32| u16::try_from(n).ok();
        let [v, d, sv, sd, bc, sc, i] = fields;
        rest.is_empty().then_some(Self {
            ids: Ids::new(half(v)?, half(d)?),
            subsystem: Ids::new(half(sv)?, half(sd)?),
            class: Class(bc << 16 | sc << 8 | i),
        })
    }
}

/// Keys and digits of a pci: modalias.
const FIELDS: [(&str, usize); 7] = [
    ("v", 8),
    ("d", 8),
    ("sv", 8),
    ("sd", 8),
    ("bc", 2),
    ("sc", 2),
    ("i", 2),
];

/// One alias of a module: a glob over modaliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias<'a> {
    pattern: &'a [u8],
    /// Module the alias stands for, as it is written.
    pub module: &'a [u8],
}

impl<'a> Alias<'a> {
    /// Vendor id in the pattern, if the pattern asks for one: a cheap filter before [`matches`].
    ///
    /// [`matches`]: Self::matches
    pub fn vendor(&self) -> Option<u32> {
        hex(self.pattern.get(5..13)?)
    }

    /// The pattern matches the device with this modalias.
    pub fn matches(&self, modalias: &str) -> bool {
        glob(self.pattern, modalias.as_bytes())
    }

    /// Module name with underscores.
    pub fn module_name(&self) -> String {
        name(&String::from_utf8_lossy(self.module))
    }

    fn of(pattern: &'a [u8], module: &'a [u8]) -> Option<Self> {
        // `vfio_pci:` aliases are offers, not claims: modprobe does not load them for a device.
        pattern
            .starts_with(b"pci:v")
            .then_some(Self { pattern, module })
    }
}

/// The `pci:` aliases of a modules.alias.
pub fn aliases(index: &[u8]) -> impl Iterator<Item = Alias<'_>> {
    index.split(|&byte| byte == b'\n').filter_map(|line| {
        let rest = line.strip_prefix(b"alias pci:v")?;
        let space = rest.iter().rposition(|&byte| byte == b' ')?;
        Alias::of(&line[6..11 + space], &rest[space + 1..])
    })
}

/// The `pci:` aliases of a modules.builtin.modinfo.
pub fn builtin_aliases(index: &[u8]) -> impl Iterator<Item = Alias<'_>> {
    index.split(|&byte| byte == 0).filter_map(|record| {
        let dot = record.iter().position(|&byte| byte == b'.')?;
        let pattern = record[dot..].strip_prefix(b".alias=")?;
        Alias::of(pattern, &record[..dot])
    })
}

/// fnmatch(3) without flags. A failed match goes back to the last `*` only, so the cost is bounded
/// by the product of the lengths.
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one(pattern, p, text[t]) {
            p = next;
            t += 1;
        } else if let Some((after, from)) = star {
            (p, t) = (after, from + 1);
            star = Some((after, from + 1));
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

/// The pattern's element at `p` matches `byte`: where the next element begins.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p, byte),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        literal => (literal == byte).then_some(p + 1),
    }
}

/// A bracket expression `[abc]`, `[!a-f]`; one that is not closed is a literal `[`.
fn class(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let start = p + 1;
    let negated = matches!(pattern.get(start), Some(b'!' | b'^'));
    let mut i = start + usize::from(negated);
    let mut found = false;
    let first = i;
    loop {
        match pattern.get(i) {
            None => return (byte == b'[').then_some(p + 1),
            Some(b']') if i > first => return (found != negated).then_some(i + 1),
            Some(&low) => match (pattern.get(i + 1), pattern.get(i + 2)) {
                (Some(b'-'), Some(&high)) if high != b']' => {
                    found |= (low..=high).contains(&byte);
                    i += 3;
                }
                _ => {
                    found |= low == byte;
                    i += 1;
                }
            },
        }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for byte in digits {
        number = number.checked_mul(16)? | char::from(*byte).to_digit(16)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn gpu() -> PciId {
        PciId {
            ids: Ids::new(0x10de, 0x1f08),
            subsystem: Ids::new(0x1043, 0x86f0),
            class: Class(0x03_0000),
        }
    }

    #[test]
    fn modalias_and_back() {
        let text = gpu().modalias();
        assert_eq!(
            text,
            "pci:v000010DEd00001F08sv00001043sd000086F0bc03sc00i00"
        );
        assert_eq!(PciId::parse(&text), Some(gpu()));
        assert_eq!(PciId::parse("usb:v1D6Bp0002"), None);
        assert_eq!(PciId::parse(&text[..text.len() - 1]), None);
    }

    #[test]
    fn an_index_gives_claims_but_no_vfio_offers() {
        let index = b"# Aliases\nalias pci:v000010DEd*sv*sd*bc03sc00i* nouveau\n\
            alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\nalias pci:v*d*sv*sd*bc0Csc03i30* xhci-pci\n\
            alias usb:v1D6Bp* x\n";
        let found: Vec<_> = aliases(index)
            .map(|a| (a.module_name(), a.vendor(), a.matches(&gpu().modalias())))
            .collect();
        assert_eq!(
            found,
            [
                ("nouveau".into(), Some(0x10de), true),
                ("xhci_pci".into(), None, false)
            ]
        );
    }

    #[test]
    fn builtin_modinfo() {
        let index = b"xhci_pci.license=GPL\0xhci_pci.alias=pci:v*d*sv*sd*bc0Csc03i30*\0";
        let found: Vec<_> = builtin_aliases(index).map(|a| a.module_name()).collect();
        assert_eq!(found, ["xhci_pci"]);
    }

    #[test]
    fn names_and_indexes() {
        assert_eq!(name("kernel/drivers/vfio/pci/vfio-pci.ko.xz"), "vfio_pci");
        let dep = "kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/pci/vfio-pci-core.ko\n";
        assert!(lists(dep, "vfio_pci"));
        assert!(!lists(dep, "vfio_pci_core"));
        assert!(!lists(dep, "vfio"));
    }

    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*c*", "abcd", true),
            ("?[bx]c", "abc", true),
            ("[!a]", "a", false),
            ("[a-f]", "e", true),
            ("[", "[", true),
            ("", "", true),
            ("*", "", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                matches,
                "{pattern} {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes(index: Vec<u8>, text: String) {
            for alias in aliases(&index).chain(builtin_aliases(&index)) {
                alias.vendor();
                alias.matches(&text);
                alias.module_name();
            }
            glob(&index, text.as_bytes());
            PciId::parse(&text);
            lists(&text, "vfio_pci");
            name(&text);
        }

        #[test]
        fn every_modalias_parses_back(v: u16, d: u16, sv: u16, sd: u16, class in 0_u32..0x100_0000) {
            let id = PciId { ids: Ids::new(v, d), subsystem: Ids::new(sv, sd), class: Class(class) };
            prop_assert_eq!(PciId::parse(&id.modalias()), Some(id));
            prop_assert!(glob(id.modalias().as_bytes(), id.modalias().as_bytes()));
        }
    }
}
