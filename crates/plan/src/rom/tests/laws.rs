//! Laws: chains that hold are found whole, and nothing that is not one does harm.

use alloc::vec::Vec;
use proptest::prelude::*;

use super::{CARD, both, card};
use crate::rom::{
    builder::{Build, nvgi, rom, vfct},
    *,
};

/// A random chain that holds.
fn chains() -> impl Strategy<Value = Vec<Build>> {
    let image = (
        0_u8..4,
        1_u16..6,
        any::<bool>(),
        prop::collection::vec(1_u16.., 0..4),
    )
        .prop_map(|(code, units, npde, list)| Build {
            code,
            units,
            list,
            npde: npde.then_some((units, false)),
            ..Build::legacy().more()
        });
    prop::collection::vec(image, 1..5).prop_map(|mut images| {
        let last = images.last_mut().unwrap();
        last.last = true;
        last.npde = last.npde.map(|(units, _)| (units, true));
        images
    })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        survive(&bytes);
        survive(&nvgi(1, &bytes));
        survive(&[&[0x55, 0xaa][..], &bytes].concat());
        survive(&[b"VFCT", bytes.as_slice()].concat());
    }

    #[test]
    fn a_changed_rom_is_survived(
        chain in chains(),
        version in prop::option::of(1_u8..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep: prop::sample::Index,
    ) {
        let mut bytes = rom(&chain);
        if let Some(version) = version {
            bytes = nvgi(version, &bytes);
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survive(&bytes);
        survive(&bytes[..keep.index(bytes.len())]);
    }

    #[test]
    fn a_table_that_was_changed_is_survived(at: prop::sample::Index, byte: u8) {
        let image = both();
        let mut table = vfct(&[((1, 0, 0), (1, 2), &image), ((2, 0, 0), (1, 2), &image)]);
        let at = at.index(table.len());
        table[at] = byte;
        survive(&table);
    }

    #[test]
    fn a_chain_is_found_whole_whatever_stands_around_it(
        chain in chains(),
        version in prop::option::of(1_u8..4),
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let image = rom(&chain);
        let around = version.map_or(image.clone(), |version| nvgi(version, &image));
        let found = parse(&[around, tail.clone()].concat(), None).unwrap();
        prop_assert_eq!(found.images.len(), chain.len());
        prop_assert_eq!(&found.chain, &Chain::Complete);
        prop_assert_eq!(found.range().len(), image.len());
        prop_assert_eq!(found.size - found.range().end, tail.len());
        for (image, build) in found.images.iter().zip(&chain) {
            prop_assert_eq!(&image.devices, &build.list);
            prop_assert_eq!(image.length, usize::from(build.units) * UNIT);
            prop_assert_ne!(image.checksum, Some(Checksum::Bad));
        }
    }

    #[test]
    fn trimming_once_is_enough_and_changes_no_image(
        chain in chains(),
        tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let bytes = nvgi(2, &[rom(&chain), tail].concat());
        let kept = &bytes[parse(&bytes, None).unwrap().range()];
        let again = parse(kept, None).unwrap();
        prop_assert_eq!(kept, &rom(&chain)[..]);
        prop_assert!(again.is_trimmed());
    }
}

/// Whatever the bytes are: no panic, and what is said to be the ROM lies within them.
fn survive(bytes: &[u8]) {
    for ids in [None, Some(CARD)] {
        match parse(bytes, ids) {
            Ok(rom) => {
                let range = rom.range();
                assert!(range.start < range.end && range.end <= bytes.len());
                let images = rom.images.windows(2);
                assert!(
                    images
                        .into_iter()
                        .all(|pair| pair[0].end() == pair[1].offset)
                );
                judge(&rom, None);
                judge(&rom, Some(&card()));
            }
            Err(error) => assert!(!no_rom(&error).evidence[0].is_empty()),
        }
    }
    if let Ok(entries) = vfct::parse(bytes) {
        for entry in entries {
            assert!(
                bytes
                    .get(entry.image)
                    .is_some_and(|image| !image.is_empty())
            );
        }
    }
}
