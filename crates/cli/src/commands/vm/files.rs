//! The files of a guest: are they there, and does QEMU get to them?

use passthru_host::{Root, reach::Reach};
use passthru_plan::{
    Refusal,
    guest::{Domain, reach::Barred},
};

/// Disks, media and ROMs of a guest that QEMU cannot get to, of those that are there.
pub(super) fn barred(root: &Root, domain: &Domain) -> Vec<Barred> {
    if domain.own_user {
        return Vec::new();
    }
    let reach = Reach::new(root);
    let there = |path: &&str| root.exists(path);
    let disks = domain.disks.iter().map(|disk| disk.path.as_str());
    let roms = domain.roms.iter().map(String::as_str);
    let mut found: Vec<Barred> = disks
        .filter(there)
        .filter_map(|path| reach.barred(path))
        .collect();
    found.extend(roms.filter(there).filter_map(|path| reach.barred_rom(path)));
    found.dedup();
    found
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
