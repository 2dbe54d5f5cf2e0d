//! The descriptors of firmware for QEMU on the host.

use std::collections::BTreeMap;

use passthru_plan::guest::firmware::Descriptor;

use crate::root::Root;

/// Those of packages, and those of the administrator, which take the place of one of the same name
/// (QEMU's docs/interop/firmware.json).
const DIRECTORIES: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// The descriptors in their order, which is that of their names. An empty file takes one away; what
/// is no descriptor is skipped.
pub fn descriptors(root: &Root) -> Vec<Descriptor> {
    let mut texts = BTreeMap::new();
    for directory in DIRECTORIES {
        for name in root.list(directory).unwrap_or_default() {
            if name.ends_with(".json")
                && let Ok(text) = root.text(&format!("{directory}/{name}"))
            {
                texts.insert(name, text);
            }
        }
    }
    texts
        .values()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_take_the_place_of_the_packages() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let with = |feature: &str| format!("{{\"features\":[\"{feature}\"],\"tags\":[]}}");
        write("usr/share/qemu/firmware/50-b.json", &with("b"));
        write("usr/share/qemu/firmware/40-a.json", &with("a"));
        write("usr/share/qemu/firmware/60-c.json", &with("c"));
        write("usr/share/qemu/firmware/70-d.json", "no JSON");
        write("etc/qemu/firmware/40-a.json", &with("mine"));
        write("etc/qemu/firmware/60-c.json", "");
        let root = Root::open(dir.path()).unwrap();
        let wanted: Vec<Descriptor> = ["mine", "b"]
            .map(|feature| serde_json::from_str(&with(feature)).unwrap())
            .into();
        assert_eq!(descriptors(&root), wanted);
    }
}
