//! Whether a command did what it was run for: tools exit with 0 and leave half a file, or skip a
//! module they do not find. So what they made is opened and looked into.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use passthru_plan::{Expect, Output};

use crate::root::Root;

/// Reads what commands produce.
pub trait Inspect: Debug {
    /// What the initramfs at `path` holds: all entries, and the bytes of those of `wanted` that
    /// are in it.
    ///
    /// # Errors
    /// If it cannot be read as an initramfs; why, in words.
    fn image(&self, root: &Root, path: &str, wanted: &[&str]) -> Result<ImageContents, String>;

    /// What is wrong with a GRUB configuration in which every normal Linux entry should carry
    /// `words` and no other entry any of them; empty if nothing is.
    ///
    /// # Errors
    /// If it cannot be read as a GRUB configuration; why, in words.
    fn grub_words(&self, config: &str, words: &[String]) -> Result<Vec<String>, String>;
}

/// What is in an initramfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageContents {
    /// Paths without a leading slash.
    pub entries: BTreeSet<String>,
    /// Bytes by path.
    pub texts: BTreeMap<String, Vec<u8>>,
}

/// What of `expect` does not hold, one statement each.
pub(super) fn unmet(
    root: &Root,
    inspect: &dyn Inspect,
    expect: &Expect,
    outputs: &[Output],
) -> Vec<String> {
    let path = subject(expect, outputs);
    let unreadable = |why: String| vec![format!("{} cannot be checked: {why}", path)];
    match expect {
        Expect::Image { entries, texts, .. } => {
            let wanted: Vec<&str> = texts.iter().map(|(path, _)| path.as_str()).collect();
            match inspect.image(root, path, &wanted) {
                Ok(contents) => image(&contents, entries, texts)
                    .into_iter()
                    .map(|lack| format!("{path} {lack}"))
                    .collect(),
                Err(why) => unreadable(why),
            }
        }
        Expect::GrubWords { words, .. } => {
            let config = match root.text(path) {
                Ok(config) => config,
                Err(e) => return vec![e.to_string()],
            };
            match inspect.grub_words(&config, words) {
                Ok(wrong) => wrong.iter().map(|w| format!("{path}: {w}")).collect(),
                Err(why) => unreadable(why),
            }
        }
    }
}

/// The file an expectation is about: the staged one while it is staged.
pub(super) fn subject<'a>(expect: &'a Expect, outputs: &'a [Output]) -> &'a str {
    let (Expect::Image { path, .. } | Expect::GrubWords { path, .. }) = expect;
    outputs
        .iter()
        .find(|output| output.path == *path)
        .and_then(|output| output.staged.as_deref())
        .unwrap_or(path)
}

fn image(contents: &ImageContents, entries: &[String], texts: &[(String, String)]) -> Vec<String> {
    let mut lacks = Vec::new();
    for entry in entries {
        if !entry.split('|').any(|one| has(&contents.entries, one)) {
            lacks.push(format!("does not hold {}", entry.replace('|', " or ")));
        }
    }
    for (path, text) in texts {
        match contents.texts.get(path) {
            Some(bytes) if bytes == text.as_bytes() => {}
            Some(_) => lacks.push(format!("holds another {path} than was written")),
            None => lacks.push(format!("does not hold {path}")),
        }
    }
    lacks
}

/// A final `*` matches any rest. The set is ordered, so a prefix is one look-up.
fn has(entries: &BTreeSet<String>, entry: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => entries
            .range(start.to_owned()..)
            .next()
            .is_some_and(|found| found.starts_with(start)),
        None => entries.contains(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> ImageContents {
        ImageContents {
            entries: ["conf/a", "lib/modules/6.1/vfio-pci.ko.xz"]
                .map(String::from)
                .into(),
            texts: [("conf/a".to_owned(), b"text".to_vec())].into(),
        }
    }

    #[test]
    fn what_is_there_is_found() {
        let entries = [
            "conf/a".to_owned(),
            "lib/modules/6.1/vfio-pci.ko*".to_owned(),
            "usr/lib/vfio|lib/modules/6.1/vfio-pci.ko.xz".to_owned(),
        ];
        let texts = [("conf/a".to_owned(), "text".to_owned())];
        assert_eq!(image(&contents(), &entries, &texts), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_named() {
        let entries = ["conf/b|conf/c".to_owned(), "conf/a/*".to_owned()];
        let texts = [
            ("conf/a".to_owned(), "other".to_owned()),
            ("conf/d".to_owned(), String::new()),
        ];
        assert_eq!(
            image(&contents(), &entries, &texts),
            [
                "does not hold conf/b or conf/c",
                "does not hold conf/a/*",
                "holds another conf/a than was written",
                "does not hold conf/d",
            ]
        );
    }
}
