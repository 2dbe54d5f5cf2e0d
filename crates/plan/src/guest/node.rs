//! Elements and attributes of libvirt's XML, read as libvirt reads them.

use alloc::vec::Vec;

use roxmltree::Node;

use crate::{pci::Address, text::cpulist::CpuSet};

/// An element of libvirt's own, not one of another namespace.
pub(super) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().namespace().is_none() && node.tag_name().name() == name
}

/// The first element `name` in `node`.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|&node| is(node, name))
}

/// The elements `name` in `node`.
pub(super) fn children<'a, 'i>(
    node: Node<'a, 'i>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |&node| is(node, name))
}

/// A number as libvirt reads attributes: hexadecimal with 0x, octal with 0, decimal else
/// (strtol(3) with base 0).
pub(super) fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_alphanumeric());
    plain
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
}

/// A PCI address in attributes; what is left out is 0.
pub(super) fn address(node: Node<'_, '_>) -> Option<Address> {
    let part = |name| node.attribute(name).map_or(Some(0), number);
    let small = |name| part(name).and_then(|n| u8::try_from(n).ok());
    let (device, function) = (small("slot")?, small("function")?);
    (device < 32 && function < 8)
        .then(|| {
            Some(Address::new(
                part("domain")?,
                small("bus")?,
                device,
                function,
            ))
        })
        .flatten()
}

/// KiB of each of a domain's own memory nodes: `<cpu><numa><cell>`.
pub(super) fn cells(domain: Node<'_, '_>) -> Vec<u64> {
    let numa = child(domain, "cpu").and_then(|cpu| child(cpu, "numa"));
    let cells = numa.into_iter().flat_map(|numa| children(numa, "cell"));
    cells
        .filter_map(|cell| scaled(cell.attribute("memory")?, cell.attribute("unit")))
        .collect()
}

/// KiB of the pages that `<page>` asks for.
pub(super) fn page_kib(page: Node<'_, '_>) -> Option<u64> {
    scaled(page.attribute("size")?, page.attribute("unit"))
}

/// A set of CPUs as libvirt writes it: `0-3,^2`.
pub(super) fn cpuset(text: &str) -> Option<CpuSet> {
    let mut set = CpuSet::default();
    for part in text.split(',').map(str::trim) {
        match part.strip_prefix('^') {
            Some(out) => set = set.without(&CpuSet::from_list(out)?),
            None => set = set.iter().chain(CpuSet::from_list(part)?.iter()).collect(),
        }
    }
    Some(set)
}

/// KiB, by libvirt's units (`virScaleInteger`): KiB without one, and a B at the end alone counts in
/// thousands.
pub(super) fn scaled(text: &str, unit: Option<&str>) -> Option<u64> {
    let bytes: u64 = match unit.unwrap_or("KiB").to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => 1,
        "kb" => 1000,
        "k" | "kib" => 1 << 10,
        "mb" => 1_000_000,
        "m" | "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "g" | "gib" => 1 << 30,
        "tb" => 1_000_000_000_000,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    text.trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(bytes)
        .map(|bytes| bytes.div_ceil(1024))
}

/// The amount of memory that an element holds, in KiB
/// (<https://libvirt.org/formatdomain.html#memory-allocation>).
pub(super) fn amount(node: Node<'_, '_>) -> Option<u64> {
    scaled(node.text()?, node.attribute("unit"))
}
