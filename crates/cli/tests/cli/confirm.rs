//! `passthru confirm`.

use crate::support::Sample;

#[test]
fn there_are_no_trials_yet() {
    let sample = Sample::new();
    let said = sample.run(&["confirm"]).exits(0);
    assert!(said.starts_with("Nothing to confirm"), "{said}");
    assert!(sample.run(&["confirm", "--json"]).json(0)["trial"].is_null());
}
