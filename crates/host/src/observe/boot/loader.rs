//! Which boot loader manages the entries.

use passthru_plan::{
    Facts, Measured,
    facts::{BootLoader, Firmware},
    text::shell,
};

use super::efi::Variables;
use crate::root::Root;

/// Where an EFI system partition or XBOOTLDR is mounted (bootctl(1)).
const PARTITIONS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

/// The loader, and what was found.
pub(super) fn observe(
    root: &Root,
    facts: &Facts,
    efi: &Variables,
) -> (Measured<BootLoader>, Vec<String>) {
    let mut look = Look {
        root,
        facts,
        efi,
        evidence: Vec::new(),
    };
    let found = look
        .image_based()
        .or_else(|| look.by_distribution())
        .or_else(|| look.running())
        .unwrap_or_else(|| look.installed());
    (found, look.evidence)
}

struct Look<'a> {
    root: &'a Root,
    facts: &'a Facts,
    efi: &'a Variables,
    evidence: Vec<String>,
}

type Answer = Option<Measured<BootLoader>>;

impl Look<'_> {
    fn says(&mut self, line: impl Into<String>) {
        self.evidence.push(line.into());
    }

    fn has(&mut self, path: &str) -> bool {
        let found = self.root.exists(path);
        if found {
            self.says(format!("{path} exists"));
        }
        found
    }

    fn distribution(&self) -> &str {
        self.facts
            .machine
            .distribution
            .as_ref()
            .map_or("", |distribution| distribution.id.as_str())
    }

    /// Systems whose /usr is an image: their own tool owns every boot entry.
    fn image_based(&mut self) -> Answer {
        if !self.has("/run/ostree-booted") {
            return None;
        }
        let bootc = self.has("/usr/bin/bootc");
        let ostree = self.has("/usr/bin/rpm-ostree");
        Some(match (bootc, ostree, self.container_origin()) {
            (true, _, Some(true)) | (true, false, _) => Measured::Value(BootLoader::Bootc),
            (_, true, Some(false)) | (false, true, _) => Measured::Value(BootLoader::RpmOstree),
            (true, true, None) => Measured::not(
                "both bootc and rpm-ostree are installed, and the deployment's origin, which tells \
                 whose it is, cannot be read (needs root)",
            ),
            (false, _, _) => Measured::not(
                "an ostree deployment is booted, but neither bootc nor rpm-ostree is installed",
            ),
        })
    }

    /// The newest deployment comes from a container image (`ostree.deployment` origin files).
    fn container_origin(&mut self) -> Option<bool> {
        let mut answer = None;
        for os in self.root.list("/ostree/deploy").unwrap_or_default() {
            let directory = format!("/ostree/deploy/{os}/deploy");
            for name in self.root.list(&directory).unwrap_or_default() {
                if !name.ends_with(".origin") {
                    continue;
                }
                if let Some(text) = self.root.attribute(&format!("{directory}/{name}")) {
                    let container = text.contains("container-image-reference");
                    answer = Some(answer.unwrap_or(false) || container);
                }
            }
        }
        match answer {
            Some(true) => self.says("the deployment's origin is a container image"),
            Some(false) => self.says("the deployment's origin is an ostree branch"),
            None => {}
        }
        answer
    }

    /// Distributions that manage boot entries with a tool of their own.
    fn by_distribution(&mut self) -> Answer {
        if self.has("/etc/NIXOS") {
            return Some(Measured::Value(BootLoader::NixOs));
        }
        let uuids = self.facts.text("/etc/kernel/proxmox-boot-uuids");
        if uuids.is_some_and(|text| !text.trim().is_empty()) {
            self.says("/etc/kernel/proxmox-boot-uuids names boot partitions");
            return Some(Measured::Value(BootLoader::ProxmoxBootTool));
        }
        let atomic = [
            "microos",
            "aeon",
            "kalpa",
            "leap-micro",
            "sl-micro",
            "sle-micro",
        ];
        if self.root.exists("/usr/sbin/transactional-update")
            && atomic.iter().any(|name| self.distribution().contains(name))
        {
            self.says("/usr/sbin/transactional-update exists on a transactional distribution");
            return Some(Measured::Value(BootLoader::TransactionalUpdate));
        }
        if self.root.exists("/usr/bin/sdbootutil") {
            let kind = self
                .facts
                .text("/etc/sysconfig/bootloader")
                .and_then(|text| {
                    text.lines()
                        .find_map(|line| line.trim().strip_prefix("LOADER_TYPE="))
                })
                .map(|kind| kind.trim_matches(['"', '\'']).to_owned());
            self.says(format!(
                "/usr/bin/sdbootutil exists, LOADER_TYPE is {}",
                kind.as_deref().unwrap_or("not set")
            ));
            match kind.as_deref() {
                Some("systemd-boot" | "grub2-bls") => {
                    return Some(Measured::Value(BootLoader::Sdbootutil));
                }
                // Classic GRUB, whatever else is installed.
                Some(_) => {}
                None if !self.root.exists("/boot/grub2/grub.cfg") => {
                    return Some(Measured::Value(BootLoader::Sdbootutil));
                }
                None => {}
            }
        }
        None
    }

    /// What the running loader says about itself.
    fn running(&mut self) -> Answer {
        let info = self.efi.loader.clone();
        if let Some(info) = &info {
            self.says(format!("the running loader calls itself \"{info}\""));
        }
        if let Some(stub) = &self.efi.stub {
            self.says(format!("a unified kernel image was started (\"{stub}\")"));
            return Some(Measured::Value(BootLoader::UnifiedKernelImage));
        }
        let info = info?.to_lowercase();
        if info.starts_with("systemd-boot") {
            return Some(self.systemd_boot());
        }
        if info.contains("limine") {
            return Some(Measured::Value(BootLoader::Limine));
        }
        if info.contains("refind") {
            return Some(Measured::Value(BootLoader::Refind));
        }
        if info.starts_with("grub") {
            return Some(self.grub().unwrap_or_else(|| {
                Measured::not("GRUB is running, but neither /boot/grub/grub.cfg nor /boot/grub2/grub.cfg exists")
            }));
        }
        None
    }

    /// Without a word of the loader: what is installed and could have started this system.
    fn installed(&mut self) -> Measured<BootLoader> {
        let bios = self.facts.machine.firmware.is(&Firmware::Bios);
        let grub = self.grub();
        let limine = [
            "/boot/limine.conf",
            "/boot/limine/limine.conf",
            "/boot/EFI/limine/limine.conf",
            "/boot/efi/limine.conf",
            "/etc/default/limine",
        ]
        .iter()
        .any(|path| self.has(path));
        let refind = [
            "/boot/efi/EFI/refind/refind.conf",
            "/efi/EFI/refind/refind.conf",
            "/boot/EFI/refind/refind.conf",
        ]
        .iter()
        .any(|path| self.has(path));
        // systemd-boot sets LoaderInfo always and needs EFI: without it, it did not start this system.
        let systemd = !bios && !self.efi.readable && self.systemd_boot_files();
        let booted_by_grub = self
            .facts
            .kernel
            .cmdline
            .value()
            .is_some_and(|cmdline| cmdline.starts_with("BOOT_IMAGE="));
        if booted_by_grub {
            self.says("the kernel was started with BOOT_IMAGE=, as GRUB does");
        }
        let others = usize::from(limine) + usize::from(refind) + usize::from(systemd);
        match grub {
            Some(grub) if others == 0 || booted_by_grub => grub,
            None if others == 1 && limine => Measured::Value(BootLoader::Limine),
            None if others == 1 && refind => Measured::Value(BootLoader::Refind),
            None if others == 1 => self.systemd_boot(),
            None if others == 0 => {
                let hidden = PARTITIONS
                    .iter()
                    .find(|path| self.root.list(path).is_err_and(|error| !error.is_missing()));
                match hidden {
                    Some(path) => Measured::not(format!(
                        "no boot loader was found, and {path} needs root to be listed"
                    )),
                    None => Measured::not("no boot loader was found that passthru knows"),
                }
            }
            _ => Measured::not(format!(
                "several boot loaders are installed and nothing tells which one started this system: {}",
                self.evidence.join("; ")
            )),
        }
    }

    fn grub(&mut self) -> Answer {
        let one = self.has("/boot/grub/grub.cfg");
        let two = self.has("/boot/grub2/grub.cfg");
        let entries = self
            .root
            .list("/boot/loader/entries")
            .map(|names| names.iter().any(|name| name.ends_with(".conf")));
        let enabled = self.facts.text("/etc/default/grub").is_some_and(|text| {
            text.lines().any(|line| {
                line.trim()
                    .strip_prefix("GRUB_ENABLE_BLSCFG=")
                    .is_some_and(|value| value.trim_matches(['"', '\'']) == "true")
            })
        });
        if enabled {
            self.says("/etc/default/grub has GRUB_ENABLE_BLSCFG=true");
        }
        // Fedora keeps the directory closed to users; then grubby's presence has to do.
        let has_entries = match &entries {
            Ok(any) => *any,
            Err(error) => !error.is_missing() && self.root.exists("/usr/sbin/grubby"),
        };
        let bls = enabled && has_entries;
        match (one, two) {
            _ if bls && (one || two) => {
                self.says("/boot/loader/entries has entries");
                Some(Measured::Value(BootLoader::GrubBls))
            }
            (true, true) => Some(Measured::not(
                "both /boot/grub/grub.cfg and /boot/grub2/grub.cfg exist, and nothing tells which one is read",
            )),
            (true, false) => Some(Measured::Value(BootLoader::Grub)),
            (false, true) => Some(Measured::Value(BootLoader::Grub2)),
            (false, false) => None,
        }
    }

    fn systemd_boot_files(&mut self) -> bool {
        PARTITIONS.iter().any(|partition| {
            ["x64", "ia32", "aa64"]
                .iter()
                .any(|arch| self.has(&format!("{partition}/EFI/systemd/systemd-boot{arch}.efi")))
        })
    }

    /// Who writes systemd-boot's entries.
    fn systemd_boot(&mut self) -> Measured<BootLoader> {
        if self.distribution() == "pop" && self.has("/etc/kernelstub/configuration") {
            return Measured::Value(BootLoader::Kernelstub);
        }
        if self.root.exists("/usr/bin/sdbootutil") {
            return Measured::Value(BootLoader::Sdbootutil);
        }
        // Its pacman hook makes the entries anew unless NO_AUTOGEN says not to.
        let config = self.facts.text("/etc/sdboot-manage.conf");
        let by_hook = shell::evaluate(config)
            .remove("NO_AUTOGEN")
            .flatten()
            .is_none_or(|value| value != "yes");
        if by_hook && self.has("/usr/bin/sdboot-manage") {
            return Measured::Value(BootLoader::SdbootManage);
        }
        let mut closed = None;
        let mut names = Vec::new();
        for partition in PARTITIONS {
            let directory = format!("{partition}/loader/entries");
            match self.root.list(&directory) {
                Ok(found) => names.extend(found.into_iter().filter(|name| name.ends_with(".conf"))),
                Err(error) if error.is_missing() => {}
                Err(_) => closed = Some(directory),
            }
        }
        // kernel-install names an entry TOKEN-VERSION.conf, with boot counting TOKEN-VERSION+3.conf.
        let made = names.iter().find(|name| {
            let stem = name.strip_suffix(".conf").unwrap_or(name);
            let stem = stem.rsplit_once('+').map_or(stem, |(before, tries)| {
                let counts = tries.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                if counts { before } else { stem }
            });
            self.facts.kernel.installed.iter().any(|kernel| {
                stem.strip_suffix(&kernel.release)
                    .is_some_and(|token| token.ends_with('-'))
            })
        });
        match (made.cloned(), closed) {
            (Some(name), _) => {
                self.says(format!("entry {name} is named as kernel-install does"));
                Measured::Value(BootLoader::SystemdBootKernelInstall)
            }
            (None, Some(directory)) => Measured::not(format!(
                "{directory} needs root to be listed, so who writes systemd-boot's entries is unknown"
            )),
            (None, None) if names.is_empty() => Measured::not(
                "systemd-boot is installed but has no entries under /boot, /boot/efi or /efi",
            ),
            (None, None) => {
                self.says(format!("{} entries are named by hand", names.len()));
                Measured::Value(BootLoader::SystemdBoot)
            }
        }
    }
}
