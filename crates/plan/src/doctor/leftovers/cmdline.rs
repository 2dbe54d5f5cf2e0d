//! Words on the kernel command line that do nothing, or do harm.

use alloc::{format, string::String, vec::Vec};

use super::super::{View, check::check, cmdlines::Hit, how};
use crate::{
    facts::{CpuVendor, Facts},
    finding::{Finding, Severity},
    rules::repair::{
        modprobe::is_read,
        words::{Mistake, mistake},
    },
    text::{kargs::Word, modprobe},
};

/// A word that should not be there.
struct Rule {
    id: &'static str,
    title: &'static str,
    severity: Severity,
    why: &'static str,
    /// What to know beside how to remove it.
    note: &'static str,
    matches: fn(&Facts, Word<'_>) -> bool,
    /// The same as a module option: module and parameter.
    option: Option<ModuleOption>,
}

/// A module, its parameter, and the hosts on which it is wrong.
type ModuleOption = (&'static str, &'static str, fn(&Facts) -> bool);

/// Said before anything else, so that nobody worries.
const HARMLESS: &str = "It does no harm, so there is no hurry.";

const RULES: &[Rule] = &[
    Rule {
        id: "cmdline.efifb-off",
        title: "The emergency console is left on",
        severity: Severity::Warning,
        why: "Only the old efifb driver knows this word. It hides what the kernel says when a boot fails, and vfio-pci takes the firmware's console off the card by itself.",
        note: "",
        matches: |f, w| mistake(f, w) == Some(Mistake::FirmwareConsole),
        option: None,
    },
    Rule {
        id: "cmdline.sysfb-blacklist",
        title: "The firmware's console may start",
        severity: Severity::Warning,
        why: "Without it there is no picture until a graphics driver starts, so a boot that fails early shows nothing. vfio-pci takes this console off the card by itself.",
        note: "",
        matches: |f, w| mistake(f, w) == Some(Mistake::Sysfb),
        option: None,
    },
    Rule {
        id: "cmdline.nomodeset",
        title: "Graphics drivers may start",
        severity: Severity::Warning,
        why: "nomodeset keeps every graphics driver from setting a mode: also that of the GPU which the host keeps.",
        note: "If you set it because the screen stayed black with the host's own driver, look for that cause first.",
        matches: |_, w| w.is("nomodeset"),
        option: None,
    },
    Rule {
        id: "cmdline.amd-iommu-on",
        title: "amd_iommu= has a value that the kernel knows",
        severity: Severity::Info,
        why: "AMD's IOMMU is on by itself. The word knows no \"on\"; the kernel logs \"Unknown option - 'on'\" and goes on.",
        note: HARMLESS,
        matches: |f, w| mistake(f, w) == Some(Mistake::AmdIommu),
        option: None,
    },
    Rule {
        id: "cmdline.intel-iommu-on-amd",
        title: "The words for the IOMMU fit the processor",
        severity: Severity::Info,
        why: "This processor is not Intel's. The word turns nothing on, but makes the kernel log \"DMAR: IOMMU enabled\", which reads as if it did.",
        note: HARMLESS,
        matches: |f, w| {
            f.machine.cpu.vendor == CpuVendor::Amd
                && w.is("intel_iommu")
                && w.value().is_some_and(|v| v.split(',').any(|p| p == "on"))
        },
        option: None,
    },
    Rule {
        id: "cmdline.iommu-unknown",
        title: "iommu= has a value that the kernel knows",
        severity: Severity::Info,
        why: "The kernel knows no such value for iommu= and ignores it. It does not turn the IOMMU on.",
        note: HARMLESS,
        matches: |f, w| mistake(f, w) == Some(Mistake::Iommu),
        option: None,
    },
    Rule {
        id: "cmdline.unsafe-interrupts",
        title: "Interrupts of guests are kept safe",
        severity: Severity::Warning,
        // drivers/vfio/vfio_iommu_type1.c, drivers/iommu/iommufd/device.c
        why: "This host remaps interrupts, so the word is not needed. It gives up a protection: were remapping ever to fail, a guest could send any interrupt to the host, and nobody would be told.",
        note: "",
        matches: |f, w| {
            is_remapping(f)
                && (w.is("vfio_iommu_type1.allow_unsafe_interrupts")
                    || w.is("iommufd.allow_unsafe_interrupts"))
                && is_on(&w.value().unwrap_or_default())
        },
        option: Some(("vfio_iommu_type1", "allow_unsafe_interrupts", is_remapping)),
    },
    Rule {
        id: "cmdline.rd-driver-pre",
        title: "Words for the initramfs fit what makes it",
        severity: Severity::Info,
        why: "rd.driver.pre= is dracut's. This host's initramfs is made by initramfs-tools, which ignores it, so vfio-pci is not loaded early by it.",
        note: "passthru plan --gpu … loads vfio-pci early the way initramfs-tools does it.",
        matches: |f, w| mistake(f, w) == Some(Mistake::RdDriverPre),
        option: None,
    },
    Rule {
        id: "cmdline.kvm-ignore-msrs",
        title: "Guests are told of unknown processor registers",
        severity: Severity::Info,
        why: "KVM ignores what guests do to registers it does not know, for all guests. That hides faults of guests. It is a help for a few (macOS, some Windows versions), not a need of passthrough.",
        note: "If a guest then stops at its start, put it back.",
        matches: |_, w| w.is("kvm.ignore_msrs") && is_on(&w.value().unwrap_or_default()),
        option: Some(("kvm", "ignore_msrs", |_| true)),
    },
    Rule {
        id: "cmdline.preempt",
        title: "The kernel's way of sharing the processor is left alone",
        severity: Severity::Info,
        why: "preempt=voluntary has nothing to do with passthrough, and newer kernels do not offer it.",
        note: HARMLESS,
        matches: |_, w| w.is("preempt") && value_is(w, "voluntary"),
        option: None,
    },
    Rule {
        id: "cmdline.pci-stub",
        title: "No older driver holds cards for guests",
        severity: Severity::Warning,
        why: "pci-stub was the way before vfio-pci. It takes every device with these ids at boot, and vfio-pci then has to take it from there.",
        note: "passthru plan --gpu … binds the card to vfio-pci itself.",
        matches: |f, w| mistake(f, w) == Some(Mistake::PciStub),
        option: Some(("pci_stub", "ids", |_| true)),
    },
];

fn value_is(word: Word<'_>, wanted: &str) -> bool {
    word.value().as_deref() == Some(wanted)
}

/// Interrupts of devices are remapped, so they are safe without consent.
fn is_remapping(facts: &Facts) -> bool {
    facts.iommu.interrupt_remapping.is(&true)
}

/// A boolean parameter is switched on (lib/kstrtox.c `kstrtobool`); a bare word counts as on.
fn is_on(value: &str) -> bool {
    matches!(value, "" | "1" | "y" | "Y" | "t" | "T" | "on" | "On" | "ON")
}

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    found.extend(RULES.iter().filter_map(|rule| judge(view, rule)));
    found.extend(pt(view));
    found.extend(idle_d3(view));
    found.extend(serial_console(view));
    super::grub::check_all(view, found);
}

