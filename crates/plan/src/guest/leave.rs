//! The host leaves the disks of guests alone: desktops do not offer to mount them (udisks), and the
//! boot menu does not list what is installed on them (os-prober). Texts that undo takes back; the
//! disks of several guests stand in one file, each guest's under a comment with its name.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::spec::Guest;
use crate::{
    change::Change,
    facts::{
        Facts,
        blocks::{Block, Content},
        boot::{BootLoader, Generator},
    },
    plan::{Notice, Plan},
    rules::stack::loader::grub,
    text::udev,
};

/// The rules for udisks. Links have been named by then (60-persistent-storage.rules), and udisks
/// takes the property from udev's database, whenever the rule set it (udisks(8)).
pub const RULES: &str = "/etc/udev/rules.d/90-passthru-guest-disks.rules";
/// The list for os-prober; after the host's own files, so that it adds to what they set.
pub const SKIP_LIST: &str = "/etc/default/grub.d/zz-passthru-guest-disks.cfg";

/// What is done about the disks of one guest, and what its owner has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leave {
    /// Edits of text files.
    pub changes: Vec<Change>,
    /// What passthru does not do itself.
    pub notes: Vec<Notice>,
}

/// Puts what `guest` needs in front of the other changes of `plan`, and what its owner has to do among
/// the notes of both.
pub fn add(facts: &Facts, guest: &mut Guest, plan: &mut Plan) {
    let paths: Vec<&str> = guest
        .disks
        .iter()
        .filter(|disk| disk.is_device() && !disk.cdrom)
        .map(|disk| disk.path.as_str())
        .collect();
    let mut leave = leave(facts, &guest.name, &paths);
    if guest.os.is_windows() {
        // Which knows no LVM.
        leave.notes.retain(|note| note.id != LVM);
    }
    plan.changes.splice(0..0, leave.changes);
    guest.notes.extend(leave.notes.iter().cloned());
    plan.notices.extend(leave.notes);
}

/// The host leaves the devices at `paths` alone because they are the guest's, and no others because
/// of it: without any paths, what was written for the guest goes.
pub fn leave(facts: &Facts, guest: &str, paths: &[&str]) -> Leave {
    let mut leave = Leave::default();
    let blocks: Vec<(&str, &Block)> = paths
        .iter()
        .filter_map(|path| Some((*path, facts.blocks.at(path)?)))
        .collect();
    udisks(facts, guest, &blocks, &mut leave);
    os_prober(facts, guest, &blocks, &mut leave);
    lvm(facts, &blocks, &mut leave);
    leave
}

fn note(leave: &mut Leave, id: &str, text: String) {
    leave.notes.push(Notice {
        id: id.into(),
        text,
    });
}

/// How a rule of ours begins.
const RULE: &str = "SUBSYSTEM==\"block\", SYMLINK==\"";

fn udisks(facts: &Facts, guest: &str, blocks: &[(&str, &Block)], leave: &mut Leave) {
    let mut lines = Vec::new();
    for (path, block) in blocks.iter().filter(|_| facts.blocks.udisks) {
        let link = path.strip_prefix("/dev/").unwrap_or(path);
        if !link.split('/').all(udev::is_plain) {
            note(
                leave,
                "guest.disk.udisks",
                format!(
                    "The name {path} cannot be written into a udev rule, so desktops of this host \
                     may offer to mount it: do not."
                ),
            );
            continue;
        }
        let mut line = |pattern: &str| {
            lines.push(format!("{RULE}{pattern}\", ENV{{UDISKS_IGNORE}}=\"1\"\n"));
        };
        line(link);
        if block.disk.is_none() {
            line(&format!("{link}-part*"));
        }
    }
    let done = edit(
        facts,
        RULES,
        (guest, RULE, &lines),
        "desktops of the host do not offer to mount the guest's disks",
        leave,
    );
    if done && !lines.is_empty() {
        note(
            leave,
            "guest.disk.udisks",
            "That desktops leave the disk alone holds from the host's next start; at once with \
             udevadm trigger --subsystem-match=block --action=change."
                .into(),
        );
    }
}

/// How a line of ours begins.
const ASSIGNMENT: &str = "GRUB_OS_PROBER_SKIP_LIST=";

