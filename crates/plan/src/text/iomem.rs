//! /proc/iomem: the tree of memory resources (`kernel/resource.c`). Two blanks of indent per level;
//! without CAP_SYS_ADMIN all addresses read as zero, the names stay.

use alloc::vec::Vec;

/// One resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Level in the tree, 0 at the top.
    pub depth: usize,
    /// First address.
    pub start: u64,
    /// Last address.
    pub end: u64,
    /// Name: `System RAM`, `PCI Bus 0000:00`, `0000:01:00.0`, `BOOTFB` …
    pub name: &'a str,
}

/// The resources in the order of the file; lines that are none are left out.
pub fn parse(text: &str) -> Vec<Resource<'_>> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim_start_matches(' ');
            let (range, name) = rest.split_once(" : ")?;
            let (start, end) = range.trim().split_once('-')?;
            Some(Resource {
                depth: (line.len() - rest.len()) / 2,
                start: u64::from_str_radix(start, 16).ok()?,
                end: u64::from_str_radix(end, 16).ok()?,
                name: name.trim(),
            })
        })
        .collect()
}

/// Names of firmware consoles: the framebuffer that the firmware left (`BOOTFB`,
/// `drivers/firmware/sysfb.c`) and the drivers that sit on it.
const CONSOLES: [&str; 7] = [
    "BOOTFB",
    "efifb",
    "simplefb",
    "simpledrm",
    "vesafb",
    "efidrm",
    "vesadrm",
];

/// The firmware consoles that lie inside a PCI function's memory, in file order.
pub fn firmware_consoles(text: &str) -> Vec<&'static str> {
    let mut above: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for resource in parse(text) {
        above.truncate(resource.depth);
        let console = CONSOLES.iter().find(|name| {
            resource.name == **name || resource.name.starts_with(&alloc::format!("{name}."))
        });
        if let Some(console) = console {
            let on_bar = above
                .iter()
                .any(|name| name.parse::<crate::pci::Address>().is_ok());
            // A bridge window without a claimed BAR is a device without a driver: still a BAR.
            let on_bus = above.iter().any(|name| name.starts_with("PCI Bus"));
            if (on_bar || on_bus) && !found.contains(console) {
                found.push(console);
            }
        }
        above.push(resource.name);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn consoles_on_bars() {
        let text = "00100000-09afefff : System RAM\n  01000000-02000000 : Kernel code\n\
            c0000000-fdffffff : PCI Bus 0000:00\n  c0000000-d1ffffff : PCI Bus 0000:01\n    \
            c0000000-cfffffff : 0000:01:00.0\n      c0000000-c07e8fff : BOOTFB\n        \
            c0000000-c07e8fff : efifb\nfe000000-fe0fffff : BOOTFB\n";
        assert_eq!(firmware_consoles(text), ["BOOTFB", "efifb"]);
        assert!(firmware_consoles("fe000000-fe0fffff : BOOTFB\n").is_empty());
        assert_eq!(parse(text)[4].name, "0000:01:00.0");
        assert_eq!(parse(text)[4].depth, 2);
    }

    proptest! {
        #[test]
        fn any_text(text: alloc::string::String) {
            firmware_consoles(&text);
        }
    }
}
