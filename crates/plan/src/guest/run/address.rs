//! Where a guest is reached: what libvirt and the host's kernel know of its addresses, and what it
//! means when they know nothing.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::IpAddr;
use serde::Serialize;

use crate::{
    guest::read::{Agent, Domain, Link, OsHint},
    text::quote::word,
};

/// An address, and who knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Without the length of its prefix.
    pub address: String,
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// The guest's network device that has it, in lower case.
    pub mac: Option<String>,
    /// Who says so.
    pub source: Source,
}

/// Families of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Who knows an address, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The DHCP server of libvirt's network.
    Lease,
    /// qemu-guest-agent in the guest.
    Agent,
    /// The host's table of neighbours (ARP and NDP): it has spoken to the guest lately.
    Neighbour,
}

impl Source {
    /// For a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Lease => "lease of libvirt's network",
            Self::Agent => "qemu-guest-agent in the guest",
            Self::Neighbour => "the host's neighbour table",
        }
    }
}

/// Reads `virsh --quiet domifaddr`: `NAME MAC PROTOCOL ADDRESS/PREFIX` a line, where a second address
/// of the same device has dashes for name and MAC. Names of Windows' devices have blanks, so a line is
/// read from its end.
pub fn domifaddr(text: &str, source: Source) -> Vec<Found> {
    let mut last = None;
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().rev();
            let (address, family, mac) = (words.next()?, words.next()?, words.next()?);
            if !matches!(family, "ipv4" | "ipv6") {
                return None;
            }
            if mac != "-" {
                last = Some(mac.to_ascii_lowercase());
            }
            found(address.split('/').next()?, last.clone(), source)
        })
        .collect()
}

/// Reads /proc/net/arp (proc_net(5)): `ADDRESS TYPE FLAGS MAC MASK DEVICE`. Entries without the flag
/// ATF_COM (0x2) are questions that nobody answered yet.
pub fn arp(text: &str) -> Vec<Found> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, mac, ..] = words[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        (flags & 2 != 0)
            .then(|| found(address, Some(mac.to_ascii_lowercase()), Source::Neighbour))
            .flatten()
    };
    text.lines().filter_map(entry).collect()
}

/// An address, if it is one.
pub fn found(address: &str, mac: Option<String>, source: Source) -> Option<Found> {
    let parsed: IpAddr = address.parse().ok()?;
    Some(Found {
        address: parsed.to_string(),
        family: match parsed {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        },
        mac,
        source,
    })
}

/// What of `all` leads to the guest, the best first: IPv4, then IPv6, and what counts on its own link
/// only last. A guest's agent names its own inner networks as well, and a neighbour table all
/// neighbours: only the guest's own network devices count, if their addresses are known.
pub fn useful(domain: &Domain, all: Vec<Found>) -> Vec<Found> {
    let own = |mac: &String| {
        let mut interfaces = domain.interfaces.iter();
        interfaces.any(|interface| interface.mac.as_ref() == Some(mac))
    };
    let rank = |found: &Found| match found.address.parse() {
        Ok(IpAddr::V4(address)) if address.is_loopback() || address.is_unspecified() => None,
        Ok(IpAddr::V4(address)) => Some(if address.is_link_local() { 2 } else { 0 }),
        Ok(IpAddr::V6(address)) if address.is_loopback() || address.is_unspecified() => None,
        Ok(IpAddr::V6(address)) => Some(if address.is_unicast_link_local() {
            3
        } else {
            1
        }),
        Err(_) => None,
    };
    let mut ranked: Vec<(u8, Found)> = all
        .into_iter()
        .filter(|found| found.mac.as_ref().is_some_and(own))
        .filter_map(|found| Some((rank(&found)?, found)))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut useful: Vec<Found> = Vec::new();
    for (_, found) in ranked {
        if !useful.iter().any(|one| one.address == found.address) {
            useful.push(found);
        }
    }
    useful
}

