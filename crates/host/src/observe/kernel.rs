//! The running kernel and the installed ones.

use std::collections::BTreeMap;

use passthru_plan::{
    Measured,
    facts::{Image, InstalledKernel, Kernel, ModuleState},
    text::{modules, procfs, version},
};

use super::{captured, image};
use crate::root::Root;

/// Module directories; /lib is a link to /usr/lib on merged systems and resolved by the root.
pub(super) const MODULES: &str = "/lib/modules";

pub(super) fn observe(root: &Root, images: bool) -> Kernel {
    let release = root.attribute("/proc/sys/kernel/osrelease").or_else(|| {
        let text = root.attribute("/proc/version")?;
        text.strip_prefix("Linux version ")?
            .split_whitespace()
            .next()
            .map(str::to_owned)
    });
    let mut installed = releases(root);
    let sizes = sizes(root);
    for kernel in &mut installed {
        complete(root, kernel, &sizes, images);
    }
    Kernel {
        release,
        cmdline: match super::text(root, "/proc/cmdline") {
            Measured::Value(text) => {
                Measured::Value(text.trim_end_matches(['\n', '\0']).to_owned())
            }
            not => not,
        },
        installed,
        loaded: match super::text(root, "/proc/modules") {
            Measured::Value(text) => Measured::Value(procfs::loaded_modules(&text)),
            Measured::NotMeasured(why) => Measured::NotMeasured(why),
        },
        modules_disabled: root
            .attribute("/proc/sys/kernel/modules_disabled")
            .is_some_and(|text| text == "1"),
    }
}

/// Every kernel with a module directory, oldest first. A directory that a removed kernel left behind
/// (files of a user, but no index) is none.
pub(super) fn releases(root: &Root) -> Vec<InstalledKernel> {
    let mut names = root.list(MODULES).unwrap_or_default();
    names.retain(|name| {
        ["modules.dep", "modules.builtin", "modules.order", "kernel"]
            .iter()
            .any(|file| root.exists(&format!("{MODULES}/{name}/{file}")))
    });
    names.sort_by(|a, b| version::compare(a, b));
    names
        .into_iter()
        .map(|release| InstalledKernel {
            release,
            bootable: false,
            vfio_pci: ModuleState::Missing,
            has_vfio_virqfd: false,
            image: None,
        })
        .collect()
}

fn complete(
    root: &Root,
    kernel: &mut InstalledKernel,
    sizes: &BTreeMap<String, u64>,
    images: bool,
) {
    let release = &kernel.release;
    let dir = format!("{MODULES}/{release}");
    let index = |name| {
        root.read(&format!("{dir}/{name}"))
            .map(super::lossy)
            .unwrap_or_default()
    };
    let (builtin, loadable) = (index("modules.builtin"), index("modules.dep"));
    kernel.vfio_pci = if modules::lists(&builtin, "vfio_pci") {
        ModuleState::BuiltIn
    } else if modules::lists(&loadable, "vfio_pci") {
        ModuleState::Module
    } else {
        ModuleState::Missing
    };
    kernel.has_vfio_virqfd = modules::lists(&loadable, "vfio_virqfd");
    // Arch names files in /boot by package, Manjaro by series and architecture; the module directory
    // says which (files that their kernel packages put there).
    let packages: Vec<String> = ["pkgbase", "kernelbase"]
        .iter()
        .filter_map(|file| root.attribute(&format!("{dir}/{file}")))
        .collect();
    let named = |patterns: &[&str]| {
        let mut paths: Vec<String> = patterns
            .iter()
            .map(|pattern| pattern.replace("{}", release))
            .collect();
        let by_package = packages.iter();
        paths.extend(by_package.map(|package| format!("/boot/vmlinuz-{package}")));
        paths
    };
    kernel.bootable = named(&["/boot/vmlinuz-{}", "/boot/vmlinux-{}", "/boot/Image-{}"])
        .iter()
        .any(|path| root.exists(path));
    let mut candidates: Vec<String> = [
        "/boot/initrd.img-{}",
        "/boot/initramfs-{}.img",
        "/boot/initrd-{}",
    ]
    .iter()
    .map(|pattern| pattern.replace("{}", release))
    .collect();
    for package in &packages {
        candidates.push(format!("/boot/initramfs-{package}.img"));
        candidates.push(format!("/boot/booster-{package}.img"));
    }
    kernel.image = candidates
        .into_iter()
        .find_map(|path| initramfs(root, path, sizes, images));
}

pub(super) fn initramfs(
    root: &Root,
    path: String,
    sizes: &BTreeMap<String, u64>,
    open: bool,
) -> Option<Image> {
    // Links (openSUSE's /boot/initrd) are followed: the size is the image's.
    let real = root.resolve(&path).ok()?;
    let size = match sizes.get(&path) {
        Some(&size) => size,
        None => {
            root.meta(&real)
                .ok()
                .filter(crate::root::Meta::is_file)?
                .size
        }
    };
    let mut image = Image {
        path,
        size,
        entries: Measured::not("the image was not opened"),
        damage: None,
        texts: BTreeMap::new(),
    };
    if open {
        match image::read_image(root, &image.path, &image::CONFIGURATION) {
            Ok(content) => {
                image.entries = Measured::Value(content.entries);
                image.texts = content.texts;
            }
            Err(error) => {
                image.damage = error.is_damage().then(|| error.problem.to_string());
                image.entries = Measured::not(error.to_string());
            }
        }
    }
    Some(image)
}

/// Sizes that a capture wrote down instead of taking the images along.
pub(super) fn sizes(root: &Root) -> BTreeMap<String, u64> {
    let text = if root.is_live() {
        None
    } else {
        root.attribute(captured::SIZES)
    };
    text.unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (path, size) = line.rsplit_once(' ')?;
            Some((path.to_owned(), size.parse().ok()?))
        })
        .collect()
}
