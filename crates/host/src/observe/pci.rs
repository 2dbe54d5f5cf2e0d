//! PCI functions and IOMMU groups (`Documentation/ABI/testing/sysfs-bus-pci`,
//! `sysfs-kernel-iommu_groups`).

use std::collections::BTreeMap;

use passthru_plan::{
    Address, Facts, Ids,
    facts::{Bar, Function, Group, ReservedRegion, Sriov},
    pci::Class,
    text::{modules::PciId, version},
};

use crate::root::{Directory, Root};

const DEVICES: &str = "/sys/bus/pci/devices";
const GROUPS: &str = "/sys/kernel/iommu_groups";

/// Fills `functions`, `groups` and `unreadable`.
pub(super) fn observe(root: &Root, facts: &mut Facts) {
    let names = match root.list(DEVICES) {
        Ok(names) => names,
        // A machine without PCI has no such directory; one that hides it must say so.
        Err(error) => {
            if !(error.is_missing() && root.exists("/sys/bus")) {
                facts.unreadable.push(format!(
                    "{DEVICES} cannot be listed, so no PCI function is known: {}",
                    error.source
                ));
            }
            Vec::new()
        }
    };
    let all = root.directory(DEVICES).ok();
    let mut modules = BTreeMap::new();
    for name in names {
        let path = format!("{DEVICES}/{name}");
        let place = all.as_ref().and_then(|all| all.link(&name));
        match function(root, &path, &name, place.as_deref(), &mut modules) {
            Ok(function) => facts.functions.push(function),
            Err(why) => facts.unreadable.push(format!("{path} {why}")),
        }
    }
    facts.functions.sort_by_key(|function| function.address);
    facts.functions.dedup_by_key(|function| function.address);
    facts.groups = groups(root, facts);
    inherit_removable(&mut facts.functions);
    complete_reset_methods(root, &mut facts.functions);
}

/// One function, or why it cannot be understood. `place` is the target of the link that stands for the
/// device: its way through the bridges.
fn function(
    root: &Root,
    path: &str,
    name: &str,
    place: Option<&str>,
    modules: &mut BTreeMap<String, Option<String>>,
) -> Result<Function, String> {
    let address: Address = name
        .parse()
        .map_err(|error| format!("is skipped: {error}"))?;
    let dir = root
        .directory(path)
        .map_err(|error| format!("cannot be opened: {}", error.source))?;
    let identity = Identity::read(&dir)?;
    let class = identity.class;
    let driver = dir
        .link_name("driver")
        .or_else(|| field(&dir.attribute("uevent")?, "DRIVER").map(str::to_owned));
    let driver_module = driver.as_ref().and_then(|driver| {
        modules
            .entry(driver.clone())
            .or_insert_with(|| {
                root.link_name(&format!("/sys/bus/pci/drivers/{driver}/module"))
                    .map(|module| module.replace('-', "_"))
            })
            .clone()
    });
    let number = |name| {
        dir.attribute(name)
            .and_then(|text| text.parse::<u32>().ok())
    };
    Ok(Function {
        class,
        ids: identity.ids,
        // The header of a bridge has no subsystem ids; where the kernel shows zeros there are none.
        subsystem: Some(identity.subsystem).filter(|ids| *ids != Ids::new(0, 0)),
        revision: dir
            .attribute("revision")
            .and_then(|text| u8::try_from(hex(&text)?).ok()),
        driver,
        driver_module,
        driver_override: dir
            .attribute("driver_override")
            .filter(|text| text != "(null)"),
        group: dir.link_name("iommu_group").and_then(|id| id.parse().ok()),
        boot_vga: (class.sub() == 0x0300 || class.sub() == 0x0001)
            .then(|| dir.attribute("boot_vga"))
            .flatten()
            .map(|text| text == "1"),
        bars: dir
            .attribute("resource")
            .map(|text| bars(&text))
            .unwrap_or_default(),
        reset_methods: dir
            .attribute("reset_method")
            .map(|text| text.split_whitespace().map(str::to_owned).collect()),
        rom: dir.has("rom"),
        numa_node: number("numa_node"),
        sriov: number("sriov_totalvfs")
            .filter(|&total| total > 0)
            .map(|total| Sriov {
                total,
                enabled: number("sriov_numvfs").unwrap_or(0),
            }),
        physfn: dir.link_name("physfn").and_then(|name| name.parse().ok()),
        power_state: dir.attribute("power_state"),
        runtime_status: dir.attribute("power/runtime_status"),
        removable: dir
            .attribute("removable")
            .is_some_and(|text| text == "removable"),
        parent: place.and_then(|place| {
            super::functions_on(place)
                .rev()
                .find(|&above| above != address)
        }),
        ..Function::new(address)
    })
}

