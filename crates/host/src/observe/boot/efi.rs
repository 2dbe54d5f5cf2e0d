//! EFI variables of the boot loader interface (<https://systemd.io/BOOT_LOADER_INTERFACE/>).

use crate::root::Root;

const DIRECTORY: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// What the loader told the system it started.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// `LoaderInfo`: name and version of the loader.
    pub(super) loader: Option<String>,
    /// `StubInfo`: set if a unified kernel image was started.
    pub(super) stub: Option<String>,
    /// `LoaderImageIdentifier`: the image that the firmware started.
    pub(super) image: Option<String>,
    /// `LoaderEntryOneShot`: the entry of the next boot alone.
    pub(super) one_shot: Option<String>,
    /// `LoaderEntryDefault`: what starts by default, before loader.conf.
    pub(super) default: Option<String>,
    /// `LoaderEntryLastBooted`: what `@saved` means.
    pub(super) last: Option<String>,
    /// There is a variable `SecureBoot`.
    pub(super) knows_secure_boot: bool,
    /// Variables can be read at all, so absence of one means something.
    pub(super) readable: bool,
}

impl Variables {
    pub(super) fn read(root: &Root) -> Self {
        let variable = |name: &str| {
            let bytes = root.read(&format!("{DIRECTORY}/{name}-{VENDOR}")).ok()?;
            text(&bytes)
        };
        Self {
            loader: variable("LoaderInfo"),
            stub: variable("StubInfo"),
            image: variable("LoaderImageIdentifier"),
            one_shot: variable("LoaderEntryOneShot"),
            default: variable("LoaderEntryDefault"),
            last: variable("LoaderEntryLastBooted"),
            knows_secure_boot: root.exists(&format!(
                "{DIRECTORY}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
            )),
            readable: root.exists(&format!(
                "{DIRECTORY}/BootCurrent-8be4df61-93ca-11d2-aa0d-00e098032b8c"
            )),
        }
    }
}

/// Four bytes of attributes, then UTF-16 with a closing zero.
fn text(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .get(4..)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|&unit| unit != 0)
        .collect();
    let text = String::from_utf16_lossy(&units).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_variable() {
        let mut bytes = vec![6, 0, 0, 0];
        for unit in "systemd-boot 257\0x".encode_utf16() {
            bytes.extend(unit.to_le_bytes());
        }
        assert_eq!(super::text(&bytes).as_deref(), Some("systemd-boot 257"));
        assert_eq!(super::text(&[6, 0, 0, 0]), None);
        assert_eq!(super::text(&[6, 0]), None);
    }
}
