//! Each card: what it is, how it can be taken, what the host has on it.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use super::{
    Gpu, View,
    check::{check, on_host},
    reset,
};
use crate::{
    facts::{Facts, Firmware},
    finding::{Finding, Severity},
    rules::describe,
    text::size,
};

/// Is there any card to give away?
pub(super) fn present(view: &View<'_>, found: &mut Vec<Finding>) {
    let check = check(
        "card.present",
        "There is a GPU to give away",
        Severity::Blocker,
        "Every display controller counts: also those without a monitor connector (class 0302) and those of the processor.",
    );
    found.push(if view.facts.functions.is_empty() {
        check.unknown(
            "no PCI functions were read",
            on_host(view.facts),
        )
    } else if view.gpus.is_empty() {
        check.no(
            ["no PCI function has class 03 (display), apart from the server's own remote console"],
            "Check that the card sits firmly, that its power cables are in, and that its slot is enabled in the firmware. passthru devices --all lists what the host sees.",
        )
    } else {
        check.yes(view.gpus.iter().map(|gpu| describe(gpu.function)))
    });
}

pub(super) fn check_all(view: &View<'_>, gpu: &Gpu<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    found.extend(vmd(gpu));
    found.extend(twins(facts, gpu));
    found.push(reset::check_of(facts, gpu));
    found.extend(bars_unassigned(facts, gpu));
    found.extend(window(gpu));
    found.extend(sriov(facts, gpu));
    found.extend(removable(facts, gpu));
    found.extend(suspended(facts, gpu));
    found.extend(rom(facts, gpu));
    found.extend(numa(facts, gpu));
    found.extend(uses(facts, gpu));
}

/// Intel VMD numbers its domains from 0x10000 (drivers/pci/controller/vmd.c).
pub(super) fn is_behind_vmd(gpu: &Gpu<'_>) -> bool {
    gpu.function.address.domain > 0xffff
}

fn vmd(gpu: &Gpu<'_>) -> Option<Finding> {
    is_behind_vmd(gpu).then(|| {
        check(
            gpu.id("card.vmd"),
            format!("{} does its own transfers", gpu.name()),
            Severity::Warning,
            "Behind Intel VMD a device works under the VMD controller's address. The IOMMU cannot tell it apart, so it cannot be given away alone.",
        )
        .no(
            [format!("{} is in a PCI domain that VMD made", gpu.function.address)],
            "Enter the firmware setup and turn VMD off for this slot (\"VMD Controller\", \"Volume Management Device\").",
        )
    })
}

fn twins(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let twins: Vec<String> = gpu
        .functions(facts)
        .filter_map(|mine| {
            let others: Vec<String> = facts
                .functions
                .iter()
                .filter(|f| f.ids == mine.ids && !gpu.card.contains(&f.address))
                .map(|f| {
                    let board = if f.subsystem == mine.subsystem {
                        "the same board"
                    } else {
                        "another board"
                    };
                    format!("{} ({board})", f.address)
                })
                .collect();
            (!others.is_empty()).then(|| {
                format!(
                    "{} is {}; so is {}",
                    mine.address,
                    mine.ids,
                    others.join(", ")
                )
            })
        })
        .collect();
    (!twins.is_empty()).then(|| {
        check(
            gpu.id("card.twins"),
            format!("No other device has the ids of {}", gpu.name()),
            Severity::Info,
            "A vfio-pci.ids= word takes every device with those ids. With twins in the machine it would take the host's device too.",
        )
        .no(
            twins,
            format!(
                "Do not name it by ids alone. passthru plan --gpu {} tells them apart by board or by address.",
                gpu.function.address
            ),
        )
    })
}

/// `IORESOURCE_MEM` (include/linux/ioport.h).
const MEMORY: u64 = 0x200;
/// `IORESOURCE_PREFETCH`.
const PREFETCH: u64 = 0x2000;
/// Index of the ROM among the base address registers.
const ROM: u8 = 6;

fn bars_unassigned(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let missing: Vec<String> = gpu
        .functions(facts)
        .flat_map(|f| f.bars.iter().map(move |bar| (f, bar)))
        .filter(|(_, bar)| {
            bar.index < ROM && bar.start == 0 && bar.size > 0 && bar.flags & MEMORY != 0
        })
        .map(|(f, bar)| {
            format!(
                "{}: memory window {} ({}) has no address (resource)",
                f.address,
                bar.index,
                size::words(bar.size)
            )
        })
        .collect();
    (!missing.is_empty()).then(|| {
        check(
            gpu.id("card.bars-unassigned"),
            format!("Every memory window of {} has an address", gpu.name()),
            Severity::Warning,
            "The firmware found no room for the card's memory. No driver can use the card like this, neither on the host nor in a guest.",
        )
        .no(
            missing,
            "Enter the firmware setup and enable \"Above 4G Decoding\" (with it often \"Re-Size BAR Support\"), and disable \"CSM\". If it is on already, move the card to another slot.",
        )
    })
}

