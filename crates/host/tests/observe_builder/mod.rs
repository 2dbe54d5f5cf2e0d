//! Hosts written into a temporary directory, for the tests and the benchmark of observing.
// Each test file uses a part of it, and a failure here is a failure of the test.
#![allow(dead_code, clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::Facts;
use tempfile::TempDir;

/// A host's tree.
pub(crate) struct Host {
    directory: TempDir,
}

/// A PCI function to be written; `above` is its way through the bridges.
pub(crate) struct Pci<'a> {
    pub(crate) address: &'a str,
    pub(crate) above: &'a str,
    pub(crate) class: u32,
    pub(crate) ids: (u16, u16),
    pub(crate) subsystem: (u16, u16),
    pub(crate) driver: Option<&'a str>,
    pub(crate) group: Option<u32>,
}

impl Default for Pci<'_> {
    fn default() -> Self {
        Self {
            address: "0000:01:00.0",
            above: "pci0000:00/0000:00:01.0",
            class: 0x03_0000,
            ids: (0x10de, 0x1f08),
            subsystem: (0x1043, 0x86f0),
            driver: None,
            group: None,
        }
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for directory in ["sys/bus/pci/devices", "proc", "etc"] {
            host.directory(directory);
        }
        host
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }

    pub(crate) fn directory(&self, path: &str) -> &Self {
        fs::create_dir_all(self.place(path)).unwrap();
        self
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.place(path), content).unwrap();
        self
    }

    pub(crate) fn executable(&self, path: &str, content: &str) -> &Self {
        self.file(path, content).mode(path, 0o755)
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.place(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let place = self.place(path);
        let _ = fs::remove_file(&place);
        symlink(target, place).unwrap();
        self
    }

    /// Writes a function as sysfs shows it: attributes in its place below the bridges, links to it.
    /// Gives back its directory.
    pub(crate) fn function(&self, pci: &Pci<'_>) -> String {
        let place = format!("sys/devices/{}/{}", pci.above, pci.address);
        for (name, text) in [
            ("class", format!("0x{:06x}\n", pci.class)),
            ("vendor", format!("0x{:04x}\n", pci.ids.0)),
            ("device", format!("0x{:04x}\n", pci.ids.1)),
            ("subsystem_vendor", format!("0x{:04x}\n", pci.subsystem.0)),
            ("subsystem_device", format!("0x{:04x}\n", pci.subsystem.1)),
        ] {
            self.file(&format!("{place}/{name}"), text);
        }
        self.link(
            &format!("sys/bus/pci/devices/{}", pci.address),
            &format!("../../../devices/{}/{}", pci.above, pci.address),
        );
        // From the function's own directory up to /sys.
        let up = "../".repeat(place.matches('/').count());
        if let Some(driver) = pci.driver {
            self.link(
                &format!("{place}/driver"),
                &format!("{up}bus/pci/drivers/{driver}"),
            );
            self.directory(&format!("sys/bus/pci/drivers/{driver}"));
        }
        if let Some(group) = pci.group {
            self.link(
                &format!("{place}/iommu_group"),
                &format!("{up}kernel/iommu_groups/{group}"),
            );
            self.link(
                &format!("sys/kernel/iommu_groups/{group}/devices/{}", pci.address),
                &format!("../../../../devices/{}/{}", pci.above, pci.address),
            );
        }
        place
    }

    /// A function of class `class` right below the root complex.
    pub(crate) fn plain(&self, address: &str, class: u32) -> String {
        self.function(&Pci {
            address,
            above: "pci0000:00",
            class,
            ..Pci::default()
        })
    }

    pub(crate) fn root(&self) -> Root {
        Root::open(self.path()).unwrap()
    }

    pub(crate) fn facts(&self) -> Facts {
        observe(&self.root(), Wanted::everything_with_images())
    }
}