fn os_prober(facts: &Facts, guest: &str, blocks: &[(&str, &Block)], leave: &mut Leave) {
    let asked = facts.blocks.os_prober
        && matches!(
            facts.boot.loader.value(),
            Some(BootLoader::Grub | BootLoader::Grub2)
        )
        && !is_off(facts);
    let mut lines = Vec::new();
    let words = if asked {
        skipped(facts, blocks)
    } else {
        Vec::new()
    };
    if !words.is_empty() {
        lines.push(format!(
            "{ASSIGNMENT}\"${{GRUB_OS_PROBER_SKIP_LIST}} {}\"\n",
            words.join(" ")
        ));
    }
    let drop_ins = facts.boot.grub_dropins.is(&true);
    let why = "grub-mkconfig does not list the guest's systems in the host's boot menu";
    let done = (drop_ins || facts.files.contains_key(SKIP_LIST))
        && edit(facts, SKIP_LIST, (guest, ASSIGNMENT, &lines), why, leave);
    if !asked || blocks.is_empty() {
        return;
    }
    if words.is_empty() {
        note(
            leave,
            "guest.disk.os-prober",
            "There is no system on the disk yet. Once there is one, the host's boot menu may list \
             it, and starting it while the guest runs destroys it: GRUB_DISABLE_OS_PROBER=true in \
             /etc/default/grub, if the host starts nothing else."
                .into(),
        );
    } else if !drop_ins {
        note(
            leave,
            "guest.disk.os-prober",
            format!(
                "GRUB of this host reads no drop-ins. So that its menu does not list the guest's \
                 systems, add to /etc/default/grub and make the menu anew: {ASSIGNMENT}\"{}\"",
                words.join(" ")
            ),
        );
    } else if done {
        note(
            leave,
            "guest.disk.os-prober",
            "A menu that lists the guest's system already does so until it is made anew: update-grub."
                .into(),
        );
    }
}

/// GRUB_DISABLE_OS_PROBER is `true`. Whether it is without being set differs between distributions.
fn is_off(facts: &Facts) -> bool {
    grub::value(facts, "GRUB_DISABLE_OS_PROBER").as_deref() == Some("true")
}

