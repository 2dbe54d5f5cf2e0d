//! Firmware for QEMU without libvirt, by the descriptors that its packages bring along (QEMU's
//! docs/interop/firmware.json).

use alloc::{string::String, vec::Vec};

use serde::Deserialize;

use super::{qemu::Files, spec::Guest};

/// A descriptor, as far as a choice needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Mapping {
    device: String,
    /// `split` if left out: code and variables are files of their own.
    mode: Option<String>,
    executable: File,
    nvram_template: File,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct File {
    filename: String,
    format: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

impl Descriptor {
    /// The command line can name it, and the guest can start from it.
    fn fits(&self, guest: &Guest) -> bool {
        let has = |feature: &str| self.features.iter().any(|one| one == feature);
        let raw = |file: &File| file.format == "raw" && file.filename.starts_with('/');
        let q35 = |machine: &String| machine.starts_with("pc-q35-") || machine == "q35";
        // The domain asks for the same: `<feature name='secure-boot'>` and `enrolled-keys`.
        let secure = if guest.secure_boot {
            has("secure-boot") && has("enrolled-keys")
        } else {
            !has("secure-boot") && !has("requires-smm")
        };
        let split = self
            .mapping
            .mode
            .as_deref()
            .is_none_or(|mode| mode == "split");
        secure
            && split
            && self.mapping.device == "flash"
            && raw(&self.mapping.executable)
            && raw(&self.mapping.nvram_template)
            && self.interface_types.iter().any(|one| one == "uefi")
            && self
                .targets
                .iter()
                .any(|target| target.architecture == "x86_64" && target.machines.iter().any(q35))
    }
}

impl Files {
    /// Where the first of `descriptors`, in their order, has firmware for the guest; without one,
    /// where Debian's package has it.
    pub fn of(guest: &Guest, descriptors: &[Descriptor]) -> Self {
        let mut files = Self::debian(guest);
        if let Some(found) = descriptors.iter().find(|one| one.fits(guest)) {
            files.code.clone_from(&found.mapping.executable.filename);
            files
                .template
                .clone_from(&found.mapping.nvram_template.filename);
        }
        files
    }
}
