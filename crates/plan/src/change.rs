//! A change is data: what it touches, before and after, and why. Diff, precondition, apply, verify
//! and undo all read the same description.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One step of a plan, in the order it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A file gets a new text (or is created, or removed). Missing parent directories are made,
    /// mode 0755, and taken away again by undo if they are empty.
    Edit {
        /// Absolute path on the host.
        path: String,
        /// Text the file must have now; `None` if it must not exist.
        before: Option<String>,
        /// Text it will have; `None` if it will not exist.
        after: Option<String>,
        /// Permission bits of a file that is created; an existing file keeps its own.
        mode: u32,
        /// Why.
        why: String,
    },
    /// A file gets the bytes of another one: the kernel and the initramfs of the boot entry that
    /// stays as the way back. Missing parent directories are made as for an edit.
    Copy {
        /// Absolute path of the file that is read.
        from: String,
        /// Absolute path of the file that is made; it must not exist.
        to: String,
        /// Why.
        why: String,
    },
    /// Tools of the host make a file that belongs to the user from then on: the disk of a guest. Undo
    /// removes it while it is as it was made, and leaves it once something was written to it.
    Make {
        /// Absolute path of the file; it must not exist.
        path: String,
        /// Programs and arguments, one after the other; together they make the file.
        argv: Vec<Vec<String>>,
        /// Why.
        why: String,
    },
    /// The image of a disc (ISO 9660) with small texts is made, readable for root alone: the first
    /// settings of a guest.
    Disc {
        /// Absolute path of the image; it must not exist.
        path: String,
        /// The volume's name, by which the guest finds it.
        volume: String,
        /// Names and texts of its files.
        files: Vec<(String, String)>,
        /// Why.
        why: String,
    },
    /// A libvirt domain gets another definition (or is made, or forgotten). Both texts are what
    /// `virsh dumpxml --inactive --security-info` prints; libvirt may write the second one
    /// differently once it has it.
    Domain {
        /// The domain's name.
        name: String,
        /// Its definition now; `None` if there must be no such domain.
        before: Option<String>,
        /// Its definition afterwards; `None` if it will be forgotten.
        after: Option<String>,
        /// Why.
        why: String,
    },
    /// A tool of the host is run.
    Run {
        /// Program and arguments; no shell reads them.
        argv: Vec<String>,
        /// Program and arguments that take back what is in none of `outputs` (a variable of the
        /// firmware, the loader's environment). They may run more than once, and after the command
        /// did not.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        undo: Option<Vec<String>>,
        /// Files it writes. Their bytes are saved before, checked after, and put back by undo.
        outputs: Vec<Output>,
        /// Pattern (one `*`) of all files this command makes, also for kernels installed later: if
        /// undo finds members that are not among `outputs`, it runs the command again, or `anew`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        family: Option<String>,
        /// How undo makes one such member, where the command makes only what was there before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        anew: Option<Anew>,
        /// Undo never runs it again: what it names may be of another kernel by then.
        #[serde(skip_serializing_if = "core::ops::Not::not", default)]
        once: bool,
        /// What must hold afterwards, whatever the exit status said.
        expect: Vec<Expect>,
        /// Why.
        why: String,
    },
}

/// A file that a command writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Absolute path of the file that is live afterwards.
    pub path: String,
    /// The command writes here instead, in the same directory; after the checks have passed the
    /// file is renamed onto `path` in one step. For tools that overwrite their target in place
    /// (grub-mkconfig), where a power cut would leave half a file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub staged: Option<String>,
}

/// How one member of a family is made anew. `{}` stands for what `*` in the family stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anew {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where they write; see [`Output::staged`].
    pub staged: String,
}

impl Anew {
    /// The command and its output for `member` of `family`; `None` if it is no member.
    pub fn of(&self, family: &str, member: &str) -> Option<(Vec<String>, Output)> {
        let stem = stem(family, member)?;
        let put = |text: &String| text.replace("{}", stem);
        let output = Output {
            path: member.into(),
            staged: Some(put(&self.staged)),
        };
        Some((self.argv.iter().map(put).collect(), output))
    }
}

/// What the one `*` of `family` stands for in `member`; `None` if it is no member.
pub fn stem<'m>(family: &str, member: &'m str) -> Option<&'m str> {
    let (start, end) = family.split_once('*')?;
    member.strip_prefix(start)?.strip_suffix(end)
}

/// What must be true after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Expect {
    /// The initramfs holds these entries (a final `*` matches any rest of a path) and these texts,
    /// byte for byte.
    Image {
        /// The image.
        path: String,
        /// Paths that must be in it, without a leading slash. `|` separates alternatives.
        entries: Vec<String>,
        /// Path in the image (`|` separates alternatives) and its exact text.
        texts: Vec<(String, String)>,
    },
    /// Every normal Linux entry of the GRUB configuration carries these words, and no recovery
    /// entry and no entry titled as being without passthru carries passthru's own (`passthru.…`).
    GrubWords {
        /// The configuration that boots (the staged one is read while it is staged).
        path: String,
        /// Words, each whole.
        words: Vec<String>,
        /// Words that no normal entry may carry any more.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        absent: Vec<String>,
    },
    /// The boot entry in this file (an entry of the Boot Loader Specification, or a unified kernel
    /// image) carries these words on its kernel command line.
    EntryWords {
        /// The file.
        path: String,
        /// Words, each whole.
        words: Vec<String>,
        /// Words that it may not carry.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        absent: Vec<String>,
    },
}

