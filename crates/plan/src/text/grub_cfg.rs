//! grub.cfg as grub-mkconfig writes it: menu entries and what they boot.

use alloc::{string::String, vec::Vec};

/// A menu entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Titles from the outermost submenu to the entry itself.
    pub titles: Vec<String>,
    /// The id after `$menuentry_id_option` or `--id`.
    pub id: Option<String>,
    /// Kernel path of the first `linux` command.
    pub kernel: Option<String>,
    /// Its arguments: the kernel command line.
    pub cmdline: String,
    /// Files of the first `initrd` command.
    pub initrd: Vec<String>,
    /// Number of the line with `menuentry`, from 1.
    pub line: usize,
}

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A normal boot of this host's Linux.
    Normal,
    /// The distribution's recovery mode.
    Recovery,
    /// passthru's own entry that boots as if passthru were not there.
    WithoutPassthru,
    /// Not made by the distribution's Linux script: firmware setup, another system, a custom entry.
    Other,
}

/// Part of the titles of the entries that boot without passthru's words.
pub const WITHOUT_TITLE: &str = "without passthru";

impl Entry {
    /// The entry's own title.
    pub fn title(&self) -> &str {
        self.titles.last().map_or("", String::as_str)
    }

    /// What it is for, by the ids that 10_linux of Debian's GRUB gives its entries; entries of
    /// other scripts (memory tests, other systems, the user's own) are nobody's business here.
    pub fn purpose(&self) -> Purpose {
        let id = self.id.as_deref().unwrap_or("");
        if self.kernel.is_none() {
            Purpose::Other
        } else if self
            .titles
            .iter()
            .any(|title| title.contains(WITHOUT_TITLE))
        {
            Purpose::WithoutPassthru
        } else if !id.starts_with("gnulinux-") {
            Purpose::Other
        } else if id.contains("-recovery-") {
            Purpose::Recovery
        } else {
            Purpose::Normal
        }
    }
}

/// The entry that GRUB starts for this `default` (GRUB's manual, "default"): numbers, titles or ids,
/// from the outermost submenu on, with `>` in between. A submenu's own id is not known here; the
/// entry's below it is enough.
pub fn by_default<'a>(entries: &'a [Entry], default: &str) -> Option<&'a Entry> {
    let mut left: Vec<&Entry> = entries.iter().collect();
    let parts: Vec<&str> = default.split('>').map(str::trim).collect();
    for (depth, part) in parts.iter().enumerate() {
        // What is in one submenu stands together.
        let mut places: Vec<Vec<&Entry>> = Vec::new();
        for entry in left {
            let title = entry.titles.get(depth)?;
            let leaf = entry.titles.len() == depth + 1;
            match places.last_mut() {
                Some(place)
                    if !leaf
                        && place[0].titles.len() > depth + 1
                        && place[0].titles[depth] == *title =>
                {
                    place.push(entry);
                }
                _ => places.push(Vec::from([entry])),
            }
        }
        let found = match part.parse::<usize>() {
            Ok(number) => places.into_iter().nth(number),
            Err(_) => places.into_iter().find(|place| {
                let leaf = place[0].titles.len() == depth + 1;
                place[0].titles[depth] == *part || leaf && place[0].id.as_deref() == Some(part)
            }),
        };
        match found {
            Some(place) if place[0].titles.len() == depth + 1 => {
                return (depth + 1 == parts.len()).then_some(place[0]);
            }
            Some(place) => left = place,
            None => {
                let last = parts.last()?;
                return entries
                    .iter()
                    .find(|entry| entry.id.as_deref() == Some(last));
            }
        }
    }
    None
}

/// The menu entries of a configuration, in order.
pub fn entries(text: &str) -> Vec<Entry> {
    // One frame for each open brace: an entry, a submenu's title, or any other block.
    enum Block {
        Entry(Entry),
        Submenu,
        Other,
    }
    let mut found = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut titles: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = split(line);
        let Some(command) = words.first() else {
            continue;
        };
        let opens = words.last().is_some_and(|word| word == "{");
        match command.as_str() {
            "menuentry" | "submenu" if opens => {
                let title = words.get(1).cloned().unwrap_or_default();
                if command == "submenu" {
                    titles.push(title);
                    blocks.push(Block::Submenu);
                } else {
                    let mut path = titles.clone();
                    path.push(title);
                    let id = words
                        .windows(2)
                        .find(|pair| {
                            matches!(
                                pair[0].as_str(),
                                "$menuentry_id_option" | "${menuentry_id_option}" | "--id"
                            )
                        })
                        .map(|pair| pair[1].clone());
                    blocks.push(Block::Entry(Entry {
                        titles: path,
                        id,
                        line: number + 1,
                        ..Entry::default()
                    }));
                }
            }
            "}" => match blocks.pop() {
                Some(Block::Entry(entry)) => found.push(entry),
                Some(Block::Submenu) => {
                    titles.pop();
                }
                Some(Block::Other) | None => {}
            },
            "linux" | "linux16" | "linuxefi" => {
                if let Some(entry) = innermost(&mut blocks)
                    && entry.kernel.is_none()
                    && let Some(kernel) = words.get(1)
                {
                    entry.kernel = Some(kernel.clone());
                    entry.cmdline = after_second_word(line).into();
                }
            }
            "initrd" | "initrd16" | "initrdefi" => {
                if let Some(entry) = innermost(&mut blocks)
                    && entry.initrd.is_empty()
                {
                    entry.initrd = words[1..].to_vec();
                }
            }
            _ if opens => blocks.push(Block::Other),
            _ => {}
        }
    }
    return found;

    fn innermost(blocks: &mut [Block]) -> Option<&mut Entry> {
        blocks.iter_mut().rev().find_map(|block| match block {
            Block::Entry(entry) => Some(entry),
            _ => None,
        })
    }
}

