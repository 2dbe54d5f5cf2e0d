//! `passthru doctor`.

use crate::support::Sample;

#[test]
fn the_sample_is_ready() {
    insta::assert_snapshot!(Sample::new().run(&["doctor"]).exits(0));
}

#[test]
#[ignore = "waits for the other half"]
fn without_an_iommu_it_is_not() {
    let sample = Sample::new();
    std::fs::remove_dir_all(sample.root().join("sys/kernel/iommu_groups")).unwrap();
    sample.remove("sys/class/iommu/ivhd0");
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
