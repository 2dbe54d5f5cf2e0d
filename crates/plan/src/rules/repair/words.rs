//! Words of the kernel command line that guides ask for and that do nothing, or do harm.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::blacklists::{self, Needs, Verdict};
use crate::{
    facts::{BootLoader, Facts, Generator},
    rules::stack::{self, loader},
    text::{
        kargs::{self, Word, same_name},
        shell,
    },
};

/// What is wrong with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// `video=efifb:off`: only the old drivers know it (drivers/video/fbdev/efifb.c), and
    /// drivers/vfio/pci/vfio_pci_core.c removes firmware consoles since Linux 6.0.
    FirmwareConsole,
    /// `initcall_blacklist=sysfb_init`: no picture until a graphics driver starts.
    Sysfb,
    /// `amd_iommu=on`, which drivers/iommu/amd/init.c `parse_amd_iommu_options()` does not know.
    AmdIommu,
    /// `iommu=on`, which arch/x86/kernel/pci-dma.c `iommu_setup()` does not know.
    Iommu,
    /// `rd.driver.pre=` is dracut's (dracut.cmdline(7)), and initramfs-tools passes over it.
    RdDriverPre,
    /// `pci-stub.ids=`: the way before vfio-pci.
    PciStub,
}

impl Mistake {
    const fn why(self) -> &'static str {
        match self {
            Self::FirmwareConsole => {
                "only the old framebuffer drivers know it, and it hides what a failed boot says; vfio-pci takes the firmware's console off the card by itself"
            }
            Self::Sysfb => {
                "without the firmware's console a boot that fails early shows nothing; vfio-pci takes it off the card by itself"
            }
            Self::AmdIommu | Self::Iommu => {
                "the kernel knows no such value and passes over it; it turns nothing on"
            }
            Self::RdDriverPre => "it is dracut's, and initramfs-tools makes this host's initramfs",
            Self::PciStub => {
                "pci-stub takes these devices before vfio-pci can; vfio-pci reserves devices by itself"
            }
        }
    }
}

const CONSOLES: [&str; 3] = ["efifb:off", "vesafb:off", "simplefb:off"];

/// What is wrong with `word` on this host, if it is one of these.
pub(crate) fn mistake(facts: &Facts, word: Word<'_>) -> Option<Mistake> {
    let value = word.value()?;
    let has = |wanted: &[&str]| value.split(',').any(|part| wanted.contains(&part));
    if word.is("video") && has(&CONSOLES) {
        Some(Mistake::FirmwareConsole)
    } else if word.is("initcall_blacklist") && has(&["sysfb_init"]) {
        Some(Mistake::Sysfb)
    } else if word.is("amd_iommu") && value == "on" {
        Some(Mistake::AmdIommu)
    } else if word.is("iommu")
        && matches!(
            value.as_str(),
            "0" | "1" | "on" | "yes" | "true" | "enabled"
        )
    {
        Some(Mistake::Iommu)
    } else if word.is("rd.driver.pre") && facts.boot.generator.is(&Generator::InitramfsTools) {
        Some(Mistake::RdDriverPre)
    } else if word.is("pci-stub.ids") {
        Some(Mistake::PciStub)
    } else {
        None
    }
}

/// A word that is put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fix {
    /// The word as it is written.
    pub(crate) word: String,
    /// What stands in its place; nothing if it goes.
    pub(crate) becomes: Option<String>,
    /// Why.
    pub(crate) why: String,
}

/// How `word` is put right, if repair does that. Modules in blacklists go by `needs`.
fn fix(facts: &Facts, needs: &Needs, word: Word<'_>) -> Option<Fix> {
    let (becomes, why) = match mistake(facts, word) {
        Some(mistake) => {
            let becomes = match mistake {
                Mistake::FirmwareConsole => without(word, |part| CONSOLES.contains(&part)),
                Mistake::Sysfb => without(word, |part| part == "sysfb_init"),
                Mistake::RdDriverPre => without(word, is_vfio),
                Mistake::AmdIommu | Mistake::Iommu | Mistake::PciStub => Some(None),
            };
            (becomes?, mistake.why().to_string())
        }
        None => {
            let goes = |module: &str| needs.verdict(module, None) == Verdict::Goes;
            let modules = blacklists::by_word(word);
            if !modules.iter().any(|module| goes(module)) {
                return None;
            }
            let why =
                "it keeps a driver from loading that the host needs, for all devices of the driver";
            (without(word, goes)?, why.to_string())
        }
    };
    Some(Fix {
        word: word.raw.into(),
        becomes,
        why,
    })
}

/// vfio's own modules: the part of `rd.driver.pre=` that guides ask for.
fn is_vfio(module: &str) -> bool {
    let own = ["vfio", "vfio-pci", "vfio_iommu_type1", "vfio_virqfd"];
    own.iter().any(|name| same_name(name, module))
}

