//! Boot stacks that passthru does not write to, each with the way out in the user's own hands.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    facts::{BootLoader, Facts, Generator},
    plan::Refusal,
    rules::Draft,
    text::{ids, kargs},
};

/// What a person does instead of passthru. Its script is not in the initramfs then, so its own words
/// would do nothing: ids act alone.
struct ByHand<'a> {
    facts: &'a Facts,
    /// Words for the kernel command line, as one line; empty if there are none.
    line: String,
    params: Vec<&'a str>,
    /// vfio-pci has to be in the initramfs.
    binds: bool,
    /// Some functions cannot be told by ids.
    by_address: bool,
}

impl<'a> ByHand<'a> {
    fn of(facts: &'a Facts, words: &'a [String]) -> Self {
        let params: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| !word.starts_with("passthru."))
            .collect();
        let line = params.join(" ");
        Self {
            facts,
            binds: kargs::last_value(&line, "vfio-pci.ids").is_some(),
            line,
            params,
            by_address: words.iter().any(|word| word.starts_with("passthru.bind=")),
        }
    }

    /// What ids leave out, at the end of a way out.
    fn rest(&self) -> &'static str {
        if self.by_address {
            " Functions that ids cannot express stay with their drivers; lend them at the start of the virtual machine (managed='yes')."
        } else {
            ""
        }
    }

    /// How vfio-pci comes into the initramfs, as a sentence; without the command that makes it.
    fn modules(&self) -> &'static str {
        if !self.binds {
            return "";
        }
        match self.facts.boot.generator.value() {
            Some(Generator::Dracut | Generator::RpmOstree) => {
                "Save this line as /etc/dracut.conf.d/vfio.conf: force_drivers+=\" vfio_pci vfio vfio_iommu_type1 \". "
            }
            Some(Generator::Mkinitcpio) if self.facts.boot.mkinitcpio_dropins.is(&true) => {
                "Save this line as /etc/mkinitcpio.conf.d/vfio.conf: MODULES+=(vfio_pci vfio vfio_iommu_type1). "
            }
            Some(Generator::Mkinitcpio) => {
                "Add this line at the end of /etc/mkinitcpio.conf: MODULES+=(vfio_pci vfio vfio_iommu_type1). "
            }
            Some(Generator::Booster) => {
                "Set modules_force_load: vfio_pci,vfio_iommu_type1 in /etc/booster.yaml. "
            }
            Some(Generator::InitramfsTools) => {
                "Add vfio_pci and vfio_iommu_type1, each on its own line, to /etc/initramfs-tools/modules. "
            }
            Some(Generator::NixOs) | None => {
                "Let the initramfs load vfio_pci and vfio_iommu_type1 before any graphics driver. "
            }
        }
    }

    /// The generator's own command, as a sentence.
    fn rebuild(&self) -> &'static str {
        if !self.binds {
            return "";
        }
        match self.facts.boot.generator.value() {
            Some(Generator::Dracut) => "Make it anew: sudo dracut --force --regenerate-all. ",
            Some(Generator::Mkinitcpio) => "Make it anew: sudo mkinitcpio -P. ",
            Some(Generator::Booster) => "Make it anew: sudo /usr/lib/booster/regenerate_images. ",
            Some(Generator::InitramfsTools) => "Make it anew: sudo update-initramfs -u -k all. ",
            Some(Generator::RpmOstree | Generator::NixOs) | None => "",
        }
    }

    fn way_out(&self, loader: BootLoader) -> String {
        let line = &self.line;
        let (modules, rebuild) = (self.modules(), self.rebuild());
        match loader {
            BootLoader::Refind => format!(
                "{modules}{rebuild}Then copy the first line of /boot/refind_linux.conf, name the copy \"Boot with vfio-pci\", and add inside its quotes: {line}. The first line stays as the way back."
            ),
            BootLoader::Bootc => self.bootc(),
            BootLoader::TransactionalUpdate => format!(
                "Run: sudo transactional-update shell. In it: {modules}Add to /etc/kernel/cmdline (or, with GRUB's own menu, to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub): {line}. Leave the shell, and run: sudo transactional-update --continue grub.cfg, then initrd in the same way. The snapshot from before is the way back (sudo transactional-update rollback)."
            ),
            BootLoader::Sdbootutil => {
                let make = if self.binds {
                    "sudo sdbootutil mkinitrd, then "
                } else {
                    ""
                };
                format!(
                    "{modules}Add to /etc/kernel/cmdline: {line}. Then run: {make}sudo sdbootutil update-all-entries. Entries of older snapshots in the boot menu are the way back."
                )
            }
            BootLoader::SdbootManage => format!(
                "{modules}{rebuild}In /etc/sdboot-manage.conf add inside the quotes of LINUX_OPTIONS: {line}. Then run: sudo sdboot-manage gen. LINUX_FALLBACK_OPTIONS stays as it is, so the fallback entries are the way back."
            ),
            _ => {
                let make = match self.facts.boot.generator.value() {
                    Some(Generator::Mkinitcpio) if self.binds => "sudo limine-mkinitcpio, then ",
                    _ => "",
                };
                let rebuild = if make.is_empty() { rebuild } else { "" };
                format!(
                    "{modules}{rebuild}With limine-entry-tool: add a line KERNEL_CMDLINE[default]+=\" {line}\" to /etc/default/limine, and run: {make}sudo limine-update. Without it: copy the entry in limine.conf, and add the words to the copy's cmdline."
                )
            }
        }
    }

    /// rpm-ostree changes a deployment that comes from a container image, too (rpm-ostree(1), `kargs`
    /// and `initramfs`); bootc leaves such a host to it from then on.
    fn bootc(&self) -> String {
        if self.facts.boot.rpm_ostree {
            let append: Vec<String> = self
                .params
                .iter()
                .map(|word| format!("--append-if-missing=\"{word}\""))
                .collect();
            let enable = if self.binds {
                "sudo rpm-ostree initramfs --enable, then "
            } else {
                ""
            };
            return format!(
                "{}Run: {enable}sudo rpm-ostree kargs {}, and reboot. The deployment from before stays in the boot menu as the way back. From then on update with rpm-ostree upgrade: bootc may refuse a host with an initramfs of its own.",
                self.modules(),
                append.join(" ")
            );
        }
        let quoted: Vec<String> = self.params.iter().map(|word| format!("{word:?}")).collect();
        let modules = if self.binds {
            ", and a file /usr/lib/dracut/dracut.conf.d/vfio.conf with force_drivers+=\" vfio_pci vfio vfio_iommu_type1 \" before dracut makes its initramfs"
        } else {
            ""
        };
        format!(
            "In the image: a file /usr/lib/bootc/kargs.d/vfio.toml with kargs = [{}]{modules}. Words on this host alone, with a bootc that has it: sudo bootc loader-entries set-options-for-source --source vfio --options \"{}\".",
            quoted.join(", "),
            self.line
        )
    }
}