/// The words by which /etc/grub.d/30_os-prober knows what is on `blocks`: the file system's UUID, an `@`,
/// and the device (its `${DEVICE#*@}` of a device without an `@`), or for a loader on an EFI system
/// partition that one's path. It looks for the whole of it, and not at the case; of loaders os-prober
/// knows Microsoft's. grub-mkconfig sources the file, so the device is the one of that moment.
fn skipped(facts: &Facts, blocks: &[(&str, &Block)]) -> Vec<String> {
    const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    let mut words: Vec<String> = Vec::new();
    for (_, block) in blocks {
        let parts = facts.blocks.partitions(&block.name);
        for content in core::iter::once(*block)
            .chain(parts)
            .filter_map(|one| one.content.value())
        {
            let Some(uuid) = content.uuid.as_deref().filter(|uuid| is_uuid(uuid)) else {
                continue;
            };
            let Content {
                kind, part_type, ..
            } = content;
            let fat = kind.as_deref() == Some("vfat");
            // A DOS table's type of the same partition is 0xef.
            let esp = fat && matches!(part_type.as_deref(), Some(ESP | "0xef"));
            let word = if esp {
                format!("{uuid}@/EFI/Microsoft/Boot/bootmgfw.efi")
            } else {
                format!("{uuid}@$(readlink -f /dev/disk/by-uuid/{uuid})")
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words
}

/// Nothing in it that a shell or grep would read as more than itself.
fn is_uuid(uuid: &str) -> bool {
    uuid.len() >= 4 && uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The note about LVM.
const LVM: &str = "guest.disk.lvm-filter";

/// LVM looks for its volumes on every disk, unless it keeps a list of its own. Its configuration is
/// in the initramfs as well, so this one is left to a person.
fn lvm(facts: &Facts, blocks: &[(&str, &Block)], leave: &mut Leave) {
    if !facts.blocks.lvm || facts.blocks.lvm_devices {
        return;
    }
    let filters: Vec<String> = blocks
        .iter()
        .filter(|(_, block)| block.transport.is_some())
        .map(|(path, block)| {
            // What a pattern could take for more than itself becomes any character.
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() || "-_/".contains(c) {
                    c
                } else {
                    '.'
                }
            };
            let path: String = path.chars().map(plain).collect();
            let parts = if block.disk.is_none() {
                "(-part[0-9]+)?"
            } else {
                ""
            };
            format!("\"r|^{path}{parts}$|\"")
        })
        .collect();
    if filters.is_empty() {
        return;
    }
    let again = match facts.boot.generator.value() {
        Some(Generator::InitramfsTools) => "update-initramfs -u",
        Some(Generator::Dracut) => "dracut --force --regenerate-all",
        Some(Generator::Mkinitcpio) => "mkinitcpio -P",
        _ => "the command that makes your initramfs",
    };
    note(
        leave,
        LVM,
        format!(
            "If the guest uses LVM, the host would activate its volumes, too. To keep it from that, \
             add to global_filter in the section devices of /etc/lvm/lvm.conf: {}; then {again}.",
            filters.join(", ")
        ),
    );
}

/// Puts the guest's lines into the file in place of those it had, and says whether that changes it.
fn edit(
    facts: &Facts,
    path: &str,
    (guest, start, lines): (&str, &str, &[String]),
    why: &str,
    leave: &mut Leave,
) -> bool {
    if let Some(file) = facts.files.get(path)
        && let Some(unread) = file.text.why_not()
    {
        note(
            leave,
            "guest.disk.unread-file",
            format!("{path} could not be read and is left as it is: {unread}."),
        );
        return false;
    }
    let before = facts.text(path);
    let after = with_section(before.unwrap_or_default(), guest, start, lines);
    let after = Some(after).filter(|text| !text.is_empty());
    if before == after.as_deref() {
        return false;
    }
    leave.changes.push(Change::Edit {
        path: path.to_string(),
        before: before.map(Into::into),
        after,
        mode: 0o644,
        why: why.into(),
    });
    true
}

/// `text` with `lines` under the guest's comment, in place of lines that begin with `start` there;
/// without lines, without the comment.
fn with_section(text: &str, guest: &str, start: &str, lines: &[String]) -> String {
    let comment = format!("# Disks of the guest {guest} (passthru)\n");
    let mut out = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        inside = line == comment || inside && line.starts_with(start);
        if !inside {
            out.push_str(line);
        }
    }
    if !lines.is_empty() {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&comment);
        out.extend(lines.iter().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::text::merge::take_back;
    use proptest::prelude::*;

    proptest! {
        /// Guests come and go in any order; what is there for one never depends on the others.
        #[test]
        fn guests_do_not_touch_each_other(
            steps in proptest::collection::vec((0_usize..3, proptest::collection::vec("[a-z]{1,3}", 0..3)), 0..12),
            foreign in "(#[a-z]{0,4}\n){0,2}",
        ) {
            let names = ["a", "a b", "b (passthru)"];
            let mut text = foreign.clone();
            let mut model: [Vec<String>; 3] = Default::default();
            for (guest, disks) in steps {
                let lines: Vec<String> = disks.iter().map(|disk| format!("X=\"{disk}\"\n")).collect();
                text = with_section(&text, names[guest], "X=", &lines);
                model[guest] = lines;
            }
            for (name, lines) in names.iter().zip(&model) {
                let section = format!("# Disks of the guest {name} (passthru)\n{}", lines.concat());
                prop_assert_eq!(text.contains(&section), !lines.is_empty());
            }
            for name in names {
                text = with_section(&text, name, "X=", &[]);
            }
            prop_assert_eq!(text, foreign);
        }

        /// Undo takes one guest's lines and leaves the others', whoever came first.
        #[test]
        fn undo_leaves_the_others(first in "[a-z]{1,4}", second in "[a-z]{1,4}") {
            let one = vec![format!("X=\"1{first}\"\n")];
            let two = vec![format!("X=\"2{second}\"\n")];
            let a = with_section("", "a", "X=", &one);
            let both = with_section(&a, "b", "X=", &two);
            let merged = take_back("", &a, &both);
            prop_assert_eq!(&merged.text, &with_section("", "b", "X=", &two));
            prop_assert!(merged.left.is_empty());
            prop_assert_eq!(take_back(&a, &both, &merged.text).text, "");
        }

        #[test]
        fn words_of_the_list_are_safe(uuid: String) {
            if is_uuid(&uuid) {
                let list = format!("{ASSIGNMENT}\"x {uuid}\"\n");
                let value = crate::text::shell::evaluate([list.as_str()]).remove("GRUB_OS_PROBER_SKIP_LIST");
                prop_assert_eq!(value.flatten(), Some(format!("x {uuid}")));
            }
        }
    }
}
