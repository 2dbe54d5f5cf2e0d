//! What AppArmor has to be told before a guest of libvirt can read a ROM. libvirt itself lets a guest
//! read its disks, but not a `<rom file=…/>` (virt-aa-helper.c).

use crate::root::Root;

/// What libvirt's AppArmor profiles of guests take in.
const ABSTRACTION: &str = "/etc/apparmor.d/abstractions/libvirt-qemu";
/// Taken in by that one, and no package's.
const LOCAL: &str = "/etc/apparmor.d/local/abstractions/libvirt-qemu";

/// A rule that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppArmorRule {
    /// The file, made if it is missing.
    pub file: &'static str,
    /// The line.
    pub rule: String,
}

/// The rule that is missing for what `rom dump --install` puts into passthru's directory; `None` if
/// AppArmor is off, libvirt brought no profile, or the rule is there.
pub fn apparmor_rule(root: &Root) -> Option<AppArmorRule> {
    let rule = format!("{}/*.rom r,", super::DIRECTORY);
    let there = root.text(LOCAL).unwrap_or_default();
    let there = there.lines().any(|line| line.trim() == rule);
    (confined(root) && !there).then_some(AppArmorRule { file: LOCAL, rule })
}

/// The rule without which a guest cannot read the ROM in the file at `path`; `None` if none is missing,
/// or that cannot be told.
pub fn closed_by_apparmor(root: &Root, path: &str) -> Option<AppArmorRule> {
    if !confined(root) {
        return None;
    }
    // Without the profile nothing can be said.
    let mut rules = root.text(ABSTRACTION).ok()?;
    rules.push('\n');
    rules.push_str(&root.text(LOCAL).unwrap_or_default());
    let open = rules.lines().any(|line| allows(line, path));
    (!open).then(|| AppArmorRule {
        file: LOCAL,
        rule: if path.contains(|c: char| c.is_whitespace() || "\"*?[]{}^@,#\\".contains(c)) {
            format!("\"{path}\" r,")
        } else {
            format!("{path} r,")
        },
    })
}

fn confined(root: &Root) -> bool {
    let on = root.attribute("/sys/module/apparmor/parameters/enabled");
    on.as_deref() == Some("Y") && root.exists(ABSTRACTION)
}

/// A line of a profile lets the file be read: `/usr/share/kvm/** r,` (apparmor.d(5)).
fn allows(line: &str, path: &str) -> bool {
    let line = line.trim();
    let Some((pattern, rights)) = line.trim_end_matches(',').rsplit_once(char::is_whitespace)
    else {
        return false;
    };
    let pattern = pattern.trim().trim_matches('"');
    rights.contains('r') && pattern.starts_with('/') && matches(pattern.as_bytes(), path.as_bytes())
}

/// `*` is anything but a slash, `**` anything.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
            (0..=end).any(|at| matches(rest, &text[at..]))
        }
        [one, rest @ ..] => text.first() == Some(one) && matches(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_patterns() {
        assert!(allows("  /usr/share/kvm/** r,", "/usr/share/kvm/a/b.rom"));
        assert!(allows(
            "/var/lib/passthru/vbios/*.rom rk,",
            "/var/lib/passthru/vbios/a.rom"
        ));
        assert!(!allows("/var/lib/*.rom r,", "/var/lib/passthru/a.rom"));
        assert!(!allows("/a.rom w,", "/a.rom") && !allows("# /a.rom r,", "/a.rom"));
        assert!(allows("\"/a b.rom\" r,", "/a b.rom") && !allows("/a.rom r,", "/a.romx"));
        assert!(!allows("capability r,", "/a.rom"));
    }

    #[test]
    fn a_rom_outside_needs_a_rule_where_guests_are_confined() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "etc/apparmor.d/abstractions/libvirt-qemu",
            "  /usr/share/kvm/** r,\n",
        );
        let root = Root::open(dir.path()).unwrap();
        let rule = |path| closed_by_apparmor(&root, path).map(|rule| rule.rule);
        assert_eq!(rule("/srv/a.rom"), None, "AppArmor is off");
        write("sys/module/apparmor/parameters/enabled", "Y\n");
        assert_eq!(rule("/srv/a.rom").as_deref(), Some("/srv/a.rom r,"));
        assert_eq!(rule("/srv/a b.rom").as_deref(), Some("\"/srv/a b.rom\" r,"));
        assert_eq!(rule("/usr/share/kvm/a.rom"), None);
        write(
            "etc/apparmor.d/local/abstractions/libvirt-qemu",
            "/srv/a.rom r,\n",
        );
        assert_eq!(rule("/srv/a.rom"), None);
    }
}
