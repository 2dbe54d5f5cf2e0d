//! USB devices, keyboard and mouse that were typed, as edits of the guest that gets them.

use passthru_plan::guest::edit::{Edit, Usb, port::takes_ports};

use crate::{args::vm::Input, host::Host};

/// libvirt's schema, which tells what this version of it can be told.
const SCHEMA: &str = "/usr/share/libvirt/schemas/domaincommon.rng";

/// USB devices that the guest gets.
pub(super) fn usb(input: &Input, host: &Host) -> Vec<Edit> {
    let known = !input.add_usb_port.is_empty()
        && host
            .root()
            .text(SCHEMA)
            .is_ok_and(|text| takes_ports(&text));
    let by_ids = input.add_usb.iter().copied().map(Usb::Ids);
    let by_port = input.add_usb_port.iter().map(|port| Usb::Port {
        port: port.clone(),
        known,
    });
    by_ids.chain(by_port).map(Edit::AddUsb).collect()
}

/// Keyboards and mice that the guest shares with the host.
pub(super) fn shared(input: &Input) -> impl Iterator<Item = Edit> + '_ {
    input.evdev.iter().cloned().map(Edit::AddEvdev)
}
