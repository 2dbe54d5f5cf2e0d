//! What passthru writes into GRUB's configuration: its part of the defaults, and the script that makes
//! the entries "… without passthru".

use alloc::{format, string::String, vec::Vec};

use super::grub_layout::{self, BEGIN};
use crate::{
    facts::Facts,
    text::{kargs, shell},
};

/// Adds the entries without passthru's words, after all of the distribution's entries.
pub(super) const ENTRIES: &str = "/etc/grub.d/42_passthru";
pub(super) fn entries_text(own_path: &str) -> String {
    format!(
        "\
#!/bin/sh
# Written by passthru. The same boot entries once more, without the words that
# {own_path} adds: they start this host as if passthru
# had never been there. Taken away by: passthru undo
{ENTRIES_BODY}"
    )
}

const ENTRIES_BODY: &str = "\
set -e
[ \"${PASSTHRU_WITHOUT+set}\" = set ] || exit 0
[ -x /etc/grub.d/10_linux ] || exit 0
GRUB_CMDLINE_LINUX_DEFAULT=\"$PASSTHRU_WITHOUT\"
GRUB_DISABLE_RECOVERY=true
export GRUB_CMDLINE_LINUX_DEFAULT GRUB_DISABLE_RECOVERY
/etc/grub.d/10_linux | sed \\
\t-e \"s/^\\([[:blank:]]*\\)\\(menuentry\\|submenu\\) '\\([^']*\\)'/\\1\\2 '\\3 without passthru'/\" \\
\t-e \"s/'gnulinux-/'passthru-without-/g\"
";

/// Words that were taken out of the user's files and that entries without passthru keep.
#[derive(Default)]
pub(super) struct Restored {
    /// For the entries "… without passthru".
    pub(super) without: Vec<String>,
    /// For the recovery entries.
    recovery: Vec<String>,
}

impl Restored {
    /// What an earlier plan wrote into the drop-in.
    pub(super) fn of(facts: &Facts) -> Self {
        let mut values = shell::evaluate(grub_layout::own_text(facts));
        let mut words = |name| {
            let value = values.remove(name).flatten().unwrap_or_default();
            kargs::all_words(&value)
                .map(|word| word.raw.into())
                .collect()
        };
        Self {
            without: words("PASSTHRU_RESTORED"),
            recovery: words("PASSTHRU_RESTORED_RECOVERY"),
        }
    }

    /// The entries keep `word`, taken out of `variable`.
    pub(super) fn keep(&mut self, variable: &str, word: &str) {
        let recovery = (variable == "GRUB_CMDLINE_LINUX").then_some(&mut self.recovery);
        for list in [Some(&mut self.without), recovery].into_iter().flatten() {
            if !list.iter().any(|kept| kept == word) {
                list.push(word.into());
            }
        }
    }
}

pub(super) fn drop_in_text(words: &[String], restored: &Restored, show_menu: bool) -> String {
    let mut text = format!(
        "{BEGIN} These words are added to the normal boot entries only; the recovery\n\
         # entries and the entries \"... without passthru\" stay as they were.\n\
         # Taken away by: passthru undo\n",
    );
    if restored.without.is_empty() {
        text.push_str("export PASSTHRU_WITHOUT=\"$GRUB_CMDLINE_LINUX_DEFAULT\"\n");
    } else {
        text.push_str(&format!(
            "PASSTHRU_RESTORED=\"{}\"\n\
             export PASSTHRU_WITHOUT=\"$GRUB_CMDLINE_LINUX_DEFAULT $PASSTHRU_RESTORED\"\n",
            restored.without.join(" ")
        ));
    }
    if !restored.recovery.is_empty() {
        text.push_str(&format!(
            "PASSTHRU_RESTORED_RECOVERY=\"{}\"\n\
             PASSTHRU_SINGLE=single\n\
             if [ -x /lib/recovery-mode/recovery-menu ]; then PASSTHRU_SINGLE=recovery; fi\n\
             export GRUB_CMDLINE_LINUX_RECOVERY=\"${{GRUB_CMDLINE_LINUX_RECOVERY:-$PASSTHRU_SINGLE}} $PASSTHRU_RESTORED_RECOVERY\"\n",
            restored.recovery.join(" ")
        ));
    }
    if !words.is_empty() {
        text.push_str(&format!(
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {}\"\n",
            words.join(" ")
        ));
    }
    if show_menu {
        text.push_str(
            "# No trial boot came first, so the menu shows: the way back must be in sight.\n\
             GRUB_TIMEOUT_STYLE=menu\n\
             GRUB_TIMEOUT=5\n",
        );
    }
    text
}
