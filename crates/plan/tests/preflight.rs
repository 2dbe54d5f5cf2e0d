//! What would make the next boot fail for a reason that has nothing to do with the card.

mod common;

use common::*;
use passthru_plan::{
    Facts, Measured,
    facts::{BootLoader, BootPartition},
    plan,
};

fn write(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), text_file(text, 0o644));
}

#[test]
fn the_boot_partition_must_be_there_and_writable() {
    let mut facts = debian();
    facts.boot.loader = Measured::Value(BootLoader::SystemdBoot);
    assert!(refusals(&facts, &gpu("01:00.0")).contains(&"stack.boot-partition".into()));
    facts.boot.partition = Some(BootPartition {
        path: "/efi".into(),
        file_system: "vfat".into(),
        read_only: true,
        free: Measured::Value(1 << 30),
    });
    assert!(refusals(&facts, &gpu("01:00.0")).contains(&"stack.boot-partition".into()));
    facts.boot.partition.as_mut().expect("it").read_only = false;
    assert!(!refusals(&facts, &gpu("01:00.0")).contains(&"stack.boot-partition".into()));
}

#[test]
fn a_key_that_the_tpm_keeps_is_named() {
    let mut facts = debian();
    write(
        &mut facts,
        "/etc/crypttab",
        "# root UUID=0 none tpm2-device=auto\nroot UUID=1 none luks\n",
    );
    assert!(!notices(&plan(&facts, &gpu("01:00.0"))).contains(&"boot.tpm-sealed"));
    write(
        &mut facts,
        "/etc/crypttab",
        "root UUID=1 none luks,tpm2-device=auto\n",
    );
    let plan1 = plan(&facts, &gpu("01:00.0"));
    let notice = plan1
        .notices
        .iter()
        .find(|n| n.id == "boot.tpm-sealed")
        .expect("it is said");
    assert!(notice.text.contains("\"root\""), "{}", notice.text);
    let mut facts = debian();
    facts.kernel.cmdline =
        Measured::Value("root=/dev/mapper/x rd.luks.options=tpm2-device=auto".into());
    assert!(notices(&plan(&facts, &gpu("01:00.0"))).contains(&"boot.tpm-sealed"));
}

#[test]
fn a_prompt_on_the_cards_screen_would_vanish() {
    let mut facts = debian();
    facts.machine.encrypted_root = Measured::Value(true);
    assert!(!notices(&plan(&facts, &gpu("01:00.0"))).contains(&"boot.luks-prompt"));
    for f in &mut facts.functions {
        f.boot_vga = (f.class.is_display()).then(|| f.address == address("0000:01:00.0"));
    }
    assert!(notices(&plan(&facts, &gpu("01:00.0"))).contains(&"boot.luks-prompt"));
}
