//! What to do with a guest that was made: start it, see it, install to it, reach it.

use passthru_plan::{
    Facts,
    guest::spec::{Network, Os},
    text::quote,
};

use crate::{args::vm::new::New, error::Result, host::Host, out::Out};

/// What to do next, and how to get back.
pub(super) fn show(
    args: &New,
    host: &Host,
    network: &Network,
    facts: &Facts,
    out: &mut Out,
) -> Result<()> {
    let ready = args
        .gpu
        .iter()
        .filter_map(|gpu| facts.function(gpu.address))
        .all(passthru_plan::facts::Function::is_on_vfio);
    out.heading("Next")?;
    if !ready {
        out.paragraph(
            2,
            "The card is not bound to vfio-pci. libvirt takes it from its driver when the guest \
             starts, which is safe only while nothing uses it; bound at boot it always is:",
        )?;
        for gpu in &args.gpu {
            out.command(&format!("sudo passthru apply --gpu {}", gpu.address))?;
        }
    }
    let windows = Os::from(args.os).is_windows();
    start(args, windows, out)?;
    if windows && args.storage.iso.is_some() {
        setup(args, out)?;
    }
    if !windows && *network == Network::Default {
        out.paragraph(2, "Where it is reached, once it runs:")?;
        out.command(&format!("passthru vm ip {}", quote::word(&args.name)))?;
    }
    out.heading("The way back, whenever you want it")?;
    out.command(&host.verb("undo"))?;
    Ok(())
}

/// The commands that start it, and what shows its picture. An installer does not wait for its viewer:
/// the viewer waits for the guest (virt-viewer(1), `--wait`).
fn start(args: &New, windows: bool, out: &mut Out) -> Result<()> {
    let name = quote::word(&args.name);
    let start = format!("sudo passthru vm start {name}");
    if args.screen {
        out.paragraph(
            2,
            "In one terminal, before the start, what shows its screen; it waits for the guest:",
        )?;
        out.command(&format!(
            "virt-viewer --connect qemu:///system --wait --attach {name}"
        ))?;
        out.paragraph(2, "In another:")?;
        out.command(&start)?;
    } else {
        out.command(&start)?;
        if windows || args.storage.iso.is_some() {
            out.paragraph(2, "and look at the monitor that is plugged into the card.")?;
        }
    }
    Ok(())
}

/// The places at which the installation of Windows is known to stop.
fn setup(args: &New, out: &mut Out) -> Result<()> {
    let name = quote::word(&args.name);
    let click = if args.screen {
        "Click into its window and press"
    } else {
        "Press"
    };
    out.paragraph(
        2,
        &format!(
            "{click} a key while it says \"Press any key to boot from CD or DVD\", which it does for \
             a few seconds only. If that is over, once more:"
        ),
    )?;
    out.command(&format!("sudo virsh -c qemu:///system reset {name}"))?;
    if args.storage.virtio_win.is_none() {
        return Ok(out.paragraph(
            2,
            &format!(
                "Its disk and network device are emulated (SATA, Intel 82574L), so Setup needs no \
                 other drivers. A faster network device later: install virtio-win-guest-tools.exe \
                 (the disc virtio-win) in it, shut it down, and make the model of its interface \
                 virtio with virsh edit {name}. The disk had better stay SATA: a Windows that never \
                 saw a virtio disk does not start from one."
            ),
        )?);
    }
    let folder = match Os::from(args.os) {
        Os::Windows10 => "w10",
        _ => "w11",
    };
    out.paragraph(
        2,
        &format!(
            "Where Setup lists no disk: Load driver, from the CD virtio-win, \
             viostor\\{folder}\\amd64. Where it finds no network: the same with \
             NetKVM\\{folder}\\amd64. When Windows runs, start virtio-win-guest-tools.exe from that \
             CD: it installs the other drivers and the agent that tells its address."
        ),
    )?;
    Ok(())
}
