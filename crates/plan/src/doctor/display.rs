//! Who shows the host's picture, and does a picture stay?

use alloc::{format, string::String, vec::Vec};

use super::{
    Gpu, View,
    check::{as_root, check},
};
use crate::{
    facts::Facts,
    finding::{Finding, Severity},
    rules::{describe, display::primary},
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    if view.gpus.is_empty() {
        return;
    }
    found.push(primary_known(facts));
    let one_may_go = view.gpus.iter().any(|gpu| !takes_the_picture(gpu));
    found.extend(
        view.gpus
            .iter()
            .map(|gpu| remains(view.facts, gpu, one_may_go)),
    );
    found.extend(firmware_console(facts));
    found.extend(mux(facts));
    found.extend(view.gpus.iter().filter_map(|gpu| hybrid(facts, gpu)));
    found.extend(disk_password(view));
}

fn primary_known(facts: &Facts) -> Finding {
    let check = check(
        "display.primary",
        "It is known which GPU the host starts its picture on",
        Severity::Info,
        "The firmware shows its menus and the boot on one GPU. Giving that one away is harder, and leaves the screen black until the guest starts.",
    );
    let Some(address) = primary(facts) else {
        return check.unknown(
            "no GPU says that the firmware started on it",
            "Look which monitor shows the firmware's menu.",
        );
    };
    let by = if facts
        .display
        .cards
        .iter()
        .any(|card| card.boot_display == Some(true))
    {
        "boot_display is 1"
    } else if facts.display.firmware_framebuffer.is_some() {
        "the firmware's frame buffer lies on it"
    } else {
        "boot_vga is 1"
    };
    let name = facts
        .function(address)
        .map_or_else(|| format!("{address}"), describe);
    check.yes([format!("{name}: {by}")])
}

/// The planner refuses to give the card away because the host would have no picture left.
fn takes_the_picture(gpu: &Gpu<'_>) -> bool {
    gpu.plan.refusals.iter().any(|r| r.id == "display.only")
}

/// The planner's own answer for this card. That the host keeps one of several is as it should be.
fn remains(facts: &Facts, gpu: &Gpu<'_>, one_may_go: bool) -> Finding {
    let check = check(
        gpu.id("display.remains"),
        format!("The host keeps a picture without {}", gpu.name()),
        if one_may_go {
            Severity::Info
        } else {
            Severity::Warning
        },
        "Without a display you cannot see what is wrong if the network does not come up.",
    );
    let refusal = gpu.plan.refusals.iter().find(|r| r.id == "display.only");
    if let Some(refusal) = refusal {
        let way_out = &refusal.way_out;
        let remedy = if one_may_go {
            format!(
                "Nothing, as long as the host keeps this card. If it is to go to a guest: {way_out}"
            )
        } else {
            way_out.clone()
        };
        return check.no([refusal.why.clone()], remedy);
    }
    let notice = |id: &str| gpu.plan.notices.iter().find(|notice| notice.id == id);
    if let Some(notice) = notice("display.not-measured") {
        return check.unknown(notice.text.clone(), as_root(facts));
    }
    match notice("display.remote-console") {
        Some(notice) => check.yes([notice.text.clone()]),
        None => check.yes(["the host's picture is not on this card, or another GPU shows one too"]),
    }
}

/// vfio-pci removes firmware consoles from class 0300 only
/// (drivers/vfio/pci/vfio_pci_core.c `vfio_pci_vga_init`).
fn firmware_console(facts: &Facts) -> Option<Finding> {
    let display = &facts.display;
    if display.firmware_consoles.is_empty() {
        return None;
    }
    let function = facts.function(display.firmware_framebuffer.or_else(|| primary(facts))?)?;
    let check = check(
        "display.firmware-console",
        "The firmware's console gives way to vfio-pci",
        Severity::Warning,
        "Until a graphics driver takes over, the kernel writes its console into the card's memory. A guest can have the card only when that has stopped (\"BAR 1: can't reserve\").",
    );
    let evidence = Vec::from([
        format!("/proc/iomem: {}", display.firmware_consoles.join(", ")),
        format!("on {}", describe(function)),
    ]);
    Some(if function.class.sub() == 0x0300 {
        check.yes(evidence)
    } else {
        check.no(
            evidence,
            "If a guest is to have this card, bind it at boot (passthru plan --gpu … does), or make another GPU the primary display in the firmware.",
        )
    })
}

fn mux(facts: &Facts) -> Option<Finding> {
    let discrete = facts.machine.gpu_mux_discrete?;
    let check = check(
        "display.mux",
        "The laptop's panel is wired to the processor's graphics",
        Severity::Warning,
        "If the panel hangs on the discrete GPU, giving that GPU away turns the panel black.",
    );
    Some(if discrete {
        check.no(
            ["gpu_mux_mode is 0: the discrete GPU drives the panel"],
            "Switch the panel to hybrid mode in the maker's tool or the firmware (ASUS: supergfxctl, or echo 1 | sudo tee /sys/devices/platform/asus-nb-wmi/gpu_mux_mode), and reboot.",
        )
    } else {
        check.yes(["gpu_mux_mode is 1: hybrid"])
    })
}

/// A GPU without outputs beside the processor's own graphics.
fn hybrid(facts: &Facts, gpu: &Gpu<'_>) -> Option<Finding> {
    let host = facts.function(primary(facts)?)?;
    let built_in = matches!(host.ids.vendor, 0x8086 | 0x1002) && host.class.is_display();
    let no_outputs = gpu.function.class.sub() == 0x0302
        && facts
            .display
            .cards
            .iter()
            .filter(|card| card.function == Some(gpu.function.address))
            .all(|card| card.connectors.is_empty());
    (built_in && no_outputs && host.address != gpu.function.address).then(|| {
        check(
            gpu.id("display.hybrid"),
            format!("{} has outputs of its own", gpu.name()),
            Severity::Info,
            "A 3D controller without outputs draws for another GPU's screen, as in most laptops. It works in a guest, but no monitor can be plugged into it.",
        )
        .no(
            [
                format!("{} has class 0302 and no connector", gpu.function.address),
                format!("the picture is on {}", describe(host)),
            ],
            "Show the guest's picture with Looking Glass or a remote desktop. In Windows install a virtual display driver (IDD).",
        )
    })
}

fn disk_password(view: &View<'_>) -> Option<Finding> {
    let only: Vec<String> = view
        .gpus
        .iter()
        .filter(|gpu| takes_the_picture(gpu))
        .map(|gpu| format!("{} is the only display", gpu.name()))
        .collect();
    if only.len() < view.gpus.len() || view.facts.machine.encrypted_root.is(&false) {
        return None;
    }
    let check = check(
        "display.disk-password",
        "The prompt for the disk password stays visible",
        Severity::Warning,
        "The host asks for the password of its encrypted disk on its display. If that card belongs to vfio-pci from the start, the prompt is not seen and the boot waits for ever.",
    );
    let encrypted = &view.facts.machine.encrypted_root;
    Some(match encrypted.why_not() {
        Some(why) => check.unknown(
            format!("whether the root disk is encrypted: {why}"),
            as_root(view.facts),
        ),
        None => {
            let mut evidence = Vec::from([String::from("the root disk is encrypted")]);
            evidence.extend(only);
            check.no(
                evidence,
                "Before you give it away, have another way to unlock: a second GPU with a monitor, the TPM or clevis, SSH in the initramfs (dropbear), or a serial console.",
            )
        }
    })
}
