//! `passthru recover`.

use crate::support::Sample;

#[test]
fn nothing_was_interrupted() {
    let sample = Sample::new();
    let said = sample.run(&["recover", "--sample-tools"]).exits(0);
    assert_eq!(
        said,
        "Nothing to recover: no transaction was interrupted.\n"
    );
    assert!(sample.run(&["recover", "--json"]).json(0)["recovered"].is_null());
}
