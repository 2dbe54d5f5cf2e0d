//! `passthru` without a command.

use crate::support::Sample;

#[test]
fn one_screen_and_one_next_command() {
    let sample = Sample::new();
    insta::assert_snapshot!("fresh", sample.run(&[]).exits(0));
    sample.act(&["apply", "--gpu", "01:00.0"]).exits(3);
    insta::assert_snapshot!("applied", sample.run(&[]).exits(0));
    sample.reboot();
    let value = sample.run(&["--json"]).json(0);
    assert_eq!(value["state"], "done");
    assert_eq!(value["transactions"][0], 1);
}
