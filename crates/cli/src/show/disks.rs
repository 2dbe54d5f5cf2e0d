//! The host's disks as text.

use std::io;

use passthru_plan::guest::{
    disk_list::{Listed, State, size},
    disk_use::DiskUse,
};

use super::text::{Line, Style};
use crate::out::Out;

/// For each disk the name to give to a guest, a line about it, and what uses it. Names stand on lines
/// of their own and whole, for they are there to be copied.
pub(crate) fn show(out: &mut Out, disks: &[Listed], unknown: Option<&str>) -> io::Result<()> {
    if let Some(why) = unknown {
        out.paragraph(0, &format!("The host's disks are not known: {why}."))?;
        return Ok(());
    }
    if disks.is_empty() {
        out.text("There are no disks on this host.")?;
        return Ok(());
    }
    for (number, disk) in disks.iter().enumerate() {
        if number > 0 {
            out.blank()?;
        }
        one(out, disk)?;
    }
    if disks.iter().any(|disk| disk.state == State::Free) {
        out.heading("A free one is given to a guest by its name")?;
        out.command("sudo passthru vm new … --disk /dev/disk/by-id/…")?;
    }
    if disks.iter().any(|disk| disk.state == State::Idle) {
        out.heading("One with a system on it that the guest takes over")?;
        out.command("sudo passthru vm new … --transplant /dev/disk/by-id/…")?;
    }
    Ok(())
}

fn one(out: &mut Out, disk: &Listed) -> io::Result<()> {
    let id = disk.id.as_deref().unwrap_or("no name of it lasts");
    out.line(&Line::new().bold(id))?;
    let words = [
        Some(disk.name.clone()),
        Some(size(disk.bytes)),
        disk.transport.map(|transport| transport.name().to_owned()),
        disk.model.clone(),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    out.wrapped(Line::new().plain("  "), Style::Plain, &words.join(", "))?;
    let holds = match disk.holds.as_slice() {
        [] => String::new(),
        holds => format!(", not empty: {}", holds.join(", ")),
    };
    let (style, state) = match disk.state {
        State::Free => (Style::Good, format!("free{holds}")),
        State::Idle => (Style::Warn, "not in use, but".to_owned()),
        State::Used => (Style::Bad, "used:".to_owned()),
        State::Host => (Style::Bad, "the host runs from it:".to_owned()),
        State::Unusable if disk.bytes == 0 => (Style::Dim, "no medium in it".to_owned()),
        State::Unusable => (Style::Dim, "it cannot be written".to_owned()),
    };
    let sentences: Vec<String> = disk.uses.iter().map(DiskUse::sentence).collect();
    let text = format!("{state} {}", sentences.join("; "));
    out.wrapped(Line::new().plain("  "), style, text.trim_end())
}
