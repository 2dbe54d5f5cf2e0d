//! Does the host keep a picture?

use alloc::format;
use alloc::vec::Vec;

use super::{Draft, describe};
use crate::{
    card,
    facts::{DrmCard, Facts, Function},
    pci::Address,
};

/// Vendors of server management controllers, whose display is a remote console: ASPEED, Matrox.
pub(crate) const REMOTE_CONSOLES: [u16; 2] = [0x1a03, 0x102b];

/// What is known about a display function's role on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A driver shows a picture on a connected monitor, or the firmware's console is on it.
    Shows,
    /// It shows nothing.
    Idle,
    /// Not known: the host's display state was not readable.
    NotKnown,
}

fn drm_card<'a>(facts: &'a Facts, function: &Function) -> Option<&'a DrmCard> {
    facts
        .display
        .cards
        .iter()
        .find(|card| card.function == Some(function.address))
}

pub(crate) fn role(facts: &Facts, function: &Function) -> Role {
    // A 3D controller (0302) has no VGA and no firmware console; only its driver can show a picture.
    let card = drm_card(facts, function);
    if function.is_on_vfio() || (function.class.sub() == 0x0302 && card.is_none()) {
        return Role::Idle;
    }
    let primary = primary(facts) == Some(function.address);
    match card {
        Some(card) if card.has_monitor() || primary => Role::Shows,
        Some(_) => Role::Idle,
        None if primary => Role::Shows,
        // Nothing at all was read: silence is no proof.
        None if facts.display.cards.is_empty() && function.boot_vga.is_none() => Role::NotKnown,
        None => Role::Idle,
    }
}

/// The function the firmware and the console chose, by the best evidence there is.
pub(crate) fn primary(facts: &Facts) -> Option<Address> {
    let by_kernel = facts
        .display
        .cards
        .iter()
        .find(|c| c.boot_display == Some(true))
        .and_then(|c| c.function);
    by_kernel
        .or(facts.display.firmware_framebuffer)
        .or_else(|| {
            card::gpus(facts)
                .find(|f| f.boot_vga == Some(true))
                .map(|f| f.address)
        })
}

pub(super) fn check(draft: &mut Draft<'_>) {
    let facts = draft.facts;
    let taken: Vec<_> = draft
        .chosen_functions()
        .filter(|f| f.class.is_display())
        .collect();
    let kept: Vec<_> = card::gpus(facts)
        .filter(|f| !draft.is_chosen(f.address) && !f.is_on_vfio())
        .collect();
    if facts.machine.encrypted_root.is(&true) {
        draft.notice(
            "boot.sealed-key",
            "The root disk is encrypted. If its key is sealed to the TPM with PCR 4, 8, 9 or 12, the changed kernel command line or initramfs keeps it from unsealing: have the passphrase or recovery key at hand for the next boot.",
        );
    }
    let showing: Vec<_> = taken
        .iter()
        .filter(|f| role(facts, f) != Role::Idle)
        .collect();
    let Some(first) = showing.first() else { return };
    // A primary display without a cable shows nothing to anybody, unless it is a remote console.
    let visible = |f: &Function| {
        REMOTE_CONSOLES.contains(&f.ids.vendor)
            || drm_card(facts, f).is_none_or(DrmCard::may_have_monitor)
    };
    let keeps_picture = kept
        .iter()
        .any(|f| role(facts, f) == Role::Shows && f.driver.is_some() && visible(f));
    if keeps_picture {
        if let Some(console) = kept
            .iter()
            .find(|f| REMOTE_CONSOLES.contains(&f.ids.vendor))
        {
            draft.notice(
                "display.remote-console",
                format!(
                    "The host's picture stays on {}: the server's remote console.",
                    describe(console)
                ),
            );
        }
        return;
    }
    let known = showing.iter().any(|f| role(facts, f) == Role::Shows);
    if kept.is_empty() || known {
        if draft.intent.headless {
            draft.notice(
                "display.headless",
                format!(
                    "The host has no picture after the reboot: {} is its display. Make sure that you reach it over SSH or a serial console.",
                    describe(first)
                ),
            );
            if facts.machine.encrypted_root.is(&true) {
                draft.notice(
                    "display.disk-password",
                    "The root disk is encrypted: its password prompt will not be visible. Have another way to unlock it (clevis, SSH in the initramfs, a serial console, a TPM that does not measure the command line), or boot the entry \"… without passthru\".",
                );
            }
            return;
        }
        let way_out = if kept.is_empty() {
            alloc::string::String::from(
                "If you reach this host over the network and want it headless, say --headless. Lending a guest the only GPU on demand is not supported yet.",
            )
        } else {
            let others: Vec<_> = kept.iter().map(|f| describe(f)).collect();
            format!(
                "Connect the monitor to {} and make it the primary display in the firmware (\"Primary Display\", \"Initial Display Output\"), or say --headless if you reach this host over the network.",
                others.join(" or ")
            )
        };
        draft.refuse(
            "display.only",
            format!(
                "{} is the only display that shows the host's picture.",
                describe(first)
            ),
            way_out,
        );
    } else {
        draft.notice(
            "display.not-measured",
            format!(
                "Which display shows the host's picture was not measured. If the monitor is on {}, the screen stays black after the reboot.",
                describe(first)
            ),
        );
    }
}
