//! `passthru vm list`, `start`, `stop`, `release`, `ip` and `console`, on the sample host: its card is
//! bound at boot, its libvirt is a stand-in.

use crate::support::{Ran, Sample};

const UUID: &str = "6f5a0e4c-8a57-4a39-9d8e-3f1f4b0f8f11";

/// A guest with the sample's card, pinned, in huge pages if `pages`.
fn guest(name: &str, title: &str, features: &str, rest: &str) -> String {
    let hostdev = |function: u8| {
        format!(
            "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x{function:x}'/></source></hostdev>"
        )
    };
    let hostdevs: String = (0..4).map(hostdev).collect();
    format!(
        "<domain type='kvm'><name>{name}</name><uuid>{UUID}</uuid><title>{title}</title>\
         <memory unit='GiB'>8</memory><vcpu>4</vcpu>{rest}<features>{features}</features>\
         <cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='3'/></cputune>\
         <devices><interface type='network'><mac address='52:54:00:12:34:56'/><source network='default'/></interface>\
         <console type='pty'/>{hostdevs}</devices></domain>\n"
    )
}

fn define(sample: &Sample, name: &str, xml: &str) {
    sample.write(&format!("var/lib/sample-libvirt/{name}.xml"), xml);
}

/// The sample after its card was bound and it was rebooted.
fn bound() -> Sample {
    let sample = Sample::new();
    let apply = ["apply", "--gpu", "01:00.0", "--no-trial"];
    sample.act(&apply).exits(3);
    sample.reboot();
    sample
}

fn act(sample: &Sample, words: &[&str]) -> Ran {
    let words: Vec<&str> = words.iter().chain(&["--sample-tools"]).copied().collect();
    sample.run(&words)
}

/// What isolation needs of a host.
fn with_cgroups(sample: &Sample) {
    sample.write("run/systemd/system/x", "");
    sample.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n");
}

const POOL: &str = "sys/devices/system/node/node0/hugepages/hugepages-2048kB";

/// Pages that nobody takes: all of them are free.
fn with_pool(sample: &Sample, pages: u64) {
    sample.write(&format!("{POOL}/nr_hugepages"), &format!("{pages}\n"));
    let free = sample.root().join(format!("{POOL}/free_hugepages"));
    std::fs::remove_file(&free).unwrap();
    std::os::unix::fs::symlink("nr_hugepages", free).unwrap();
}

#[test]
fn a_guest_starts_is_reached_and_stops() {
    let sample = bound();
    define(&sample, "gaming", &guest("gaming", "", "<acpi/>", ""));
    let mut text = act(&sample, &["vm", "list"]).exits(0);
    for words in [
        &["vm", "start", "gaming", "--wait", "5"][..],
        &["vm", "list"],
        &["vm", "start", "gaming"],
        &["vm", "ip", "gaming"],
        &["vm", "release", "gaming"],
        &["vm", "stop", "gaming"],
        &["vm", "stop", "gaming"],
    ] {
        let status = i32::from(words[1] == "release");
        text.push_str(&format!("\n$ passthru {}\n", words.join(" ")));
        text.push_str(&act(&sample, words).exits(status));
    }
    insta::assert_snapshot!(text);
    let list = act(&sample, &["vm", "list", "--json"]).json(0);
    assert_eq!(list["guests"][0]["state"], "shut-off");
    assert_eq!(list["guests"][0]["functions"][0]["address"], "0000:01:00.0");
    assert_eq!(list["left"], serde_json::json!([]));
}

#[test]
fn what_stands_in_the_way_is_said_before_anything_is_touched() {
    let sample = Sample::new();
    let pages = "<memoryBacking><hugepages/></memoryBacking>";
    define(&sample, "gaming", &guest("gaming", "", "<acpi/>", pages));
    sample.write(
        "proc/meminfo",
        "MemTotal: 16384000 kB\nMemAvailable: 4096000 kB\nHugepagesize: 2048 kB\n",
    );
    let before = sample.print();
    let start = ["vm", "start", "gaming", "--isolate"];
    insta::assert_snapshot!(act(&sample, &start).exits(1));
    let after: Vec<_> = sample
        .print()
        .into_iter()
        .filter(|(path, ..)| !path.to_str().unwrap().contains("/host/run"))
        .collect();
    let before: Vec<_> = before
        .into_iter()
        .filter(|(path, ..)| !path.to_str().unwrap().contains("/host/run"))
        .collect();
    assert_eq!(after, before);
}

