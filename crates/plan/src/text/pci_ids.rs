//! pci.ids, the list of PCI names (pciutils, `/usr/share/misc/pci.ids`).
//!
//! A vendor line starts in column 0 with four hexadecimal digits and two blanks, its devices follow
//! behind one tab, their subsystems behind two. Classes (`C 03  …`) come last.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    string::String,
};

use crate::pci::Ids;

/// Names of the `wanted` vendor and device pairs, as `vendor device`: both names with a blank
/// between. A device that the list does not know is named by its vendor and its id; a vendor that it
/// does not know is left out. One pass over the text, which ends behind the last wanted vendor.
pub fn names(list: &[u8], wanted: &BTreeSet<Ids>) -> BTreeMap<Ids, String> {
    let mut names = BTreeMap::new();
    let mut left: BTreeSet<u16> = wanted.iter().map(|ids| ids.vendor).collect();
    let mut vendor: Option<(u16, String)> = None;
    for line in list.split(|&byte| byte == b'\n') {
        match line.first() {
            None | Some(b'#') => {}
            Some(b'\t') => {
                let Some((id, name)) = &vendor else { continue };
                if line.get(1) == Some(&b'\t') {
                    continue;
                }
                if let Some((device, text)) = entry(&line[1..]) {
                    let ids = Ids::new(*id, device);
                    if wanted.contains(&ids) {
                        names.insert(ids, alloc::format!("{name} {text}"));
                    }
                }
            }
            Some(_) => {
                if left.is_empty() {
                    break;
                }
                vendor = entry(line)
                    .filter(|(id, _)| left.remove(id))
                    .inspect(|(id, name)| {
                        let range = Ids::new(*id, 0)..=Ids::new(*id, u16::MAX);
                        for ids in wanted.range(range) {
                            names.insert(*ids, alloc::format!("{name} Device {:04x}", ids.device));
                        }
                    });
            }
        }
    }
    names
}

/// `10de  NVIDIA Corporation` -> the id and the name.
fn entry(line: &[u8]) -> Option<(u16, String)> {
    let (id, name) = line.split_at_checked(4)?;
    let mut number = 0_u16;
    for byte in id {
        number = number << 4 | u16::try_from(char::from(*byte).to_digit(16)?).ok()?;
    }
    let name = String::from_utf8_lossy(name);
    (name.starts_with(char::is_whitespace)).then(|| (number, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIST: &str = "# comment\n1022  Advanced Micro Devices, Inc. [AMD]\n\t1480  Root Complex\n\
        \t\t1022 1480  Sub\n10de  NVIDIA Corporation\n\t1f08  TU106 [GeForce RTX 2060]\n\
        ffff  Illegal Vendor ID\nC 03  Display controller\n\t00  VGA\n";

    fn look(ids: &[(u16, u16)]) -> Vec<(Ids, String)> {
        let wanted = ids.iter().map(|&(v, d)| Ids::new(v, d)).collect();
        names(LIST.as_bytes(), &wanted).into_iter().collect()
    }

    #[test]
    fn names_of_known_and_unknown_devices() {
        assert_eq!(
            look(&[(0x10de, 0x1f08), (0x10de, 0x0001), (0x1234, 0x1111)]),
            [
                (
                    Ids::new(0x10de, 0x0001),
                    "NVIDIA Corporation Device 0001".into()
                ),
                (
                    Ids::new(0x10de, 0x1f08),
                    "NVIDIA Corporation TU106 [GeForce RTX 2060]".into()
                ),
            ]
        );
    }

    #[test]
    fn a_subsystem_is_not_a_device() {
        assert_eq!(
            look(&[(0x1022, 0x1022)])[0].1,
            "Advanced Micro Devices, Inc. [AMD] Device 1022"
        );
    }

    #[test]
    fn classes_are_no_vendors() {
        assert!(look(&[(0xc003, 0)]).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes(list: Vec<u8>, vendor: u16, device: u16) {
            names(&list, &BTreeSet::from([Ids::new(vendor, device)]));
        }
    }
}
