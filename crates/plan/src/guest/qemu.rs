//! A guest as a command line of QEMU, the same machine that the libvirt domain describes
//! (qemu-system-x86_64(1)).

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::Serialize;

use super::{
    domain::{has_console, vcpus},
    hugepages::PAGE_1G,
    hyperv,
    pinning::CacheMode,
    qemu_devices,
    spec::{Guest, Os, Screen},
};
use crate::text::quote;

/// Files that libvirt would find or make by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Files {
    /// The firmware's code, read-only.
    pub code: String,
    /// Its variables as they are delivered.
    pub template: String,
    /// The guest's own copy of them.
    pub vars: String,
    /// A directory for sockets and the TPM's state that only the one who starts QEMU can enter.
    pub private: String,
}

impl Files {
    /// Where Debian's and Ubuntu's package `ovmf` has them; the guest's own in a directory named
    /// after it.
    pub fn debian(guest: &Guest) -> Self {
        let private = format!("/var/lib/passthru/guests/{}", guest.name);
        let kind = if guest.secure_boot { ".ms" } else { "" };
        Self {
            code: format!("/usr/share/OVMF/OVMF_CODE_4M{kind}.fd"),
            template: format!("/usr/share/OVMF/OVMF_VARS_4M{kind}.fd"),
            vars: format!("{private}/vars.fd"),
            private,
        }
    }
}

/// What starts a guest without libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    /// What to know first, and what QEMU cannot be told.
    pub notes: Vec<String>,
    /// Commands that come before.
    pub before: Vec<Vec<String>>,
    /// QEMU and its arguments.
    pub argv: Vec<String>,
}

impl CommandLine {
    /// A script for a POSIX shell.
    pub fn script(&self) -> String {
        let mut text = String::from("#!/bin/sh\n");
        for line in self.notes.iter().flat_map(|note| note.lines()) {
            text.push_str("# ");
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("set -e\n");
        for argv in &self.before {
            text.push_str(&quote::command(argv));
            text.push('\n');
        }
        text.push_str("exec ");
        text.push_str(&quote::lines(&self.argv));
        text.push('\n');
        text
    }
}

/// Options and their values.
pub(super) struct Options(pub(super) Vec<String>);

impl Options {
    pub(super) fn put(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }
}

/// A text within an option, where a comma ends it and two are one.
pub(super) fn escape(text: &str) -> String {
    text.replace(',', ",,")
}

/// The command line of `guest`.
pub fn command_line(guest: &Guest, files: &Files) -> CommandLine {
    let mut o = Options([String::from("qemu-system-x86_64")].into());
    o.put(
        "-name",
        format!("guest={},debug-threads=on", escape(&guest.name)),
    );
    o.0.extend(["-nodefaults".into(), "-no-user-config".into()]);
    machine(&mut o, guest, files);
    cpu(&mut o, guest);
    memory(&mut o, guest);
    clock(&mut o, guest);
    o.put("-display", "none");
    let socket = |name: &str| escape(&format!("{}/{name}", files.private));
    o.put(
        "-monitor",
        format!("unix:{},server=on,wait=off", socket("monitor")),
    );
    if has_console(guest) {
        o.put("-serial", "pty");
    }
    if guest.screen == Screen::Spice {
        o.put(
            "-spice",
            format!("unix=on,addr={},disable-ticketing=on", socket("spice")),
        );
    }
    if guest.tpm {
        o.put("-chardev", format!("socket,id=tpm,path={}", socket("tpm")));
        o.put("-tpmdev", "emulator,id=tpm0,chardev=tpm");
        o.put("-device", "tpm-crb,tpmdev=tpm0");
    }
    qemu_devices::devices(&mut o, guest, &socket("agent"));
    CommandLine {
        notes: notes(guest),
        before: before(guest, files),
        argv: o.0,
    }
}

fn machine(o: &mut Options, guest: &Guest, files: &Files) {
    let smm = if guest.secure_boot { "on" } else { "off" };
    let mut machine = format!(
        "q35,accel=kvm,vmport=off,hpet=off,smm={smm},pflash0=firmware-code,pflash1=firmware-vars"
    );
    if cells(guest).is_empty() {
        machine.push_str(",memory-backend=ram0");
    }
    o.put("-machine", machine);
    for (node, file, read_only) in [
        ("firmware-code", &files.code, "on"),
        ("firmware-vars", &files.vars, "off"),
    ] {
        o.put(
            "-blockdev",
            format!(
                "driver=raw,node-name={node},read-only={read_only},file.driver=file,file.filename={}",
                escape(file)
            ),
        );
    }
    if guest.secure_boot {
        o.put("-global", "driver=cfi.pflash01,property=secure,value=on");
    }
    for state in ["disable_s3", "disable_s4"] {
        o.put("-global", format!("ICH9-LPC.{state}=1"));
    }
}

fn cpu(o: &mut Options, guest: &Guest) {
    let mut words: Vec<String> = ["host".to_owned(), "migratable=off".to_owned()].into();
    words.push(match guest.cache {
        CacheMode::Passthrough => "host-cache-info=on,l3-cache=off".into(),
        CacheMode::Emulate => "host-cache-info=off,l3-cache=on".into(),
    });
    if guest.topoext {
        words.push("topoext=on".into());
    }
    if let Some(name) = guest.without {
        words.push(format!("{name}=off"));
    }
    if let Some(bits) = guest.address_bits {
        words.push(format!("host-phys-bits=on,host-phys-bits-limit={bits}"));
    }
    if guest.hide {
        words.push("kvm=off".into());
    }
    words.extend(hyperv::properties(&guest.hyperv, guest.hide));
    o.put("-cpu", words.join(","));
    let t = guest.topology;
    o.put(
        "-smp",
        format!(
            "cpus={},sockets={},dies={},cores={},threads={}",
            vcpus(guest),
            t.sockets,
            t.dies,
            t.cores,
            t.threads
        ),
    );
}

/// The guest's own memory nodes: virtual CPUs, KiB, and the host's node; empty if it has one.
fn cells(guest: &Guest) -> Vec<(String, u64, u32)> {
    let (Some(pinning), Some(memory)) = (&guest.pinning, &guest.memory) else {
        return Vec::new();
    };
    pinning
        .nodes
        .iter()
        .zip(&memory.cells)
        .map(|(part, &kib)| (part.vcpus.to_string(), kib, part.node))
        .collect()
}

/// A list of numbers as QEMU's options take it: the key again for each part.
fn repeated(key: &str, list: &str) -> String {
    let parts: Vec<String> = list
        .split(',')
        .map(|part| format!("{key}={part}"))
        .collect();
    parts.join(",")
}

fn memory(o: &mut Options, guest: &Guest) {
    o.put("-m", format!("size={}K", guest.memory_kib));
    let kind = guest.memory.as_ref().map_or_else(
        || "memory-backend-ram,merge=off".to_owned(),
        |memory| {
            let page = if memory.hugepages.page_kib == PAGE_1G {
                "1G"
            } else {
                "2M"
            };
            format!("memory-backend-memfd,hugetlb=on,hugetlbsize={page},prealloc=on,merge=off")
        },
    );
    let strict = guest.memory.as_ref().is_some_and(|memory| memory.strict);
    let policy = if strict { "bind" } else { "preferred" };
    let cells = cells(guest);
    for (i, (cpus, kib, node)) in cells.iter().enumerate() {
        o.put(
            "-object",
            format!("{kind},id=ram{i},size={kib}K,host-nodes={node},policy={policy}"),
        );
        let cpus = repeated("cpus", cpus);
        o.put("-numa", format!("node,nodeid={i},{cpus},memdev=ram{i}"));
    }
    if !cells.is_empty() {
        return;
    }
    let mut ram = format!("{kind},id=ram0,size={}K", guest.memory_kib);
    let nodes: crate::text::cpulist::CpuSet = match (&guest.memory, &guest.pinning) {
        (Some(memory), _) => memory.nodes.iter().filter_map(|part| part.node).collect(),
        (None, Some(pinning)) => pinning.nodes.iter().map(|part| part.node).collect(),
        (None, None) => [].into_iter().collect(),
    };
    // As in the domain: several nodes cannot be preferred.
    if !nodes.is_empty() && (strict || nodes.len() == 1) {
        let nodes = repeated("host-nodes", &nodes.to_string());
        ram.push_str(&format!(",{nodes},policy={policy}"));
    }
    o.put("-object", ram);
}

fn clock(o: &mut Options, guest: &Guest) {
    let base = if guest.os.is_windows() {
        "localtime"
    } else {
        "utc"
    };
    o.put("-rtc", format!("base={base},driftfix=slew"));
    o.put("-global", "kvm-pit.lost_tick_policy=delay");
}

fn before(guest: &Guest, files: &Files) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let mut before: Vec<Vec<String>> = [
        words(&["mkdir", "-p", "-m", "0700", &files.private]),
        words(&["cp", "-n", &files.template, &files.vars]),
    ]
    .into();
    if guest.tpm {
        let state = format!("{}/tpm-state", files.private);
        before.push(words(&["mkdir", "-p", "-m", "0700", &state]));
        before.push(words(&[
            "swtpm",
            "socket",
            "--tpm2",
            "--tpmstate",
            &format!("dir={state}"),
            "--ctrl",
            &format!("type=unixio,path={}/tpm", files.private),
            "--terminate",
            "--daemon",
        ]));
    }
    before
}