#[test]
fn a_host_is_given_back_what_a_guest_held() {
    let sample = bound();
    with_cgroups(&sample);
    with_pool(&sample, 5);
    sample.write(
        "proc/meminfo",
        "MemTotal: 32768000 kB\nMemAvailable: 28672000 kB\nHugepagesize: 2048 kB\n",
    );
    let pages = "<memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>";
    define(&sample, "gaming", &guest("gaming", "", "<acpi/>", pages));
    let all = ["vm", "start", "gaming", "--isolate", "--allocate-hugepages"];
    let nr = || sample.read(&format!("{POOL}/nr_hugepages"));
    let allowed = |unit: &str| sample.read(&format!("sys/fs/cgroup/{unit}/allowed"));
    insta::assert_snapshot!(act(&sample, &all).exits(0));
    assert_eq!(nr(), "4096\n");
    let host = allowed("system.slice");
    assert!(!host.is_empty());
    assert_eq!(host, allowed("init.scope"));
    // By itself, and then by its owner.
    std::fs::remove_file(sample.root().join("run/sample-libvirt/gaming")).unwrap();
    let list = act(&sample, &["vm", "list"]).exits(0);
    assert!(
        list.contains("gaming: isolated, huge pages, guest off: sudo passthru vm release gaming"),
        "{list}"
    );
    assert!(
        act(&sample, &["vm", "release", "gaming"])
            .exits(0)
            .contains("isolated, huge pages")
    );
    assert_eq!(
        (nr().as_str(), allowed("system.slice").as_str()),
        ("5\n", "")
    );
    // By vm stop.
    act(&sample, &all).exits(0);
    assert_eq!(nr(), "4096\n");
    act(&sample, &["vm", "stop", "gaming"]).exits(0);
    assert_eq!((nr().as_str(), allowed("user.slice").as_str()), ("5\n", ""));
    // By the next start, which counts what is free without it.
    act(&sample, &all).exits(0);
    std::fs::remove_file(sample.root().join("run/sample-libvirt/gaming")).unwrap();
    let again = act(&sample, &[&all[..], &["--json"]].concat()).json(0);
    assert_eq!(again["held"]["pools"][0]["before"], 5, "{again}");
    assert_eq!(nr(), "4096\n");
    act(&sample, &["vm", "stop", "gaming"]).exits(0);
    assert_eq!(nr(), "5\n");
    // By a start that fails.
    define(
        &sample,
        "gaming",
        &guest("gaming", "fails", "<acpi/>", pages),
    );
    let said = act(&sample, &all).exits(4);
    assert!(
        said.contains("group 7 is not viable; the host is as before"),
        "{said}"
    );
    assert_eq!((nr().as_str(), allowed("init.scope").as_str()), ("5\n", ""));
    let list = act(&sample, &["vm", "list", "--json"]).json(0);
    assert_eq!(list["left"], serde_json::json!([]));
}

#[test]
fn a_guest_that_does_not_listen_is_not_cut_off_unasked() {
    let sample = bound();
    define(&sample, "deaf", &guest("deaf", "silent", "", ""));
    act(&sample, &["vm", "start", "deaf"]).exits(0);
    let stop = ["vm", "stop", "deaf", "--timeout", "1"];
    insta::assert_snapshot!(act(&sample, &stop).exits(1));
    let stop = ["vm", "stop", "deaf", "--timeout", "0", "--json"];
    assert_eq!(act(&sample, &stop).json(1)["state"], "still-running");
    let force = ["vm", "stop", "deaf", "--force"];
    let said = act(&sample, &force).exits(2);
    assert!(said.contains("--force --yes"), "{said}");
    let none = act(&sample, &["vm", "ip", "deaf", "--json"]).json(1);
    assert_eq!(none["nothing"]["later"], true);
    let forced = act(
        &sample,
        &["vm", "stop", "deaf", "--force", "--yes", "--json"],
    )
    .json(0);
    assert_eq!(
        (&forced["state"], &forced["by"]),
        (&"stopped".into(), &"force".into())
    );
    assert_eq!(forced["functions"][0]["driver"], "vfio-pci");
}

#[test]
fn a_console_needs_a_terminal_and_a_guest_that_has_one() {
    let sample = bound();
    define(&sample, "gaming", &guest("gaming", "", "<acpi/>", ""));
    let console = ["vm", "console", "gaming"];
    assert!(act(&sample, &console).exits(1).contains("does not run"));
    act(&sample, &["vm", "start", "gaming"]).exits(0);
    assert!(act(&sample, &console).exits(1).contains("needs a terminal"));
    let without = guest("gaming", "", "<acpi/>", "").replace("<console type='pty'/>", "");
    define(&sample, "gaming", &without);
    assert!(
        act(&sample, &console)
            .exits(1)
            .contains("virsh edit gaming")
    );
    let nobody = act(&sample, &["vm", "console", "nobody"]).exits(2);
    assert!(nobody.contains("it knows gaming"), "{nobody}");
    act(&sample, &["vm", "console", "gaming", "--json"]).exits(2);
}

#[test]
fn another_root_has_no_libvirt() {
    let sample = Sample::new();
    for verb in ["list", "start", "stop", "release", "ip", "console"] {
        let mut words = vec!["vm", verb];
        words.extend((verb != "list").then_some("gaming"));
        let said = sample.run(&words).exits(2);
        assert!(said.contains("libvirt of another root directory"), "{said}");
    }
}
