//! The network that a new guest is to be connected to, as the host has it.

use passthru_host::{Root, libvirt::Libvirt};
use passthru_plan::{
    Notice, Refusal,
    guest::{
        network::{self, DefaultNetwork},
        spec::Network,
    },
};

/// Why the guest cannot be connected to it.
pub(super) fn refusal(root: &Root, wanted: &Network) -> Option<Refusal> {
    let Network::Bridge(name) = wanted else {
        return None;
    };
    let mut bridges = root.list("/sys/class/net").unwrap_or_default();
    bridges.retain(|name| root.exists(&format!("/sys/class/net/{name}/bridge")));
    network::bridge(name, &bridges)
}

/// What is to be done before it starts; nothing where libvirt does not say.
pub(super) fn note(libvirt: &Libvirt<'_>, wanted: &Network) -> Option<Notice> {
    let has = |names: Vec<String>| names.iter().any(|name| name == "default");
    let network = (*wanted == Network::Default).then(|| {
        Some(DefaultNetwork {
            defined: has(libvirt.all_networks(false).ok()?),
            active: has(libvirt.networks().ok()?),
            autostart: has(libvirt.all_networks(true).ok()?),
        })
    });
    network.flatten()?.note()
}