/// The line that opens `entry` in `text`, and the lines up to the one that closes it.
pub fn block<'a>(text: &'a str, entry: &Entry) -> Option<(&'a str, Vec<&'a str>)> {
    let mut lines = text.lines().skip(entry.line.checked_sub(1)?);
    let header = lines.next()?;
    let mut depth = 1_usize;
    let mut body = Vec::new();
    for line in lines {
        let words = split(line);
        match words.first().map(String::as_str) {
            Some("}") => depth -= 1,
            _ if words.last().is_some_and(|word| word == "{") => depth += 1,
            _ => {}
        }
        if depth == 0 {
            return Some((header, body));
        }
        body.push(line);
    }
    None
}

/// A `linux` command: what stands before its arguments (blanks, command and kernel), and these.
pub fn linux_command(line: &str) -> Option<(&str, &str)> {
    let words = split(line);
    let is_linux = matches!(words.first()?.as_str(), "linux" | "linux16" | "linuxefi");
    if !is_linux || words.len() < 2 {
        return None;
    }
    let arguments = after_second_word(line);
    let start = line.trim_end().len() - arguments.len();
    Some((&line[..start], arguments))
}

/// Options of a `menuentry` line that decide who may start it and how it looks: `--class X`,
/// `--users X`, `--unrestricted`, as they are written.
pub fn options(header: &str) -> Vec<String> {
    let words = split(header);
    let mut options = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--unrestricted" => options.push(word.clone()),
            "--class" | "--users" => {
                if let Some(value) = words.next() {
                    options.push(word.clone());
                    options.push(quoted(value));
                }
            }
            _ => {}
        }
    }
    options
}

/// A word in single quotes, as grub-mkconfig quotes titles.
pub fn quoted(word: &str) -> String {
    alloc::format!("'{}'", word.replace('\'', "'\\''"))
}

/// Words of a line of GRUB script, quotes removed.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '#' if word.is_none() => break,
            '\'' => word
                .get_or_insert_default()
                .extend(chars.by_ref().take_while(|c| *c != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(chars.next()),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn after_second_word(line: &str) -> &str {
    let blank = |c: char| c == ' ' || c == '\t';
    let rest = line.trim_start_matches(blank);
    let rest = rest
        .split_once(blank)
        .map_or("", |(_, rest)| rest)
        .trim_start_matches(blank);
    rest.split_once(blank).map_or("", |(_, rest)| rest).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_named_in_every_way() {
        let text = "menuentry 'A' --id a {\n linux /1\n}\n\
            submenu 'Advanced' $menuentry_id_option 'adv' {\n\
            menuentry 'A, new' --id a-new {\n linux /1\n}\n\
            menuentry 'A, old' --id a-old {\n linux /2\n}\n}\n\
            menuentry 'B' --id b {\n linux /3\n}\n";
        let all = entries(text);
        let title = |default| by_default(&all, default).map(Entry::title);
        for (default, wanted) in [
            ("0", "A"),
            ("1>1", "A, old"),
            ("Advanced>A, old", "A, old"),
            ("adv>a-old", "A, old"),
            ("2", "B"),
            ("b", "B"),
            ("B", "B"),
        ] {
            assert_eq!(title(default), Some(wanted), "{default}");
        }
        for none in ["saved", "1", "7", "1>7", "0>0", "", "Advanced"] {
            assert_eq!(title(none), None, "{none}");
        }
    }
    use proptest::prelude::*;

    const CFG: &str = r#"
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-6.12.48 root=UUID=1 ro  quiet
	initrd	/boot/initrd.img-6.12.48
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.12.48 (recovery mode)' $menuentry_id_option 'gnulinux-6.12.48-recovery-1' {
		linux	/boot/vmlinuz-6.12.48 root=UUID=1 ro single dis_ucode_ldr
	}
}
menuentry 'It'\''s firmware' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
"#;

    #[test]
    fn entries_with_their_submenus() {
        let found = entries(CFG);
        let seen: Vec<_> = found
            .iter()
            .map(|e| (e.titles.join(">"), e.purpose()))
            .collect();
        assert_eq!(
            seen,
            [
                ("Debian GNU/Linux".into(), Purpose::Normal),
                (
                    "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.12.48 (recovery mode)".into(),
                    Purpose::Recovery
                ),
                ("It's firmware".into(), Purpose::Other),
            ]
        );
        assert_eq!(found[0].cmdline, "root=UUID=1 ro  quiet");
        assert_eq!(found[0].initrd, ["/boot/initrd.img-6.12.48"]);
        assert_eq!(found[1].id.as_deref(), Some("gnulinux-6.12.48-recovery-1"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = entries(&text);
        }

        #[test]
        fn any_script_like_text_is_read(text in "(menuentry|submenu|linux|initrd|\\{|\\}|'|\"|\\\\|a|\n| ){0,60}") {
            for entry in entries(&text) {
                let _ = (entry.purpose(), entry.title().len());
            }
        }
    }
}
