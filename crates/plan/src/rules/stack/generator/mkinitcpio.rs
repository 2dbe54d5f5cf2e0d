//! mkinitcpio: a hook of its own, for images with busybox (an early hook, before udev's coldplug) and
//! with systemd (a unit before systemd-udev-trigger.service).
//!
//! The hook is named in a drop-in, or, where a preset names its configuration (which makes mkinitcpio
//! ignore drop-ins) or mkinitcpio is older than 36, at the end of that configuration.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{File, Recipe, WHY_MODULES, WHY_SCRIPT, check_compression, images, script};
use crate::{
    facts::{Facts, InstalledKernel},
    rules::Draft,
    text::{mkinitcpio, shell},
};

const CONFIG: &str = "/etc/mkinitcpio.conf";
const DROP_INS: &str = "/etc/mkinitcpio.conf.d/";
/// Drop-ins are read in the order of their names; one that sets HOOKS comes first.
const DROP_IN: &str = "/etc/mkinitcpio.conf.d/zz-passthru.conf";
const PRESETS: &str = "/etc/mkinitcpio.d/";
const CMDLINE: &str = "/etc/kernel/cmdline";

const INSTALL: &str = "/etc/initcpio/install/passthru";
const HOOK: &str = "/etc/initcpio/hooks/passthru";
const BIND: &str = "/etc/initcpio/passthru/bind";
const UNIT: &str = "/etc/initcpio/passthru/passthru-bind.service";

const HOOK_IN_IMAGE: &str = "hooks/passthru";
const BIND_IN_IMAGE: &str = "usr/lib/passthru/bind";
const UNIT_IN_IMAGE: &str = "usr/lib/systemd/system/passthru-bind.service";
const RULES_IN_IMAGE: &str = "etc/modprobe.d/passthru.conf";

/// An image with systemd has no shell unless the hook `base` put one in.
const INSTALL_TEXT: &str = "\
#!/bin/bash
# Written by passthru: puts vfio-pci into the initramfs. It binds only what the
# kernel command line names. Taken away by: passthru undo
build() {
\tlocal module unit=/usr/lib/systemd/system
\tfor module in vfio_pci vfio_iommu_type1; do
\t\tadd_module \"$module\"
\tdone
\t# The hook modconf may be missing.
\tadd_file /etc/modprobe.d/passthru.conf
\tadd_file /etc/initcpio/passthru/bind /usr/lib/passthru/bind 755
\tadd_runscript
\tadd_file /etc/initcpio/passthru/passthru-bind.service \"$unit/passthru-bind.service\" 644
\tadd_symlink \"$unit/systemd-udev-trigger.service.wants/passthru-bind.service\" ../passthru-bind.service
\tif [[ ! -e $BUILDROOT/usr/bin/sh ]]; then
\t\tadd_binary /usr/bin/bash
\t\tadd_symlink /usr/bin/sh bash
\tfi
}

help() {
\techo 'Gives functions to vfio-pci before udev loads any driver.'
}
";

const HOOK_TEXT: &str = "\
#!/usr/bin/ash
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Taken away by: passthru undo
run_earlyhook() {
\t/usr/bin/sh /usr/lib/passthru/bind
}
";

const UNIT_TEXT: &str = "\
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Taken away by: passthru undo
[Unit]
Description=Give functions to vfio-pci
DefaultDependencies=no
Before=systemd-udev-trigger.service systemd-modules-load.service
[Service]
Type=oneshot
ExecStart=/usr/bin/sh /usr/lib/passthru/bind
";

const LINES: &str = "\
# Written by passthru: its hook, behind those above.
HOOKS+=(passthru)
# End of passthru
";

fn bind_text() -> String {
    format!(
        "\
#!/bin/sh
# Written by passthru: gives functions to vfio-pci before udev loads any driver.
# Without passthru.load= or passthru.bind= on the kernel command line it does
# nothing. Taken away by: passthru undo
{}",
        script::TEXT
    )
}

/// What a preset makes.
struct Preset {
    /// Configurations that it names; none means /etc/mkinitcpio.conf and its drop-ins.
    configs: BTreeSet<String>,
    by_default: bool,
    /// Images and unified kernel images.
    images: Vec<String>,
    /// `linux` of /etc/mkinitcpio.d/linux.preset.
    name: String,
}

/// The presets of this host: what `mkinitcpio -P` goes through.
fn presets(facts: &Facts) -> Vec<Preset> {
    facts
        .files
        .keys()
        .filter_map(|path| {
            let name = path.strip_prefix(PRESETS)?.strip_suffix(".preset")?;
            Some(preset(name, facts.text(path)?))
        })
        .collect()
}