/// The refusal for `loader`, with `words` in its way out.
pub(super) fn refuse(draft: &mut Draft<'_>, loader: BootLoader, words: &[String]) {
    let why = match loader {
        BootLoader::NixOs => {
            draft.refusals.push(nixos(words));
            return;
        }
        BootLoader::Refind => {
            "The boot loader is rEFInd: its entries are written by hand, and it starts no entry once."
        }
        BootLoader::Bootc if draft.facts.boot.rpm_ostree => {
            "This host is made from a container image (bootc), which passthru does not write to yet."
        }
        BootLoader::Bootc => {
            "This host is an image of bootc: its kernel arguments and its initramfs belong to the image."
        }
        BootLoader::TransactionalUpdate => {
            "This host is changed by transactional-update: what passthru writes now would be in the running snapshot, and the next one would start without it."
        }
        BootLoader::Sdbootutil => {
            "The boot entries are made by sdbootutil, one for each snapshot, with kernels and images under names of their checksums; passthru cannot put them back yet."
        }
        BootLoader::SdbootManage => {
            "The boot entries are made by sdboot-manage, which writes them anew at every update of a kernel and may remove all others: what passthru wrote there would be gone."
        }
        BootLoader::Limine => {
            "The boot loader is Limine, whose configuration may be enrolled by its hash, and which starts no entry once."
        }
        other => {
            draft.refuse(
                "stack.loader",
                format!("The boot loader is {}, which is not supported yet.", other.name()),
                "passthru devices, doctor and capture work on this host; binding at boot does not yet.",
            );
            return;
        }
    };
    let by_hand = ByHand::of(draft.facts, words);
    let way_out = if by_hand.line.is_empty() && by_hand.by_address {
        "The ids of these functions do not tell them from others of this host, and vfio-pci by itself knows only ids: leave them to libvirt, which takes them when the virtual machine starts (managed='yes').".into()
    } else {
        by_hand.way_out(loader) + by_hand.rest()
    };
    draft.refuse("stack.loader", why, way_out);
}

