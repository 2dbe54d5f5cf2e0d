//! Domains read back: those passthru writes, those others write, and any text at all.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use passthru_plan::{
    Address,
    guest::{
        Domain,
        domain::domain,
        read::{Agent, Binding, Disk, HostDev, Interface, Link, OsHint, Pages},
        spec::{self, Os},
    },
    text::cpulist::CpuSet,
};
use proptest::prelude::*;
use wishes::*;

fn set(text: &str) -> CpuSet {
    CpuSet::from_list(text).unwrap()
}

/// A domain of virt-manager, as libvirt shows it while it runs.
const RUNNING: &str = "<domain type='kvm' id='7'>
  <name>win 11 &amp; games</name>
  <uuid>6f5a0e4c-8a57-4a39-9d8e-3f1f4b0f8f11</uuid>
  <metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
    <libosinfo:os id='http://microsoft.com/win/11'/></libosinfo:libosinfo></metadata>
  <memory unit='GiB'>16</memory>
  <memoryBacking><hugepages>
    <page size='1048576' unit='KiB' nodeset='1'/><page size='2' unit='M'/></hugepages></memoryBacking>
  <vcpu placement='static'>4</vcpu>
  <cputune>
    <vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='10-12,^11'/>
    <emulatorpin cpuset='0-1'/>
  </cputune>
  <numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='1' mode='preferred' nodeset='1'/></numatune>
  <cpu><numa><cell id='0' cpus='0-1' memory='8388608' unit='KiB'/><cell id='1' cpus='2-3' memory='8' unit='GiB'/></numa></cpu>
  <devices>
    <disk type='block' device='disk'><source dev='/dev/disk/by-id/nvme-X' index='2'/><target dev='vda'/></disk>
    <disk type='file' device='cdrom'><source file='/iso/win.iso' startupPolicy='optional'/></disk>
    <disk type='file' device='cdrom'><target dev='sdb'/></disk>
    <disk type='nvme' device='disk'><source type='pci' managed='yes' namespace='1'><address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></source></disk>
    <interface type='network'><mac address='52:54:00:AA:BB:CC'/><source network='default' portid='x' bridge='virbr0'/><target dev='vnet3'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
    <interface type='direct'><source dev='eno1' mode='bridge'/></interface>
    <interface type='hostdev' managed='yes'><source><address type='pci' domain='0x0000' bus='0x04' slot='0x10' function='0x2'/></source></interface>
    <serial type='pty'><target port='0'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source>
      <address type='pci' domain='0x0000' bus='0x09' slot='0x00' function='0x0'/></hostdev>
    <hostdev mode='subsystem' type='pci'><source><address domain='65536' bus='1' slot='0x1f' function='7'/></source></hostdev>
    <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
  </devices>
</domain>";

