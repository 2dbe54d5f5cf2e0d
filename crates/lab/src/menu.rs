//! The boot menu of a host, whatever loader shows it.

use crate::agent::Agent;
use crate::error::Result;
use crate::recipe::Loader;
use crate::{grub, systemd_boot};

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the loader's tools call it.
    pub id: String,
    /// What the menu shows.
    pub title: String,
    /// This boot is of it, as far as the loader says.
    pub running: bool,
}

/// What a choice must leave as it was.
pub enum Before {
    /// GRUB's environment block.
    Grub(grub::Environment),
    /// systemd-boot clears its variable itself.
    SystemdBoot,
}

/// All entries, in the loader's order.
pub fn entries(loader: Loader, agent: &mut Agent) -> Result<Vec<Entry>> {
    match loader {
        Loader::Grub => Ok(grub::menu(agent)?
            .into_iter()
            .map(|path| Entry {
                title: path.clone(),
                id: path,
                running: false,
            })
            .collect()),
        Loader::SystemdBoot => systemd_boot::menu(agent),
    }
}

/// What there is before a choice.
pub fn before(loader: Loader, agent: &mut Agent) -> Result<Before> {
    Ok(match loader {
        Loader::Grub => Before::Grub(grub::environment(agent)?),
        Loader::SystemdBoot => Before::SystemdBoot,
    })
}

/// Chooses an entry for the next boot only.
pub fn boot_once(loader: Loader, agent: &mut Agent, entry: &Entry) -> Result<()> {
    match loader {
        Loader::Grub => grub::boot_once(agent, &entry.id),
        Loader::SystemdBoot => systemd_boot::boot_once(agent, &entry.id),
    }
}

impl Before {
    /// The chosen entry has booted: nothing of the choice may be left.
    pub fn restore(&self, agent: &mut Agent, entry: &Entry) -> Result<()> {
        match self {
            Self::Grub(environment) => environment.restore(agent),
            Self::SystemdBoot => {
                systemd_boot::must_have_booted(agent, &entry.id)?;
                systemd_boot::must_choose_nothing(agent)
            }
        }
    }
}

/// Fails if anything chooses the entry of a later boot. GRUB keeps that in a file of the manifest.
pub fn must_choose_nothing(loader: Loader, agent: &mut Agent) -> Result<()> {
    match loader {
        Loader::Grub => Ok(()),
        Loader::SystemdBoot => systemd_boot::must_choose_nothing(agent),
    }
}
