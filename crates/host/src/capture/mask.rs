//! Replaces what names one machine or person: machine ids, UUIDs, MAC and IP addresses, host and user
//! names, serials, passwords. The same word gets the same stand-in everywhere, so that
//! `root=UUID=…` on the command line, in fstab and in grub.cfg still agree.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Node, Tree};
use crate::root::Root;

/// Hides the identity of one host.
#[derive(Debug, Default)]
pub(super) struct Masker {
    /// Stand-ins by kind and word.
    known: BTreeMap<(&'static str, String), String>,
    /// Words that were found to be names of this host or its file systems, and their kind.
    words: BTreeMap<String, &'static str>,
}

/// Tables that come from packages: the same on every machine.
fn is_package(path: &str) -> bool {
    path.starts_with("usr/lib/modules/")
        || path.starts_with("lib/modules/")
        || path.ends_with("/pci.ids")
        || path.ends_with("os-release")
}

/// Content that is never masked: those tables, and attribute files full of digits.
fn is_public(path: &str) -> bool {
    is_package(path)
        || path.starts_with("sys/bus/pci/devices/")
        || (path.starts_with("sys/devices/pci") && !path.ends_with("uevent"))
}

/// GUIDs that every machine has: the EFI and the boot loader's vendor names.
const PUBLIC_GUIDS: [&str; 2] = [
    "8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
];

impl Masker {
    /// Learns the words that only their context tells apart: host names and short file system ids.
    pub(super) fn new(root: &Root, tree: &Tree) -> Self {
        let mut masker = Self::default();
        let text = |path| root.attribute(path).unwrap_or_default();
        let release = text("/etc/os-release") + " " + &text("/usr/lib/os-release");
        let taken: BTreeSet<String> = words(&release).map(str::to_lowercase).collect();
        for path in ["/etc/hostname", "/proc/sys/kernel/hostname"] {
            let name = text(path);
            let short = name.split('.').next().unwrap_or_default().to_owned();
            for name in [name, short] {
                // A host called `debian` cannot be told from the distribution, and says nothing.
                let common = ["localhost", "linux", "none", "(none)"].contains(&name.as_str());
                if name.len() > 2 && !common && !taken.contains(&name.to_lowercase()) {
                    masker.words.insert(name, "host name");
                }
            }
        }
        for (path, node) in &tree.nodes {
            if let Node::File { bytes, .. } = node
                && !is_public(path)
            {
                let text = String::from_utf8_lossy(bytes);
                masker.learn(&text);
            }
        }
        masker
    }

    /// `UUID=1234-ABCD`, `--fs-uuid 1234-ABCD`, `by-uuid/1234-ABCD`: ids of FAT and NTFS are too
    /// short to be known by their shape.
    fn learn(&mut self, text: &str) {
        for marker in ["UUID=", "--fs-uuid ", "by-uuid/"] {
            for (at, _) in text.match_indices(marker) {
                let line = text[at + marker.len()..].lines().next().unwrap_or_default();
                // `search --fs-uuid --set=root 1234-ABCD` has options between.
                let word = line
                    .split(|c: char| c.is_whitespace() || "\"',;".contains(c))
                    .find(|word| !word.is_empty() && !word.starts_with("--"))
                    .unwrap_or_default();
                if word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
                    self.words.insert(word.to_owned(), "UUID");
                }
            }
        }
    }

