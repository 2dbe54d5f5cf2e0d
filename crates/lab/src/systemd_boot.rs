//! systemd-boot's menu, and the EFI variables that choose from it.

use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, quote};
use crate::error::{Context as _, Result};
use crate::menu::Entry;
use crate::{bail, ensure};

const LIMIT: Duration = Duration::from_secs(60);

/// Where the kernel shows the loader's variables, and what their names end with.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Choices that must not outlive a scenario.
const CHOICES: [&str; 4] = [
    "LoaderEntryOneShot",
    "LoaderEntryDefault",
    "LoaderConfigTimeout",
    "LoaderConfigTimeoutOneShot",
];

/// The menu of a host, without what the loader itself adds.
pub fn menu(agent: &mut Agent) -> Result<Vec<Entry>> {
    entries(&agent.succeed("bootctl list --json=short", LIMIT)?)
}

fn entries(json: &str) -> Result<Vec<Entry>> {
    let all: Value =
        serde_json::from_str(json).context(|| format!("bootctl list wrote no JSON: {json}"))?;
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    Ok(all
        .as_array()
        .ok_or("bootctl list wrote no list")?
        .iter()
        .filter(|entry| ["type1", "type2"].contains(&word(entry, "type").as_str()))
        .map(|entry| Entry {
            id: word(entry, "id"),
            title: word(entry, "showTitle"),
            running: entry["isSelected"] == true,
        })
        .collect())
}

/// Chooses an entry for the next boot only.
pub fn boot_once(agent: &mut Agent, id: &str) -> Result<()> {
    agent.succeed(&format!("bootctl set-oneshot {}", quote(id)), LIMIT)?;
    Ok(())
}

/// Fails unless this boot is of that entry.
pub fn must_have_booted(agent: &mut Agent, id: &str) -> Result<()> {
    // These files cannot be sought in; the first four bytes are attributes.
    let script = format!("cat {VARIABLES}/LoaderEntrySelected-{VENDOR} | tail -c +5 | tr -d '\\0'");
    let selected = agent.succeed(&script, LIMIT)?;
    ensure!(
        selected.eq_ignore_ascii_case(id),
        "systemd-boot started {selected:?} instead of {id:?}"
    );
    Ok(())
}

/// Fails if anything chooses the entry of a later boot.
pub fn must_choose_nothing(agent: &mut Agent) -> Result<()> {
    let names = CHOICES.map(|name| format!("{VARIABLES}/{name}-{VENDOR}"));
    let script = format!("[ -d {VARIABLES} ] && ls -d {} 2>&- || :", names.join(" "));
    let found = agent.succeed(&script, LIMIT)?;
    if !found.trim().is_empty() {
        bail!("a choice of the boot menu is left: {}", found.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_of_the_host_are_listed() {
        let json = r#"[
            {"type":"type1","id":"token-6.12.conf","title":"Debian","showTitle":"Debian (6.12)","isSelected":true},
            {"type":"type2","id":"token-6.12.efi","title":"Debian","showTitle":"Debian"},
            {"type":"auto","id":"auto-reboot-to-firmware-setup","showTitle":"Firmware"}
        ]"#;
        let found = entries(json).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].id, "token-6.12.conf");
        assert_eq!(found[0].title, "Debian (6.12)");
        assert!(found[0].running && !found[1].running);
        assert!(entries("nonsense").is_err());
    }
}
