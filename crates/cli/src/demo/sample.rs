//! Writes the sample host: hand-written data to files and links.

mod cpus;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

const PCI: &str = include_str!("sample/pci.txt");
const FILES: &str = include_str!("sample/files.txt");

/// A file that only a sample host has; the stand-ins work nowhere else.
const MARKER: &str = "etc/passthru-sample-host";

const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The release of the sample's one kernel.
pub(crate) const RELEASE: &str = "6.12.48+deb13-amd64";

/// One function of the sample, as `pci.txt` describes it.
#[derive(Debug, Clone)]
pub(crate) struct SampleFunction {
    /// `0000:01:00.0`.
    pub(crate) address: String,
    /// `10de:1f08`.
    pub(crate) ids: String,
    /// The driver it has when nobody interferes.
    pub(crate) driver: Option<String>,
    /// Its directory below the root, without a leading slash.
    pub(crate) dir: String,
    class: String,
    subsystem: Option<String>,
    revision: String,
    module: Option<String>,
    group: Option<String>,
}

/// The functions of the sample, in address order.
pub(crate) fn functions() -> Vec<SampleFunction> {
    let mut dirs: BTreeMap<String, String> = BTreeMap::new();
    let given = |text: &str| (text != "-").then(|| text.to_owned());
    let lines = PCI.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [
                address,
                above,
                class,
                ids,
                subsystem,
                revision,
                driver,
                module,
                group,
            ] = fields[..]
            else {
                return None;
            };
            let above = dirs
                .get(above)
                .map_or("sys/devices/pci0000:00", String::as_str);
            let dir = format!("{above}/{address}");
            dirs.insert(address.to_owned(), dir.clone());
            Some(SampleFunction {
                address: address.into(),
                ids: ids.into(),
                driver: given(driver),
                dir,
                class: class.into(),
                subsystem: given(subsystem),
                revision: revision.into(),
                module: given(module),
                group: given(group),
            })
        })
        .collect()
}

/// What the marker says about the stand-ins, for tests: `slow SECONDS` or `fail TOOL`.
pub(crate) fn directive(root: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(MARKER)).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map(str::to_owned)
}

/// Is `root` a sample host written by [`write()`]?
pub(crate) fn is_sample(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

/// Writes the sample host below `root`, a directory that is empty or does not exist.
pub(crate) fn write(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    if fs::read_dir(root)?.next().is_some() {
        return Err(io::Error::new(
            io::ErrorKind::DirectoryNotEmpty,
            "the directory is not empty",
        ));
    }
    let writer = Writer { root };
    writer.file(MARKER, "A sample host of passthru.\n", 0o644)?;
    for function in functions() {
        writer.function(&function)?;
    }
    cpus::write(&writer)?;
    writer.records()?;
    // Attributes (4 bytes) and value: Secure Boot is off.
    writer.file(SECURE_BOOT, "\u{6}\0\0\0\0", 0o644)?;
    writer.file("boot/grub/grubenv", &super::environment::block(&[]), 0o644)?;
    let tools = super::tools::SampleTools::new(root);
    tools.update_initramfs(RELEASE)?;
    tools.grub_mkconfig("/boot/grub/grub.cfg")
}

struct Writer<'a> {
    root: &'a Path,
}

