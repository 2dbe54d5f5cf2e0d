//! The passthru command.
fn main() {}
