//! Who has a function's VFIO devices open: a guest that runs.

use passthru_plan::Address;

use crate::root::Root;

/// The process that has the function's group, or the function itself, open, in words.
///
/// A group is `/dev/vfio/N`; a function of its own is `/dev/vfio/devices/vfioN` (Linux 6.6,
/// `Documentation/driver-api/vfio.rst`). The links in `/proc/PID/fd` name them also for a process in
/// another mount namespace, as libvirt's guests are.
pub(super) fn holder(root: &Root, address: Address) -> Option<String> {
    let directory = format!("/sys/bus/pci/devices/{address}");
    let mut nodes = Vec::new();
    if let Some(group) = root.link_name(&format!("{directory}/iommu_group")) {
        nodes.push(format!("/dev/vfio/{group}"));
        nodes.push(format!("/dev/vfio/noiommu-{group}"));
    }
    let own = root
        .list(&format!("{directory}/vfio-dev"))
        .unwrap_or_default();
    nodes.extend(own.iter().map(|name| format!("/dev/vfio/devices/{name}")));
    if nodes.is_empty() {
        return None;
    }
    let processes = root.list("/proc").unwrap_or_default();
    let mut numbers = processes
        .iter()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let number = numbers.find(|number| {
        let open = format!("/proc/{number}/fd");
        // A process that ends while it is looked at has nothing open.
        let descriptors = root.list(&open).unwrap_or_default();
        descriptors.iter().any(|descriptor| {
            let target = root.link(&format!("{open}/{descriptor}"));
            target.is_ok_and(|target| nodes.contains(&target))
        })
    })?;
    let name = root.attribute(&format!("/proc/{number}/comm"));
    let name = name.as_deref().unwrap_or("unnamed");
    Some(format!("process {number}, {name}"))
}
