//! The devices of a guest as arguments of QEMU: each PCI device behind a root port of its own.

use alloc::{format, string::String};

use super::{
    qemu::{Options, escape},
    spec::{Bus, Disk, Guest, Network, Nic, Screen},
};

/// Hands out root ports.
struct Ports(u32);

impl Ports {
    /// The id of one more.
    fn next(&mut self, o: &mut Options) -> String {
        self.0 += 1;
        let n = self.0;
        let id = format!("port{n}");
        o.put(
            "-device",
            format!("pcie-root-port,id={id},bus=pcie.0,chassis={n}"),
        );
        id
    }
}

/// Every device; `agent` is the socket of the guest's agent.
pub(super) fn devices(o: &mut Options, guest: &Guest, agent: &str) {
    let mut ports = Ports(0);
    hostdevs(o, guest, &mut ports);
    disks(o, guest, &mut ports);
    network(o, guest, &mut ports);
    let bus = ports.next(o);
    o.put("-device", format!("qemu-xhci,id=usb,bus={bus}"));
    if guest.screen == Screen::Spice {
        o.put("-device", "usb-tablet,bus=usb.0");
        o.put("-device", "VGA,bus=pcie.0");
    }
    let bus = ports.next(o);
    o.put("-device", format!("virtio-serial-pci,id=serial,bus={bus}"));
    o.put(
        "-chardev",
        format!("socket,id=agent,path={agent},server=on,wait=off"),
    );
    o.put(
        "-device",
        "virtserialport,bus=serial.0,chardev=agent,name=org.qemu.guest_agent.0",
    );
    o.put("-object", "rng-random,id=rng0,filename=/dev/urandom");
    let bus = ports.next(o);
    o.put("-device", format!("virtio-rng-pci,rng=rng0,bus={bus}"));
}

/// All functions of a slot behind one port, their numbers kept.
fn hostdevs(o: &mut Options, guest: &Guest, ports: &mut Ports) {
    for slot in &guest.slots {
        let bus = ports.next(o);
        for assigned in &slot.functions {
            let several = slot.functions.len() > 1 && assigned.function == 0;
            o.put(
                "-device",
                format!(
                    "vfio-pci,host={},bus={bus},addr=0x0.{:#x}{}",
                    assigned.host,
                    assigned.function,
                    if several { ",multifunction=on" } else { "" }
                ),
            );
        }
    }
}

fn disks(o: &mut Options, guest: &Guest, ports: &mut Ports) {
    let virtio = |disk: &Disk| disk.bus == Bus::Virtio;
    let thread = guest.pinning.is_some() && guest.disks.iter().any(virtio);
    if thread {
        o.put("-object", "iothread,id=iothread1");
    }
    let mut sata = 0;
    for (i, disk) in guest.disks.iter().enumerate() {
        blockdev(o, i, disk);
        let boot = disk
            .boot
            .map(|order| format!(",bootindex={order}"))
            .unwrap_or_default();
        match disk.bus {
            Bus::Virtio => {
                let bus = ports.next(o);
                let thread = if thread { ",iothread=iothread1" } else { "" };
                o.put(
                    "-device",
                    format!("virtio-blk-pci,drive=disk{i},bus={bus}{thread}{boot}"),
                );
            }
            Bus::Sata => {
                let kind = if disk.cdrom { "ide-cd" } else { "ide-hd" };
                o.put(
                    "-device",
                    format!("{kind},drive=disk{i},bus=ide.{sata}{boot}"),
                );
                sata += 1;
            }
        }
    }
}

fn blockdev(o: &mut Options, i: usize, disk: &Disk) {
    let driver = if disk.is_device() {
        "host_device"
    } else {
        "file"
    };
    let how = if disk.cdrom {
        "read-only=on".into()
    } else {
        String::from(
            "cache.direct=on,discard=unmap,file.cache.direct=on,file.aio=native,file.discard=unmap",
        )
    };
    o.put(
        "-blockdev",
        format!(
            "driver={},node-name=disk{i},{how},file.driver={driver},file.filename={}",
            disk.format.name(),
            escape(&disk.path)
        ),
    );
}

fn network(o: &mut Options, guest: &Guest, ports: &mut Ports) {
    let netdev = match &guest.network {
        Network::Default => "user,id=net0".into(),
        Network::Bridge(bridge) => format!("bridge,id=net0,br={}", escape(bridge)),
        Network::None => return,
    };
    o.put("-netdev", netdev);
    let bus = ports.next(o);
    let model = match guest.nic {
        Nic::Virtio => "virtio-net-pci",
        Nic::E1000e => "e1000e",
    };
    o.put(
        "-device",
        format!("{model},netdev=net0,mac={},bus={bus}", guest.mac),
    );
}
