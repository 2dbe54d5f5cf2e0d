//! A host that can run guests, and what is asked of it.
// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use passthru_plan::{
    Facts,
    facts::CpuVendor,
    guest::{self, Capabilities, Guest, Wish, hugepages::PageSize, spec::*},
};

use super::{common::debian, topologies::known};

/// What libvirt 9.0 with QEMU 7.2 and OVMF says of itself.
pub const CAPABILITIES: &str = include_str!("../data/domcapabilities-9.0.xml");

/// The Debian desktop with the processor and the memory nodes of a known host.
pub fn desktop(processor: &str) -> Facts {
    let hosts = known();
    let (name, host) = hosts
        .into_iter()
        .find(|(name, _)| name.contains(processor))
        .unwrap();
    let host = host.facts();
    let mut facts = debian();
    facts.topology = host.topology;
    facts.machine.memory = host.machine.memory;
    if name.contains("Ryzen") || name.contains("EPYC") {
        facts.machine.cpu.vendor = CpuVendor::Amd;
    }
    facts.machine.cpu.threads = host.machine.cpu.threads;
    facts
}

pub fn capabilities() -> Capabilities {
    Capabilities::parse(CAPABILITIES).unwrap()
}

/// 8 GiB and the card.
pub fn wish(name: &str, os: Os) -> Wish {
    Wish::new(name, os, 8 << 20, "01:00.0".parse().unwrap())
}

pub fn disk(path: &str) -> Storage {
    Storage {
        path: path.into(),
        format: None,
        transplant: false,
        empty: false,
    }
}

/// A Linux guest from an image, with a seed.
pub fn linux() -> Wish {
    Wish {
        disks: vec![disk("/var/lib/libvirt/images/cloud.qcow2")],
        seed: Some("/var/lib/libvirt/images/cloud-seed.iso".into()),
        cpus: Some(8),
        ..wish("cloud", Os::Linux)
    }
}

/// A Windows guest ready for its installer.
pub fn windows() -> Wish {
    Wish {
        disks: vec![disk("/dev/disk/by-id/nvme-SAMPLE_1TB")],
        installer: Some("/var/lib/libvirt/images/Win11 & drivers.iso".into()),
        virtio_win: Some("/usr/share/virtio-win/virtio-win.iso".into()),
        cpus: Some(12),
        hugepages: Some(PageSize::Largest),
        screen: Screen::Spice,
        autostart: true,
        ..wish("windows", Os::Windows11)
    }
}

pub fn planned(facts: &Facts, wish: &Wish) -> Guest {
    guest::plan(facts, wish, Some(&capabilities())).unwrap()
}

pub fn refused(facts: &Facts, wish: &Wish) -> Vec<String> {
    let refusals = guest::plan(facts, wish, Some(&capabilities())).unwrap_err();
    for refusal in &refusals {
        assert!(!refusal.why.is_empty() && !refusal.way_out.is_empty());
    }
    refusals.into_iter().map(|refusal| refusal.id).collect()
}