fn judge(view: &View<'_>, rule: &Rule) -> Option<Finding> {
    let hits = view.cmdlines.hits(|word| (rule.matches)(view.facts, word));
    let options = rule
        .option
        .filter(|(_, _, applies)| applies(view.facts))
        .map(|(module, parameter, _)| options(view.facts, module, parameter))
        .unwrap_or_default();
    if hits.is_empty() && options.is_empty() {
        return None;
    }
    let mut remedies = Vec::new();
    remedies.extend((rule.note == HARMLESS).then(|| String::from(HARMLESS)));
    if !hits.is_empty() {
        remedies.push(how::remove_words(view.facts, &hits));
    }
    if !options.is_empty() {
        remedies.push(format!(
            "Delete the option in {}, run: {}, and reboot.",
            places(&options),
            how::rebuild_images(view.facts)
        ));
    }
    if !rule.note.is_empty() && rule.note != HARMLESS {
        remedies.push(String::from(rule.note));
    }
    let evidence = hits.iter().map(Hit::evidence).chain(
        options
            .iter()
            .map(|(place, text)| format!("{place}: {text}")),
    );
    Some(check(rule.id, rule.title, rule.severity, rule.why).no(evidence, remedies.join(" ")))
}

fn places(options: &[(String, String)]) -> String {
    let places: Vec<&str> = options.iter().map(|(place, _)| place.as_str()).collect();
    places.join(" and ")
}

