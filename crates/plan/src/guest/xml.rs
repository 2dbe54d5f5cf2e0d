//! The part of a libvirt domain that CPUs and memory are (<https://libvirt.org/formatdomain.html>).

use alloc::{format, string::String, vec::Vec};

use super::{GuestMemory, Pinning, hugepages::PAGE_1G, pinning::CacheMode};
use crate::{facts::CpuVendor, text::cpulist::CpuSet};

/// Elements to stand directly below `<domain>`, indented by two blanks. A domain that has any of
/// them already has to give them up.
///
/// `vendor` is the host's: an AMD guest is told of threads only with `topoext`.
pub fn fragment(pinning: &Pinning, memory: Option<&GuestMemory>, vendor: CpuVendor) -> String {
    let mut xml = Xml::default();
    if let Some(memory) = memory {
        xml.line(1, &format!("<memory unit='KiB'>{}</memory>", memory.kib));
        backing(&mut xml, memory);
    }
    let vcpus = pinning.vcpus.len();
    xml.line(1, &format!("<vcpu placement='static'>{vcpus}</vcpu>"));
    xml.line(1, "<iothreads>1</iothreads>");
    xml.line(1, "<cputune>");
    for (vcpu, cpu) in pinning.vcpus.iter().enumerate() {
        xml.line(2, &format!("<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>"));
    }
    xml.line(2, &format!("<emulatorpin cpuset='{}'/>", pinning.emulator));
    xml.line(
        2,
        &format!("<iothreadpin iothread='1' cpuset='{}'/>", pinning.io),
    );
    xml.line(1, "</cputune>");
    numatune(&mut xml, pinning, memory);
    cpu(&mut xml, pinning, memory, vendor);
    xml.0
}

#[derive(Default)]
struct Xml(String);

impl Xml {
    fn line(&mut self, depth: usize, text: &str) {
        for _ in 0..depth {
            self.0.push_str("  ");
        }
        self.0.push_str(text);
        self.0.push('\n');
    }
}

fn backing(xml: &mut Xml, memory: &GuestMemory) {
    let page = if memory.hugepages.page_kib == PAGE_1G {
        "size='1' unit='GiB'"
    } else {
        "size='2' unit='MiB'"
    };
    xml.line(1, "<memoryBacking>");
    xml.line(2, "<hugepages>");
    xml.line(3, &format!("<page {page}/>"));
    xml.line(2, "</hugepages>");
    xml.line(2, "<nosharepages/>");
    xml.line(1, "</memoryBacking>");
}

/// Where the memory lies. `preferred` takes one node only, so memory on several that cannot be bound
/// is left to the kernel, which takes it near the CPU that first touches it.
fn numatune(xml: &mut Xml, pinning: &Pinning, memory: Option<&GuestMemory>) {
    let nodes: CpuSet = match memory {
        Some(memory) => memory.nodes.iter().filter_map(|part| part.node).collect(),
        None => pinning.nodes.iter().map(|part| part.node).collect(),
    };
    let strict = memory.is_some_and(|memory| memory.strict);
    let mode = if strict { "strict" } else { "preferred" };
    let mut lines = Vec::new();
    if !nodes.is_empty() && (strict || nodes.len() == 1) {
        lines.push(format!("<memory mode='{mode}' nodeset='{nodes}'/>"));
    }
    if memory.is_some_and(|memory| !memory.cells.is_empty()) {
        lines.extend(pinning.nodes.iter().enumerate().map(|(cell, part)| {
            let node = part.node;
            format!("<memnode cellid='{cell}' mode='{mode}' nodeset='{node}'/>")
        }));
    }
    if lines.is_empty() {
        return;
    }
    xml.line(1, "<numatune>");
    for line in lines {
        xml.line(2, &line);
    }
    xml.line(1, "</numatune>");
}

fn cpu(xml: &mut Xml, pinning: &Pinning, memory: Option<&GuestMemory>, vendor: CpuVendor) {
    let t = pinning.topology;
    xml.line(
        1,
        "<cpu mode='host-passthrough' check='none' migratable='off'>",
    );
    xml.line(
        2,
        &format!(
            "<topology sockets='{}' dies='{}' cores='{}' threads='{}'/>",
            t.sockets, t.dies, t.cores, t.threads
        ),
    );
    xml.line(
        2,
        match pinning.cache {
            CacheMode::Passthrough => "<cache mode='passthrough'/>",
            CacheMode::Emulate => "<cache level='3' mode='emulate'/>",
        },
    );
    if vendor == CpuVendor::Amd && t.threads > 1 {
        xml.line(2, "<feature policy='require' name='topoext'/>");
    }
    if let Some(memory) = memory.filter(|memory| !memory.cells.is_empty()) {
        xml.line(2, "<numa>");
        for (cell, (part, kib)) in pinning.nodes.iter().zip(&memory.cells).enumerate() {
            xml.line(
                3,
                &format!(
                    "<cell id='{cell}' cpus='{}' memory='{kib}' unit='KiB'/>",
                    part.vcpus
                ),
            );
        }
        xml.line(2, "</numa>");
    }
    xml.line(1, "</cpu>");
}
