//! booster: it loads vfio-pci before it looks at any device, with the parameters of the kernel command
//! line (booster's init/main.go, init/cmdline.go). It runs no scripts, so functions that ids cannot
//! express are refused.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{File, Recipe, WHY_MODULES, check_compression, images};
use crate::{
    plan::{BoundFunction, Method},
    rules::Draft,
};

const CONFIG: &str = "/etc/booster.yaml";
const MODULES: [&str; 2] = ["vfio_pci", "vfio_iommu_type1"];
const KEY: &str = "modules_force_load:";

pub(super) fn recipe<'a>(draft: &mut Draft<'_>, bindings: &[BoundFunction]) -> Recipe<'a> {
    let text = draft.facts.text(CONFIG).unwrap_or_default();
    let compression = value(text, "compression:").map(ToString::to_string);
    check_compression(
        draft,
        compression,
        "Set compression: zstd in /etc/booster.yaml, then plan again.",
    );
    let by_address: Vec<String> = bindings
        .iter()
        .filter(|bound| bound.method == Method::ByAddress)
        .map(|bound| format!("{} ({})", bound.function.address, bound.why))
        .collect();
    if !by_address.is_empty() {
        draft.refuse(
            "binding.by-address",
            format!(
                "booster runs no scripts in the initramfs, and these functions can only be bound by one: {}.",
                by_address.join("; ")
            ),
            "Leave them to libvirt, which takes them when the guest starts (--binding static needs ids), or make the initramfs with mkinitcpio or dracut.",
        );
    }
    Recipe {
        files: vec![File {
            path: CONFIG.into(),
            text: with_modules(text),
            mode: 0o644,
            why: WHY_MODULES,
        }],
        command: images::Command {
            argv: &["/usr/lib/booster/regenerate_images"],
            family: "/boot/booster-*",
            // Modules lie in one folder there, under their names.
            modules: "usr/lib/modules/vfio_pci.ko|usr/lib/modules/vfio-pci.ko",
            texts: Vec::new(),
            more: Vec::new(),
            beside: None,
        },
    }
}

/// The value of a key at the top level, without quotes and comment.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .map(|value| {
            let value = value.split(" #").next().unwrap_or_default();
            value.trim().trim_matches(['"', '\''])
        })
}

/// The list of modules that are loaded first, with vfio-pci's at its start; the order of others, and
/// every other line, stay.
fn with_modules(text: &str) -> String {
    let listed = value(text, KEY).unwrap_or_default();
    let has = |module: &&&str| !listed.split(',').any(|word| word.trim() == **module);
    let missing: Vec<&str> = MODULES.iter().filter(has).copied().collect();
    if missing.is_empty() {
        return text.into();
    }
    let missing = missing.join(",");
    let mut after: String = String::new();
    let mut done = false;
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(KEY) {
            Some(rest) if !done => {
                done = true;
                let start = rest.len() - rest.trim_start_matches(' ').len();
                let (blanks, list) = rest.split_at(start);
                let quote = list.chars().next().filter(|c| matches!(c, '"' | '\''));
                let list = list.strip_prefix(['"', '\'']).unwrap_or(list);
                let comma = if list.trim().is_empty() { "" } else { "," };
                let blanks = if blanks.is_empty() { " " } else { blanks };
                after.push_str(KEY);
                after.push_str(blanks);
                after.extend(quote);
                after.push_str(&missing);
                after.push_str(comma);
                after.push_str(list);
            }
            _ => after.push_str(line),
        }
    }
    if !done {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(&format!("{KEY} {missing}\n"));
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_made_or_added_to_once() {
        let ours = "modules_force_load: vfio_pci,vfio_iommu_type1\n";
        assert_eq!(with_modules(""), ours);
        assert_eq!(
            with_modules("universal: true"),
            format!("universal: true\n{ours}")
        );
        assert_eq!(
            with_modules("modules_force_load: \"btrfs\" # mine\nstrip: true\n"),
            "modules_force_load: \"vfio_pci,vfio_iommu_type1,btrfs\" # mine\nstrip: true\n"
        );
        assert_eq!(
            with_modules("modules_force_load: nvme, vfio_pci\n"),
            "modules_force_load: vfio_iommu_type1,nvme, vfio_pci\n"
        );
        assert_eq!(with_modules("modules_force_load:\n"), ours);
        for text in [
            "",
            ours,
            "modules_force_load: 'a'\n",
            "x: 1\nmodules_force_load: a",
        ] {
            let once = with_modules(text);
            assert_eq!(with_modules(&once), once);
        }
    }
}