/// What a device is, from its attribute files or, where one is missing, from `uevent` or `modalias`.
struct Identity {
    class: Class,
    ids: Ids,
    subsystem: Ids,
}

impl Identity {
    fn read(dir: &Directory<'_>) -> Result<Self, String> {
        let half = |name: &str| {
            dir.attribute(name)
                .and_then(|text| u16::try_from(hex(&text)?).ok())
        };
        let class = dir
            .attribute("class")
            .and_then(|text| hex(&text))
            .filter(|&class| class <= 0xff_ffff);
        let (vendor, device) = (half("vendor"), half("device"));
        let subsystem = (half("subsystem_vendor"), half("subsystem_device"));
        if let (Some(class), Some(vendor), Some(device), (Some(sv), Some(sd))) =
            (class, vendor, device, subsystem)
        {
            return Ok(Self {
                class: Class(class),
                ids: Ids::new(vendor, device),
                subsystem: Ids::new(sv, sd),
            });
        }
        let uevent = dir.attribute("uevent").unwrap_or_default();
        let field = |key| field(&uevent, key);
        let alias = dir.attribute("modalias");
        let alias = alias
            .as_deref()
            .or_else(|| field("MODALIAS"))
            .and_then(PciId::parse);
        let pair = |key| field(key).and_then(|text| text.parse::<Ids>().ok());
        let ids = pair("PCI_ID").or(alias.map(|alias| alias.ids));
        let class = class
            .or_else(|| field("PCI_CLASS").and_then(hex))
            .or(alias.map(|alias| alias.class.0))
            .filter(|&class| class <= 0xff_ffff);
        let missing = |what: &str| {
            format!("has no readable {what}, and neither uevent nor modalias names one")
        };
        let sub = pair("PCI_SUBSYS_ID").or(alias.map(|alias| alias.subsystem));
        let none = Ids::new(0, 0);
        Ok(Self {
            class: Class(class.ok_or_else(|| missing("class"))?),
            ids: Ids::new(
                vendor
                    .or(ids.map(|ids| ids.vendor))
                    .ok_or_else(|| missing("vendor"))?,
                device
                    .or(ids.map(|ids| ids.device))
                    .ok_or_else(|| missing("device"))?,
            ),
            subsystem: Ids::new(
                subsystem
                    .0
                    .or(sub.map(|ids| ids.vendor))
                    .unwrap_or(none.vendor),
                subsystem
                    .1
                    .or(sub.map(|ids| ids.device))
                    .unwrap_or(none.device),
            ),
        })
    }
}

/// The value of `key` in a uevent.
fn field<'a>(uevent: &'a str, key: &str) -> Option<&'a str> {
    uevent
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
}

