//! The files of a guest: are they there, and does QEMU get to them?

use passthru_host::{Root, reach::Reach};
use passthru_plan::{
    Refusal,
    guest::{Domain, reach::Barred},
};

/// Disks, media and ROMs of a guest.
pub(super) fn of(domain: &Domain) -> impl Iterator<Item = &str> {
    let disks = domain.disks.iter().map(|disk| disk.path.as_str());
    disks.chain(domain.roms.iter().map(String::as_str))
}

/// What keeps a guest from having the files at `paths`.
pub(super) fn refusals<'a>(root: &Root, paths: impl Iterator<Item = &'a str>) -> Vec<Refusal> {
    let reach = Reach::new(root);
    paths
        .filter(|path| !path.starts_with("/dev/"))
        .filter_map(|path| match root.meta(path) {
            Err(error) if error.is_missing() => Some(Refusal {
                id: "guest.file.missing".into(),
                why: format!("There is no {path}."),
                way_out: "Look at the name and at the directory: ls tells what is there.".into(),
            }),
            _ => reach.barred(path).as_ref().map(Barred::refusal),
        })
        .collect()
}
