//! What cannot be done on a menu as it is, and what the user should know of it.

use super::*;
use crate::facts::BootEntry;
use crate::rules::stack::generator::mkinitcpio;

/// Presets whose images take their words from elsewhere.
pub(super) fn other_cmdlines(draft: &mut Draft<'_>) {
    for other in mkinitcpio::other_cmdlines(draft.facts) {
        let (path, what) = (&other.preset, &other.what);
        // A fallback with its own command line is the better way back.
        let entries = &draft.facts.boot.entries;
        let entry = entries.iter().find(|entry| entry.path == other.image);
        if entry.is_some_and(BootEntry::is_for_emergencies) {
            continue;
        }
        draft.refuse(
            "stack.unified-image",
            format!("{path} gives its image a kernel command line of its own ({what}), so words in {CMDLINE} would not get into it."),
            format!("Put that command line into {CMDLINE}, take {what} out of {path}, run: sudo mkinitcpio -P, and plan again."),
        );
    }
}

impl Menu<'_> {
    /// A word that has to go and stands where no edit reaches.
    pub(super) fn refuse_what_stays(&self, draft: &mut Draft<'_>) {
        let normal: Vec<&str> = self.normal().map(|entry| entry.path.as_str()).collect();
        for (place, cmdline) in cmdlines(self.facts) {
            let ours = place == CMDLINE || normal.contains(&place.as_str());
            if ours && !kargs::is_closed(&cmdline) {
                draft.refuse(
                    "stack.entries",
                    format!("The kernel command line in {place} has a quote that is not closed: a word that is added to it would be part of another."),
                    format!("Close the quote in {place}, and plan again."),
                );
            }
        }
        let running = self.facts.kernel.cmdline.value().map_or("", String::as_str);
        for word in line::off_words(draft) {
            if !kargs::has_word(running, &word) {
                continue;
            }
            let places = cmdlines(self.facts);
            if places
                .iter()
                .any(|(_, cmdline)| kargs::has_word(cmdline, &word))
            {
                continue;
            }
            let recorded = self.facts.text(&self.path(self.without_name()));
            if recorded.is_some_and(|text| kargs::has_word(&bls::options(text), &word)) {
                continue;
            }
            draft.refuse(
                "iommu.off-word",
                format!("{word} turns the IOMMU off, and it is on this boot's kernel command line, but in no boot entry and not in {CMDLINE}."),
                format!("Find where {word} comes from (an addon beside the kernel image, the boot menu's editor), remove it, reboot, and plan again."),
            );
        }
    }

    /// kernelstub takes options out by making a set of them, which loses their order (`-d`), and so
    /// passthru does not ask it to.
    pub(super) fn refuse_kernelstub(&self, draft: &mut Draft<'_>, line: &Line) {
        if self.maker != Maker::Kernelstub {
            return;
        }
        let options = self.default.options.value().map_or("", String::as_str);
        let gone: Vec<&str> = kargs::words(options)
            .filter(|word| line.goes(word))
            .map(|word| word.raw)
            .collect();
        if !gone.is_empty() {
            draft.refuse(
                "stack.kernelstub",
                format!("{} has to go from the kernel command line, and kernelstub cannot take options out without changing the order of the others.", gone.join(" ")),
                format!("Edit kernel_options in {KERNELSTUB}, run: sudo kernelstub, reboot, and plan again."),
            );
        }
    }

    /// Says so if fallback entries get the words, too.
    pub(super) fn fallback_notice(&self, draft: &mut Draft<'_>, words: &[String]) {
        let names: Vec<&str> = self.fallbacks().map(|entry| entry.id.as_str()).collect();
        if words.is_empty() || names.is_empty() {
            return;
        }
        draft.notice(
            "boot.fallback-words",
            format!("The fallback entries ({}) are made from the same command line as the normal ones, so they carry these words too. The way back is the entry \"… without passthru\".", names.join(", ")),
        );
    }

    /// Says so if the menu, and with it the way back, does not show by itself.
    pub(super) fn menu_notice(&self, draft: &mut Draft<'_>) {
        if self.maker == Maker::Grub {
            draft.notice(
                "boot.hidden-menu",
                "GRUB may not show its menu by itself on this host. To reach the entry \"… without passthru\", press Esc or hold Shift while the host starts, or try it once now.",
            );
            return;
        }
        let conf = self
            .facts
            .text(&format!("{}/loader/loader.conf", self.place))
            .unwrap_or_default();
        let timeout = systemd_boot::setting(conf, "timeout");
        if matches!(
            timeout.as_deref(),
            None | Some("0" | "menu-hidden" | "menu-disabled")
        ) {
            draft.notice(
                "boot.hidden-menu",
                "The boot menu of this host does not show by itself. To reach the entry \"… without passthru\", hold the space bar while the host starts, or try it once now.",
            );
        }
    }
}
