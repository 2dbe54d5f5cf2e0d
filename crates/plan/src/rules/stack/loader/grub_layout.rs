//! Where a distribution keeps GRUB's files, what its tools are called, and where words go: into a
//! drop-in where grub-mkconfig reads drop-ins (a patch of Debian's), else into a block at the end of
//! /etc/default/grub. The file is a shell's, so a block that adds to the variable does the same
//! whatever quotes, `+=` or missing lines stand above it, and it comes out again as a whole.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::facts::{BootLoader, Facts};

/// Sorts after every other drop-in; cloud images overwrite the variable in a 50-… file.
pub(crate) const DROP_IN: &str = "/etc/default/grub.d/zz-passthru.cfg";
pub(super) const DEFAULTS: &str = "/etc/default/grub";
/// The first words of what passthru writes into either.
pub(super) const BEGIN: &str = "# Written by passthru.";
const END: &str = "# End of passthru's words\n";

/// One distribution's GRUB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    directory: &'static str,
    prefix: &'static str,
    drop_ins: bool,
}

impl Layout {
    pub(super) fn of(facts: &Facts) -> Self {
        let two = facts.boot.loader.is(&BootLoader::Grub2);
        Self {
            directory: if two { "/boot/grub2" } else { "/boot/grub" },
            prefix: if two { "grub2" } else { "grub" },
            // Only Debian's grub-mkconfig is known to.
            drop_ins: facts.boot.grub_dropins.is(&true),
        }
    }

    /// `grub-mkconfig` or `grub2-mkconfig` for `mkconfig`.
    pub(super) fn tool(self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The menu that boots.
    pub(super) fn config(self) -> String {
        format!("{}/grub.cfg", self.directory)
    }

    /// grub-mkconfig overwrites its target in place, and a power cut there would leave half a menu.
    pub(super) fn staged(self) -> String {
        format!("{}/grub.cfg.passthru", self.directory)
    }

    /// Read by the menu at boot.
    pub(super) fn custom(self) -> String {
        format!("{}/custom.cfg", self.directory)
    }

    pub(super) fn environment(self) -> String {
        format!("{}/grubenv", self.directory)
    }

    /// The file that holds passthru's words.
    pub(super) const fn own_path(self) -> &'static str {
        if self.drop_ins { DROP_IN } else { DEFAULTS }
    }

    /// The file's text with `own` in it; `others` is what stands there beside it.
    pub(super) fn with_own(self, others: &str, own: &str) -> String {
        if self.drop_ins {
            return own.to_owned();
        }
        let line_end = if others.is_empty() || others.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{others}{line_end}{own}{END}")
    }
}

/// What passthru has written into GRUB's defaults.
pub(crate) fn own_text(facts: &Facts) -> Option<&str> {
    if Layout::of(facts).drop_ins {
        return facts.text(DROP_IN);
    }
    let text = facts.text(DEFAULTS)?;
    let start = begin(text)?;
    let end = text[start..].find(END).map_or(text.len(), |at| start + at);
    Some(&text[start..end])
}

/// GRUB's defaults and their drop-ins in the order they are read, without what passthru wrote.
pub(super) fn foreign_texts(facts: &Facts) -> Vec<(String, String)> {
    super::grub::sources(facts)
        .into_iter()
        .filter(|path| path != DROP_IN)
        .filter_map(|path| {
            let text = facts.text(&path)?;
            let text = if path == DEFAULTS {
                others(text)
            } else {
                text.to_string()
            };
            Some((path, text))
        })
        .collect()
}

fn begin(text: &str) -> Option<usize> {
    if text.starts_with(BEGIN) {
        return Some(0);
    }
    Some(text.find(&format!("\n{BEGIN}"))? + 1)
}

/// The text without passthru's block.
fn others(text: &str) -> String {
    let Some(start) = begin(text) else {
        return text.into();
    };
    let after = text[start..].find(END).map(|at| start + at + END.len());
    format!("{}{}", &text[..start], &text[after.unwrap_or(text.len())..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{merge, shell};
    use proptest::prelude::*;

    const BLOCK: Layout = Layout {
        directory: "/boot/grub",
        prefix: "grub",
        drop_ins: false,
    };

    fn own(words: &str) -> String {
        format!(
            "{BEGIN} And so on.\nexport PASSTHRU_WITHOUT=\"$GRUB_CMDLINE_LINUX_DEFAULT\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT {words}\"\n"
        )
    }

    #[test]
    fn whatever_stands_above_the_words_are_added() {
        for (above, expected) in [
            ("GRUB_CMDLINE_LINUX_DEFAULT='a b'\n", "a b w=1"),
            (
                "GRUB_CMDLINE_LINUX_DEFAULT=\"a\"\nGRUB_CMDLINE_LINUX_DEFAULT+=\" b\"",
                "a b w=1",
            ),
            ("export GRUB_CMDLINE_LINUX_DEFAULT=\"a \\\nb\"\n", "a b w=1"),
            ("#GRUB_CMDLINE_LINUX_DEFAULT=a\n", " w=1"),
            ("", " w=1"),
        ] {
            let text = BLOCK.with_own(above, &own("w=1"));
            let values = shell::evaluate([text.as_str()]);
            let value = values["GRUB_CMDLINE_LINUX_DEFAULT"].as_deref();
            assert_eq!(value, Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_block_comes_out_again(text in "([A-Z]{1,3}=['\"]?[a-z ]{0,5}['\"]?|# x|\n){0,8}", more in "(\nX=1|\n# y){0,2}") {
            let with = BLOCK.with_own(&text, &own("w=1"));
            let above = others(&with);
            prop_assert_eq!(above.trim_end_matches('\n'), text.trim_end_matches('\n'));
            prop_assert_eq!(BLOCK.with_own(&others(&with), &own("w=1")), with.clone());
            prop_assert_eq!(merge::take_back(&text, &with, &with).text, text.clone());
            // Lines that somebody adds later stay when the block goes.
            if text.ends_with('\n') {
                let later = format!("{with}{more}");
                prop_assert_eq!(merge::take_back(&text, &with, &later).text, format!("{text}{more}"));
            }
        }
    }
}
