//! Which tool makes the initramfs.

use passthru_plan::{Facts, Measured, facts::Generator};

use crate::root::Root;

/// The generator, and what was found.
pub(super) fn observe(root: &Root, facts: &Facts) -> (Measured<Generator>, Vec<String>) {
    let mut evidence = Vec::new();
    let answer = look(root, facts, &mut evidence);
    (answer, evidence)
}

fn look(root: &Root, facts: &Facts, evidence: &mut Vec<String>) -> Measured<Generator> {
    if root.exists("/run/ostree-booted") {
        evidence.push("/run/ostree-booted exists".into());
        return Measured::Value(Generator::RpmOstree);
    }
    if root.exists("/etc/NIXOS") {
        evidence.push("/etc/NIXOS exists".into());
        return Measured::Value(Generator::NixOs);
    }
    // Debian and kin: one package owns update-initramfs, and its text says which. Both
    // initramfs-tools-core and dracut-core can be there as well, for their tools.
    if let Ok(script) = root.read("/usr/sbin/update-initramfs") {
        let script = crate::observe::lossy(script);
        let own = script.contains("mkinitramfs");
        let dracut = script.contains("dracut");
        let found = match (own, dracut) {
            (true, _) => Some(Generator::InitramfsTools),
            (false, true) => Some(Generator::Dracut),
            (false, false) => None,
        };
        if let Some(found) = found {
            evidence.push(format!(
                "/usr/sbin/update-initramfs calls {}",
                if own { "mkinitramfs" } else { "dracut" }
            ));
            return Measured::Value(found);
        }
        evidence.push("/usr/sbin/update-initramfs calls neither mkinitramfs nor dracut".into());
    }
    if let Some(chosen) = kernel_install(facts) {
        evidence.push(format!(
            "/etc/kernel/install.conf has initrd_generator={}",
            chosen.name()
        ));
        return Measured::Value(chosen);
    }
    let mut found = Vec::new();
    for (generator, programs) in [
        (Generator::Mkinitcpio, &["/usr/bin/mkinitcpio"][..]),
        (Generator::Dracut, &["/usr/bin/dracut", "/usr/sbin/dracut"]),
        (Generator::Booster, &["/usr/bin/booster"]),
    ] {
        if let Some(program) = programs.iter().find(|program| root.exists(program)) {
            evidence.push(format!("{program} exists"));
            found.push(generator);
        }
    }
    if found.len() > 1 {
        // Arch: the one whose pacman hook is in force makes the images.
        let hooked: Vec<Generator> = found
            .iter()
            .copied()
            .filter(|generator| hook(root, *generator, evidence))
            .collect();
        if let [only] = hooked[..] {
            return Measured::Value(only);
        }
    }
    match found[..] {
        [only] => Measured::Value(only),
        [] => Measured::not("no initramfs generator was found that passthru knows"),
        _ => Measured::not(format!(
            "several initramfs generators are installed and nothing tells which one is used: {}",
            evidence.join("; ")
        )),
    }
}

/// `initrd_generator=` of kernel-install(8).
fn kernel_install(facts: &Facts) -> Option<Generator> {
    let text = facts.text("/etc/kernel/install.conf")?;
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("initrd_generator="))?;
    match value.trim() {
        "dracut" => Some(Generator::Dracut),
        "mkinitcpio" => Some(Generator::Mkinitcpio),
        "booster" => Some(Generator::Booster),
        "initramfs-tools" => Some(Generator::InitramfsTools),
        _ => None,
    }
}

/// A pacman hook of the generator is installed and not masked by a link to /dev/null.
fn hook(root: &Root, generator: Generator, evidence: &mut Vec<String>) -> bool {
    let word = match generator {
        Generator::Mkinitcpio => "mkinitcpio",
        Generator::Dracut => "dracut",
        Generator::Booster => "booster",
        _ => return false,
    };
    let own = "/etc/pacman.d/hooks";
    let names = |directory| root.list(directory).unwrap_or_default();
    let mask = |name: &String| {
        root.link(&format!("{own}/{name}"))
            .is_ok_and(|target| target == "/dev/null")
    };
    let found = names("/usr/share/libalpm/hooks")
        .into_iter()
        .chain(names(own))
        .find(|name| name.contains(word) && name.contains("install") && !mask(name));
    if let Some(name) = &found {
        evidence.push(format!("pacman runs {name}"));
    }
    found.is_some()
}
