//! The sample's GRUB environment: 1024 bytes, as grub-editenv(1) and GRUB itself write them.

use std::{fs, io, path::Path};

const PLACE: &str = "boot/grub/grubenv";
const HEAD: &str = "# GRUB Environment Block\n";
const SIZE: usize = 1024;

/// An environment block with these `name=value` lines.
pub(super) fn block(lines: &[String]) -> String {
    let mut text = String::from(HEAD);
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let rest = SIZE.saturating_sub(text.len());
    text + &"#".repeat(rest)
}

/// Sets `name`, or takes it out.
pub(super) fn set(root: &Path, name: &str, value: Option<&str>) -> io::Result<()> {
    let text = fs::read_to_string(root.join(PLACE))?;
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with(&format!("{name}=")))
        .map(str::to_owned)
        .collect();
    lines.extend(value.map(|value| format!("{name}={value}")));
    fs::write(root.join(PLACE), block(&lines))
}

/// What GRUB starts once, which it clears when it does.
pub(super) fn take_one_shot(root: &Path) -> io::Result<Option<String>> {
    let text = fs::read_to_string(root.join(PLACE))?;
    let entry = passthru_plan::text::grubenv::get(&text, "next_entry");
    let entry = entry.filter(|entry| !entry.is_empty());
    if entry.is_some() {
        set(root, "next_entry", Some(""))?;
    }
    Ok(entry)
}
