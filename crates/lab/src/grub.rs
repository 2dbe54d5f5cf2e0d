//! Choosing the boot menu entry of the next boot.

use std::time::Duration;

use crate::agent::{Agent, quote};
use crate::base64;
use crate::error::Result;

const LIMIT: Duration = Duration::from_secs(60);
const MENU: &str = "/boot/grub/grub.cfg";
const ENVIRONMENT: &str = "/boot/grub/grubenv";

/// The way to an entry as `grub-reboot` wants it: the titles from the outermost submenu on.
pub fn entries(menu: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Titles of the open submenus; other blocks count too, for their closing brace.
    let mut open: Vec<Option<String>> = Vec::new();
    for line in menu.lines() {
        let line = line.trim();
        if !line.ends_with('{') {
            if line == "}" {
                open.pop();
            }
            continue;
        }
        if let Some(title) = title(line, "menuentry") {
            let mut path: Vec<&str> = open.iter().flatten().map(String::as_str).collect();
            path.push(&title);
            found.push(path.join(">"));
            open.push(None);
        } else {
            open.push(title(line, "submenu"));
        }
    }
    found
}

/// The quoted word after a command.
fn title(line: &str, command: &str) -> Option<String> {
    let rest = line.strip_prefix(command)?.trim_start();
    let quote = rest
        .chars()
        .next()
        .filter(|first| ['\'', '"'].contains(first))?;
    let rest = &rest[1..];
    Some(rest[..rest.find(quote)?].to_owned())
}

/// The environment block before a choice, to put it back byte by byte.
pub struct Environment(Vec<u8>);

/// The menu of a host.
pub fn menu(agent: &mut Agent) -> Result<Vec<String>> {
    Ok(entries(&agent.succeed(&format!("cat {MENU}"), LIMIT)?))
}

/// What GRUB remembers now.
pub fn environment(agent: &mut Agent) -> Result<Environment> {
    Ok(Environment(
        agent.run(&format!("cat {ENVIRONMENT}"), LIMIT)?.out,
    ))
}

/// Chooses an entry for the next boot only.
pub fn boot_once(agent: &mut Agent, entry: &str) -> Result<()> {
    agent.succeed(&format!("grub-reboot {} && sync", quote(entry)), LIMIT)?;
    Ok(())
}

impl Environment {
    /// Puts the block back: GRUB leaves an empty variable in it.
    pub fn restore(&self, agent: &mut Agent) -> Result<()> {
        let bytes = base64::encode(&self.0);
        let script = format!("echo {bytes} | base64 -d | dd of={ENVIRONMENT} conv=notrunc,fsync");
        agent.succeed(&script, LIMIT)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_entries_in_submenus() {
        let menu = "
if [ x ]; then
  set x
fi
function gfxmode {
	set gfxpayload=keep
}
menuentry 'Debian' --class debian $menuentry_id_option 'simple' {
	linux /vmlinuz
}
submenu 'Advanced options' $menuentry_id_option 'advanced' {
	menuentry 'Debian, with Linux 6' --class debian {
		linux /vmlinuz
	}
	menuentry \"Debian, with Linux 6 (recovery mode)\" {
		linux /vmlinuz single
	}
}
menuentry 'Last' {
}
";
        assert_eq!(
            entries(menu),
            [
                "Debian",
                "Advanced options>Debian, with Linux 6",
                "Advanced options>Debian, with Linux 6 (recovery mode)",
                "Last",
            ]
        );
    }
}