    /// How many words of each kind were replaced.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (kind, _) in self.known.keys() {
            *counts.entry(*kind).or_insert(0) += 1;
        }
        counts
    }

    /// A path or a link's target.
    pub(super) fn name(&mut self, path: &str) -> String {
        if is_package(path) || path.contains("firmware/efi/efivars") {
            return path.to_owned();
        }
        let path = after(path, "home/", |name| self.stand_in("user name", name));
        let path = self.disk_ids(&path);
        self.words(&path)
    }

    /// The content of the file at `path`.
    pub(super) fn content(&mut self, path: &str, bytes: &[u8]) -> Vec<u8> {
        if is_public(path) {
            return bytes.to_vec();
        }
        // Text that is not UTF-8 holds no words of the shapes below (EFI variables are UTF-16).
        let Ok(text) = std::str::from_utf8(bytes) else {
            return bytes.to_vec();
        };
        let routes = path.ends_with("net/route");
        let routes_v6 = path.ends_with("net/ipv6_route");
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let line = if routes {
                self.route(line)
            } else if routes_v6 {
                self.route_v6(line)
            } else {
                self.secrets(line)
            };
            if routes || routes_v6 {
                out.push_str(&line);
            } else {
                out.push_str(&self.words(&line));
            }
        }
        out.into_bytes()
    }

    /// The stand-in of a word: the same for the same word, in order of appearance.
    fn stand_in(&mut self, kind: &'static str, word: &str) -> String {
        // What is a stand-in already stays: a capture of a capture is the same.
        if let Some(known) = self.known.get(&(kind, word.to_lowercase())) {
            return known.clone();
        }
        let number = 1 + self
            .known
            .keys()
            .filter(|(other, _)| *other == kind)
            .count();
        let new = match kind {
            "UUID" if word.len() == 36 => format!("00000000-0000-4000-8000-{number:012x}"),
            "UUID" if word.len() == 9 => format!("0000-{number:04X}"),
            "UUID" => format!("{number:0width$X}", width = word.len()),
            "machine id" => format!("{number:032x}"),
            "MAC address" if word.starts_with("enx") => format!("enx02000000{number:04x}"),
            "IP address" if word.len() == 32 => format!("20010db8{number:024x}"),
            "MAC address" => format!(
                "02:00:00:00:{:02x}:{:02x}",
                number >> 8 & 0xff,
                number & 0xff
            ),
            // Addresses for documentation (RFC 5737, RFC 3849).
            "IP address" if word.contains(':') => format!("2001:db8::{number:x}"),
            "IP address" => format!("192.0.2.{}", number % 255),
            "host name" => format!("host{number}"),
            "user name" => format!("user{number}"),
            "LVM id" => format!("{number:0>width$}", width = word.len()),
            _ => format!("masked{number}"),
        };
        self.known.insert((kind, word.to_lowercase()), new.clone());
        new
    }

    /// The hexadecimal addresses of /proc/net/route; zeros and masks say nothing.
    fn route(&mut self, line: &str) -> String {
        let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        for field in fields.iter_mut().skip(1).take(2) {
            let number = field.len() == 8 && field.bytes().all(|b| b.is_ascii_hexdigit());
            if number && field != "00000000" {
                let known = self.stand_in("IP address", field);
                let last = known.rsplit('.').next().and_then(|n| n.parse::<u8>().ok());
                // Little endian: 192.0.2.N.
                *field = format!("{:02X}0200C0", last.unwrap_or(1));
            }
        }
        fields.join("\t")
    }

    /// The addresses of /proc/net/ipv6_route: 32 digits each.
    fn route_v6(&mut self, line: &str) -> String {
        let fields: Vec<String> = line
            .split(' ')
            .map(|field| match shape(field) {
                Some("machine id") => self.stand_in("IP address", field),
                _ => field.to_owned(),
            })
            .collect();
        fields.join(" ")
    }

    /// What a line gives away by its key.
    fn secrets(&mut self, line: &str) -> String {
        let mut line = line.to_owned();
        let body = line.trim_start().trim_start_matches('#').trim_start();
        // GRUB: `password USER PLAIN` and `password_pbkdf2 USER HASH`.
        if let Some(rest) = body.strip_prefix("password") {
            let mut words = rest.trim_start_matches("_pbkdf2").split_whitespace();
            if rest.starts_with([' ', '\t', '_'])
                && let (Some(_), Some(secret)) = (words.next(), words.next())
            {
                line = line.replace(secret, "masked");
            }
        }
        for key in [
            "password",
            "passwd",
            "passphrase",
            "secret",
            "username",
            "pass",
        ] {
            line = value_of(&line, key, |value| self.stand_in("secret", value));
        }
        for key in ["serial", "Uniq"] {
            line = value_of(&line, key, |value| {
                // The console's `serial --unit=0` and `console serial` are no numbers of a device.
                let digits = value.bytes().filter(u8::is_ascii_digit).count();
                if digits >= 4 && !value.contains(':') {
                    self.stand_in("serial", value)
                } else {
                    value.to_owned()
                }
            });
        }
        line = after(&line, "/home/", |name| self.stand_in("user name", name));
        line = self.properties(&line);
        self.disk_ids(&line)
    }

    /// A property of udev's database that names one piece of hardware (`E:ID_SERIAL_SHORT=…`).
    fn properties(&mut self, line: &str) -> String {
        let found = line
            .strip_prefix("E:")
            .and_then(|rest| rest.trim_end_matches('\n').split_once('='));
        match found {
            Some((key, value))
                if !value.is_empty() && ["SERIAL", "WWN"].iter().any(|word| key.contains(word)) =>
            {
                format!("E:{key}={}\n", self.serial(value))
            }
            _ => line.to_owned(),
        }
    }

    /// `nvme-VENDOR_MODEL_SERIAL`: only the kind of the name is kept, and which partition it is.
    fn disk_ids(&mut self, text: &str) -> String {
        const KINDS: [&str; 8] = [
            "dm-name-",
            "dm-uuid-",
            "lvm-pv-uuid-",
            "md-name-",
            "md-uuid-",
            "nvme-eui.",
            "nvme-nvme.",
            "nvme-uuid.",
        ];
        after(text, "disk/by-id/", |name| {
            let (disk, part) = match name.rsplit_once("-part") {
                Some((disk, number)) if number.parse::<u32>().is_ok() => {
                    (disk, format!("-part{number}"))
                }
                _ => (name, String::new()),
            };
            let kind = match KINDS.iter().find(|kind| disk.starts_with(**kind)) {
                Some(kind) => (*kind).to_owned(),
                None => format!("{}-", disk.split(['-', '_']).next().unwrap_or_default()),
            };
            let own = disk.strip_prefix(&kind).unwrap_or(disk);
            format!("{kind}{}{part}", self.serial(own))
        })
    }

    /// The stand-in of a serial number; a stand-in stays.
    fn serial(&mut self, word: &str) -> String {
        match word.strip_prefix("masked") {
            Some(number) if number.parse::<usize>().is_ok() => word.to_owned(),
            _ => self.stand_in("serial", word),
        }
    }

    /// Words that are known, or known by their shape.
    fn words(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.');
            if !inside(first) {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            out.push_str(&self.token(token));
            rest = after;
        }
        out
    }

    /// A run of letters, digits, `-`, `:` and `.`.
    fn token(&mut self, token: &str) -> String {
        let bare = token.trim_end_matches(['.', ':']);
        let tail = &token[bare.len()..];
        if bare.is_empty() {
            return token.to_owned();
        }
        if let Some(kind) = shape(bare) {
            return self.stand_in(kind, bare) + tail;
        }
        if let Some(&kind) = self.words.get(bare) {
            return self.stand_in(kind, bare) + tail;
        }
        // Ids inside longer words: `luks-UUID`, `CRYPT-LUKS2-MACHINEID-name`, `host-vg`, `addr:port`.
        let mut out = String::new();
        let mut rest = bare;
        while !rest.is_empty() {
            let found = [36, 17, 32, 9, 64]
                .into_iter()
                .find_map(|length| {
                    let word = rest.get(..length)?;
                    let next = rest[length..].chars().next();
                    let closed = next.is_none_or(|c| !c.is_ascii_alphanumeric());
                    let kind = shape(word).or_else(|| self.words.get(word).copied())?;
                    closed.then_some((length, kind))
                })
                .or_else(|| {
                    let length = rest
                        .find(|c: char| !c.is_ascii_alphanumeric())
                        .unwrap_or(rest.len());
                    let kind = self.words.get(&rest[..length]).copied()?;
                    Some((length, kind))
                });
            if let Some((length, kind)) = found {
                let word = rest[..length].to_owned();
                out.push_str(&self.stand_in(kind, &word));
                rest = &rest[length..];
            } else {
                let length = rest
                    .find(|c: char| !c.is_ascii_alphanumeric())
                    .map_or(rest.len(), |at| at + 1);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
        // `192.168.1.2:8080`, `192.168.1.2:10.0.0.1:…` of an `ip=` parameter.
        let parts: Vec<String> = out
            .split(':')
            .map(|part| match shape(part) {
                Some(kind @ "IP address") => self.stand_in(kind, part),
                _ => part.to_owned(),
            })
            .collect();
        parts.join(":") + tail
    }
}

/// What a word is, by its shape alone.
fn shape(word: &str) -> Option<&'static str> {
    let bytes = word.as_bytes();
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
    let groups = |lengths: &[usize], separator: char| {
        let mut parts = word.split(separator);
        lengths
            .iter()
            .all(|&length| parts.next().is_some_and(|p| p.len() == length && hex(p)))
            && parts.next().is_none()
    };
    if bytes.len() == 36 && groups(&[8, 4, 4, 4, 12], '-') {
        let public = PUBLIC_GUIDS.contains(&word.to_ascii_lowercase().as_str());
        return (!public).then_some("UUID");
    }
    if bytes.len() == 17 && groups(&[2; 6], ':') {
        return (word != "00:00:00:00:00:00").then_some("MAC address");
    }
    // systemd names interfaces without a stable place by their address.
    if bytes.len() == 15 && word.strip_prefix("enx").is_some_and(hex) {
        return Some("MAC address");
    }
    // A number of 32 digits that is zero is an IPv6 address that says nothing.
    if bytes.len() == 32 && hex(word) {
        return word.bytes().any(|b| b != b'0').then_some("machine id");
    }
    if bytes.len() == 64 && bytes.iter().all(u8::is_ascii_alphanumeric) {
        return Some("LVM id");
    }
    let parts: Vec<&str> = word.split('.').collect();
    if let [a, _, _, d] = parts[..]
        && parts.iter().all(|part| part.parse::<u8>().is_ok())
    {
        let plain = word == "0.0.0.0" || a == "127" || a == "255" || (a == "192" && d == "0");
        return (!plain).then_some("IP address");
    }
    let colons = word.matches(':').count();
    if (word.contains("::") && word.len() > 3 || colons == 7)
        && colons >= 2
        && word
            .split(':')
            .all(|part| part.len() <= 4 && (part.is_empty() || hex(part)))
    {
        return Some("IP address");
    }
    None
}

