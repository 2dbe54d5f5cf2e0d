//! Which processes have opened a device of a PCI function: unbinding a graphics driver while one does
//! hangs it, or the kernel.

use passthru_plan::{Address, guest::run::Opener};

use crate::root::Root;

/// Processes that have opened a device of one of `functions`, without this one; `None` if /proc does
/// not let this user see what others have opened.
pub fn openers(root: &Root, functions: &[Address]) -> Option<Vec<Opener>> {
    let devices: Vec<(Address, Vec<String>)> = functions
        .iter()
        .map(|&function| (function, devices(root, function)))
        .collect();
    if devices.iter().all(|(_, paths)| paths.is_empty()) {
        return Some(Vec::new());
    }
    // Process 1 is always another user's, unless this one is root.
    root.list("/proc/1/fd").ok()?;
    let mut found = Vec::new();
    for process in root.list("/proc").ok()? {
        let Ok(number) = process.parse::<u32>() else {
            continue;
        };
        if number == std::process::id() {
            continue;
        }
        let directory = format!("/proc/{process}/fd");
        // It may have ended meanwhile, or be a kernel thread.
        let names = root.list(&directory).unwrap_or_default();
        let open: Vec<String> = names
            .iter()
            .filter_map(|name| root.link(&format!("{directory}/{name}")).ok())
            .filter(|target| target.starts_with("/dev/"))
            .collect();
        for (function, paths) in &devices {
            if paths.iter().any(|path| open.contains(path)) {
                found.push(Opener {
                    function: *function,
                    process: number,
                    name: root
                        .attribute(&format!("/proc/{process}/comm"))
                        .unwrap_or_else(|| "a process".into()),
                });
            }
        }
    }
    Some(found)
}

/// Device nodes of a function: DRM (/dev/dri), sound (/dev/snd) and NVIDIA's own.
fn devices(root: &Root, function: Address) -> Vec<String> {
    let sysfs = format!("/sys/bus/pci/devices/{function}");
    let list = |path: &str| root.list(path).unwrap_or_default();
    let mut paths: Vec<String> = list(&format!("{sysfs}/drm"))
        .into_iter()
        .filter(|name| name.starts_with("card") || name.starts_with("renderD"))
        .map(|name| format!("/dev/dri/{name}"))
        .collect();
    for card in list(&format!("{sysfs}/sound")) {
        // card1 has controlC1, pcmC1D3p, hwC1D0.
        let Some(number) = card.strip_prefix("card") else {
            continue;
        };
        let of = |name: &String| {
            name.find(&format!("C{number}")).is_some_and(|at| {
                let rest = &name[at + 1 + number.len()..];
                !rest.starts_with(|c: char| c.is_ascii_digit())
            })
        };
        let nodes = list("/dev/snd").into_iter().filter(of);
        paths.extend(nodes.map(|name| format!("/dev/snd/{name}")));
    }
    // Without the file it is not NVIDIA's own driver (README of the driver, "The NVIDIA /proc
    // filesystem interface").
    let information = format!("/proc/driver/nvidia/gpus/{function}/information");
    let text = root.text(&information).unwrap_or_default();
    let minor = text
        .lines()
        .find_map(|line| line.strip_prefix("Device Minor:"))
        .map(str::trim);
    paths.extend(minor.map(|minor| format!("/dev/nvidia{minor}")));
    paths
}
