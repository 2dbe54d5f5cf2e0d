//! What the host itself needs, and through which function.

use std::collections::BTreeMap;

use passthru_plan::{
    Measured,
    facts::{Function, Use, UseKind, usage::is_vital},
    text::{mountinfo::Mount, procfs},
};

use super::{
    block::{self, Carrier, Storage},
    net,
};
use crate::root::Root;

/// Uses in order of function and gravity. Only uses that go through a known PCI function are listed:
/// a network file system is nobody's. The second answer: a keyboard hangs on something else.
pub(super) fn observe(root: &Root, storage: &Storage, functions: &[Function]) -> (Vec<Use>, bool) {
    let mut uses = Vec::new();
    disks(root, storage, functions, &mut uses);
    network(root, &mut uses);
    let keyboard_elsewhere = inputs(root, &mut uses);
    uses.retain(|usage| {
        functions
            .binary_search_by_key(&usage.address, |function| function.address)
            .is_ok()
    });
    uses.sort();
    uses.dedup();
    (uses, keyboard_elsewhere)
}

fn disks(root: &Root, storage: &Storage, functions: &[Function], uses: &mut Vec<Use>) {
    let mut known: BTreeMap<String, Carrier> = BTreeMap::new();
    let mut carrier = |name: &str| {
        known
            .entry(name.to_owned())
            .or_insert_with(|| block::carrier(root, name))
            .clone()
    };
    for mount in mounts(storage) {
        let kind = if is_vital(&mount.target) {
            UseKind::RootDisk
        } else {
            UseKind::Mount
        };
        let devices = block::devices(root, mount);
        if devices.is_empty() && mount.kind == "zfs" {
            zfs_unknown(mount, kind, functions, uses);
        }
        for device in &devices {
            push(&carrier(device), kind, &mount.target, uses);
        }
    }
    for swap in &storage.swaps {
        push(&carrier(swap), UseKind::Swap, "swap", uses);
    }
}

fn push(carrier: &Carrier, kind: UseKind, what: &str, uses: &mut Vec<Use>) {
    let disks: Vec<&str> = carrier.disks.iter().map(String::as_str).collect();
    let layers = match carrier.layers.as_slice() {
        [] => String::new(),
        layers => format!(" ({})", layers.join(", ")),
    };
    uses.extend(carrier.functions.iter().map(|&address| Use {
        address,
        kind,
        detail: format!("{what} on {}{layers}", disks.join(", ")),
    }));
}

/// A pool whose members nothing names: every storage function may hold it, and is kept.
fn zfs_unknown(mount: &Mount, kind: UseKind, functions: &[Function], uses: &mut Vec<Use>) {
    let storage = functions.iter().filter(|f| f.class.base() == 0x01);
    uses.extend(storage.map(|function| Use {
        address: function.address,
        kind,
        detail: format!(
            "{} on ZFS {}: which disks hold it is not known, this controller may",
            mount.target, mount.source
        ),
    }));
}

/// One mount for each place that matters: bind mounts of a device that is mounted anyway say nothing
/// new (containers make hundreds), subvolumes do.
fn mounts(storage: &Storage) -> Vec<&Mount> {
    let all = match &storage.mounts {
        Measured::Value(mounts) => mounts.as_slice(),
        Measured::NotMeasured(_) => &[],
    };
    let mut chosen: Vec<&Mount> = Vec::new();
    for mount in all {
        let whole = mount.root == "/" || mount.kind == "btrfs" || is_vital(&mount.target);
        if whole
            || !all
                .iter()
                .any(|m| m.device == mount.device && m.root == "/")
        {
            chosen.push(mount);
        }
    }
    chosen
}

fn network(root: &Root, uses: &mut Vec<Use>) {
    let routes = net::default_routes(root);
    let mut routed = Vec::new();
    for route in &routes {
        for (address, port) in net::functions(root, route) {
            let detail = if port == *route {
                format!("default route on {port}")
            } else {
                format!("default route on {route} over {port}")
            };
            uses.push(Use {
                address,
                kind: UseKind::DefaultRoute,
                detail,
            });
            routed.push(port);
        }
    }
    for name in net::with_carrier(root) {
        if routed.contains(&name) {
            continue;
        }
        for (address, port) in net::functions(root, &name) {
            uses.push(Use {
                address,
                kind: UseKind::Network,
                detail: format!("network on {port}"),
            });
        }
    }
}

fn inputs(root: &Root, uses: &mut Vec<Use>) -> bool {
    let mut keyboard_elsewhere = false;
    let text = super::text(root, "/proc/bus/input/devices");
    let Measured::Value(text) = &text else {
        return false;
    };
    for input in procfs::inputs(text) {
        let Some(&address) = block::endpoints(input.path).first() else {
            // PS/2 and the like hang on the platform; virtual ones are no keyboards.
            keyboard_elsewhere |= input.keyboard && !input.path.contains("/virtual/");
            continue;
        };
        let name = input.name;
        for (is, kind, word) in [
            (input.keyboard, UseKind::Keyboard, "keyboard"),
            (input.mouse, UseKind::Mouse, "mouse"),
        ] {
            if is {
                uses.push(Use {
                    address,
                    kind,
                    detail: format!("{word} \"{name}\""),
                });
            }
        }
    }
    keyboard_elsewhere
}
