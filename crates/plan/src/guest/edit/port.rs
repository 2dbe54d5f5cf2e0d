//! USB ports of the host, and whether libvirt knows them.

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use roxmltree::Document;
use serde::Serialize;
use thiserror::Error;

/// A USB port of the host: the bus and the way through its hubs, as the kernel names devices in
/// /sys/bus/usb/devices (`1-2.3`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Port {
    /// The bus.
    pub bus: u32,
    /// The ports on the way, the one of the root hub first: `2.3`.
    pub path: String,
}

/// A text that is no USB port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is not a USB port (expected BUS-PORT[.PORT]…, such as 1-2 or 3-1.4)")]
pub struct BadPort(pub String);

impl FromStr for Port {
    type Err = BadPort;

    fn from_str(text: &str) -> Result<Self, BadPort> {
        let plain = |n: &str| {
            !n.is_empty() && n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit()) && n != "0"
        };
        let parse = || {
            let (bus, path) = text.split_once('-')?;
            // USB allows five hubs in a row.
            let good = plain(bus) && path.split('.').all(plain) && path.split('.').count() <= 6;
            good.then_some(())?;
            Some(Self {
                bus: bus.parse().ok()?,
                path: path.into(),
            })
        };
        parse().ok_or_else(|| BadPort(text.into()))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.bus, self.path)
    }
}

impl From<Port> for String {
    fn from(port: Port) -> Self {
        port.to_string()
    }
}

/// libvirt's schema (schemas/domaincommon.rng) takes a port as the source of a USB device.
pub fn takes_ports(schema: &str) -> bool {
    let Ok(document) = Document::parse(schema) else {
        return false;
    };
    let named = |name: &str| {
        document
            .descendants()
            .find(|node| node.has_tag_name("define") && node.attribute("name") == Some(name))
    };
    // What the definition of such a device refers to, each once.
    let mut names = Vec::from(["hostdevsubsysusb"]);
    let mut seen = BTreeSet::new();
    while let Some(name) = names.pop() {
        let Some(define) = named(name).filter(|_| seen.insert(name)) else {
            continue;
        };
        for node in define.descendants() {
            match (node.tag_name().name(), node.attribute("name")) {
                ("ref", Some(name)) => names.push(name),
                ("attribute", Some("port")) => return true,
                _ => {}
            }
        }
    }
    false
}
