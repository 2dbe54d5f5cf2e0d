//! A guest with a card's picture, and nothing to type or point with.

use alloc::format;

use roxmltree::Node;

use super::super::{
    existing::{devices, hostdevs},
    plan::Draft,
};
use crate::facts::{Facts, Function};

/// USB controllers (`PCI_CLASS_SERIAL_USB` in include/linux/pci_ids.h).
const USB: u16 = 0x0c03;

/// What to know if the guest owns a card and neither a screen, whose viewer has the host's keyboard,
/// nor a device to type with. What libvirt gives every PC (PS/2) is moved by a viewer only.
pub(super) fn note(facts: &Facts, domain: Node<'_, '_>, name: &str, draft: &mut Draft) {
    let owned = || {
        hostdevs(domain)
            .into_iter()
            .filter_map(|one| facts.function(one.host))
    };
    let kind = |element, kinds: &[&str]| {
        devices(domain, element).any(|node| {
            let kind = node.attribute("type").unwrap_or_default();
            kinds.contains(&kind)
        })
    };
    let screen = devices(domain, "graphics").any(|node| {
        // Rendered, and shown nowhere.
        node.attribute("type") != Some("egl-headless")
    });
    let picture = owned().any(|function: &Function| function.class.is_display());
    let typed = kind("hostdev", &["usb"])
        || kind("input", &["evdev", "passthrough"])
        || devices(domain, "redirdev").next().is_some()
        || owned().any(|function| function.class.sub() == USB);
    if picture && !screen && !typed {
        draft.note(
            "guest.keyboard",
            format!(
                "The guest has a picture and no keyboard or mouse. Share yours: sudo passthru vm \
                 edit {name} --evdev /dev/input/by-id/…-event-kbd --evdev \
                 /dev/input/by-id/…-event-mouse, or give it one of its own: --add-usb \
                 VENDOR:PRODUCT (lsusb)."
            ),
        );
    }
}