/// `options module parameter=value` lines that switch the parameter on or list something.
fn options(facts: &Facts, module: &str, parameter: &str) -> Vec<(String, String)> {
    super::texts(facts, is_read)
        .flat_map(|(path, text)| {
            modprobe::option_values(text, module, parameter)
                .into_iter()
                .filter(|(_, value)| is_on(value) || parameter == "ids")
                .map(move |(line, value)| {
                    (
                        format!("{path} line {line}"),
                        format!("options {module} {parameter}={value}"),
                    )
                })
        })
        .collect()
}

fn pt(view: &View<'_>) -> Option<Finding> {
    let hits = view
        .cmdlines
        .hits(|w| w.is("iommu") && w.value().is_some_and(|v| v.split(',').any(|p| p == "pt")));
    (!hits.is_empty()).then(|| {
        check(
            "cmdline.iommu-pt",
            "iommu=pt is optional",
            Severity::Info,
            "It lets the host's own devices skip translation, which can make them a little faster and takes away a protection. Guests get their own translation with or without it; it turns nothing on.",
        )
        .yes(hits.iter().map(Hit::evidence))
    })
}

fn idle_d3(view: &View<'_>) -> Option<Finding> {
    let hits = view
        .cmdlines
        .hits(|w| w.is("vfio-pci.disable_idle_d3") && is_on(&w.value().unwrap_or_default()));
    let options = options(view.facts, "vfio-pci", "disable_idle_d3");
    (!hits.is_empty() || !options.is_empty()).then(|| {
        check(
            "cmdline.disable-idle-d3",
            "disable_idle_d3 is set on purpose",
            Severity::Info,
            "Cards of guests then stay awake while no guest runs and use more power. It helps cards that do not come back from sleep.",
        )
        .yes(
            hits.iter()
                .map(Hit::evidence)
                .chain(options.iter().map(|(place, text)| format!("{place}: {text}"))),
        )
    })
}

/// A serial console and no other (Documentation/admin-guide/serial-console.rst).
fn serial_console(view: &View<'_>) -> Option<Finding> {
    let mut hits = Vec::new();
    for (place, words) in view.cmdlines.each() {
        let consoles: Vec<Word<'_>> = words
            .iter()
            .map(|raw| Word { raw })
            .filter(|w| w.is("console"))
            .collect();
        let serial = |w: &Word<'_>| w.value().is_some_and(|v| v.starts_with("ttyS"));
        if !consoles.is_empty() && consoles.iter().all(serial) {
            hits.extend(consoles.iter().map(|w| Hit {
                word: w.raw.into(),
                place: place.map(String::from),
            }));
        }
    }
    (!hits.is_empty()).then(|| {
        check(
            "cmdline.console-serial-only",
            "The kernel also speaks to the screen",
            Severity::Warning,
            "With a serial console alone, the boot's messages, the disk password prompt and the emergency shell do not reach screen and keyboard.",
        )
        .no(
            hits.iter().map(Hit::evidence),
            format!(
                "Write console=tty0 console=ttyS0,115200 in its place (the last one gets the shell), or delete it if there is no serial cable. {}",
                how::then_apply(view.facts)
            ),
        )
    })
}