/// A server with `count` functions: an eighth are bridges, the rest cards of seven functions in groups
/// of their own, with the module indexes and the name list of a distribution.
pub(crate) fn server(count: usize) -> Host {
    let host = Host::new();
    let mut written = 0;
    'all: for domain in 0_u32.. {
        for bus in 1_u32..=255 {
            let bridge = format!("{domain:04x}:00:{:02x}.{:x}", bus / 8, bus % 8);
            let above = format!("pci{domain:04x}:00");
            let group = domain * 256 + bus;
            full(
                &host,
                &Pci {
                    address: &bridge,
                    above: &above,
                    class: 0x06_0400,
                    ids: (0x1022, 0x1483),
                    subsystem: (0, 0),
                    driver: Some("pcieport"),
                    group: Some(group * 2),
                },
            );
            written += 1;
            if written == count {
                break 'all;
            }
            let above = format!("{above}/{bridge}");
            for function in 0..7_u32 {
                // Eight cards are GPUs, as in the largest servers; the rest are network functions.
                let gpu = domain == 0 && bus <= 8 && function == 0;
                full(
                    &host,
                    &Pci {
                        address: &format!("{domain:04x}:{bus:02x}:00.{function}"),
                        above: &above,
                        class: if gpu { 0x03_0200 } else { 0x02_0000 },
                        ids: (0x10de, 0x2000 + u16::try_from(bus).unwrap()),
                        subsystem: (0x10de, 0x1000),
                        driver: Some(if gpu { "nouveau" } else { "mlx5_core" }),
                        group: Some(group * 2 + 1),
                    },
                );
                written += 1;
                if written == count {
                    break 'all;
                }
            }
        }
    }
    tables(&host);
    host
}

fn full(host: &Host, pci: &Pci<'_>) {
    let place = host.function(pci);
    let bar = "0x00000000f0000000 0x00000000f0ffffff 0x0000000000040200\n";
    for (name, text) in [
        ("revision", "0xa1\n".to_owned()),
        (
            "resource",
            bar.repeat(2) + &"0x0000000000000000 0x0000000000000000 0x0000000000000000\n".repeat(5),
        ),
        ("reset_method", "flr bus\n".to_owned()),
        ("numa_node", "0\n".to_owned()),
        ("power_state", "D0\n".to_owned()),
        ("power/runtime_status", "active\n".to_owned()),
        ("driver_override", "(null)\n".to_owned()),
    ] {
        host.file(&format!("{place}/{name}"), text);
    }
    if let Some(group) = pci.group {
        host.file(&format!("sys/kernel/iommu_groups/{group}/type"), "DMA-FQ\n");
        host.file(
            &format!("sys/kernel/iommu_groups/{group}/reserved_regions"),
            "0x00000000fee00000 0x00000000feefffff msi\n",
        );
    }
}

/// Indexes of the size that a distribution's kernel has (about 1.4 MB and 15,000 PCI aliases), and a
/// list of names of 1.3 MB.
fn tables(host: &Host) {
    use std::fmt::Write;
    let mut alias = String::from("alias pci:v000010DEd*sv*sd*bc03sc02i* nouveau\n");
    let mut ids = String::new();
    for vendor in 0x1000_u32..0x1400 {
        writeln!(ids, "{vendor:04x}  Vendor number {vendor}").unwrap();
        for device in 0..30_u32 {
            let device = 0x2000 + device * 7;
            writeln!(
                ids,
                "\t{device:04x}  Some device with a name, revision {device}"
            )
            .unwrap();
            if device % 2 == 0 {
                writeln!(
                    alias,
                    "alias pci:v0000{vendor:04X}d0000{device:04X}sv*sd*bc*sc*i* driver_{vendor}"
                )
                .unwrap();
            } else {
                writeln!(
                    alias,
                    "alias usb:v{vendor:04X}p{device:04X}d*dc*dsc*dp*ic*isc*ip*in* u"
                )
                .unwrap();
            }
        }
    }
    for release in ["6.12.48+deb13-amd64", "6.12.43+deb13-amd64"] {
        let directory = format!("usr/lib/modules/{release}");
        host.file(&format!("{directory}/modules.alias"), &alias);
        host.file(
            &format!("{directory}/modules.dep"),
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n",
        );
        host.file(
            &format!("{directory}/modules.builtin"),
            "kernel/fs/ext4/ext4.ko\n",
        );
    }
    host.link("lib", "usr/lib");
    host.file("usr/share/misc/pci.ids", ids);
}

/// A cpio archive of the newc format with these entries; a content of `None` is a directory.
pub(crate) fn cpio(entries: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let trailer = [("TRAILER!!!", Some(&b""[..]))];
    for (name, content) in entries.iter().chain(&trailer) {
        let mode = if content.is_some() {
            0o100_644
        } else {
            0o040_755
        };
        let bytes = content.unwrap_or_default();
        let zero = "00000000";
        archive.extend(
            format!(
                "070701{zero}{mode:08x}{zero}{zero}{zero}{zero}{:08x}{zero}{zero}{zero}{zero}{:08x}{zero}",
                bytes.len(),
                name.len() + 1
            )
            .bytes(),
        );
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}
