//! Lines of the kernel's and libvirt's logs that name a known trouble.

use std::io::{Read, Seek, SeekFrom};

use passthru_plan::Measured;

use super::captured;
use crate::root::Root;

/// What to look for; each has an explanation in doctor.
const SYMPTOMS: [&str; 21] = [
    "profile=\"libvirt-",
    "not viable",
    "No interrupt remapping support",
    "No interrupt remapping for device",
    "1:1 IOMMU mapping",
    "ineligible for IOMMU domain attach",
    "can't reserve [mem",
    "cannot reserve",
    "Invalid PCI ROM header",
    "Invalid PCI ROM data signature",
    "after FLR; giving up",
    "after bus reset; giving up",
    "Unable to change power state from D3cold",
    "RLIMIT_MEMLOCK",
    "VFIO_MAP_DMA",
    "Cannot bind to PF with SR-IOV",
    "non-zero usage count",
    "cannot acquire state change lock",
    "IO_PAGE_FAULT",
    "DMAR: [DMA",
    "not ready",
];

/// The newest lines are kept.
const LINES: usize = 50;
/// The end of a log that is read, in bytes.
const TAIL: u64 = 256 << 10;
/// The end of each libvirt log.
const LIBVIRT_TAIL: u64 = 64 << 10;

pub(super) fn observe(root: &Root) -> Measured<Vec<String>> {
    let mut lines = Vec::new();
    let kernel = kernel(root);
    if let Measured::Value(text) = &kernel {
        keep(text, "", &mut lines);
    }
    let mut libvirt = false;
    const DOMAINS: &str = "/var/log/libvirt/qemu";
    for name in root.list(DOMAINS).unwrap_or_default() {
        if name.ends_with(".log")
            && let Some(text) = tail(root, &format!("{DOMAINS}/{name}"), LIBVIRT_TAIL)
        {
            libvirt = true;
            keep(&text, &format!("{name}: "), &mut lines);
        }
    }
    match kernel {
        // What libvirt's logs say is worth more than the notice that the kernel's is missing.
        Measured::NotMeasured(why) if !libvirt || lines.is_empty() => Measured::NotMeasured(why),
        _ => {
            let from = lines.len().saturating_sub(LINES);
            Measured::Value(lines.split_off(from))
        }
    }
}

fn keep(text: &str, prefix: &str, lines: &mut Vec<String>) {
    for line in text.lines() {
        let line = line.trim_end();
        // "not ready" alone is said by many drivers; only PCI's waiting counts.
        let known = SYMPTOMS.iter().any(|symptom| {
            line.contains(symptom)
                && (*symptom != "not ready"
                    || line.contains("ms after")
                    || line.contains("giving up"))
        });
        let line = format!("{prefix}{line}");
        if known && !lines.contains(&line) {
            lines.push(line);
        }
    }
}

/// The kernel's log: what a capture brought along, the ring buffer of this machine, or a log file.
fn kernel(root: &Root) -> Measured<String> {
    if !root.is_live() {
        if let Measured::Value(text) = super::text(root, captured::DMESG) {
            return Measured::Value(text);
        }
    } else if let Some(text) = ring_buffer(root) {
        return Measured::Value(text);
    }
    match tail(root, "/var/log/kern.log", TAIL) {
        Some(text) => Measured::Value(text),
        None if root.is_live() => {
            Measured::not("the kernel log needs root (/dev/kmsg and /var/log/kern.log)")
        }
        None => Measured::not("no kernel log is part of this host's tree"),
    }
}

/// All records of /dev/kmsg, without waiting for more (`Documentation/ABI/testing/dev-kmsg`). A
/// record is `priority,number,time,flags;text`, and lines that start with a blank describe it.
pub(crate) fn ring_buffer(root: &Root) -> Option<String> {
    use rustix::{
        fs::{Mode, OFlags},
        io::Errno,
    };
    let fd = root
        .open_at(
            "/dev/kmsg",
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .ok()?;
    // A root may hold anything at this place: records come from a character device only.
    let stat = rustix::fs::fstat(&fd).ok()?;
    if stat.st_mode & 0o170_000 != 0o020_000 {
        return None;
    }
    let mut text = String::new();
    let mut record = vec![0_u8; 8192];
    loop {
        match rustix::io::read(&fd, &mut record) {
            Ok(0) | Err(Errno::AGAIN) => return Some(text),
            Ok(length) => {
                let record = String::from_utf8_lossy(&record[..length]);
                if let Some((_, message)) = record.split_once(';') {
                    text.push_str(message.lines().next().unwrap_or_default());
                    text.push('\n');
                }
            }
            // A record was overwritten while it was read: the next one is there.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// The last `bytes` of a text file, from a line's start on.
fn tail(root: &Root, path: &str, bytes: u64) -> Option<String> {
    let mut file = root.stream(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut text = Vec::new();
    if size > bytes {
        file.seek(SeekFrom::Start(size - bytes)).ok()?;
    }
    file.take(bytes).read_to_end(&mut text).ok()?;
    let text = super::lossy(text);
    Some(match text.split_once('\n') {
        Some((_, rest)) if size > bytes => rest.to_owned(),
        _ => text,
    })
}
