//! `passthru vm console`: a guest's serial console, in this terminal.

use passthru_host::libvirt::{Libvirt, State};
use passthru_plan::{guest::read::OsHint, text::quote::word};

use super::{carry, guest};
use crate::{
    args::{Global, vm::run::Console},
    error::{Error, Kind, Outcome, Result},
    host,
    out::Out,
};

pub(super) fn run(args: &Console, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    carry::only_here(&host, global, "vm console", "")?;
    if out.is_json() {
        return Err(Error::usage("a console is no JSON document").hint("leave out --json"));
    }
    let exec = host.exec(global);
    let libvirt = Libvirt::new(exec.as_ref(), None);
    let name = &args.name;
    let state = guest::state(&libvirt, name)?;
    let domain = guest::now(&libvirt, name)?;
    let refuse = |why: String| Error::new(Kind::NothingChanged, why);
    if !domain.console {
        let error = refuse(format!("{name} has no serial console"))
            .hint(format!(
                "add <console type='pty'/> to its devices (sudo virsh edit {}), and stop and start it",
                word(name)
            ))
            .hint("its graphical screen: virt-viewer, or the monitor on its card");
        return Err(error);
    }
    if state != State::Running {
        return Err(
            refuse(format!("{name} does not run, so its console is silent"))
                .hint(host.command(&["vm", "start", name].map(str::to_owned))),
        );
    }
    if !out.can_ask() {
        return Err(refuse(
            "a console needs a terminal, and this is none (a pipe, a file, or no input)".into(),
        )
        .hint("over SSH, ask for a terminal: ssh -t"));
    }
    out.text(&format!(
        "The serial console of {name}. Leave it with Ctrl-] (in most terminals Ctrl-5 as well)."
    ))?;
    let hint = match domain.os {
        OsHint::Windows => {
            "Windows says nothing there unless its Emergency Management Services are on."
        }
        OsHint::Linux | OsHint::Unknown => {
            "If it stays silent, press Enter; a Linux guest needs console=ttyS0 on its kernel command line, or serial-getty@ttyS0.service."
        }
    };
    out.paragraph(0, hint)?;
    out.flush()?;
    let status = libvirt.console(name).map_err(|e| carry::libvirt(&e))?;
    Ok(if status == Some(0) {
        Outcome::Done
    } else {
        Outcome::No
    })
}