impl Change {
    /// Why the change is made.
    pub fn why(&self) -> &str {
        match self {
            Self::Edit { why, .. }
            | Self::Copy { why, .. }
            | Self::Make { why, .. }
            | Self::Disc { why, .. }
            | Self::Domain { why, .. }
            | Self::Run { why, .. } => why,
        }
    }
}

/// The same changes, but where two edits of one file follow each other with nothing but edits between
/// them, they are one.
pub(crate) fn folded(changes: Vec<Change>) -> Vec<Change> {
    let mut folded: Vec<Change> = Vec::new();
    for change in changes {
        let block = folded
            .iter()
            .rposition(|earlier| !matches!(earlier, Change::Edit { .. }))
            .map_or(0, |number| number + 1);
        let same = folded[block..].iter_mut().find(|earlier| {
            matches!((&**earlier, &change), (Change::Edit { path: one, .. }, Change::Edit { path: two, .. }) if one == two)
        });
        match (same, change) {
            (
                Some(Change::Edit {
                    after: earlier,
                    why: reasons,
                    ..
                }),
                Change::Edit { after, why, .. },
            ) => {
                *earlier = after;
                reasons.push_str("; ");
                reasons.push_str(&why);
            }
            (_, change) => folded.push(change),
        }
    }
    folded
        .retain(|change| !matches!(change, Change::Edit { before, after, .. } if before == after));
    folded
}

/// What an image lacks of `entries` and `texts` (see [`Expect::Image`]): `found` are its paths,
/// `found_texts` the texts that were kept.
pub fn image_mistakes(
    entries: &[String],
    texts: &[(String, String)],
    found: &[String],
    found_texts: &alloc::collections::BTreeMap<String, String>,
) -> Vec<String> {
    use alloc::format;
    let holds = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => found.iter().any(|path| path.starts_with(start)),
        None => found.iter().any(|path| path == pattern),
    };
    let mut missing: Vec<String> = entries
        .iter()
        .filter(|alternatives| !alternatives.split('|').any(holds))
        .map(|alternatives| {
            format!(
                "{} is not in it",
                alternatives.split('|').next().unwrap_or(alternatives)
            )
        })
        .collect();
    for (paths, text) in texts {
        let mut found = paths.split('|').filter_map(|path| found_texts.get(path));
        let path = paths.split('|').next().unwrap_or(paths);
        match found.next() {
            Some(found) if found == text => {}
            Some(_) => missing.push(format!("{path} in it has another text than planned")),
            None => missing.push(format!("{path} is not in it")),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn edit(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
        Change::Edit {
            path: path.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
            mode: 0o644,
            why: after.unwrap_or("gone").into(),
        }
    }

    fn run() -> Change {
        Change::Run {
            argv: vec!["update-grub".into()],
            undo: None,
            outputs: Vec::new(),
            family: None,
            anew: None,
            once: false,
            expect: Vec::new(),
            why: String::new(),
        }
    }

    #[test]
    fn a_member_of_a_family_has_a_command_of_its_own() {
        let anew = Anew {
            argv: ["make", "/boot/{}.img.new", "{}"].map(Into::into).to_vec(),
            staged: "/boot/{}.img.new".into(),
        };
        let (argv, output) = anew.of("/boot/*.img", "/boot/6.1.img").unwrap();
        assert_eq!(argv, ["make", "/boot/6.1.img.new", "6.1"]);
        assert_eq!(output.path, "/boot/6.1.img");
        assert_eq!(output.staged.as_deref(), Some("/boot/6.1.img.new"));
        assert_eq!(anew.of("/boot/*.img", "/boot/6.1"), None);
    }

    #[test]
    fn edits_of_one_file_are_one_unless_a_command_reads_between() {
        let two = vec![
            edit("/a", Some("1"), Some("2")),
            edit("/b", None, Some("x")),
            edit("/a", Some("2"), Some("3")),
        ];
        let [
            Change::Edit {
                before, after, why, ..
            },
            other,
        ] = &folded(two)[..]
        else {
            panic!("not two edits");
        };
        assert_eq!(
            (before.as_deref(), after.as_deref()),
            (Some("1"), Some("3"))
        );
        assert_eq!(why, "2; 3");
        assert_eq!(other, &edit("/b", None, Some("x")));

        let apart = vec![
            edit("/a", None, Some("1")),
            run(),
            edit("/a", Some("1"), None),
        ];
        assert_eq!(folded(apart.clone()), apart);
        let nothing = vec![
            edit("/a", Some("1"), Some("2")),
            edit("/a", Some("2"), Some("1")),
        ];
        assert_eq!(folded(nothing), []);
    }
}