/// Why no address is known, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nothing {
    /// One sentence.
    pub why: String,
    /// What to do.
    pub way_out: String,
    /// Waiting longer may help.
    pub later: bool,
}

/// Why no address of the domain is known. `running` is whether it runs.
pub fn nothing(domain: &Domain, running: bool) -> Nothing {
    let name = &domain.name;
    let say = |why: String, way_out: &str, later| Nothing {
        why,
        way_out: way_out.into(),
        later,
    };
    if !running {
        return say(
            format!("{name} does not run."),
            &format!("sudo passthru vm start {}", word(name)),
            false,
        );
    }
    let Some(interface) = domain.interfaces.first() else {
        return say(
            format!("{name} has no network device that libvirt knows of."),
            "If a network card was given to it, ask the guest itself or the router of that network.",
            false,
        );
    };
    let agent = match domain.agent {
        Some(Agent::Connected) => "The agent in the guest answers, and knows no address.",
        Some(Agent::Silent) => {
            "Installing qemu-guest-agent in the guest makes the guest itself answer."
        }
        None => "Without a channel for qemu-guest-agent the guest itself cannot be asked.",
    };
    match &interface.link {
        Link::Network(network) => say(
            format!(
                "{name} has not asked the DHCP server of libvirt's network {network} for an address yet."
            ),
            &if domain.os == OsHint::Windows {
                "It may still be starting: wait with --wait 60. Without the virtio driver Windows has \
                 no network: install virtio-win-guest-tools.exe from the CD virtio-win in it, and look \
                 at the card's monitor or its screen (virt-viewer)."
                    .to_string()
            } else {
                format!(
                    "It may still be starting: wait with --wait 60. Its screen or sudo passthru vm \
                     console {} shows how far it is.",
                    word(name)
                )
            },
            true,
        ),
        Link::Bridge(bridge) => say(
            format!(
                "{name} is a machine of the network behind the bridge {bridge}: its address comes from the router there, and this host has not spoken to it yet."
            ),
            &format!(
                "Look for {} in the router's list of devices. {agent}",
                interface.mac.as_deref().unwrap_or("its address")
            ),
            true,
        ),
        Link::Direct(device) => say(
            format!(
                "{name} is connected through macvtap on {device}: host and guest do not see each other there, though all others of that network see it."
            ),
            &format!(
                "Reach it from another machine; the router knows its address by {}. {agent} For the host, add a device in libvirt's network default.",
                interface.mac.as_deref().unwrap_or("its MAC address")
            ),
            matches!(domain.agent, Some(Agent::Silent)),
        ),
        Link::User => say(
            format!("{name} is behind QEMU's own network, which nothing reaches from outside."),
            "Give it a device in libvirt's network default (sudo virsh edit), or forward a port there.",
            false,
        ),
        Link::Other(kind) => say(
            format!(
                "{name} has a network device of the type {kind}, and this host does not know what is at its other end."
            ),
            agent,
            matches!(domain.agent, Some(Agent::Silent)),
        ),
    }
}

/// A way to use a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The TCP port on which the guest would answer.
    pub port: u16,
    /// What to type, or to connect with.
    pub how: String,
    /// What has to be so in the guest first.
    pub first: Option<String>,
}

/// How a guest at `address` is used, by what runs in it: what is known to be no good is left out.
pub fn reach(os: OsHint, address: &str) -> Vec<Reach> {
    let ssh = Reach {
        port: 22,
        how: format!("ssh USER@{address}"),
        first: None,
    };
    let place = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.into()
    };
    let rdp = Reach {
        port: 3389,
        how: format!("xfreerdp /v:{place} /u:USER"),
        first: Some(
            "turn on Remote Desktop in it first: Settings > System (Windows Pro or better)".into(),
        ),
    };
    match os {
        OsHint::Windows => [rdp].into(),
        OsHint::Linux => [ssh].into(),
        OsHint::Unknown => [ssh, rdp].into(),
    }
}