/// The menu is made by Ubuntu's script for ZFS: 10_linux ends at once where the root file system is
/// ZFS and 10_linux_zfs is there, so it makes no entries "… without passthru" either.
pub(super) fn is_zfs_menu(facts: &Facts) -> bool {
    let cmdline = facts.kernel.cmdline.value();
    let root = cmdline.and_then(|cmdline| kargs::last_value(cmdline, "root"));
    facts.boot.grub_zfs && root.is_some_and(|root| root.starts_with("ZFS="))
}

pub(super) fn zfs_menu(draft: &mut Draft<'_>, words: &[String]) {
    let by_hand = ByHand::of(draft.facts, words);
    let (modules, rebuild, line) = (by_hand.modules(), by_hand.rebuild(), &by_hand.line);
    let way_out = format!(
        "{modules}{rebuild}Add to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub: {line}. Then run: sudo update-grub. The recovery entry and the entries of older snapshots are the way back.{}",
        by_hand.rest()
    );
    draft.refuse(
        "stack.loader",
        "This host's root file system is ZFS, and its boot menu is made by Ubuntu's script for that (/etc/grub.d/10_linux_zfs). passthru cannot make an entry \"… without passthru\" from it yet.",
        way_out,
    );
}

/// NixOS: /boot and /etc are made from the configuration, so that is what changes.
fn nixos(words: &[String]) -> Refusal {
    let line = words.join(" ");
    let list = |words: &[&str]| -> String {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        quoted.join(" ")
    };
    // Without passthru's script in the initramfs only ids act there; by-address words would not.
    let params: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("passthru."))
        .collect();
    let options = kargs::last_value(&line, "vfio-pci.ids")
        .map(|value| ids::List::render(&ids::List::parse(&value).entries))
        .map(|ids| format!("  boot.extraModprobeConfig = \"options vfio-pci ids={ids}\";\n"))
        .unwrap_or_default();
    let module = format!(
        "{{ ... }}:\n{{\n  boot.kernelParams = [ {} ];\n  boot.initrd.kernelModules = [ \"vfio_pci\" \"vfio\" \"vfio_iommu_type1\" ];\n{options}}}\n",
        list(&params)
    );
    let by_address = words.iter().any(|word| word.starts_with("passthru.bind="));
    let rest = if by_address {
        " Functions that ids cannot express stay with their drivers; lend them at the start of the virtual machine (managed='yes')."
    } else {
        ""
    };
    Refusal {
        id: "stack.nixos".to_string(),
        why: "NixOS makes /boot and /etc from its configuration; what passthru wrote there would be gone at the next rebuild.".to_string(),
        way_out: format!(
            "Save this as /etc/nixos/passthru.nix, add ./passthru.nix to the imports of your configuration, and run: sudo nixos-rebuild boot. The generation from before stays in the boot menu.{rest}\n\n{module}"
        ),
    }
}
