//! What a trial boot needs beside the loader's entry: a service that keeps the change or takes it
//! back, and words that bring a boot that hangs back to the firmware.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{edit, words::TRIAL};
use crate::{
    change::Change,
    facts::{Facts, Generator},
    text::kargs,
};

/// Runs in every boot until the trial is over.
const SERVICE: &str = "/etc/systemd/system/passthru-confirm.service";
/// Starts it: a drop-in, for links are no text.
const WANTS: &str = "/etc/systemd/system/multi-user.target.d/passthru-confirm.conf";
/// Ends a trial boot that came no further than the emergency shell.
const EMERGENCY: &str = "/etc/systemd/system/passthru-emergency.service";
const EMERGENCY_WANTS: &str = "/etc/systemd/system/emergency.target.d/passthru-emergency.conf";

const WANTS_TEXT: &str = "\
# Written by passthru for a trial boot. Taken away by: passthru undo
[Unit]
Wants=passthru-confirm.service
";

const EMERGENCY_TEXT: &str = "\
# Written by passthru: a trial boot that ends in the emergency shell is over, and
# the next boot is the one from before. Taken away by: passthru undo
[Unit]
Description=End a failed passthru trial boot
DefaultDependencies=no
ConditionKernelCommandLine=passthru.trial
[Service]
Type=oneshot
ExecStart=systemctl reboot --force
";

const EMERGENCY_WANTS_TEXT: &str = "\
# Written by passthru for a trial boot. Taken away by: passthru undo
[Unit]
Wants=passthru-emergency.service
";

/// Before the words in the service's file.
const WORDS: &str = "# Words on trial: ";
/// Before words that the trial entry lacks and that go from the others when it is kept.
const OFF: &str = "# Words that go: ";

/// Words that only the trial entry carries. `panic=` counts for the kernel, and for the initramfs of
/// initramfs-tools (initramfs-tools(7)); dracut's needs its own two (dracut.cmdline(7)); the watchdog
/// is fed by systemd (kernel-command-line(7)).
pub(super) fn words(facts: &Facts) -> Vec<String> {
    let mut words = alloc::vec![
        format!("{TRIAL}=1"),
        "panic=30".into(),
        "systemd.watchdog_sec=180".into(),
    ];
    if facts.boot.generator.is(&Generator::Dracut) {
        words.extend(["rd.shell=0".into(), "rd.emergency=reboot".into()]);
    }
    words
}

/// [`words`] make an initramfs that finds no root reboot: others wait at a shell.
pub(super) const fn reboots_without_root(generator: Generator) -> bool {
    matches!(generator, Generator::InitramfsTools | Generator::Dracut)
}

/// The running system is a trial boot.
pub(crate) fn is_running(facts: &Facts) -> bool {
    let cmdline = facts.kernel.cmdline.value();
    cmdline.is_some_and(|cmdline| kargs::words(cmdline).any(|word| word.is(TRIAL)))
}

/// Words that a trial in progress has put on its entry.
pub(crate) fn words_of(facts: &Facts) -> Option<Vec<String>> {
    noted(facts, WORDS)
}

/// Words that went because of how the host was before the trial, once one is in progress: what is
/// measured in the trial boot does not tell any more.
pub(super) fn off_of(facts: &Facts) -> Option<Vec<String>> {
    words_of(facts)?;
    Some(noted(facts, OFF).unwrap_or_default())
}

fn noted(facts: &Facts, beginning: &str) -> Option<Vec<String>> {
    let line = facts
        .text(SERVICE)?
        .lines()
        .find_map(|line| line.strip_prefix(beginning))?;
    Some(
        kargs::all_words(line)
            .map(|word| word.raw.to_string())
            .collect(),
    )
}

/// The files of the service. `program` is passthru itself, `off` what [`off_of`] reads again.
pub(super) fn units(facts: &Facts, program: &str, words: &[String], off: &[String]) -> Vec<Change> {
    let off = if off.is_empty() {
        String::new()
    } else {
        format!("{OFF}{}\n", off.join(" "))
    };
    let service = format!(
        "\
# Written by passthru: checks the trial boot and keeps the change, or takes it
# back. Taken away by: passthru undo
{WORDS}{}
{off}[Unit]
Description=Keep what passthru changed after a trial boot, or take it back
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart={program} confirm --at-boot --wait 86400
# What it started (update-initramfs, grub-mkconfig) must not be killed halfway.
TimeoutStopSec=15min
",
        words.join(" ")
    );
    let why = "checks the trial boot against what works now, and keeps the change or takes it back; it goes when the trial is over";
    let emergency =
        "reboots into the entry from before if the trial boot ends in the emergency shell";
    [
        (SERVICE, service.as_str(), why),
        (
            WANTS,
            WANTS_TEXT,
            "starts that service in every boot until the trial is over",
        ),
        (EMERGENCY, EMERGENCY_TEXT, emergency),
        (EMERGENCY_WANTS, EMERGENCY_WANTS_TEXT, emergency),
    ]
    .into_iter()
    .filter_map(|(path, text, why)| edit(facts, path, text.into(), 0o644, why))
    .collect()
}

/// Takes the files of the service away.
pub(super) fn without_units(facts: &Facts) -> Vec<Change> {
    [WANTS, EMERGENCY_WANTS, EMERGENCY, SERVICE]
        .into_iter()
        .filter_map(|path| super::removal(facts, path, "the trial is over"))
        .collect()
}