/// A hexadecimal attribute, with or without `0x`.
fn hex(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The lines of `resource`: `start end flags` for six BARs, the ROM, and what bridges forward. Only
/// the first seven are registers of the function.
fn bars(text: &str) -> Vec<Bar> {
    let field = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    (0_u8..7)
        .zip(text.lines())
        .filter_map(|(index, line)| {
            let mut words = line.split_whitespace();
            let start = field(words.next()?)?;
            let end = field(words.next()?)?;
            let flags = field(words.next()?)?;
            // Without the right to see addresses start and end are zero, the flags stay. A BAR that
            // the firmware left unassigned has start 0 and its size in end.
            let size = if start == 0 && end == 0 {
                0
            } else {
                end.checked_sub(start)?.checked_add(1)?
            };
            (flags != 0 || size != 0).then_some(Bar {
                index,
                start,
                size,
                flags,
            })
        })
        .collect()
}

/// Groups from both sides: the directory of groups and the functions' own links. A function that only
/// the directory names gets its number from there.
fn groups(root: &Root, facts: &mut Facts) -> Vec<Group> {
    let mut members: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
    for id in root.list(GROUPS).unwrap_or_default() {
        let Ok(id) = id.parse() else { continue };
        let names = root
            .list(&format!("{GROUPS}/{id}/devices"))
            .unwrap_or_default();
        // Groups also hold devices that are not PCI (platform, USB4); they are nobody's member here.
        let list = members.entry(id).or_default();
        list.extend(names.iter().filter_map(|name| name.parse::<Address>().ok()));
    }
    for (&id, list) in &members {
        for &address in list {
            let at = facts
                .functions
                .binary_search_by_key(&address, |f| f.address);
            if let Ok(at) = at {
                facts.functions[at].group.get_or_insert(id);
            }
        }
    }
    for function in &facts.functions {
        if let Some(id) = function.group {
            members.entry(id).or_default().push(function.address);
        }
    }
    members
        .into_iter()
        .filter(|(_, functions)| !functions.is_empty())
        .map(|(id, mut functions)| {
            functions.sort_unstable();
            functions.dedup();
            let path = format!("{GROUPS}/{id}");
            let dir = root.directory(&path).ok();
            let read = |name| dir.as_ref().and_then(|dir| dir.attribute(name));
            Group {
                id,
                kind: read("type"),
                reserved: read("reserved_regions")
                    .map(|text| reserved(&text))
                    .unwrap_or_default(),
                functions,
            }
        })
        .collect()
}

fn reserved(text: &str) -> Vec<ReservedRegion> {
    let field = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(ReservedRegion {
                start: field(words.next()?)?,
                end: field(words.next()?)?,
                kind: words.next()?.to_owned(),
            })
        })
        .collect()
}

/// What hangs below something removable is removable.
fn inherit_removable(functions: &mut [Function]) {
    let parents: BTreeMap<Address, (Option<Address>, bool)> = functions
        .iter()
        .map(|f| (f.address, (f.parent, f.removable)))
        .collect();
    if !parents.values().any(|&(_, removable)| removable) {
        return;
    }
    for function in functions {
        let mut at = function.parent;
        // A tree is not deeper than it has nodes; a malformed capture could have a loop.
        for _ in 0..parents.len() {
            let Some(&(above, removable)) = at.and_then(|at| parents.get(&at)) else {
                break;
            };
            function.removable |= removable;
            at = above;
        }
    }
}

/// Since 5.15 the kernel shows `reset_method` exactly where a function can be reset. So absence means
/// "none" on a host that is known to have the attribute, and nothing at all elsewhere.
fn complete_reset_methods(root: &Root, functions: &mut [Function]) {
    let new_enough = || {
        root.is_live()
            && root
                .attribute("/proc/sys/kernel/osrelease")
                .and_then(|release| version::major_minor(&release))
                .is_some_and(|release| release >= (5, 15))
    };
    if functions.iter().any(|f| f.reset_methods.is_some()) || new_enough() {
        for function in functions {
            function.reset_methods.get_or_insert_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_with_and_without_addresses() {
        let text = "0x0000000000000000 0x0000000000000fff 0x0000000000040200\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
            0x00000000f0000000 0x00000000f7ffffff 0x000000000014220c\n\
            0x0000000000000000 0x0000000000000000 0x0000000000140204\n\
            0xffffffffffffffff 0x0000000000000000 0x1\nbroken\n\
            0x00000000000c0000 0x00000000000dffff 0x0000000000000212\n\
            0x1000 0x1fff 0x200\n";
        let found: Vec<_> = bars(text)
            .iter()
            .map(|b| (b.index, b.start, b.size))
            .collect();
        assert_eq!(
            found,
            [
                (0, 0, 0x1000),
                (2, 0xf000_0000, 0x800_0000),
                (3, 0, 0),
                (6, 0xc0000, 0x20000)
            ]
        );
    }

    #[test]
    fn hex_is_strict() {
        assert_eq!(hex("0x10de"), Some(0x10de));
        assert_eq!(hex("10de"), Some(0x10de));
        assert_eq!(hex("+1"), None);
        assert_eq!(hex("0x"), None);
        assert_eq!(hex("0x123456789"), None);
    }

    #[test]
    fn regions() {
        let text = "0x00000000000a0000 0x00000000000bffff direct-relaxable\nx\n0x1 0x2 direct\n";
        let found = reserved(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].start, found[1].end), (1, 2));
        assert_eq!(found[1].kind, "direct");
    }
}
