//! Commands that texts of these crates tell a user to type, held to the parser.

#![allow(
    clippy::disallowed_methods,
    reason = "the sources of this project are read"
)]

use std::path::{Path, PathBuf};

use clap::{CommandFactory, error::ErrorKind};

use super::Cli;

/// What only root can do: it changes the host, or reads the journal.
const ROOT: [&[&str]; 13] = [
    &["apply"],
    &["setup"],
    &["confirm"],
    &["undo"],
    &["recover"],
    &["verify"],
    &["history"],
    &["vm", "new"],
    &["vm", "edit"],
    &["vm", "start"],
    &["vm", "stop"],
    &["vm", "release"],
    &["rom", "dump"],
];

/// What a placeholder may stand for.
const VALUES: [&str; 8] = ["01:00.0", "01:00.0=/x", "16G", "2M", "2", "/x", "x", ""];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of a source text, as the program has them; tests and comments are left out.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let mut all = Vec::new();
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|&c| c != '\n').is_some() {},
            // A character, which may be a quotation mark; or a lifetime.
            '\'' => {
                if chars.next_if_eq(&'\\').is_some() {
                    chars.next();
                } else {
                    chars.next_if_eq(&'"');
                }
            }
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                            Some('n') => text.push('\n'),
                            Some(c) => text.push(c),
                            None => {}
                        },
                        c => text.push(c),
                    }
                }
                all.push(text);
            }
            _ => {}
        }
    }
    all
}

/// A command in a text.
#[derive(Debug)]
struct Said {
    sudo: bool,
    words: Vec<String>,
    /// How many of them are the verb.
    verb: usize,
    /// Prose goes on behind it: it may be the subject of a sentence.
    goes_on: bool,
}

/// Is it an option, or what stands for a value?
fn is_argument(word: &str, after_option: bool) -> bool {
    let placeholder = |c: char| c.is_uppercase() || "{/…'".contains(c);
    word.starts_with("--") && word.len() > 2
        || word.starts_with(placeholder) && !word.starts_with("Or")
        || after_option && word.starts_with(|c: char| c.is_ascii_digit())
}

fn commands(text: &str) -> Vec<Said> {
    let mut all = Vec::new();
    let places = text.match_indices("passthru ").map(|(at, _)| at);
    for at in places {
        let before = &text[..at];
        // In the head of a file that passthru wrote, whose bytes stay what they are.
        if before.ends_with(['/', '-', '.']) || before.ends_with("Taken away by: ") {
            continue;
        }
        let mut said = Said {
            sudo: before.ends_with("sudo "),
            words: Vec::new(),
            verb: 0,
            goes_on: false,
        };
        let mut command = &Cli::command();
        let line = text[at..].lines().next().unwrap_or_default();
        for word in line.split(' ').skip(1) {
            // What a sentence puts behind a word.
            let bare = word.trim_end_matches([',', ';', ':', ')', '`', '.', '?']);
            let bare = bare.split_once(';').map_or(bare, |(bare, _)| bare);
            let is_verb = said.verb == said.words.len();
            let sub = is_verb.then(|| command.find_subcommand(bare)).flatten();
            if let Some(sub) = sub {
                command = sub;
                said.verb += 1;
            } else {
                let after_option = said.words.last().is_some_and(|w| w.starts_with("--"));
                if !is_argument(bare, after_option) {
                    said.goes_on = bare.starts_with(|c: char| c.is_lowercase());
                    break;
                }
            }
            said.words.push(bare.to_owned());
            if bare.len() != word.len() {
                break;
            }
        }
        if said.verb > 0 || said.sudo {
            all.push(said);
        }
    }
    all
}

/// Some filling of its placeholders is understood.
fn is_understood(said: &Said) -> bool {
    let holes: Vec<usize> = (0..said.words.len())
        .filter(|&at| {
            let word = &said.words[at];
            !word.starts_with("--") && at >= said.verb || word.contains('{') || word.contains('=')
        })
        .collect();
    let open = said.words.iter().any(|word| word == "…");
    let subject = said.goes_on && said.words.len() == said.verb;
    (0..VALUES.len().pow(u32::try_from(holes.len()).unwrap())).any(|mut n| {
        let mut words = said.words.clone();
        for &hole in &holes {
            let value = VALUES[n % VALUES.len()];
            n /= VALUES.len();
            words[hole] = match words[hole].split_once('=') {
                Some((option, _)) if option.starts_with("--") => format!("{option}={value}"),
                _ => value.to_owned(),
            };
        }
        words.retain(|word| !word.is_empty());
        let argv = std::iter::once("passthru".to_owned()).chain(words);
        match Cli::command().try_get_matches_from(argv) {
            Ok(_) => true,
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => open || subject,
                _ => false,
            },
        }
    })
}

#[test]
fn every_command_that_is_named_can_be_typed() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    for name in ["plan", "host", "cli"] {
        files(&crates.join(name).join("src"), &mut sources);
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in sources
        .iter()
        .filter(|path| !path.ends_with("args/said.rs"))
    {
        let source = std::fs::read_to_string(path).unwrap();
        for said in literals(&source).iter().flat_map(|text| commands(text)) {
            count += 1;
            let at = path.strip_prefix(crates).unwrap().display();
            let line = said.words.join(" ");
            if !is_understood(&said) {
                wrong.push(format!("{at}: not understood: {line}"));
            }
            let verb: Vec<&str> = said.words[..said.verb].iter().map(String::as_str).collect();
            let subject = said.goes_on && said.words.len() == said.verb;
            let looks = line.contains("--dry-run") || line.contains("--help");
            if ROOT.contains(&&verb[..]) && !said.sudo && !subject && !looks {
                wrong.push(format!("{at}: needs root: {line}"));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_a_text() {
    let found = |text: &str| {
        let all = commands(text).into_iter();
        all.map(|said| (said.sudo, said.words.join(" "), is_understood(&said)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("Look (passthru devices), then: sudo passthru apply --gpu {} --hugepages 16G."),
        [
            (false, "devices".to_owned(), true),
            (true, "apply --gpu {} --hugepages 16G".to_owned(), true)
        ]
    );
    assert_eq!(found("passthru does not know it."), []);
    assert_eq!(
        found("passthru vm console, or passthru vm edit NAME --pinned"),
        [
            (false, "vm console".to_owned(), false),
            (false, "vm edit NAME --pinned".to_owned(), false)
        ]
    );
}
