//! Small tables of procfs: cpuinfo, meminfo, input devices, routes, interrupts.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use crate::facts::{Cpu, CpuVendor, Memory};
use crate::measured::Measured;

/// /proc/cpuinfo: the processor facts, and whether the flag `hypervisor` is set (`None` where the
/// file has no flags).
pub fn cpuinfo(text: &str) -> (Cpu, Option<bool>) {
    let first = |key: &str| {
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim_end() == key).then(|| value.trim())
        })
    };
    let flags = first("flags").map(|flags| flags.split_whitespace().collect::<Vec<_>>());
    let has = |flag: &str| flags.as_ref().map(|flags| flags.contains(&flag));
    let virtualization = match &flags {
        Some(flags) => Measured::Value(flags.contains(&"vmx") || flags.contains(&"svm")),
        None => Measured::not("/proc/cpuinfo has no flags (not an x86 processor)"),
    };
    let cpu = Cpu {
        vendor: match first("vendor_id") {
            Some("GenuineIntel") => CpuVendor::Intel,
            Some("AuthenticAMD" | "HygonGenuine") => CpuVendor::Amd,
            Some("CentaurHauls" | "Shanghai") => CpuVendor::Zhaoxin,
            _ => CpuVendor::Other,
        },
        model: first("model name").map(str::to_owned),
        virtualization,
        threads: u32::try_from(
            text.lines()
                .filter(|line| line.starts_with("processor") && line.contains(':'))
                .count(),
        )
        .unwrap_or(u32::MAX),
        gigabyte_pages: match has("pdpe1gb") {
            Some(has) => Measured::Value(has),
            None => Measured::not("/proc/cpuinfo has no flags (not an x86 processor)"),
        },
        physical_bits: first("address sizes")
            .and_then(|sizes| sizes.split_whitespace().next()?.parse().ok()),
    };
    (cpu, has("hypervisor"))
}

/// /proc/meminfo.
pub fn meminfo(text: &str) -> Memory {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let rest = line.strip_prefix(key)?.strip_prefix(':')?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        })
    };
    Memory {
        total_kib: value("MemTotal"),
        available_kib: value("MemAvailable"),
        hugepages_kib: value("HugePages_Total")
            .zip(value("Hugepagesize"))
            .and_then(|(pages, size)| pages.checked_mul(size)),
    }
}

/// A value in KiB of a NUMA node's meminfo, whose lines are `Node 0 MemTotal: 65730460 kB`.
pub fn node_meminfo(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(2);
        let found = words.next()?.strip_suffix(':')?;
        (found == key).then(|| words.next()?.parse().ok()).flatten()
    })
}

/// A device of /proc/bus/input/devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<'a> {
    /// Its name, for people.
    pub name: &'a str,
    /// Its path in sysfs, without `/sys`.
    pub path: &'a str,
    /// It types letters.
    pub keyboard: bool,
    /// It moves a pointer.
    pub mouse: bool,
}

/// /proc/bus/input/devices: blocks of lines `X: Key=value`, separated by empty lines.
pub fn inputs(text: &str) -> Vec<Input<'_>> {
    let mut inputs = Vec::new();
    let mut now = Input {
        name: "",
        path: "",
        keyboard: false,
        mouse: false,
    };
    let (mut kbd, mut letters) = (false, false);
    for line in text.lines().chain(core::iter::once("")) {
        if line.is_empty() {
            now.keyboard = kbd && letters;
            if !now.path.is_empty() {
                inputs.push(now);
            }
            now = Input {
                name: "",
                path: "",
                keyboard: false,
                mouse: false,
            };
            (kbd, letters) = (false, false);
        } else if let Some(name) = line.strip_prefix("N: Name=") {
            now.name = name.trim().trim_matches('"');
        } else if let Some(path) = line.strip_prefix("S: Sysfs=") {
            now.path = path.trim();
        } else if let Some(handlers) = line.strip_prefix("H: Handlers=") {
            kbd = handlers.split_whitespace().any(|word| word == "kbd");
            now.mouse = handlers.split_whitespace().any(|word| {
                word.strip_prefix("mouse")
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            });
        } else if let Some(keys) = line.strip_prefix("B: KEY=") {
            // The last word holds keys 0 to 63: KEY_Q is 16, KEY_A 30, KEY_Z 44
            // (include/uapi/linux/input-event-codes.h). Power buttons and remote controls lack them.
            let low = keys.split_whitespace().next_back();
            let low = low
                .and_then(|word| u64::from_str_radix(word, 16).ok())
                .unwrap_or(0);
            let wanted = 1_u64 << 16 | 1 << 30 | 1 << 44;
            // A 32-bit kernel writes words of 32 bits: Z is in the next one.
            letters = low & wanted == wanted || low & 0x4001_0000 == 0x4001_0000;
        }
    }
    inputs
}

/// Interfaces with a default route in /proc/net/route (IPv4), without repeats.
pub fn default_routes_v4(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [iface, "00000000", _, flags, _, _, _, "00000000", ..] = words[..] {
            push_route(&mut found, iface, flags);
        }
    }
    found
}

/// Interfaces with a default route in /proc/net/ipv6_route, without repeats.
pub fn default_routes_v6(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [destination, "00", _, _, _, _, _, _, flags, iface] = words[..]
            && iface != "lo"
            && destination.bytes().all(|byte| byte == b'0')
        {
            push_route(&mut found, iface, flags);
        }
    }
    found
}

