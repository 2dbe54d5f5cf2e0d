//! Names of guests, bridges and files: what libvirt and the kernel take.

use alloc::{format, string::String};

use super::{element::is_legal, plan::refusal};
use crate::plan::Refusal;

/// Bytes that libvirt adds to a name at most when it makes a file name of it, of which a file system
/// takes 255.
const ROOM: usize = 55;

/// libvirt takes any name that is not blank and holds neither a slash nor a line break
/// (`virDomainDefPostParse`, `virXMLCheckIllegalChars`); XML cannot hold control characters.
///
/// # Errors
/// If it takes not this one.
pub(super) fn guest(name: &str) -> Result<(), Refusal> {
    let bad = |why: String| {
        refusal(
            "guest.name",
            why,
            "Choose a name such as windows or gaming-1.",
        )
    };
    if name.trim().is_empty() {
        return Err(bad("The guest has no name.".into()));
    }
    if name.contains('/') {
        return Err(bad(format!(
            "\"{name}\" holds a slash: libvirt makes file names of names."
        )));
    }
    if matches!(name, "." | "..") {
        return Err(bad(format!("{name} is a directory, not a name.")));
    }
    if let Some(c) = control(name) {
        return Err(bad(format!(
            "The name holds the control character {}.",
            c.escape_unicode()
        )));
    }
    if name.len() > 255 - ROOM {
        return Err(bad(format!(
            "The name is {} bytes long, and file names made of it would be too long.",
            name.len()
        )));
    }
    Ok(())
}

/// Of a network device of the host: up to 15 bytes, of which the kernel refuses slash, colon and
/// blanks (`dev_valid_name` in net/core/dev.c), and libvirt's schema some more.
///
/// # Errors
/// If no bridge can have that name.
pub(super) fn bridge(name: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let dots = matches!(name, "." | "..");
    if !name.is_empty() && name.len() <= 15 && name.chars().all(plain) && !dots {
        return Ok(());
    }
    Err(refusal(
        "guest.network.bridge",
        format!("{name:?} is no name of a bridge."),
        "ip link show type bridge lists those of this host.",
    ))
}

/// An absolute path that XML can hold.
///
/// # Errors
/// If it is not.
pub(super) fn path(path: &str, what: &str) -> Result<(), Refusal> {
    let bad = |why: String| refusal("guest.path", why, "Name it from the root directory on.");
    if !path.starts_with('/') || path.len() < 2 {
        return Err(bad(format!(
            "The path of {what}, {path:?}, is not absolute."
        )));
    }
    if let Some(c) = control(path) {
        return Err(bad(format!(
            "The path of {what} holds the control character {}.",
            c.escape_unicode()
        )));
    }
    Ok(())
}

fn control(text: &str) -> Option<char> {
    text.chars().find(|&c| c.is_control() || !is_legal(c))
}

/// An address for a guest's network device, in the range that QEMU's are in. The same name has the
/// same address, so that a router knows the guest again.
pub(super) fn mac(name: &str) -> String {
    let [.., a, b, c] = hash(name.as_bytes()).to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): tells texts apart, keeps no secret.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