#[test]
fn what_others_wrote() {
    let domain = Domain::parse(RUNNING).unwrap();
    assert_eq!(domain.name, "win 11 & games");
    assert_eq!(domain.uuid, "6f5a0e4c-8a57-4a39-9d8e-3f1f4b0f8f11");
    assert_eq!((domain.memory_kib, domain.vcpus), (16 << 20, 4));
    let device = |address, managed| HostDev { address, managed };
    assert_eq!(
        domain.hostdevs,
        [
            device(Address::new(0, 3, 0, 0), true),
            device(Address::new(0, 4, 0x10, 2), true),
            device(Address::new(0, 1, 0, 1), true),
            device(Address::new(0x10000, 1, 31, 7), false),
        ]
    );
    let interface = |mac: Option<&str>, link, target: Option<&str>| Interface {
        mac: mac.map(Into::into),
        link,
        target: target.map(Into::into),
    };
    assert_eq!(
        domain.interfaces,
        [
            interface(
                Some("52:54:00:aa:bb:cc"),
                Link::Network("default".into()),
                Some("vnet3")
            ),
            interface(Some("52:54:00:00:00:02"), Link::Bridge("br0".into()), None),
            interface(None, Link::Direct("eno1".into()), None),
            interface(None, Link::Other("hostdev".into()), None),
        ]
    );
    let disk = |path: &str, device: &str, optional| Disk {
        path: path.into(),
        device: device.into(),
        optional,
    };
    assert_eq!(
        domain.disks,
        [
            disk("/dev/disk/by-id/nvme-X", "disk", false),
            disk("/iso/win.iso", "cdrom", true)
        ]
    );
    assert_eq!(domain.vcpupin, [(0, set("2")), (1, set("10,12"))]);
    assert_eq!(domain.pinned(), set("2,10,12"));
    assert_eq!(domain.emulatorpin, Some(set("0-1")));
    assert_eq!(
        domain.hugepages,
        Some(vec![
            Pages {
                kib: Some(1 << 20),
                cells: Some(set("1"))
            },
            Pages {
                kib: Some(2048),
                cells: None
            }
        ])
    );
    let bound = |mode: &str, nodes| Binding {
        mode: mode.into(),
        nodes: set(nodes),
    };
    assert_eq!(domain.binding, Some(bound("strict", "0-1")));
    assert_eq!(domain.memnodes, [(1, bound("preferred", "1"))]);
    assert_eq!(domain.cells, [8 << 20, 8 << 20]);
    assert_eq!(domain.agent, Some(Agent::Connected));
    assert!(domain.console);
    assert_eq!(domain.os, OsHint::Windows);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let with = |memory: &str, devices: &str| {
        format!(
            "<domain><name>g</name><memory>{memory}</memory><devices>{devices}</devices></domain>"
        )
    };
    assert!(Domain::parse(&with("1024", "")).is_ok());
    let slot = |slot: &str| {
        with(
            "1",
            &format!(
                "<hostdev type='pci'><source><address bus='1' slot='{slot}' function='0'/></source></hostdev>"
            ),
        )
    };
    assert!(Domain::parse(&slot("0x1f")).is_ok());
    for (text, why) in [
        ("", "cannot be read"),
        ("<network/>", "begins with <network>"),
        ("<domain><memory>1</memory></domain>", "no name"),
        (&with("much", ""), "the memory of g"),
        (&with("99999999999999999999", ""), "the memory of g"),
        (&with("99999999999999999", ""), "the memory of g"),
        (&slot("32"), "PCI function in <hostdev>"),
        (&slot("two"), "PCI function in <hostdev>"),
    ] {
        let error = Domain::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_passthru_writes_is_read_back() {
    let facts = desktop("5950X");
    for wish in [linux(), windows()] {
        let guest = planned(&facts, &wish);
        let read = Domain::parse(&domain(&guest)).unwrap();
        assert_eq!(read.name, guest.name);
        assert_eq!(read.memory_kib, wish.memory_kib);
        assert_eq!(read.hostdevs.len(), 4);
        assert!(read.hostdevs.iter().all(|device| device.managed));
        let pinning = guest.pinning.as_ref().unwrap();
        let pinned: Vec<u32> = read
            .vcpupin
            .iter()
            .flat_map(|(_, set)| set.iter())
            .collect();
        assert_eq!(pinned, pinning.vcpus);
        assert_eq!(read.emulatorpin.as_ref(), Some(&pinning.emulator));
        assert_eq!(read.hugepages.is_some(), wish.hugepages.is_some());
        assert_eq!(read.source.is_some(), wish.hugepages.is_some());
        assert_eq!(read.agent, Some(Agent::Silent));
        let windows = matches!(wish.os, Os::Windows11);
        assert_eq!(read.os == OsHint::Windows, windows);
        assert_eq!(
            read.interfaces[0].link,
            match &wish.network {
                spec::Network::Default => Link::Network("default".into()),
                other => panic!("{other:?}"),
            }
        );
    }
}

proptest! {
    /// Whatever the text, it is read or refused.
    #[test]
    fn any_text(text in ".{0,200}", at in 0..RUNNING.len(), cut in 0..40_usize) {
        let _ = Domain::parse(&text);
        // And a real one with something else in the middle of it.
        let (Some(before), Some(after)) = (RUNNING.get(..at), RUNNING.get((at + cut).min(RUNNING.len())..)) else {
            return Ok(());
        };
        let _ = Domain::parse(&format!("{before}{after}"));
        let _ = Domain::parse(&format!("{before}{text}{after}"));
    }

    /// Memory in any unit is the same memory.
    #[test]
    fn units(mib in 1..1_u64 << 30) {
        for (number, unit) in [(mib, "MiB"), (mib << 10, "KiB"), (mib << 20, "bytes"), (mib, "M"), (mib << 10, "k")] {
            let text = format!("<domain><name>g</name><memory unit='{unit}'>{number}</memory></domain>");
            prop_assert_eq!(Domain::parse(&text).unwrap().memory_kib, mib << 10);
        }
    }
}