/// RTF_UP is 1, RTF_REJECT 0x200 (include/uapi/linux/route.h).
fn push_route<'a>(found: &mut Vec<&'a str>, iface: &'a str, flags: &str) {
    let up = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0 && flags & 0x200 == 0);
    if up && !found.contains(&iface) {
        found.push(iface);
    }
}

/// /proc/interrupts: `Some(true)` if a line is served by a remapping chip (`IR-…`), `None` if the
/// text has no interrupt lines.
pub fn remapped_interrupts(text: &str) -> Option<bool> {
    let mut any = false;
    for line in text.lines().skip(1) {
        let Some((number, rest)) = line.split_once(':') else {
            continue;
        };
        if !number.trim().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        any = true;
        let chip = rest
            .split_whitespace()
            .find(|word| word.parse::<u64>().is_err());
        if chip.is_some_and(|chip| chip.starts_with("IR-")) {
            return Some(true);
        }
    }
    any.then_some(false)
}

/// Names of /proc/modules, sorted.
pub fn loaded_modules(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.replace('-', "_"))
        .collect();
    names.sort_unstable();
    names
}

/// The bracketed word of a choice such as `none [integrity] confidentiality`.
pub fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_processor() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: Ryzen 9\n\
            flags\t\t: fpu svm\naddress sizes\t: 48 bits physical, 48 bits virtual\n\nprocessor\t: 1\n";
        let (cpu, hypervisor) = cpuinfo(text);
        assert_eq!(cpu.vendor, CpuVendor::Amd);
        assert_eq!((cpu.threads, cpu.physical_bits), (2, Some(48)));
        assert!(cpu.virtualization.is(&true));
        assert!(cpu.gigabyte_pages.is(&false));
        assert!(cpuinfo("flags: vmx pdpe1gb").0.gigabyte_pages.is(&true));
        assert_eq!(hypervisor, Some(false));
        assert_eq!(cpuinfo("").1, None);
    }

    #[test]
    fn memory() {
        let m = meminfo(
            "MemTotal: 100 kB\nMemAvailable:  50 kB\nHugePages_Total: 4\nHugepagesize: 2048 kB\n",
        );
        assert_eq!(
            (m.total_kib, m.available_kib, m.hugepages_kib),
            (Some(100), Some(50), Some(8192))
        );
    }

    #[test]
    fn memory_of_a_node() {
        let text = "\nNode 1 MemTotal:       65730460 kB\nNode 1 MemFree:  12 kB\n";
        assert_eq!(node_meminfo(text, "MemTotal"), Some(65_730_460));
        assert_eq!(node_meminfo(text, "MemFree"), Some(12));
        assert_eq!(node_meminfo(text, "MemUsed"), None);
    }

    #[test]
    fn keyboards_mice_and_buttons() {
        let text = "I: Bus=0019 Vendor=0000\nN: Name=\"Power Button\"\nS: Sysfs=/devices/LNXSYSTM:00/input/input0\n\
            H: Handlers=kbd event0\nB: EV=3\nB: KEY=10000000000000 0\n\n\
            N: Name=\"USB Keyboard\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/input/input5\n\
            H: Handlers=sysrq kbd leds event3\nB: EV=120013\nB: KEY=1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe\n\n\
            N: Name=\"Mouse\"\nS: Sysfs=/devices/pci0000:00/0000:00:14.0/usb1/input/input6\n\
            H: Handlers=mouse0 event4\nB: EV=17\nB: KEY=1f0000 0 0 0 0\n";
        let found = inputs(text);
        assert_eq!(found.len(), 3);
        assert!(!found[0].keyboard && !found[0].mouse);
        assert!(found[1].keyboard && !found[1].mouse);
        assert!(!found[2].keyboard && found[2].mouse);
        assert_eq!(found[2].name, "Mouse");
    }

    #[test]
    fn routes() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_routes_v4(v4), ["eth0"]);
        let zero = "00000000000000000000000000000000";
        let v6 = alloc::format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003 br0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200201 dummy0\n"
        );
        assert_eq!(default_routes_v6(&v6), ["br0"]);
    }

    #[test]
    fn interrupt_chips() {
        let head = "            CPU0       CPU1\n";
        let yes = alloc::format!("{head}   0:  1  2  IR-IO-APIC    2-edge  timer\n");
        let no =
            alloc::format!("{head}   0:  1  2  IO-APIC    2-edge  timer IR-x\n NMI: 0 0 IR-x\n");
        assert_eq!(remapped_interrupts(&yes), Some(true));
        assert_eq!(remapped_interrupts(&no), Some(false));
        assert_eq!(remapped_interrupts(head), None);
    }

    #[test]
    fn words() {
        assert_eq!(
            chosen("none [integrity] confidentiality"),
            Some("integrity")
        );
        assert_eq!(chosen("none"), None);
        assert_eq!(
            loaded_modules("vfio 1 2\nkvm-intel 3\n"),
            ["kvm_intel", "vfio"]
        );
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            cpuinfo(&text);
            meminfo(&text);
            node_meminfo(&text, "MemTotal");
            inputs(&text);
            default_routes_v4(&text);
            default_routes_v6(&text);
            remapped_interrupts(&text);
            loaded_modules(&text);
            chosen(&text);
        }
    }
}
