//! What Windows is told of its hypervisor, so that it asks instead of emulating hardware
//! (QEMU's docs/system/i386/hyperv.rst).

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use serde::Serialize;

use super::{capabilities::Capabilities, element::Element};

/// One enlightenment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Enlightenment {
    /// libvirt's name.
    pub name: &'static str,
    /// With `<direct>`.
    pub direct: bool,
    /// With `<extended>`.
    pub extended: bool,
}

/// Those a guest wants, in libvirt's order, with the ones each needs. Left out: `reset` (Windows does
/// not use it), `evmcs` and `emsr_bitmap` (for guests in the guest), `reenlightenment` (for guests
/// that move), `avic` (needs hardware that is not asked).
const WANTED: [(&str, &[&str]); 11] = [
    ("relaxed", &[]),
    ("vapic", &[]),
    ("spinlocks", &[]),
    ("vpindex", &[]),
    ("runtime", &[]),
    ("synic", &["vpindex"]),
    ("stimer", &["vpindex", "synic"]),
    ("frequencies", &[]),
    ("tlbflush", &["vpindex"]),
    ("ipi", &["vpindex"]),
    ("xmm_input", &[]),
];

/// How often a virtual CPU tries a lock before it tells the hypervisor, as Hyper-V itself says.
const RETRIES: u32 = 8191;
/// The vendor that a hidden guest shows in place of Hyper-V's, which the old driver looked for too: any
/// text of up to 12 characters will do.
pub(super) const VENDOR: &str = "passthru";

/// Those that `offered` has, each with what it needs.
pub(super) fn choose(offered: &Capabilities) -> Vec<Enlightenment> {
    let has = |name: &str| offered.hyperv.contains(name);
    let default = |name: &str| offered.hyperv_defaults.contains(name);
    WANTED
        .iter()
        .filter(|(name, needs)| has(name) && needs.iter().all(|need| has(need)))
        .map(|&(name, _)| Enlightenment {
            name,
            direct: match name {
                "stimer" => default("stimer_direct"),
                "tlbflush" => default("tlbflush_direct") && has("vapic"),
                _ => false,
            },
            extended: name == "tlbflush" && default("tlbflush_extended"),
        })
        .collect()
}

/// libvirt's name of an enlightenment, if it is one of those a guest can have here.
pub(super) fn known(name: &str) -> Option<&'static str> {
    WANTED
        .iter()
        .map(|(known, _)| *known)
        .find(|known| *known == name)
}

/// `<hyperv>`, if there is anything to say.
pub(super) fn element(chosen: &[Enlightenment], hide: bool) -> Option<Element> {
    if chosen.is_empty() {
        return None;
    }
    let on = |name| Element::new(name).with("state", "on");
    let mut element = Element::new("hyperv").with("mode", "custom");
    for one in chosen {
        let mut part = on(one.name);
        if one.name == "spinlocks" {
            part = part.with("retries", RETRIES);
        }
        if one.direct {
            part = part.child(on("direct"));
        }
        if one.extended {
            part = part.child(on("extended"));
        }
        element = element.child(part);
    }
    if hide {
        element = element.child(on("vendor_id").with("value", VENDOR));
    }
    Some(element)
}

/// The same as properties of QEMU's `-cpu`. The clock comes with them, which is a timer to libvirt.
pub(super) fn properties(chosen: &[Enlightenment], hide: bool) -> Vec<String> {
    if chosen.is_empty() {
        return Vec::new();
    }
    let mut words = BTreeSet::from([String::from("hv-time=on")]);
    for one in chosen {
        let name = one.name.replace('_', "-");
        words.insert(if one.name == "spinlocks" {
            alloc::format!("hv-spinlocks={RETRIES:#x}")
        } else {
            alloc::format!("hv-{name}=on")
        });
        if one.direct {
            words.insert(alloc::format!("hv-{name}-direct=on"));
        }
        if one.extended {
            words.insert(alloc::format!("hv-{name}-ext=on"));
        }
    }
    if hide {
        words.insert(alloc::format!("hv-vendor-id={VENDOR}"));
    }
    words.into_iter().collect()
}