fn preset(name: &str, text: &str) -> Preset {
    let mut values: BTreeMap<String, Option<String>> = shell::evaluate([text]);
    let parts = mkinitcpio::arrays(text)
        .remove("PRESETS")
        .unwrap_or_default();
    let mut of = |part: &str, key: &str| {
        let value = values.remove(&format!("{part}_{key}")).flatten();
        value.filter(|value| !value.is_empty())
    };
    let all = of("ALL", "config");
    let mut found = Preset {
        configs: BTreeSet::new(),
        by_default: false,
        images: Vec::new(),
        name: name.into(),
    };
    for part in &parts {
        match of(part, "config").or_else(|| all.clone()) {
            Some(config) => {
                found.configs.insert(config);
            }
            None => found.by_default = true,
        }
        found.images.extend(
            ["image", "uki", "efi_image"]
                .map(|key| of(part, key))
                .into_iter()
                .flatten(),
        );
    }
    found
}

/// A unified image with another command line than /etc/kernel/cmdline.
pub(crate) struct OtherCmdline {
    /// The preset's file.
    pub(crate) preset: String,
    /// What stands in it.
    pub(crate) what: String,
    /// The image.
    pub(crate) image: String,
}

/// Unified images that presets give a command line of their own (mkinitcpio(8), `--cmdline`,
/// `--no-cmdline`; `…_cmdline` from version 40 on). Parts that PRESETS does not name are not made.
pub(crate) fn other_cmdlines(facts: &Facts) -> Vec<OtherCmdline> {
    let mut found = Vec::new();
    for path in facts.files.keys() {
        let Some(text) = facts.text(path).filter(|_| path.starts_with(PRESETS)) else {
            continue;
        };
        let values = shell::evaluate([text]);
        let of = |part: &str, key: &str| {
            let value = values.get(&format!("{part}_{key}"))?.as_deref()?;
            (!value.is_empty()).then_some(value)
        };
        let parts = mkinitcpio::arrays(text)
            .remove("PRESETS")
            .unwrap_or_default();
        for part in parts {
            let Some(image) = of(&part, "uki").or_else(|| of(&part, "efi_image")) else {
                continue;
            };
            let by_key = of(&part, "cmdline")
                .filter(|file| *file != CMDLINE)
                .map(|file| format!("{part}_cmdline=\"{file}\""));
            let by_option = of(&part, "options")
                .and_then(cmdline_option)
                .map(|option| format!("{option} in {part}_options"));
            if let Some(what) = by_key.or(by_option) {
                found.push(OtherCmdline {
                    preset: path.clone(),
                    what,
                    image: image.into(),
                });
            }
        }
    }
    found
}

/// The option among these that takes another command line.
fn cmdline_option(options: &str) -> Option<&'static str> {
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let (option, file) = match word.split_once('=') {
            Some((option, file)) => (option, Some(file)),
            None => (word, None),
        };
        match option {
            "--no-cmdline" => return Some("--no-cmdline"),
            "--cmdline" if file.or_else(|| words.next()) != Some(CMDLINE) => {
                return Some("--cmdline");
            }
            _ => {}
        }
    }
    None
}

/// Every image that `mkinitcpio -P` writes, with the kernel it is for.
pub(crate) fn images(facts: &Facts, kernels: &[&InstalledKernel]) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for preset in presets(facts) {
        let by_image = kernels.iter().find(|kernel| {
            let image = kernel.image.as_ref();
            image.is_some_and(|image| preset.images.contains(&image.path))
        });
        let entries = facts.boot.entries.iter();
        let by_entry = entries
            .filter(|entry| preset.images.contains(&entry.path))
            .find_map(|entry| entry.version.clone());
        let release = by_image.map(|kernel| kernel.release.clone()).or(by_entry);
        for image in preset.images {
            found.push((image, release.clone()));
        }
    }
    found
}

