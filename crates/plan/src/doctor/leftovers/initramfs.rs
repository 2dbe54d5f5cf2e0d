//! Files that configure the initramfs, and modules loaded too late.

use alloc::{format, string::String, vec::Vec};

use super::{
    super::{View, check::check, cmdlines::line_number, how},
    code_lines, quote, texts,
};
use crate::{
    facts::{Facts, Generator},
    finding::{Finding, Severity},
    rules::{
        repair::initramfs::{
            MODULES, asks_for_virqfd, is_directive, is_dracut, is_mkinitcpio, is_unread,
            loads_modules,
        },
        stack::generator::initramfs_tools,
    },
    text::{kargs::same_name, shell},
};

pub(super) fn check_all(view: &View<'_>, found: &mut Vec<Finding>) {
    let facts = view.facts;
    found.extend(options_lines(facts));
    found.extend(virqfd(facts));
    found.extend(dracut_suffix(facts));
    found.extend(dracut_spaces(facts));
    found.extend(dracut_add_drivers(view));
    found.extend(modules_load(facts));
    found.extend(script_order(facts));
    found.extend(script_mode(facts));
}

/// Each line is "module arguments" (initramfs.conf(5)), not a line of modprobe.d.
fn options_lines(facts: &Facts) -> Option<Finding> {
    let found: Vec<String> = texts(facts, |path| path == MODULES)
        .flat_map(|(path, text)| {
            code_lines(text)
                .filter(|(_, line)| is_directive(line))
                .map(move |(number, line)| quote(path, number, line))
        })
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "initramfs.options-in-modules",
            "The list of modules for the initramfs holds modules only",
            Severity::Warning,
            "Each line of this file names a module, with its arguments behind it. A line that begins with \"options\" asks for a module named options, which does not exist, and nothing is said.",
        )
        .no(
            found,
            format!(
                "Move the line to a file such as /etc/modprobe.d/vfio.conf, run: {}, and reboot. Or delete it: passthru plan --gpu … sets this up.",
                how::rebuild_images(facts)
            ),
        )
    })
}

/// vfio_virqfd is part of vfio since Linux 6.2 (drivers/vfio/Makefile).
fn virqfd(facts: &Facts) -> Option<Finding> {
    let without: Vec<&str> = facts
        .kernel
        .installed
        .iter()
        .filter(|k| !k.has_vfio_virqfd)
        .map(|k| k.release.as_str())
        .collect();
    if without.is_empty() {
        return None;
    }
    let found: Vec<String> = texts(facts, |path| {
        path == MODULES || loads_modules(path) || is_dracut(path) || is_mkinitcpio(path)
    })
    .flat_map(|(path, text)| {
        code_lines(text)
            .filter(|(_, line)| asks_for_virqfd(line))
            .map(move |(number, line)| quote(path, number, line))
    })
    .collect();
    if found.is_empty() {
        return None;
    }
    let (severity, effect) = match facts.boot.generator.value() {
        Some(Generator::Dracut) => (
            Severity::Warning,
            "dracut stops at it and leaves out the rest of the list, so vfio-pci may be missing from the image.",
        ),
        Some(Generator::Mkinitcpio) => (
            Severity::Warning,
            "mkinitcpio ends with \"module not found\", and updates of the kernel look failed.",
        ),
        _ => (
            Severity::Info,
            "It is passed over here, but it makes other generators fail.",
        ),
    };
    let mut evidence = found;
    evidence.push(format!("no such module in {}", without.join(", ")));
    Some(
        check(
            "initramfs.vfio-virqfd",
            "Only modules that exist are asked for",
            severity,
            format!("vfio_virqfd became part of vfio in Linux 6.2. {effect}"),
        )
        .no(
            evidence,
            format!(
                "Delete the word vfio_virqfd there and run: {}.",
                how::rebuild_images(facts)
            ),
        ),
    )
}

/// dracut reads only *.conf there (dracut.conf(5)).
fn dracut_suffix(facts: &Facts) -> Option<Finding> {
    let found: Vec<String> = texts(facts, is_unread)
        .map(|(path, _)| format!("{path} is not read"))
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "initramfs.dracut-suffix",
            "Every file in /etc/dracut.conf.d is read",
            Severity::Warning,
            "dracut reads only files whose name ends in .conf. What stands in others has no effect, and nothing is said.",
        )
        .no(
            found,
            format!(
                "Rename it to end in .conf and run: {}. If you do not want what is in it, delete it.",
                how::rebuild_images(facts)
            ),
        )
    })
}

/// Lists of dracut that are put together from several files (dracut.conf(5)).
const LISTS: [&str; 6] = [
    "add_drivers",
    "force_drivers",
    "omit_drivers",
    "add_dracutmodules",
    "omit_dracutmodules",
    "install_items",
];

/// Empty, or with a blank at both ends.
fn is_padded(value: &str) -> bool {
    value.is_empty() || value.starts_with(' ') && value.ends_with(' ')
}

