//! `passthru vm show`: a guest of libvirt as it is defined, or as a script that starts it without
//! libvirt.

use passthru_host::{firmware::descriptors, input, libvirt::Libvirt};
use passthru_plan::guest::{
    Guest,
    from_domain::read,
    passwords,
    qemu::{CommandLine, Files, command_line},
};
use serde::Serialize;

use super::{carry, guest};
use crate::{
    args::{
        Global,
        vm::{new::Format, show::Show},
    },
    error::{Error, Kind, Outcome, Result},
    host::{self, Host},
    out::Out,
};

/// `vm show --json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    xml: String,
    guest: Guest,
    qemu: CommandLine,
    /// What the script leaves out, in libvirt's words.
    left_out: Vec<String>,
}

pub(super) fn run(args: &Show, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let xml = match &args.xml {
        Some(file) => input::text(file)?,
        None => definition(&host, global, "vm show", XML, &args.name)?,
    };
    // What is shown is kept in logs and reports.
    let xml = passwords::hidden(&xml);
    if args.format == Format::Libvirt && !out.is_json() {
        out.raw(xml.as_bytes())?;
        return Ok(Outcome::Done);
    }
    let (guest, left_out) = read(&xml).map_err(|refusal| {
        Error::new(
            Kind::NothingChanged,
            format!(
                "the guest cannot be shown as a QEMU command line. {}",
                refusal.why
            ),
        )
        .hint(refusal.way_out)
    })?;
    let qemu = command_line(&guest, &Files::of(&guest, &descriptors(host.root())));
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            xml,
            guest,
            qemu,
            left_out,
        })?;
        return Ok(Outcome::Done);
    }
    out.raw(qemu.script().as_bytes())?;
    for left in &left_out {
        out.note(&format!("left out: {left}"))?;
    }
    Ok(Outcome::Done)
}

/// What can be done with the guest of another host.
pub(super) const XML: &str = "give the guest's XML: --xml FILE";

/// The definition that libvirt has of `name`; see [`carry::only_here`].
pub(super) fn definition(
    host: &Host,
    global: &Global,
    verb: &str,
    instead: &str,
    name: &str,
) -> Result<String> {
    carry::only_here(host, global, verb, instead)?;
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    match libvirt.definition(name).map_err(|e| carry::libvirt(&e))? {
        Some(xml) => Ok(xml),
        None => Err(guest::unknown(name, &libvirt.domains().unwrap_or_default())),
    }
}