/// What libvirt adds to a guest's memory for a card's own (`qemuDomainGetMemLockLimitBytes`).
const SLACK_KIB: u64 = 1 << 20;

fn notes(guest: &Guest) -> Vec<String> {
    let hosts: Vec<String> = guest
        .slots
        .iter()
        .flat_map(|slot| &slot.functions)
        .map(|assigned| assigned.host.to_string())
        .collect();
    let mut notes: Vec<String> = [
        format!(
            "These must be bound to vfio-pci before (passthru plan): {}",
            hosts.join(" ")
        ),
        format!(
            "Who is not root needs /dev/vfio and may lock memory: ulimit -l {}",
            guest.memory_kib.saturating_add(SLACK_KIB)
        ),
    ]
    .into();
    if let Some(memory) = &guest.memory {
        notes.push(format!(
            "{} huge pages of {} KiB must be free: passthru vm pin tells how.",
            memory.hugepages.count, memory.hugepages.page_kib
        ));
    }
    if let Some(pinning) = &guest.pinning {
        let pairs: Vec<String> = pinning
            .vcpus
            .iter()
            .enumerate()
            .map(|(vcpu, cpu)| format!("{vcpu}>{cpu}"))
            .collect();
        notes.push(format!(
            "QEMU cannot pin by itself. \"info cpus\" in the monitor shows the thread of each CPU; \
             taskset -pc puts it on the host's: {}. The others belong on {}.",
            pairs.join(" "),
            pinning.emulator
        ));
    }
    if guest.network == super::spec::Network::Default {
        notes.push(
            "Its network is QEMU's own (user), in place of libvirt's network default.".into(),
        );
    } else if let super::spec::Network::Bridge(bridge) = &guest.network {
        notes.push(format!(
            "QEMU's bridge helper must allow it: \"allow {bridge}\" in /etc/qemu/bridge.conf"
        ));
    }
    if guest.os == Os::Windows11 && !guest.secure_boot {
        notes.push("The installer of Windows 11 asks for Secure Boot, which is off here.".into());
    }
    notes
}
