//! Who drives which display.

use passthru_plan::{
    Address,
    facts::{Connector, Display, DrmCard},
    text::iomem,
};

use crate::root::Root;

const DRM: &str = "/sys/class/drm";

pub(super) fn observe(root: &Root) -> Display {
    let iomem = root.read("/proc/iomem").map(super::lossy).ok();
    Display {
        cards: cards(root),
        firmware_framebuffer: firmware_framebuffer(root),
        fbdevs: root
            .read("/proc/fb")
            .map(super::lossy)
            .unwrap_or_default()
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect(),
        firmware_consoles: iomem
            .as_deref()
            .map(iomem::firmware_consoles)
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        iomem_read: iomem.is_some(),
    }
}

/// `card0` and its connectors `card0-HDMI-A-1`. `status` and `enabled` show what the kernel knows
/// already; reading them does not probe the monitor (`drivers/gpu/drm/drm_sysfs.c`).
pub(super) fn cards(root: &Root) -> Vec<DrmCard> {
    let names = root.list(DRM).unwrap_or_default();
    let mut cards: Vec<(u32, DrmCard)> = names
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix("card")?.parse().ok()?;
            let path = format!("{DRM}/{name}");
            Some((
                number,
                DrmCard {
                    name: name.clone(),
                    function: function(root, &path),
                    boot_display: root
                        .attribute(&format!("{path}/boot_display"))
                        .map(|text| text == "1"),
                    connectors: connectors(root, name, &names),
                },
            ))
        })
        .collect();
    cards.sort_by_key(|(number, _)| *number);
    cards.into_iter().map(|(_, card)| card).collect()
}

/// The function below which the card hangs: from the card's own place, or from its `device` link
/// where the tree has no links.
fn function(root: &Root, path: &str) -> Option<Address> {
    let on = |target: String| super::functions_on(&target).next_back();
    root.link(path)
        .ok()
        .and_then(on)
        .or_else(|| root.link(&format!("{path}/device")).ok().and_then(on))
}

fn connectors(root: &Root, card: &str, names: &[String]) -> Vec<Connector> {
    names
        .iter()
        .filter(|name| {
            name.strip_prefix(card)
                .is_some_and(|rest| rest.starts_with('-'))
        })
        .map(|name| {
            let is = |file: &str, word: &str| {
                root.attribute(&format!("{DRM}/{name}/{file}"))
                    .is_some_and(|text| text == word)
            };
            Connector {
                name: name.clone(),
                connected: is("status", "connected"),
                unknown: is("status", "unknown"),
                enabled: is("enabled", "enabled"),
            }
        })
        .collect()
}

/// Since 6.9 the firmware's frame buffer is a child of the device that owns its memory.
fn firmware_framebuffer(root: &Root) -> Option<Address> {
    ["simple", "efi", "vesa"].iter().find_map(|kind| {
        let link = root
            .link(&format!("/sys/bus/platform/devices/{kind}-framebuffer.0"))
            .ok()?;
        super::functions_on(&link).next_back()
    })
}
