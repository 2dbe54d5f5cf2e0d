//! Can the card be reset between guests?

use alloc::{format, string::String};

use super::{
    Gpu,
    check::{as_root, check},
};
use crate::{
    facts::{Facts, Function},
    finding::{Finding, Severity},
};

const AMD: u16 = 0x1002;
const NVIDIA: u16 = 0x10de;

/// AMD chips that do not come back from a reset by themselves, with the module `vendor-reset` as
/// the known help. Ranges of device ids (drivers/gpu/drm/amd/amdgpu/amdgpu_drv.c `pciidlist`).
const STUBBORN: [(u16, u16, &str); 8] = [
    (0x67c0, 0x67df, "Polaris"),
    (0x67e0, 0x67ff, "Polaris"),
    (0x6980, 0x699f, "Polaris"),
    (0x6860, 0x687f, "Vega 10"),
    (0x66a0, 0x66af, "Vega 20"),
    (0x7310, 0x731f, "Navi 10"),
    (0x7340, 0x734f, "Navi 14"),
    (0x7360, 0x7362, "Navi 12"),
];

fn stubborn(function: &Function) -> Option<&'static str> {
    let device = function.ids.device;
    (function.ids.vendor == AMD)
        .then(|| {
            STUBBORN
                .iter()
                .find(|(first, last, _)| (*first..=*last).contains(&device))
                .map(|(_, _, name)| *name)
        })
        .flatten()
}

/// `quirk_no_bus_reset` and `quirk_nvidia_no_bus_reset` (drivers/pci/quirks.c).
fn bus_reset_fails(function: &Function) -> bool {
    function.ids.vendor == NVIDIA
        && matches!(function.ids.device, 0x22ce | 0x22d0 | 0x2340..=0x237f)
}

/// Nothing else sits on the card's bus, so resetting the bus resets only the card.
fn has_its_own_bus(facts: &Facts, gpu: &Gpu<'_>) -> bool {
    let address = gpu.function.address;
    facts
        .functions
        .iter()
        .filter(|f| f.address.domain == address.domain && f.address.bus == address.bus)
        .all(|f| gpu.card.contains(&f.address))
}

/// `reset_method` (Documentation/ABI/testing/sysfs-bus-pci).
pub(super) fn check_of(facts: &Facts, gpu: &Gpu<'_>) -> Finding {
    let function = gpu.function;
    let check = check(
        gpu.id("card.reset"),
        format!("{} can be reset between guests", gpu.name()),
        if gpu.is_built_in(facts) {
            Severity::Info
        } else {
            Severity::Warning
        },
        "A card must start fresh when a guest starts. One that cannot be reset works once, and then only again after the host was restarted.",
    );
    let has_vendor_reset = function
        .reset_methods
        .iter()
        .flatten()
        .any(|method| method == "device_specific");
    if let Some(family) = stubborn(function).filter(|_| !has_vendor_reset) {
        return check.no(
            [format!("{} is an AMD {family} chip, known for not coming back from a reset", function.ids)],
            format!(
                "Expect to restart the host after the guest stops. The module vendor-reset helps with many of these; once it is installed (Secure Boot needs it signed), run: echo device_specific | sudo tee /sys/bus/pci/devices/{}/reset_method.",
                function.address
            ),
        );
    }
    let Some(methods) = &function.reset_methods else {
        return check.unknown(
            "reset_method is not there (kernels before 5.15 have none)",
            as_root(facts),
        );
    };
    let has = |wanted: &str| methods.iter().any(|method| method == wanted);
    let listed = if methods.is_empty() {
        String::from("reset_method is empty")
    } else {
        format!("reset_method: {}", methods.join(" "))
    };
    if has("flr") || has("device_specific") || has("af_flr") || has("cxl_bus") || has("acpi") {
        return check.yes([listed]);
    }
    if has("bus") && !bus_reset_fails(function) {
        return if has_its_own_bus(facts, gpu) {
            check.yes([
                listed,
                String::from("the card is alone on its bus, so a reset of the bus resets only it"),
            ])
        } else {
            check.no(
                [listed, String::from("other devices share its bus, so the bus cannot be reset for the card alone")],
                if gpu.is_built_in(facts) {
                    "It is part of the processor; best let the host keep it. If a guest is to have it, try a guest start, stop and start before you rely on it."
                } else {
                    "Use a slot with a bus of its own. If there is none, try a guest start, stop and start before you rely on it."
                },
            )
        };
    }
    if has("pm") && function.ids.vendor != AMD {
        return check.no(
            [listed, String::from("switching power states is the only way, and it does not clear every card")],
            "Try a guest start, stop and start before you rely on it. If the second start shows no picture, the host has to be restarted in between.",
        );
    }
    check.no(
        [listed],
        "Expect to restart the host after the guest stops. A firmware update of the card or another slot may offer more.",
    )
}
