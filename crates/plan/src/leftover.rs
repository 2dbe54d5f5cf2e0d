//! What undo cannot put back: boot entries that came after the transaction and took its words over
//! from the configuration that it had changed. Undo restores what was saved, and never saw these.

use alloc::{format, string::String, vec::Vec};

use crate::{
    facts::{BootEntry, BootLoader, Facts},
    remedy,
    text::kargs,
};

/// Each entry that still has passthru's own words, with what takes `words` (all that the transaction
/// had added) off it: a sentence for its owner.
pub fn entries(facts: &Facts, words: &[String]) -> Vec<String> {
    let left = |entry: &BootEntry| {
        let options = entry.options.value()?;
        let own = kargs::words(options).any(|word| word.name().starts_with("passthru."));
        if entry.is_passthrus() || !own {
            return None;
        }
        let there: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| kargs::has_word(options, word))
            .collect();
        (!there.is_empty()).then(|| sentence(facts, entry, &there.join(" ")))
    };
    facts.boot.entries.iter().filter_map(left).collect()
}

fn sentence(facts: &Facts, entry: &BootEntry, words: &str) -> String {
    let path = &entry.path;
    let how = if facts.boot.loader.is(&BootLoader::GrubBls) {
        format!("sudo grubby --update-kernel=ALL --remove-args=\"{words}\"")
    } else if entry.unified {
        let version = entry.version.as_deref().unwrap_or("VERSION");
        match remedy::unified_command(facts) {
            Some(remedy::BY_KERNEL_INSTALL) | None => format!(
                "sudo kernel-install add {version} /usr/lib/modules/{version}/vmlinuz makes it anew"
            ),
            Some(command) => format!("{command} makes it anew"),
        }
    } else {
        format!("take them out of its line \"options\" with an editor: {words}")
    };
    format!("{path} came after it and still has its words; {how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Measured;

    #[test]
    fn entries_that_came_later_are_named_with_the_way_out() {
        let entry = |name: &str, options: &str| BootEntry {
            path: format!("/boot/loader/entries/{name}.conf"),
            id: format!("{name}.conf"),
            unified: false,
            title: None,
            version: Some("6.17".into()),
            sort_key: None,
            machine_id: None,
            linux: None,
            initrds: Vec::new(),
            options: Measured::Value(options.into()),
        };
        let mut facts = Facts::default();
        facts.boot.loader = Measured::Value(BootLoader::GrubBls);
        facts.boot.entries = Vec::from([
            entry("old", "root=UUID=1 ro intel_iommu=on"),
            entry("new", "root=UUID=1 ro intel_iommu=on passthru.load=1"),
            entry("passthru-without", "root=UUID=1 passthru.load=1"),
        ]);
        let words = ["passthru.load=1", "intel_iommu=on", "hugepages=16"].map(String::from);
        let said = entries(&facts, &words);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("/boot/loader/entries/new.conf "));
        assert!(said[0].contains("--remove-args=\"passthru.load=1 intel_iommu=on\""));
        facts.boot.loader = Measured::Value(BootLoader::SystemdBoot);
        assert!(entries(&facts, &words)[0].contains("\"options\""));
        assert_eq!(entries(&facts, &[]).len(), 0);
    }
}
