//! `passthru generate`.

use crate::support::Sample;

#[test]
fn completions_for_every_shell() {
    let sample = Sample::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = sample.bare(&["generate", "completions", shell]).exits(0);
        assert!(text.contains("passthru") && text.contains("gpu"), "{shell}");
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
}
