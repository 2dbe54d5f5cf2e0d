//! Plans for whole captured machines (`PASSTHRU_CORPUS`), as if each ran Debian: GRUB and
//! initramfs-tools are put on top, the hardware is as captured. The snapshots hold addresses, ids,
//! decisions and reasons, and were read by a person.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{fmt::Write as _, path::PathBuf};

use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::{
    Facts, Intent, Measured, card,
    facts::{BootLoader, Candidate, Generator, Image, InstalledKernel, ModuleState},
    intent::{Selector, TrialBoot},
    plan,
};

fn corpus() -> Option<PathBuf> {
    let set = PathBuf::from(std::env::var_os("PASSTHRU_CORPUS")?).join("pci-hosts");
    set.is_dir().then_some(set)
}

/// Debian's boot stack on captured hardware. Captures know no modules.alias, so the bound driver
/// stands for the candidates, and xhci_hcd is built in as it is on Debian.
fn as_debian(mut facts: Facts) -> Facts {
    let release = String::from("6.12.48+deb13-amd64");
    facts.boot.loader = Measured::Value(BootLoader::Grub);
    facts.boot.generator = Measured::Value(Generator::InitramfsTools);
    facts.boot.grub_dropins = Measured::Value(true);
    facts.kernel.installed = vec![InstalledKernel {
        bootable: true,
        vfio_pci: ModuleState::Module,
        has_vfio_virqfd: false,
        image: Some(Image {
            path: format!("/boot/initrd.img-{release}"),
            size: 40 << 20,
            entries: Measured::not("not opened"),
            damage: None,
            texts: Default::default(),
        }),
        release,
    }];
    for function in &mut facts.functions {
        if let Some(driver) = &function.driver {
            let builtin = matches!(driver.as_str(), "xhci_hcd" | "ehci-pci" | "pcieport");
            function.candidates = vec![Candidate {
                module: driver.replace('-', "_"),
                builtin,
            }];
        }
    }
    facts
}

fn report(facts: &Facts) -> String {
    let mut text = String::new();
    for gpu in card::gpus(facts) {
        let intent = Intent {
            gpu: vec![Selector::at(gpu.address)],
            // Captures hold no GRUB menu to make a trial entry from.
            trial: TrialBoot::Never,
            ..Intent::default()
        };
        let plan = plan(facts, &intent);
        let _ = writeln!(
            text,
            "--gpu {} ({}, driver {:?}, group {:?})",
            gpu.address, gpu.ids, gpu.driver, gpu.group
        );
        for refusal in &plan.refusals {
            let _ = writeln!(
                text,
                "  refused {}: {}\n    way out: {}",
                refusal.id, refusal.why, refusal.way_out
            );
        }
        for notice in &plan.notices {
            let _ = writeln!(text, "  notice {}: {}", notice.id, notice.text);
        }
        for bound in &plan.bindings {
            let _ = writeln!(
                text,
                "  {} {:?}: {}",
                bound.function, bound.method, bound.why
            );
        }
        for word in &plan.words {
            let _ = writeln!(text, "  word {word}");
        }
    }
    text
}

fn check(host: &str) {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: PASSTHRU_CORPUS is not set");
        return;
    };
    let root = Root::open(&corpus.join(host)).expect("a captured host");
    insta::assert_snapshot!(
        host.replace(|c: char| !c.is_alphanumeric(), "-"),
        report(&as_debian(observe(&root, Wanted::all())))
    );
}

#[test]
fn a_desktop_with_one_card() {
    check("full-ryzen-5950x-rtx3090");
}

#[test]
fn a_desktop_with_identical_twins() {
    check("full-ryzen-7950x-two-identical-rtx3080");
}

#[test]
fn a_server_with_eight_accelerators() {
    check("udev-NVIDIA_DGXA100");
}

/// Every machine of the corpus is planned for without a panic, and never with both refusals and
/// changes.
#[test]
fn every_machine_gets_an_answer() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: PASSTHRU_CORPUS is not set");
        return;
    };
    let mut hosts = 0;
    for entry in std::fs::read_dir(corpus)
        .expect("the corpus")
        .map(|e| e.expect("an entry").path())
    {
        let facts = as_debian(observe(&Root::open(&entry).expect("a host"), Wanted::all()));
        for gpu in card::gpus(&facts) {
            let intent = Intent {
                gpu: vec![Selector::at(gpu.address)],
                headless: true,
                ..Intent::default()
            };
            let plan = plan(&facts, &intent);
            assert!(
                plan.refusals.is_empty() != plan.changes.is_empty(),
                "{}: {}",
                entry.display(),
                gpu.address
            );
        }
        let repair = Intent {
            repair: true,
            ..Intent::default()
        };
        let plan = plan(&facts, &repair);
        assert!(
            plan.refusals.is_empty() || plan.changes.is_empty(),
            "{}",
            entry.display()
        );
        hosts += 1;
    }
    assert!(hosts >= 60, "the corpus has 64 hosts, {hosts} were read");
}
