//! `passthru doctor`.

use crate::support::Sample;

#[test]
fn the_sample_is_ready() {
    insta::assert_snapshot!(Sample::new().run(&["doctor"]).exits(0));
}

#[test]
fn without_an_iommu_it_is_not() {
    let sample = Sample::new();
    sample.without_groups();
    sample.remove("sys/firmware/acpi/tables/IVRS");
    insta::assert_snapshot!(sample.run(&["doctor"]).exits(1));
    let value = sample.run(&["doctor", "--json"]).json(1);
    assert_eq!(value["verdict"], "blocked");
}

#[test]
fn json_has_status_and_remedy() {
    let value = Sample::new().run(&["doctor", "--json"]).json(0);
    let findings = value["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        assert!(["yes", "no", "unknown"].contains(&finding["status"].as_str().unwrap()));
        assert!(["blocker", "warning", "info"].contains(&finding["severity"].as_str().unwrap()));
        assert!(finding["evidence"].is_array());
        assert!(finding.get("remedy").is_some());
    }
}
