//! Modules that are kept from loading: by lines of modprobe.d and by words of the kernel command line.
//! Doctor and repair both ask here what is kept, and which card is left without a driver by it.

use alloc::{string::String, vec::Vec};

use crate::{
    card,
    facts::{Facts, Function},
    pci::Address,
    text::{
        kargs::{Word, same_name},
        modprobe::Directive,
    },
};

/// Words of the kernel command line with a list of modules: the kernel's (kernel/module/main.c),
/// modprobe's (modprobe(8)) and dracut's (dracut.cmdline(7)).
pub(crate) const WORDS: [&str; 3] = [
    "module_blacklist",
    "modprobe.blacklist",
    "rd.driver.blacklist",
];

/// The USB controllers' driver, and the part of it that a card's USB function seems to need.
const USB: [&str; 2] = ["xhci_pci", "xhci_hcd"];
/// Drivers of graphics cards, beside all of NVIDIA's.
const DISPLAY: [&str; 5] = ["nouveau", "amdgpu", "radeon", "i915", "xe"];
/// The sound of cards, and of the host.
const SOUND: &str = "snd_hda_intel";

/// A module that a directive keeps from loading.
pub(crate) struct Kept<'a> {
    /// The module as it is written.
    pub(crate) module: &'a str,
    /// Explicit loading is refused too, not only loading for a device.
    pub(crate) hard: bool,
}

/// What a line of modprobe.d keeps from loading (modprobe.d(5)).
pub(crate) fn by_directive(directive: &Directive) -> Option<Kept<'_>> {
    let module = directive.arguments.first()?;
    let command = directive.arguments.get(1).map_or("", String::as_str);
    let program = ["/usr/bin/", "/bin/"]
        .iter()
        .find_map(|directory| command.strip_prefix(directory))
        .unwrap_or(command);
    let hard = directive.keyword == "install" && ["false", "true"].contains(&program);
    (hard || directive.keyword == "blacklist").then_some(Kept { module, hard })
}

/// What a word of the kernel command line keeps from loading.
pub(crate) fn by_word(word: Word<'_>) -> Vec<String> {
    if !WORDS.iter().any(|name| word.is(name)) {
        return Vec::new();
    }
    let value = word.value().unwrap_or_default();
    let modules = value.split(',').filter(|module| !module.is_empty());
    modules.map(String::from).collect()
}

/// Display functions that have drivers, none of which may load: `is_kept` names those that may not. A
/// blacklist that leaves another driver, as NVIDIA's packages do with nouveau, is in order.
pub(crate) fn stranded<'a>(
    facts: &'a Facts,
    is_kept: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = &'a Function> {
    card::gpus(facts).filter(move |f| {
        let mut drivers = f
            .candidates
            .iter()
            .filter(|c| !c.builtin && !c.module.contains("vfio"))
            .peekable();
        drivers.peek().is_some() && drivers.all(|c| is_kept(&c.module))
    })
}

/// What is to become of a blacklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The host needs the driver: it goes.
    Goes,
    /// It strands only cards that vfio-pci has or will have: it stays, and the user is told.
    Spare,
    /// It is none of repair's business.
    Stays,
}

/// Who needs drivers on this host once the plan acts.
pub(super) struct Needs {
    /// Modules that a function needs and cannot have.
    needed: Vec<String>,
    /// The same for functions that vfio-pci has or will have.
    spare: Vec<String>,
}

impl Needs {
    /// `kept` are all modules that are kept from loading, `bound` the functions that a plan binds.
    pub(super) fn of(facts: &Facts, kept: &[String], bound: &[Address]) -> Self {
        let is_kept = |module: &str| kept.iter().any(|kept| same_name(kept, module));
        let mut found = Self {
            needed: Vec::new(),
            spare: Vec::new(),
        };
        let sounding = facts.functions.iter().filter(|f| {
            let drivers = f.candidates.iter();
            drivers.filter(|c| !c.builtin).any(|c| c.module == SOUND)
        });
        let displays = stranded(facts, is_kept).map(|f| (f, false));
        for (f, sound) in displays.chain(sounding.map(|f| (f, true))) {
            let given = f.is_on_vfio() || bound.contains(&f.address);
            let list = if given {
                &mut found.spare
            } else {
                &mut found.needed
            };
            list.extend(
                f.candidates
                    .iter()
                    .map(|c| c.module.clone())
                    .filter(|module| sound == (module == SOUND)),
            );
        }
        found
    }

    /// What becomes of `module`, kept from loading by the file at `path` (a word has none).
    pub(super) fn verdict(&self, module: &str, path: Option<&str>) -> Verdict {
        if USB.iter().any(|usb| same_name(usb, module)) {
            return Verdict::Goes;
        }
        let drives = DISPLAY.iter().any(|driver| same_name(driver, module))
            || module.starts_with("nvidia")
            || same_name(module, SOUND);
        if !drives || path.is_some_and(is_nvidias) && same_name(module, "nouveau") {
            return Verdict::Stays;
        }
        let has = |list: &[String]| list.iter().any(|name| same_name(name, module));
        if has(&self.needed) {
            Verdict::Goes
        } else if has(&self.spare) {
            Verdict::Spare
        } else {
            Verdict::Stays
        }
    }
}

/// A file by which NVIDIA's driver keeps nouveau away: its installer's, or a distribution's package's.
fn is_nvidias(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.contains("nvidia"))
}