impl Writer<'_> {
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let place = self.root.join(path);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(place)
    }

    fn file(&self, path: &str, text: &str, mode: u32) -> io::Result<()> {
        let place = self.place(path)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&place)?;
        file.write_all(text.as_bytes())?;
        // Not through open(2): the umask is not the sample's.
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn link(&self, path: &str, target: &str) -> io::Result<()> {
        symlink(target, self.place(path)?)
    }

    fn attribute(&self, dir: &str, name: &str, value: &str) -> io::Result<()> {
        self.file(&format!("{dir}/{name}"), &format!("{value}\n"), 0o444)
    }

    fn function(&self, f: &SampleFunction) -> io::Result<()> {
        let SampleFunction { address, dir, .. } = f;
        let (vendor, device) = f.ids.split_once(':').unwrap_or_default();
        let subsystem = f.subsystem.as_deref().unwrap_or("0000:0000");
        let (subvendor, subdevice) = subsystem.split_once(':').unwrap_or_default();
        let class =
            |range: std::ops::Range<usize>| f.class.get(range).unwrap_or_default().to_uppercase();
        let attributes = [
            ("class", format!("0x{}", f.class)),
            ("vendor", format!("0x{vendor}")),
            ("device", format!("0x{device}")),
            ("subsystem_vendor", format!("0x{subvendor}")),
            ("subsystem_device", format!("0x{subdevice}")),
            ("revision", format!("0x{}", f.revision)),
            ("numa_node", "-1".to_owned()),
            ("power_state", "D0".to_owned()),
            ("power/runtime_status", "active".to_owned()),
            (
                "modalias",
                format!(
                    "pci:v0000{}d0000{}sv0000{}sd0000{}bc{}sc{}i{}",
                    vendor.to_uppercase(),
                    device.to_uppercase(),
                    subvendor.to_uppercase(),
                    subdevice.to_uppercase(),
                    class(0..2),
                    class(2..4),
                    class(4..6),
                ),
            ),
        ];
        for (name, value) in attributes {
            self.attribute(dir, name, &value)?;
        }
        if !f.class.starts_with("06") {
            self.attribute(dir, "reset_method", "bus")?;
        }
        self.file(&format!("{dir}/driver_override"), "(null)\n", 0o644)?;
        let below = dir.trim_start_matches("sys/");
        self.link(
            &format!("sys/bus/pci/devices/{address}"),
            &format!("../../../{below}"),
        )?;
        if let Some(group) = &f.group {
            let up = up(dir);
            self.link(
                &format!("{dir}/iommu_group"),
                &format!("{up}kernel/iommu_groups/{group}"),
            )?;
            let groups = format!("sys/kernel/iommu_groups/{group}");
            self.link(
                &format!("{groups}/devices/{address}"),
                &format!("../../../../{below}"),
            )?;
            if !self.root.join(&groups).join("type").exists() {
                self.attribute(&groups, "type", "DMA-FQ")?;
                let regions = "0x00000000fee00000 0x00000000feefffff msi\n\
                    0x000000fd00000000 0x000000ffffffffff reserved\n";
                self.file(&format!("{groups}/reserved_regions"), regions, 0o444)?;
            }
        }
        match &f.driver {
            Some(driver) => bind(self.root, f, driver, f.module.as_deref()),
            None => Ok(()),
        }
    }

    /// The records of `files.txt`.
    fn records(&self) -> io::Result<()> {
        let mut open: Option<(String, u32, String)> = None;
        for line in FILES.lines() {
            let record = ["== ", "-> ", "/ ", "## "]
                .iter()
                .find_map(|mark| Some((*mark, line.strip_prefix(mark)?)));
            let Some((mark, rest)) = record else {
                if let Some((_, _, text)) = &mut open {
                    text.push_str(line);
                    text.push('\n');
                }
                continue;
            };
            self.close(open.take())?;
            match (mark, rest.split_once(' ')) {
                ("== ", Some((path, mode))) => {
                    let mode = u32::from_str_radix(mode, 8).unwrap_or(0o644);
                    open = Some((path.to_owned(), mode, String::new()));
                }
                ("== ", None) => open = Some((rest.to_owned(), 0o644, String::new())),
                ("-> ", Some((path, target))) => self.link(path, target)?,
                ("/ ", _) => fs::create_dir_all(self.root.join(rest))?,
                _ => {}
            }
        }
        self.close(open)
    }

    fn close(&self, open: Option<(String, u32, String)>) -> io::Result<()> {
        open.map_or(Ok(()), |(path, mode, text)| self.file(&path, &text, mode))
    }
}

/// From a directory below `sys/` up to `sys/`.
fn up(dir: &str) -> String {
    "../".repeat(dir.matches('/').count())
}

/// Makes the links that show `function` bound to `driver`; those that showed another one go.
pub(crate) fn bind(
    root: &Path,
    function: &SampleFunction,
    driver: &str,
    module: Option<&str>,
) -> io::Result<()> {
    let SampleFunction { address, dir, .. } = function;
    let link = root.join(dir).join("driver");
    if let Ok(target) = fs::read_link(&link) {
        if let Some(old) = target.file_name() {
            let _ = fs::remove_file(root.join("sys/bus/pci/drivers").join(old).join(address));
        }
        fs::remove_file(&link)?;
    }
    let drivers = root.join("sys/bus/pci/drivers").join(driver);
    fs::create_dir_all(&drivers)?;
    symlink(format!("{}bus/pci/drivers/{driver}", up(dir)), &link)?;
    symlink(
        format!("../../../../{}", dir.trim_start_matches("sys/")),
        drivers.join(address),
    )?;
    if let Some(module) = module {
        fs::create_dir_all(root.join("sys/module").join(module))?;
        let link = drivers.join("module");
        if fs::symlink_metadata(&link).is_err() {
            symlink(format!("../../../../module/{module}"), link)?;
        }
    }
    Ok(())
}

impl SampleFunction {
    /// Binds it to its own driver again.
    pub(crate) fn release(&self, root: &Path) -> io::Result<()> {
        match &self.driver {
            Some(driver) => bind(root, self, driver, self.module.as_deref()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_sample_leads_somewhere() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("host")).unwrap();
        let root = dir.path().join("host");
        let mut open = vec![root.clone()];
        let mut links = 0;
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_symlink() {
                    links += 1;
                    assert!(entry.path().exists(), "{:?} leads nowhere", entry.path());
                }
            }
        }
        assert!(links > 100, "{links}");
        assert_eq!(functions().len(), 27);
    }
}
