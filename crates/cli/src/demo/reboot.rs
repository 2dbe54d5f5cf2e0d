//! What a reboot does to the sample host: the words of the entry that is started become the command
//! line, and each function gets the driver the kernel would give it.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use super::{
    environment,
    sample::{self, SampleFunction},
};

/// Starts the sample host at `root` again.
pub(crate) fn reboot(root: &Path) -> io::Result<()> {
    // The one-shot of a trial is the only entry in custom.cfg.
    let config = match environment::take_one_shot(root)? {
        Some(_) => "boot/grub/custom.cfg",
        None => "boot/grub/grub.cfg",
    };
    let grub = fs::read_to_string(root.join(config))?;
    // The first `linux` line belongs to the entry that is started.
    let line = grub
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("linux\t"))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "grub.cfg has no entry"))?;
    fs::write(root.join("proc/cmdline"), format!("BOOT_IMAGE={line}\n"))?;
    let boot = root.join("proc/sys/kernel/random/boot_id");
    if let Ok(before) = fs::read_to_string(&boot) {
        // Another boot has another name; here the next number is enough.
        let number = before
            .trim_end()
            .rsplit('-')
            .next()
            .and_then(|n| n.parse().ok());
        let number = number.unwrap_or(0_u64) + 1;
        fs::write(boot, format!("00000000-0000-4000-8000-{number:012}\n"))?;
    }
    let words = Words::of(line);
    let mut vfio = false;
    for function in sample::functions() {
        let taken = words.take(&function.address, &function.ids);
        let link = fs::read_link(root.join(&function.dir).join("driver")).ok();
        let on_vfio = link.is_some_and(|target| target.ends_with("vfio-pci"));
        vfio |= taken;
        if taken && !on_vfio {
            sample::bind(root, &function, "vfio-pci", Some("vfio_pci"))?;
        } else if !taken && on_vfio {
            function.release(root)?;
        }
        display(root, &function, !taken)?;
    }
    if !vfio {
        // The kernel makes these with the first function that is bound.
        let _ = fs::remove_dir_all(root.join("sys/bus/pci/drivers/vfio-pci"));
        let _ = fs::remove_dir_all(root.join("sys/module/vfio_pci"));
    }
    loaded(root, vfio)
}

/// Without its driver a card has no DRM device. What goes is kept beside, for the way back.
fn display(root: &Path, function: &SampleFunction, present: bool) -> io::Result<()> {
    let dir = root.join(&function.dir);
    let (shown, parked) = (dir.join("drm"), dir.join(".drm"));
    if present && parked.exists() {
        fs::rename(parked, &shown)?;
    } else if !present && shown.exists() {
        fs::rename(&shown, &parked)?;
    } else {
        return Ok(());
    }
    let drm = dir.join(if present { "drm" } else { ".drm" });
    let class = root.join("sys/class/drm");
    for card in fs::read_dir(drm)? {
        let card = card?;
        let target = Path::new("../..")
            .join(function.dir.trim_start_matches("sys/"))
            .join("drm")
            .join(card.file_name());
        let mut links = vec![(card.file_name(), target.clone())];
        for connector in fs::read_dir(card.path())? {
            let name = connector?.file_name();
            if name.to_string_lossy().starts_with("card") {
                links.push((name.clone(), target.join(name)));
            }
        }
        for (name, target) in links {
            if present {
                symlink(target, class.join(name))?;
            } else {
                fs::remove_file(class.join(name))?;
            }
        }
    }
    Ok(())
}

/// Puts vfio's modules into /proc/modules, or takes them out.
fn loaded(root: &Path, vfio: bool) -> io::Result<()> {
    let path = root.join("proc/modules");
    let text = fs::read_to_string(&path)?;
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("vfio"))
        .collect();
    if vfio {
        lines.extend([
            "vfio_pci 16384 0 - Live 0x0000000000000000",
            "vfio_pci_core 94208 1 vfio_pci, Live 0x0000000000000000",
            "vfio_iommu_type1 49152 0 - Live 0x0000000000000000",
            "vfio 69632 3 vfio_pci_core,vfio_iommu_type1,vfio_pci, Live 0x0000000000000000",
        ]);
    }
    fs::write(path, format!("{}\n", lines.join("\n")))
}

/// The words of a command line that give functions to vfio-pci.
struct Words {
    ids: Vec<String>,
    bind: Vec<String>,
}

impl Words {
    fn of(line: &str) -> Self {
        let list = |name: &str| {
            line.split_whitespace()
                .filter_map(|word| {
                    word.replace("vfio_pci", "vfio-pci")
                        .strip_prefix(name)
                        .map(str::to_owned)
                })
                .flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect()
        };
        Self {
            ids: list("vfio-pci.ids="),
            bind: list("passthru.bind="),
        }
    }

    fn take(&self, address: &str, ids: &str) -> bool {
        self.ids.iter().any(|id| id.starts_with(ids))
            || self.bind.iter().any(|id| id.starts_with(address))
    }
}