pub(super) fn recipe<'a>(
    draft: &mut Draft<'_>,
    rules: &str,
    kernels: &[&InstalledKernel],
) -> Option<Recipe<'a>> {
    let facts = draft.facts;
    let presets = presets(facts);
    if presets.is_empty() {
        draft.refuse(
            "stack.initramfs",
            "mkinitcpio has no preset in /etc/mkinitcpio.d, so which images it makes is not known.",
            "Reinstall the kernel's package, which brings its preset, then plan again.",
        );
        return None;
    }
    let mut configs: BTreeSet<String> = presets.iter().flat_map(|p| p.configs.clone()).collect();
    let drop_in = presets.iter().any(|preset| preset.by_default);
    let mut files = Vec::new();
    if drop_in && facts.boot.mkinitcpio_dropins.is(&true) {
        files.push(File {
            path: DROP_IN.into(),
            text: LINES.into(),
            mode: 0o644,
            why: "puts passthru's hook behind those of the configuration; a drop-in, so /etc/mkinitcpio.conf stays yours",
        });
    } else if drop_in {
        configs.insert(CONFIG.into());
    }
    for config in &configs {
        files.extend(with_lines(draft, config, &presets));
    }
    check_hooks(draft, &configs, drop_in);
    check_compression(
        draft,
        compression(facts, &configs),
        "Set COMPRESSION=\"zstd\" in /etc/mkinitcpio.conf, then plan again.",
    );
    let file = |path: &str, text: String, mode, why| File {
        path: path.into(),
        text,
        mode,
        why,
    };
    files.extend([
        file(BIND, bind_text(), 0o755, WHY_SCRIPT),
        file(
            UNIT,
            UNIT_TEXT.into(),
            0o644,
            "starts that script in images with systemd",
        ),
        file(
            HOOK,
            HOOK_TEXT.into(),
            0o644,
            "starts that script in images with busybox",
        ),
        file(INSTALL, INSTALL_TEXT.into(), 0o644, WHY_MODULES),
    ]);
    Some(Recipe {
        files,
        command: images::Command {
            argv: &["mkinitcpio", "-P"],
            family: "/boot/initramfs-*",
            modules: images::KERNELS_MODULES,
            texts: vec![
                (RULES_IN_IMAGE.into(), rules.into()),
                (BIND_IN_IMAGE.into(), bind_text()),
                (HOOK_IN_IMAGE.into(), HOOK_TEXT.into()),
                (UNIT_IN_IMAGE.into(), UNIT_TEXT.into()),
            ],
            more: images(facts, kernels),
            beside: None,
        },
    })
}

/// A configuration with passthru's lines at its end.
fn with_lines(draft: &mut Draft<'_>, config: &str, presets: &[Preset]) -> Option<File> {
    let Some(text) = draft.facts.text(config) else {
        let of: Vec<&str> = presets
            .iter()
            .filter(|preset| preset.configs.contains(config))
            .map(|preset| preset.name.as_str())
            .collect();
        draft.refuse(
            "stack.initramfs",
            format!(
                "The preset {} of mkinitcpio names {config} as its configuration, which passthru does not read.",
                of.join(", ")
            ),
            format!("Move what it sets into {CONFIG} or a drop-in in {DROP_INS}, comment the line out in the preset, then plan again."),
        );
        return None;
    };
    let mut after = text.to_string();
    if !text.contains(LINES) {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(LINES);
    }
    Some(File {
        path: config.into(),
        text: after,
        mode: 0o644,
        why: "puts passthru's hook behind the others; the preset names this configuration, and then mkinitcpio reads no drop-in",
    })
}

/// Where HOOKS is not an array, a word added behind it would make one word of all hooks, and an image
/// that finds no root.
fn check_hooks(draft: &mut Draft<'_>, configs: &BTreeSet<String>, drop_in: bool) {
    let facts = draft.facts;
    let mut paths: BTreeSet<&str> = configs.iter().map(String::as_str).collect();
    if drop_in {
        paths.insert(CONFIG);
        let drop_ins = facts.files.keys().map(String::as_str);
        paths.extend(drop_ins.filter(|path| path.starts_with(DROP_INS) && path.ends_with(".conf")));
    }
    for path in paths {
        if facts
            .text(path)
            .is_some_and(|text| mkinitcpio::is_scalar(text, "HOOKS"))
        {
            draft.refuse(
                "stack.initramfs",
                format!("{path} sets HOOKS as one text instead of a list, and a hook cannot be added behind that."),
                "Write it as a list, HOOKS=(base udev …), and plan again.",
            );
        }
    }
}

/// `COMPRESSION=` of mkinitcpio.conf(5); zstd if it is not set.
fn compression(facts: &Facts, configs: &BTreeSet<String>) -> Option<String> {
    let own = facts.text(CONFIG);
    let drop_ins = facts.files.keys().filter(|path| path.starts_with(DROP_INS));
    let drop_ins = drop_ins.filter_map(|path| facts.text(path));
    let named = configs.iter().filter_map(|path| facts.text(path));
    shell::evaluate(own.into_iter().chain(drop_ins).chain(named))
        .remove("COMPRESSION")
        .flatten()
}
