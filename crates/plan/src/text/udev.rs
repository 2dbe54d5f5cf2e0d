//! udev's database (/run/udev/data): a file for each device, a letter and a colon before each record.
//! And names as udev's rules match them.

use alloc::{string::String, vec::Vec};

/// The property `key` (`E:KEY=VALUE`), the last if there are several.
pub fn property<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .rfind(|(found, _)| *found == key)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

/// A value of a property whose name ends in `_ENC`: bytes that are not safe in a file name stand as
/// `\x20` (`blkid_encode_string`). What comes out may hold any character but none that controls a
/// terminal.
pub fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high * 16 + low);
            rest = &rest[4..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.trim().into()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// `name` holds only what udev puts into names of links as it is (`encode_devnode_name`), and
/// nothing that a pattern of a rule (udev(7)) would take for more than itself.
pub fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c);
    !name.is_empty() && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use proptest::prelude::*;

    const DISK: &str = "S:disk/by-id/ata-A_B\nI:12\nE:ID_FS_TYPE=ntfs\nE:ID_FS_LABEL_ENC=My\\x20disk\n\
        E:EMPTY=\nE:ID_FS_TYPE=zfs_member\nG:systemd\nE:A=b=c\n";

    #[test]
    fn properties() {
        assert_eq!(property(DISK, "ID_FS_TYPE"), Some("zfs_member"));
        assert_eq!(property(DISK, "A"), Some("b=c"));
        for none in ["EMPTY", "ID_FS", "S:disk/by-id/ata-A_B", ""] {
            assert_eq!(property(DISK, none), None, "{none}");
        }
        let label = property(DISK, "ID_FS_LABEL_ENC").unwrap();
        assert_eq!(decode(label), "My disk");
        assert_eq!(decode("gr\\xc3\\xb6\\xc3\\x9fe\\x0a\\x1b"), "größe");
        assert_eq!(decode("a\\x2"), "a\\x2");
    }

    #[test]
    fn plain_names() {
        assert!(is_plain("nvme-Samsung_SSD_980_PRO_1TB_S5GX#1:0"));
        for bad in [
            "", "a*", "a[b]", "a|b", "a b", "a\"", "a\\x20", "a/b", "ä", "a?",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_database(text: String, key: String) {
            if let Some(found) = property(&text, &key) {
                let line = format!("E:{key}={found}");
                prop_assert!(text.lines().any(|one| one == line));
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(text in "[a-zA-Zäöü0-9]([a-zäß ,\\\\\"*]{0,20}[a-z])?") {
            let encoded: String = text
                .bytes()
                .map(|b| if b.is_ascii_alphanumeric() {
                    char::from(b).to_string()
                } else {
                    format!("\\x{b:02x}")
                })
                .collect();
            prop_assert_eq!(decode(&encoded), text);
        }
    }
}