fn window(gpu: &Gpu<'_>) -> Option<Finding> {
    let bar = gpu
        .function
        .bars
        .iter()
        .filter(|bar| bar.index < ROM && bar.flags & PREFETCH != 0)
        .max_by_key(|bar| bar.size)?;
    Some(
        check(
            gpu.id("card.rebar"),
            format!("The size of the memory window of {} is known", gpu.name()),
            Severity::Info,
            "The guest sees this window as large as the host set it. \"Re-Size BAR Support\" in the firmware makes it as large as the card's memory; 256 MiB is the usual size without it. Both work.",
        )
        .yes([format!("window {} is {}", bar.index, size::words(bar.size))]),
    )
}

fn sriov(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let enabled: Vec<_> = gpu
        .functions(facts)
        .filter_map(|f| Some((f.address, f.sriov?)))
        .filter(|(_, sriov)| sriov.enabled > 0)
        .collect();
    let (address, _) = *enabled.first()?;
    Some(
        check(
            gpu.id("card.sriov"),
            format!("{} has no virtual functions in use", gpu.name()),
            Severity::Warning,
            "vfio-pci refuses a function while its virtual functions exist (\"Cannot bind to PF with SR-IOV enabled\").",
        )
        .no(
            enabled
                .iter()
                .map(|(a, s)| format!("{a}: {} of {} virtual functions are on", s.enabled, s.total)),
            format!(
                "Give a virtual function away instead, or turn them off: echo 0 | sudo tee /sys/bus/pci/devices/{address}/sriov_numvfs. Then find what turns them on at boot."
            ),
        ),
    )
}

fn removable(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let removable: Vec<String> = gpu
        .functions(facts)
        .filter(|f| f.removable)
        .map(|f| format!("{}: removable", f.address))
        .collect();
    (!removable.is_empty()).then(|| {
        check(
            gpu.id("card.removable"),
            format!("{} stays plugged in", gpu.name()),
            Severity::Warning,
            "The card sits behind a cable (Thunderbolt or USB4). Pulling it out while a guest has it stops the guest, and can hang the host.",
        )
        .no(
            removable,
            "Shut the guest down before you unplug the card. Let the host trust the cable at boot (boltctl enroll), or the card is missing when vfio-pci looks for it.",
        )
    })
}

fn suspended(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let asleep: Vec<String> = gpu
        .functions(facts)
        .filter(|f| f.runtime_status.as_deref() == Some("suspended"))
        .map(|f| {
            let state = f.power_state.as_deref().unwrap_or("state not known");
            format!("{}: suspended ({state})", f.address)
        })
        .collect();
    (!asleep.is_empty()).then(|| {
        check(
            gpu.id("card.suspended"),
            format!("{} sleeps and was left asleep", gpu.name()),
            Severity::Info,
            "The host saves power while nobody uses the card. Nothing here woke it; what needs it awake was not looked at.",
        )
        .yes(asleep)
    })
}

/// The kernel hands out the copy of the boot GPU's ROM that the BIOS left at 0xc0000
/// (arch/x86/pci/fixup.c `pci_fixup_video`).
fn rom(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let function = gpu.function;
    let shadow = function
        .bars
        .iter()
        .any(|bar| bar.index == ROM && bar.start == 0xc_0000);
    let legacy = function.boot_vga == Some(true) && facts.machine.firmware.is(&Firmware::Bios);
    (shadow || legacy).then(|| {
        let evidence = if shadow {
            "resource: the ROM lies at 0xc0000, the copy that the BIOS made at start"
        } else {
            "boot_vga is 1, and this host was started by a BIOS"
        };
        check(
            gpu.id("card.rom"),
            format!("The ROM that {} shows is its own", gpu.name()),
            Severity::Info,
            "A guest with UEFI firmware starts the card from its ROM. What can be read here is a copy that the start of this host has changed; given to a guest it often leaves the screen black.",
        )
        .no(
            [evidence],
            "Make another GPU the primary display in the firmware (\"Primary Display\", \"Initial Display Output\"), or disable \"CSM\" so that the host starts by UEFI. Most cards then need no ROM file.",
        )
    })
}

fn numa(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let nodes: BTreeSet<u32> = facts.functions.iter().filter_map(|f| f.numa_node).collect();
    if nodes.len() < 2 {
        return None;
    }
    let check = check(
        gpu.id("card.numa"),
        format!("The memory node of {} is known", gpu.name()),
        Severity::Info,
        "This machine has several processors with memory of their own. A guest runs best on the one the card is wired to.",
    );
    Some(match gpu.function.numa_node {
        Some(node) => check.yes([format!(
            "numa_node is {node}: pin the guest's processors and memory to node {node}"
        )]),
        None => check.unknown(
            "the firmware does not say which node the card belongs to (numa_node is -1)",
            "Look in the mainboard's manual for the processor this slot is wired to.",
        ),
    })
}

fn uses(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let uses: Vec<String> = gpu
        .card
        .iter()
        .flat_map(|&address| facts.uses_of(address))
        .map(|usage| format!("{}: {}", usage.address, usage.detail))
        .collect();
    (!uses.is_empty()).then(|| {
        check(
            gpu.id("card.uses"),
            format!("The host has nothing plugged into {}", gpu.name()),
            Severity::Warning,
            "The guest takes the card with everything on it. What hangs on the card's own ports goes to the guest too.",
        )
        .no(
            uses,
            "Plug keyboard, mouse and the like into a port of the mainboard. Move disks and network of the host elsewhere.",
        )
    })
}
