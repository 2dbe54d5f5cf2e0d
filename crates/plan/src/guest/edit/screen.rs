//! The screen beside the card's: SPICE and what hangs on it, and the QXL card that was made for it.

use roxmltree::Node;

use super::{
    super::{
        element::Element,
        existing::{child, devices, hostdevs},
    },
    Job,
};

pub(super) fn remove(job: &mut Job<'_, '_>) {
    let domain = job.domain;
    let is = |node: &Node<'_, '_>, kind: &str| node.attribute("type") == Some(kind);
    let spice = devices(domain, "graphics").any(|node| is(&node, "spice"));
    // A display that is rendered without a screen is no screen.
    let other =
        devices(domain, "graphics").find(|node| !is(node, "spice") && !is(node, "egl-headless"));
    let audio_to_spice = |id: Option<&str>| {
        let mut audio = devices(domain, "audio");
        match id {
            Some(id) => audio
                .find(|node| node.attribute("id") == Some(id))
                .is_some_and(|node| is(&node, "spice")),
            // Without an <audio> libvirt makes one that goes where the screen goes (since 7.0).
            None => audio.next().map_or(spice, |first| is(&first, "spice")),
        }
    };
    for node in devices(domain, "graphics").filter(|node| is(node, "spice")) {
        job.splices.remove(node);
    }
    for name in [
        "channel",
        "redirdev",
        "smartcard",
        "serial",
        "console",
        "parallel",
    ] {
        for node in devices(domain, name) {
            if is(&node, "spicevmc") || is(&node, "spiceport") {
                job.splices.remove(node);
            }
        }
    }
    if devices(domain, "redirdev").all(|node| is(&node, "spicevmc")) {
        // Rules for what is redirected.
        let redirected = devices(domain, "redirdev").next().is_some();
        for node in devices(domain, "redirfilter").filter(|_| redirected) {
            job.splices.remove(node);
        }
    }
    for node in devices(domain, "sound") {
        let id = child(node, "audio").and_then(|audio| audio.attribute("id"));
        if audio_to_spice(id) {
            job.splices.remove(node);
        }
    }
    for node in devices(domain, "audio").filter(|node| is(node, "spice")) {
        job.splices.remove(node);
    }
    if let Some(other) = other {
        job.draft.note(
            "guest.edit.screen.other",
            alloc::format!(
                "The guest has another screen ({}), which stays, and with it its video card.",
                other.attribute("type").unwrap_or_default()
            ),
        );
        return;
    }
    video(job);
    if hostdevs(domain).is_empty() {
        job.draft.note(
            "guest.edit.screen.none",
            "Without a card the guest has no picture at all: --add-gpu ADDR gives it one.",
        );
    }
}

/// No video card. Without this element libvirt would add one where there is a screen.
fn video(job: &mut Job<'_, '_>) {
    let mut videos = devices(job.domain, "video");
    let none = Element::new("video").child(Element::new("model").with("type", "none"));
    let is_none = |node: Node<'_, '_>| {
        child(node, "model").and_then(|model| model.attribute("type")) == Some("none")
    };
    if let Some(first) = videos.next()
        && !is_none(first)
    {
        job.splices.replace(first, &none);
    }
    for node in videos {
        job.splices.remove(node);
    }
}
