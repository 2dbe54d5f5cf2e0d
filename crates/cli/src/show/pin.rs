//! A pinning as text: the map, why, the memory, and the XML to copy.

use std::io;

use passthru_plan::{
    Facts,
    guest::{GuestMemory, Pinning, pinning::picture::picture},
    text::size,
};

use super::text::{Line, Style};
use crate::out::Out;

/// Everything there is to say about a pinning.
pub(crate) fn show(
    out: &mut Out,
    facts: &Facts,
    pinning: &Pinning,
    memory: Option<&GuestMemory>,
    xml: &str,
) -> io::Result<()> {
    let topology = pinning.topology;
    let shape = [
        (topology.sockets, "socket"),
        (topology.dies, "die"),
        (topology.cores, "core"),
        (topology.threads, "thread"),
    ]
    .map(|(n, word)| count(n.into(), word))
    .join(" x ");
    let size = count(pinning.vcpus.len() as u64, "CPU");
    out.wrapped(
        Line::new(),
        Style::Bold,
        &format!("A guest of {size}: {shape}"),
    )?;
    let width = out.text_width().saturating_sub(2);
    for line in picture(facts, pinning, width) {
        out.line(&Line::new().plain("  ").plain(line))?;
    }
    out.heading("Why")?;
    for reason in &pinning.reasons {
        out.wrapped(Line::new().plain("  - "), Style::Plain, reason)?;
    }
    if let Some(memory) = memory {
        show_memory(out, memory)?;
    }
    out.heading("For the libvirt domain, in place of what it has of these")?;
    for line in xml.lines() {
        out.text(line)?;
    }
    out.heading("While the guest runs, the host's own programs keep off its CPUs")?;
    for unit in ["system.slice", "user.slice", "init.scope"] {
        out.command(&format!(
            "systemctl set-property --runtime {unit} AllowedCPUs={}",
            pinning.host
        ))?;
    }
    Ok(())
}

fn show_memory(out: &mut Out, memory: &GuestMemory) -> io::Result<()> {
    let pages = &memory.hugepages;
    out.heading(&format!(
        "Memory: {}, {} of {}",
        size::kib_words(memory.kib),
        count(pages.count, "page"),
        size::kib_words(pages.page_kib)
    ))?;
    for reason in &memory.reasons {
        out.wrapped(Line::new().plain("  - "), Style::Plain, reason)?;
    }
    out.paragraph(
        0,
        "The XML below asks for these pages, and the guest does not start without them. Set them \
         aside at boot, with these words on the kernel command line:",
    )?;
    out.command(&pages.words.join(" "))?;
    out.paragraph(
        0,
        "Or when the guest starts. The kernel takes what it finds and reports success even if that \
         is nothing, so read free_hugepages back before you go on:",
    )?;
    for reserve in &pages.at_start {
        let missing = match reserve.missing {
            Some(0) => ", which it is now".to_owned(),
            Some(missing) => format!(", {missing} more than now"),
            None => String::new(),
        };
        out.wrapped(
            Line::new().plain("  "),
            Style::Plain,
            &format!(
                "raise {}/nr_hugepages until free_hugepages beside it is {}{missing}",
                reserve.pool, reserve.free_needed
            ),
        )?;
    }
    Ok(())
}

fn count(n: u64, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