/// `word` without parts of its list that go: `None` if none does, nothing if none is left.
fn without(word: Word<'_>, goes: impl Fn(&str) -> bool) -> Option<Option<String>> {
    let value = word.value()?;
    let parts: Vec<&str> = value.split(',').filter(|part| !part.is_empty()).collect();
    let kept: Vec<&str> = parts.iter().copied().filter(|part| !goes(part)).collect();
    if kept.len() == parts.len() {
        return None;
    }
    let rest = kept.join(",");
    let quote = if rest.contains(char::is_whitespace) {
        "\""
    } else {
        ""
    };
    Some((!kept.is_empty()).then(|| format!("{}={quote}{rest}{quote}", word.name())))
}

/// A command line that the loader's rules can change.
struct Place {
    cmdline: String,
    /// GRUB's: the text of the file and the variable in it.
    shell: Option<(String, &'static str)>,
}

impl Place {
    /// The word can be taken out of it.
    fn gives(&self, word: &str) -> bool {
        self.shell.as_ref().is_none_or(|(text, variable)| {
            shell::remove_word(text, variable, word).is_some_and(|after| {
                let left = shell::evaluate([after.as_str()]);
                let value = left.get(*variable).and_then(Option::as_deref);
                value.is_none_or(|value| !kargs::words(value).any(|left| left.raw == word))
            })
        })
    }
}

/// kernelstub takes options out by making a set of them, which loses their order, and dracut's
/// `kernel_cmdline` may stand in any file.
fn is_out_of_reach(facts: &Facts) -> bool {
    match facts.boot.loader.value() {
        Some(BootLoader::Kernelstub) => true,
        Some(BootLoader::UnifiedKernelImage) => facts.files.keys().any(|path| {
            let text = facts.text(path).unwrap_or_default();
            path.starts_with("/etc/dracut.conf") && text.contains("kernel_cmdline")
                || path.starts_with("/etc/cmdline.d/")
        }),
        _ => false,
    }
}

fn places(facts: &Facts) -> Vec<Place> {
    if is_out_of_reach(facts) {
        return Vec::new();
    }
    if loader::is_by_grub_defaults(facts) {
        return loader::grub::foreign_values(facts)
            .into_iter()
            .map(|(variable, text, cmdline)| Place {
                cmdline,
                shell: Some((text, variable)),
            })
            .collect();
    }
    loader::cmdlines(facts)
        .into_iter()
        .map(|(_, cmdline)| Place {
            cmdline,
            shell: None,
        })
        .collect()
}

/// Every module that is kept from loading, by any file or by a word.
pub(super) fn kept_modules(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (path, file) in &facts.files {
        if let Some(text) = file.text.value().filter(|_| super::modprobe::is_read(path)) {
            for directive in crate::text::modprobe::directives(text) {
                let kept = blacklists::by_directive(&directive);
                found.extend(kept.map(|kept| kept.module.to_string()));
            }
        }
    }
    let running = facts.kernel.cmdline.value().map_or("", String::as_str);
    for word in kargs::words(running) {
        found.extend(blacklists::by_word(word));
    }
    for place in places(facts) {
        for word in kargs::words(&place.cmdline) {
            found.extend(blacklists::by_word(word));
        }
    }
    found
}

/// Words that are put right where they are configured, each once.
pub(super) fn fixes(facts: &Facts, needs: &Needs) -> Vec<Fix> {
    let own = stack::own_words(facts);
    let mut found: Vec<Fix> = Vec::new();
    for place in places(facts) {
        for word in kargs::words(&place.cmdline) {
            let known = found.iter().any(|fix| fix.word == word.raw)
                || kargs::words(&own).any(|own| own.raw == word.raw);
            if !known && place.gives(word.raw) {
                found.extend(fix(facts, needs, word));
            }
        }
    }
    found
}

/// Words of the running command line that repair would put right, wherever they are configured.
pub(super) fn running(facts: &Facts, needs: &Needs) -> Vec<Fix> {
    let own = stack::own_words(facts);
    let cmdline = facts.kernel.cmdline.value().map_or("", String::as_str);
    kargs::words(cmdline)
        .filter(|word| !kargs::words(&own).any(|own| own.raw == word.raw))
        .filter_map(|word| fix(facts, needs, word))
        .collect()
}

/// The text of a file of GRUB's defaults that no loader here reads, with its words put right.
pub(super) fn in_defaults(facts: &Facts, needs: &Needs, text: &str) -> (String, Vec<String>) {
    let mut after = String::from(text);
    let mut why = Vec::new();
    for variable in loader::grub::VARIABLES {
        let value = shell::evaluate([after.as_str()]).remove(variable).flatten();
        let value = value.unwrap_or_default();
        for fix in kargs::words(&value).filter_map(|word| fix(facts, needs, word)) {
            if let Some(next) = fix.on_variable(&after, variable) {
                after = next;
                why.push(format!("{}: {}", fix.word, fix.why));
            }
        }
    }
    (after, why)
}

impl Fix {
    /// The shell text with the word put right in every value of `variable`.
    pub(crate) fn on_variable(&self, text: &str, variable: &str) -> Option<String> {
        match &self.becomes {
            Some(with) => shell::replace_word(text, variable, &self.word, with),
            None => shell::remove_word(text, variable, &self.word),
        }
    }
}
