//! Boot stacks that passthru does not write to, each with the way out in the user's own hands.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    facts::BootLoader,
    plan::Refusal,
    rules::Draft,
    text::{ids, kargs},
};

/// The refusal for `loader`, with `words` in its way out.
pub(super) fn refuse(draft: &mut Draft<'_>, loader: BootLoader, words: &[String]) {
    let line = words.join(" ");
    let (why, way_out): (&str, String) = match loader {
        BootLoader::NixOs => {
            draft.refusals.push(nixos(words));
            return;
        }
        BootLoader::Refind => (
            "The boot loader is rEFInd: its entries are written by hand, and it starts no entry once.",
            format!(
                "Copy the first line of /boot/refind_linux.conf, name the copy \"Boot with passthru\", and add inside its quotes: {line}. The first line stays as the way back. The initramfs needs vfio-pci; see passthru doctor."
            ),
        ),
        BootLoader::Bootc => (
            "This host is an image of bootc: its kernel arguments and its initramfs belong to the image.",
            format!(
                "In the image: a file /usr/lib/bootc/kargs.d/passthru.toml with kargs = [{}], and vfio-pci in the initramfs. On this host alone, with a bootc that has it: sudo bootc loader-entries set-options-for-source --source passthru --options \"{line}\".",
                words
                    .iter()
                    .map(|word| format!("{word:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
        BootLoader::TransactionalUpdate => (
            "This host is changed by transactional-update: what passthru writes now would be in the running snapshot, and the next one would start without it.",
            format!(
                "Run: sudo transactional-update shell, in it add to /etc/kernel/cmdline (or, with GRUB's own menu, to GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub): {line}, leave the shell, and run: sudo transactional-update --continue grub.cfg, then initrd in the same way. The snapshot from before is the way back (sudo transactional-update rollback)."
            ),
        ),
        BootLoader::Sdbootutil => (
            "The boot entries are made by sdbootutil, one for each snapshot, with kernels and images under names of their checksums; passthru cannot put them back yet.",
            format!(
                "Add to /etc/kernel/cmdline: {line}. Then run: sudo sdbootutil update-all-entries. Entries of older snapshots in the boot menu are the way back."
            ),
        ),
        BootLoader::Limine => (
            "The boot loader is Limine, whose configuration may be enrolled by its hash, and which starts no entry once.",
            format!(
                "With limine-entry-tool: add a line KERNEL_CMDLINE[default]+=\" {line}\" to /etc/default/limine, and run: sudo limine-update. Without it: copy the entry in limine.conf, and add the words to the copy's cmdline."
            ),
        ),
        other => {
            draft.refuse(
                "stack.loader",
                format!("The boot loader is {}, which is not supported yet.", other.name()),
                "passthru devices, doctor and capture work on this host; binding at boot does not yet.",
            );
            return;
        }
    };
    draft.refuse("stack.loader", why, way_out);
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
