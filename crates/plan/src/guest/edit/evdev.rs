//! A keyboard or mouse that host and guest share (evdev).

use alloc::format;

use roxmltree::Node;

use super::{
    super::{
        element::Element,
        existing::{child, devices},
        names,
    },
    Job,
};

pub(super) fn add(job: &mut Job<'_, '_>, path: &str) {
    if job
        .draft
        .check(names::path(path, "an input device"))
        .is_none()
    {
        return;
    }
    let stable = path.starts_with("/dev/input/by-id/") || path.starts_with("/dev/input/by-path/");
    let keyboard = path.ends_with("-event-kbd");
    if !stable || !(keyboard || path.ends_with("-event-mouse")) {
        job.draft.refuse(
            "guest.edit.evdev.path",
            format!(
                "{path} is no lasting name of a keyboard or mouse: the numbers in /dev/input change \
                 with each start of the host."
            ),
            "Name it as in ls /dev/input/by-id: what ends in -event-kbd is a keyboard, what ends in \
             -event-mouse a mouse. Devices by Bluetooth or PS/2 are in /dev/input/by-path.",
        );
        return;
    }
    if shared(job.domain, path).next().is_some() {
        return;
    }
    let mut source = Element::new("source").with("dev", path);
    if keyboard {
        // The keyboard takes the mouse along when it is switched over.
        source = source
            .with("grab", "all")
            .with("grabToggle", "ctrl-ctrl")
            .with("repeat", "on");
        job.draft.note(
            "guest.edit.evdev.keys",
            "Both control keys together give keyboard and mouse to the guest and back to the host. \
             The guest begins with them.",
        );
    }
    let input = Element::new("input").with("type", "evdev").child(source);
    job.add_device("input", &input);
}

pub(super) fn remove(job: &mut Job<'_, '_>, path: &str) {
    let mut any = false;
    for input in shared(job.domain, path) {
        any = true;
        job.splices.remove(input);
    }
    if !any {
        job.draft.note(
            "guest.edit.evdev.absent",
            format!("The guest does not share {path}."),
        );
    }
}

fn shared<'a, 'i>(domain: Node<'a, 'i>, path: &'a str) -> impl Iterator<Item = Node<'a, 'i>> {
    devices(domain, "input").filter(move |&input| {
        input.attribute("type") == Some("evdev")
            && child(input, "source").and_then(|source| source.attribute("dev")) == Some(path)
    })
}