/// Letters and digits in a row.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Replaces the word behind each `marker`, up to a blank, a quote, a comma or a slash.
fn after(text: &str, marker: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(marker) {
        let (before, found) = rest.split_at(at + marker.len());
        out.push_str(before);
        let end = found
            .find(|c: char| c.is_whitespace() || "/\"',:;".contains(c))
            .unwrap_or(found.len());
        if end > 0 {
            out.push_str(&replace(&found[..end]));
        }
        rest = &found[end..];
    }
    out + rest
}

/// Replaces the value of `key=value`, `key = "value"` and `key: value`; the key may be the end of a
/// longer word (`spice_password`).
fn value_of(text: &str, key: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let lower = text.to_ascii_lowercase();
    let key = key.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, _) in lower.match_indices(&key) {
        let from = at + key.len();
        if from < copied {
            continue;
        }
        let rest = &text[from..];
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let Some(value) = trimmed.strip_prefix(['=', ':']) else {
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let open = value.trim_start_matches(['"', '\'']);
        let end = open
            .find(|c: char| c.is_whitespace() || "\"',;".contains(c))
            .unwrap_or(open.len());
        if end == 0 {
            continue;
        }
        let start = text.len() - open.len();
        out.push_str(&text[copied..start]);
        out.push_str(&replace(&open[..end]));
        copied = start + end;
    }
    out + &text[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(text: &str) -> String {
        let mut masker = Masker::default();
        masker.words.insert("tower".into(), "host name");
        masker.learn(text);
        String::from_utf8(masker.content("etc/x", text.as_bytes())).unwrap()
    }

    #[test]
    fn words_that_name_a_machine() {
        for (text, expected) in [
            (
                "root=UUID=6a1f0c3e-9a52-4a3e-8a7d-0123456789ab ro",
                "root=UUID=00000000-0000-4000-8000-000000000001 ro",
            ),
            (
                "rd.luks.uuid=luks-6a1f0c3e-9a52-4a3e-8a7d-0123456789ab",
                "rd.luks.uuid=luks-00000000-0000-4000-8000-000000000001",
            ),
            ("UUID=12AB-34CD /boot/efi", "UUID=0000-0001 /boot/efi"),
            ("net/enx525400123456/carrier", "net/enx020000000001/carrier"),
            ("BOOTIF=01-52:54:00:12:34:56", "BOOTIF=01-02:00:00:00:00:01"),
            ("ip=192.168.1.2:8080", "ip=192.0.2.1:8080"),
            ("/dev/mapper/tower--vg-root", "/dev/mapper/host1--vg-root"),
            ("source /home/anna/vm.rom", "source /home/user1/vm.rom"),
            (
                "spice_password = \"hunter2\"",
                "spice_password = \"masked1\"",
            ),
            (
                "password_pbkdf2 root grub.pbkdf2.sha512.1.AB",
                "password_pbkdf2 root masked",
            ),
            (
                "/dev/disk/by-id/nvme-Samsung_S5GX /x",
                "/dev/disk/by-id/nvme-masked1 /x",
            ),
            (
                "S:disk/by-id/ata-X_Y_1234-part2\nS:disk/by-id/ata-X_Y_1234\nS:disk/by-id/nvme-eui.0025\n",
                "S:disk/by-id/ata-masked1-part2\nS:disk/by-id/ata-masked1\nS:disk/by-id/nvme-eui.masked2\n",
            ),
            (
                "E:ID_SERIAL=X_Y_1234\nE:ID_SERIAL_SHORT=1234\nE:ID_WWN=0x5000c500a1b2c3d4\nE:ID_MODEL=X_Y\n",
                "E:ID_SERIAL=masked1\nE:ID_SERIAL_SHORT=masked2\nE:ID_WWN=masked3\nE:ID_MODEL=X_Y\n",
            ),
            (
                "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-root",
                "CRYPT-LUKS2-00000000000000000000000000000001-root",
            ),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn words_that_facts_need() {
        for text in [
            "vfio-pci.ids=10de:1f08,10de:10f9:1043:86f0",
            "0000:01:00.0 10000:e1:00.0",
            "6.12.48+deb13-amd64 BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-amd64",
            "console=ttyS0,115200 GRUB_TERMINAL=\"console serial\"",
            "serial --unit=0 --speed=115200",
            "menuentry 'Debian GNU/Linux' --class debian {",
            "B: KEY=1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe",
            "0.0.0.0 127.0.0.1",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn the_same_word_gets_the_same_stand_in() {
        let text = masked(
            "search --no-floppy --fs-uuid --set=root 12AB-34CD\nUUID=12AB-34CD\n\
             52:54:00:12:34:56 52:54:00:12:34:57 52:54:00:12:34:56\n",
        );
        assert_eq!(
            text,
            "search --no-floppy --fs-uuid --set=root 0000-0001\nUUID=0000-0001\n\
             02:00:00:00:00:01 02:00:00:00:00:02 02:00:00:00:00:01\n"
        );
    }

    #[test]
    fn routes_keep_their_meaning() {
        let mut masker = Masker::default();
        let text = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\n";
        let out = String::from_utf8(masker.content("proc/net/route", text.as_bytes())).unwrap();
        assert_eq!(
            out,
            "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\n"
        );
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            masked(&text);
        }

        #[test]
        fn any_tokens(text in "[0-9a-f:.\\-=/ \"A-Zä]{0,80}") {
            masked(&text);
        }
    }
}