fn dracut_spaces(facts: &Facts) -> Option<Finding> {
    let mut found = Vec::new();
    for (path, text) in texts(facts, |path| is_dracut(path) && path.ends_with(".conf")) {
        for assignment in shell::assignments(text)
            .iter()
            .filter(|a| a.appends && LISTS.contains(&a.name.as_str()))
        {
            let value = assignment.value(&alloc::collections::BTreeMap::new());
            if value.is_some_and(|v| !is_padded(&v)) {
                let number = line_number(text, assignment.range.start);
                found.extend(
                    text.lines()
                        .nth(number - 1)
                        .map(|line| quote(path, number, line)),
                );
            }
        }
    }
    (!found.is_empty()).then(|| {
        check(
            "initramfs.dracut-spaces",
            "The lists in dracut's files stay apart",
            Severity::Warning,
            "dracut glues these values together as they are. Without a blank at both ends the last name of one file and the first of the next become one word, and both are lost.",
        )
        .no(
            found,
            format!(
                "Write a blank after the opening and before the closing quote, like force_drivers+=\" vfio_pci vfio vfio_iommu_type1 \", and run: {}.",
                how::rebuild_images(facts)
            ),
        )
    })
}

/// `add_drivers` puts modules into the image, `force_drivers` also loads them before udev.
fn dracut_add_drivers(view: &View<'_>) -> Option<Finding> {
    let mut added = Vec::new();
    let mut forced = !view.cmdlines.hits(|w| w.is("rd.driver.pre")).is_empty();
    for (path, text) in texts(view.facts, |path| {
        is_dracut(path) && path.ends_with(".conf")
    }) {
        for (number, line) in code_lines(text).filter(|(_, line)| line.contains("vfio")) {
            match line.trim_start() {
                l if l.starts_with("add_drivers") => added.push(quote(path, number, line)),
                l if l.starts_with("force_drivers") => forced = true,
                _ => {}
            }
        }
    }
    (!added.is_empty() && !forced).then(|| {
        check(
            "initramfs.dracut-add-drivers",
            "dracut loads vfio-pci before the graphics drivers",
            Severity::Warning,
            "add_drivers only puts a module into the image. Nothing loads it early, so the graphics driver takes the card first.",
        )
        .no(
            added,
            format!(
                "Write force_drivers in place of add_drivers and run: {}.",
                how::rebuild_images(view.facts)
            ),
        )
    })
}

/// Read by systemd in the real root file system, after udev (modules-load.d(5)).
fn modules_load(facts: &Facts) -> Option<Finding> {
    let found: Vec<String> = texts(facts, loads_modules)
        .flat_map(|(path, text)| {
            code_lines(text)
                .filter(|(_, line)| same_name(line.trim(), "vfio-pci"))
                .map(move |(number, line)| quote(path, number, line))
        })
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "initramfs.modules-load",
            "vfio-pci is not asked for too late only",
            Severity::Info,
            "These files are read after the graphics drivers have taken their cards. Loading vfio-pci there changes nothing any more.",
        )
        .no(
            found,
            "Delete the line; it does no harm. What loads vfio-pci early enough is the initramfs: passthru plan --gpu … sets that up.",
        )
    })
}

/// Scripts of the user in init-top that are about vfio: path, name, mode.
fn scripts(facts: &Facts) -> impl Iterator<Item = (&str, &str, u32)> {
    let dir = "/etc/initramfs-tools/scripts/init-top/";
    facts.files.iter().filter_map(move |(path, file)| {
        let name = path.strip_prefix(dir)?;
        let text = file.text.value()?;
        let about = text.contains("vfio") || text.contains("driver_override");
        (about && path != initramfs_tools::SCRIPT).then_some((path.as_str(), name, file.mode))
    })
}

fn script_order(facts: &Facts) -> Option<Finding> {
    let found: Vec<String> = scripts(facts)
        .filter(|(_, name, _)| *name > "udev")
        .map(|(path, ..)| format!("{path} sorts after \"udev\""))
        .collect();
    (!found.is_empty()).then(|| {
        check(
            "initramfs.script-after-udev",
            "Scripts that bind cards run before udev",
            Severity::Warning,
            "Scripts in init-top run in the order of their names. udev is one of them and loads the graphics drivers; a name after it comes too late.",
        )
        .no(
            found,
            "Rename it to sort before \"udev\", for example with aa- in front, and run: sudo update-initramfs -u -k all. Or delete it: passthru plan --gpu … binds by address.",
        )
    })
}

fn script_mode(facts: &Facts) -> Option<Finding> {
    let found: Vec<(String, &str)> = scripts(facts)
        .filter(|(_, _, mode)| mode & 0o111 == 0)
        .map(|(path, _, mode)| (format!("{path} has mode {mode:04o}"), path))
        .collect();
    let (_, path) = found.first()?;
    let path = *path;
    Some(
        check(
            "initramfs.script-not-executable",
            "Scripts that bind cards are executable",
            Severity::Warning,
            "update-initramfs passes over scripts that are not executable, and nothing is said.",
        )
        .no(
            found.into_iter().map(|(line, _)| line),
            format!("Run: sudo chmod 755 {path}, then: sudo update-initramfs -u -k all."),
        ),
    )
}
