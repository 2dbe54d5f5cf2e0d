//! What works on the host now. Only names are kept, so that two boots can be compared.

use std::collections::BTreeSet;

use passthru_plan::{
    Facts, Measured,
    facts::Health,
    text::{mountinfo, procfs},
};

use super::net;
use crate::{exec::Exec, root::Root};

/// Services that have processes: systemd gives each a directory (systemd.slice(5)).
const SERVICES: &str = "/sys/fs/cgroup/system.slice";

/// What files tell; [`failed_units`] has to be asked for.
pub(super) fn observe(root: &Root, facts: &Facts) -> Health {
    Health {
        services: services(root),
        failed_units: Measured::not("systemctl was not asked"),
        default_routes: Measured::Value(sorted(net::default_routes(root))),
        resolver: super::text(root, "/etc/resolv.conf").map(|text| {
            text.lines()
                .any(|line| line.trim_start().starts_with("nameserver"))
        }),
        keyboards: super::text(root, "/proc/bus/input/devices").map(|text| {
            let inputs = procfs::inputs(&text);
            let keyboards = inputs.iter().filter(|input| input.keyboard);
            sorted(keyboards.map(|input| input.name.to_owned()))
        }),
        connectors: Measured::Value(connectors(facts)),
        boot_mounts: super::text(root, "/proc/self/mountinfo").map(|text| {
            let mounts = mountinfo::parse(&text);
            let boot = mounts.iter().filter(|mount| {
                let place = ["/boot", "/efi", "/boot/efi"].contains(&mount.target.as_str());
                place && !mount.read_only && mount.kind != "autofs"
            });
            sorted(boot.map(|mount| mount.target.clone()))
        }),
        kernel_faults: match root
            .is_live()
            .then(|| super::log::ring_buffer(root))
            .flatten()
        {
            Some(text) => Measured::Value(sorted(text.lines().filter(|l| is_fault(l)).map(shape))),
            None => Measured::not("the kernel log needs root (/dev/kmsg)"),
        },
    }
}

/// Units in the state "failed", as systemctl(1) lists them.
pub fn failed_units(exec: &dyn Exec) -> Measured<Vec<String>> {
    let argv = [
        "systemctl",
        "list-units",
        "--state=failed",
        "--plain",
        "--no-legend",
        "--no-pager",
    ];
    match exec.run(&argv) {
        Ok(output) if output.success() => {
            let names = output
                .text
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            Measured::Value(sorted(names.map(str::to_owned)))
        }
        Ok(output) => Measured::not(format!("systemctl said: {}", output.text.trim())),
        Err(error) => Measured::not(error.to_string()),
    }
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    names
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn services(root: &Root) -> Measured<Vec<String>> {
    match root.list(SERVICES) {
        Ok(names) => Measured::Value(sorted(
            names.into_iter().filter(|name| name.ends_with(".service")),
        )),
        Err(error) => super::not(root, SERVICES, &error),
    }
}

fn connectors(facts: &Facts) -> Vec<String> {
    let cards = facts.display.cards.iter();
    sorted(cards.flat_map(|card| {
        let function = card
            .function
            .map_or_else(|| "-".to_owned(), |f| f.to_string());
        let connected = card
            .connectors
            .iter()
            .filter(|connector| connector.connected);
        connected.map(move |connector| {
            // `card0-HDMI-A-1`: cards are numbered anew at every boot.
            let name = connector.name.split_once('-').map_or("", |(_, name)| name);
            format!("{function} {name}")
        })
    }))
}

/// A line that tells of a kernel bug or of a device's access that the IOMMU stopped.
fn is_fault(line: &str) -> bool {
    let iommu = line.contains("DMAR:") && line.contains("fault")
        || line.contains("DMAR: [DMA")
        || line.contains("IO_PAGE_FAULT");
    iommu
        || ["BUG:", "kernel BUG at", "Oops:", "general protection fault"]
            .iter()
            .any(|sign| line.contains(sign))
}

/// The line without its numbers, which differ from boot to boot.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for word in line.split_whitespace() {
        let numeric = word.bytes().any(|byte| byte.is_ascii_digit());
        if !shape.is_empty() {
            shape.push(' ');
        }
        shape.push_str(if numeric { "#" } else { word });
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_good_news() {
        assert!(is_fault("DMAR: DRHD: handling fault status reg 2"));
        assert!(is_fault(
            "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x0"
        ));
        assert!(is_fault("BUG: kernel NULL pointer dereference, address: 0"));
        assert!(!is_fault("DMAR: IOMMU enabled"));
        assert!(!is_fault("ACPI: bus type USB registered"));
        assert_eq!(
            shape("Oops: 0002 [#1] PREEMPT SMP NOPTI"),
            shape("Oops: 0000 [#2] PREEMPT SMP NOPTI")
        );
    }
}
