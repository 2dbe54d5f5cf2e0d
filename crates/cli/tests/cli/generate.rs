//! `passthru generate`.

use crate::support::Sample;

#[test]
fn completions_for_every_shell() {
    let sample = Sample::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = sample.bare(&["generate", "completions", shell]).exits(0);
        assert!(text.contains("passthru") && text.contains("gpu"), "{shell}");
        for hidden in [
            "at-boot",
            "sample-tools",
            "write-sample",
            "reboot-sample",
            "generate",
        ] {
            assert!(!text.contains(hidden), "{shell}: {hidden}");
        }
        for shown in ["confirm", "anyway", "wait", "intent", "color", "--root"] {
            let shown = if shell == "fish" {
                shown.trim_start_matches('-')
            } else {
                shown
            };
            assert!(text.contains(shown), "{shell}: {shown}");
        }
    }
}

#[test]
fn manual_pages_for_every_command() {
    let sample = Sample::new();
    let dir = sample.dir().join("man");
    sample
        .bare(&["generate", "man", dir.to_str().unwrap()])
        .exits(0);
    for page in ["passthru.1", "passthru-apply.1", "passthru-undo.1"] {
        assert!(dir.join(page).is_file(), "{page}");
    }
    let hidden = dir.join("passthru-generate.1");
    assert!(!hidden.exists());
    for page in std::fs::read_dir(&dir).unwrap() {
        let path = page.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display();
        let title = text.lines().find(|line| line.starts_with(".TH")).unwrap();
        assert!(
            title.contains(concat!("\"passthru ", env!("CARGO_PKG_VERSION"), "\"")),
            "{title}"
        );
        for wanted in [
            "The host whose root directory is DIR",
            "The host in FILE",
            "When to use colour",
            "EXIT STATUS",
            "4  it failed, and everything is as before",
        ] {
            assert!(text.contains(wanted), "{name}: {wanted}\n{text}");
        }
    }
}

#[test]
fn the_long_help_says_what_the_exit_statuses_mean() {
    let sample = Sample::new();
    let long = sample.bare(&["--help"]).exits(0);
    assert!(
        long.contains("3  done; the host has to be rebooted"),
        "{long}"
    );
    assert!(long.contains("passthru demo"), "{long}");
    let short = sample.bare(&["-h"]).exits(0);
    assert!(!short.contains("Exit status"), "{short}");
}
