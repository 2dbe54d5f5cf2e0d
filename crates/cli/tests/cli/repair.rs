//! `passthru plan --repair` and `apply --repair`.

use crate::support::Sample;

/// A host as guides leave it.
fn with_leftovers() -> Sample {
    let sample = Sample::new();
    sample.write(
        "etc/modprobe.d/vfio.conf",
        "# from a guide\noptions vfio-pci ids=10de:1f08 10de:10f9\nblacklist xhci_hcd\n",
    );
    sample.write(
        "etc/initramfs-tools/modules",
        "# modules\nvfio\nvfio_virqfd\n",
    );
    let defaults = sample.read("etc/default/grub");
    let text = defaults.replace("DEFAULT=\"quiet", "DEFAULT=\"quiet video=efifb:off");
    assert_ne!(text, defaults);
    sample.write("etc/default/grub", &text);
    sample
}

#[test]
fn what_would_be_put_right() {
    insta::assert_snapshot!(with_leftovers().run(&["plan", "--repair"]).exits(0));
}

#[test]
fn nothing_to_put_right() {
    let said = Sample::new().run(&["plan", "--repair"]).exits(0);
    assert!(said.contains("nothing to put right"), "{said}");
}

#[test]
fn doctor_names_the_command() {
    let said = with_leftovers().run(&["doctor"]).exits(0);
    assert!(said.contains("apply --repair"), "{said}");
}

#[test]
fn put_right_and_back_to_the_byte() {
    let sample = with_leftovers();
    let before = sample.print();
    sample.act(&["apply", "--repair", "--no-trial"]).exits(3);
    assert_eq!(
        sample.read("etc/modprobe.d/vfio.conf"),
        "# from a guide\noptions vfio-pci ids=10de:1f08,10de:10f9\n"
    );
    assert_eq!(
        sample.read("etc/initramfs-tools/modules"),
        "# modules\nvfio\n"
    );
    assert!(!sample.read("etc/default/grub").contains("efifb"));
    let value = sample.run(&["plan", "--repair", "--json"]).json(0);
    assert_eq!(value["changes"].as_array().unwrap().len(), 0);
    assert_eq!(value["intent"]["repair"], true);
    let said = sample.run(&["history"]).exits(0);
    assert!(said.contains("repairs"), "{said}");
    sample.act(&["undo"]).exits(0);
    assert_eq!(sample.print(), before);
}

#[test]
fn an_intent_file_asks_for_it() {
    let sample = with_leftovers();
    let file = sample.dir().join("intent.toml");
    std::fs::write(&file, "repair = true\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        sample.run(&["plan", "--json", "--intent", file]).json(0),
        sample.run(&["plan", "--json", "--repair"]).json(0)
    );
}
