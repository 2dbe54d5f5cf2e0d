//! The network of a guest before it is made: what a start would miss.

use alloc::{format, string::String};

use super::plan::refusal;
use crate::plan::{Notice, Refusal};

/// What libvirt knows of its network `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DefaultNetwork {
    /// It is defined.
    pub defined: bool,
    /// It is active.
    pub active: bool,
    /// It starts with the host.
    pub autostart: bool,
}

impl DefaultNetwork {
    /// What to do before a guest that is connected to it starts. Debian's package defines it and
    /// leaves it off (libvirt-daemon-config-network).
    pub fn note(self) -> Option<Notice> {
        let virsh = "sudo virsh -c qemu:///system";
        let text = if !self.defined {
            format!(
                "libvirt has no network default, to which the guest is to be connected: install the \
                 package libvirt-daemon-config-network on Debian and Ubuntu, else {virsh} net-define \
                 /usr/share/libvirt/networks/default.xml. Then {virsh} net-autostart default, and \
                 {virsh} net-start default."
            )
        } else {
            let autostart = format!("{virsh} net-autostart default");
            let start = format!("{virsh} net-start default");
            match (self.active, self.autostart) {
                (true, true) => return None,
                (true, false) => format!(
                    "libvirt's network default does not start with the host, and then the guest does \
                     not start either: {autostart}"
                ),
                (false, true) => format!(
                    "libvirt's network default is not active, and the guest does not start without \
                     it: {start}"
                ),
                (false, false) => format!(
                    "libvirt's network default is not active, and the guest does not start without \
                     it: {start}; with the host from now on: {autostart}"
                ),
            }
        };
        Some(Notice {
            id: "guest.network.default".into(),
            text,
        })
    }
}

/// Refuses the bridge `name` where it is none of the host's `bridges`.
pub fn bridge(name: &str, bridges: &[String]) -> Option<Refusal> {
    if bridges.iter().any(|bridge| bridge == name) {
        return None;
    }
    let has = if bridges.is_empty() {
        String::from("none")
    } else {
        bridges.join(", ")
    };
    Some(refusal(
        "guest.network.no-bridge",
        format!("The host has no bridge {name}; its bridges: {has}."),
        "Leave out --bridge: libvirt's network default needs none. passthru does not make bridges yet; \
         the host's own network settings do. A Wi-Fi device cannot be bridged.",
    ))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_commands_are_those_that_are_missing() {
        let said = |defined, active, autostart| {
            let network = DefaultNetwork {
                defined,
                active,
                autostart,
            };
            let text = network.note().map(|note| note.text).unwrap_or_default();
            ["net-define", "net-start", "net-autostart"].map(|verb| text.contains(verb))
        };
        assert_eq!(said(true, true, true), [false, false, false]);
        assert_eq!(said(true, true, false), [false, false, true]);
        assert_eq!(said(true, false, true), [false, true, false]);
        assert_eq!(said(true, false, false), [false, true, true]);
        assert_eq!(said(false, false, false), [true, true, true]);
    }

    #[test]
    fn a_bridge_is_one_of_the_hosts() {
        let bridges = ["br0".to_string(), "virbr0".to_string()];
        assert_eq!(bridge("br0", &bridges), None);
        assert!(bridge("br1", &bridges).unwrap().why.contains("br0, virbr0"));
        assert!(bridge("br1", &[]).unwrap().why.ends_with("none."));
    }
}
