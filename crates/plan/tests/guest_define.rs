//! How a planned guest comes to be: disk, first settings, domain; and what stands in the way.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/topologies.rs"]
mod topologies;
#[path = "common/wishes.rs"]
mod wishes;

use passthru_plan::{
    Change, Plan,
    guest::{
        Guest, Wish,
        define::{Making, NewDisk, define, disk_path, seed_path},
        domain::domain,
        image::Image,
        seed::Seed,
        spec::*,
    },
};
use wishes::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me";

fn guest() -> Guest {
    planned(&desktop("5950X"), &linux())
}

fn image(size: u64) -> Image {
    Image {
        format: Format::Raw,
        size,
    }
}

fn copy(size: Option<u64>) -> Making {
    Making {
        disk: Some(NewDisk::Copy {
            from: "/home/me/cloud image.raw".into(),
            image: image(2 << 30),
            size,
        }),
        seed: None,
    }
}

fn commands(plan: &Plan) -> Vec<String> {
    let Some(Change::Make { path, argv, .. }) = plan.changes.first() else {
        panic!("no disk is made");
    };
    assert_eq!(path, &disk_path("cloud"));
    argv.iter().map(|argv| argv.join(" ")).collect()
}

#[test]
fn a_cloud_guest_is_a_disk_a_disc_and_a_domain() {
    let guest = guest();
    let seed = Seed::new("cloud", "alex", &[KEY.to_owned()], None).unwrap();
    let making = Making {
        seed: Some(seed.clone()),
        ..copy(Some(40 << 30))
    };
    let plan = define(&guest, &making, false).unwrap();
    assert_eq!(
        commands(&plan),
        [
            "qemu-img convert -f raw -O qcow2 /home/me/cloud image.raw /var/lib/libvirt/images/cloud.qcow2",
            "qemu-img resize -q -f qcow2 /var/lib/libvirt/images/cloud.qcow2 42949672960",
        ]
    );
    let [
        _,
        Change::Disc {
            path,
            volume,
            files,
            ..
        },
        Change::Domain {
            name,
            before,
            after,
            ..
        },
    ] = &plan.changes[..]
    else {
        panic!("{:?}", plan.changes);
    };
    assert_eq!((path, volume.as_str()), (&seed_path("cloud"), "cidata"));
    assert_eq!(files[1], ("user-data".to_owned(), seed.user_data()));
    // What the engine writes is what the seed says of itself.
    let texts: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_bytes()))
        .collect();
    assert_eq!(
        passthru_plan::guest::iso9660::image(volume, &texts),
        seed.image()
    );
    assert_eq!((name.as_str(), before), ("cloud", &None));
    assert_eq!(after.as_deref(), Some(&*domain(&guest)));
    // What is made is what the domain has.
    for path in [disk_path("cloud"), seed_path("cloud")] {
        assert!(domain(&guest).contains(&path), "{path}");
    }
    assert_eq!(plan.guest.as_deref(), Some("cloud"));
    assert!(!plan.reboot);
}

#[test]
fn a_disk_is_as_large_as_its_image_or_larger() {
    let guest = guest();
    let plan = define(&guest, &copy(None), false).unwrap();
    assert_eq!(commands(&plan).len(), 1);
    let plan = define(&guest, &copy(Some(2 << 30)), false).unwrap();
    assert_eq!(commands(&plan).len(), 1);
    let refusals = define(&guest, &copy(Some(1 << 30)), false).unwrap_err();
    assert_eq!(refusals[0].id, "guest.disk.too-small");
    let empty = |size| Making {
        disk: Some(NewDisk::Empty(size)),
        seed: None,
    };
    let plan = define(&guest, &empty(64 << 30), false).unwrap();
    assert_eq!(
        commands(&plan),
        ["qemu-img create -q -f qcow2 /var/lib/libvirt/images/cloud.qcow2 68719476736"]
    );
    let refusals = define(&guest, &empty(1 << 20), false).unwrap_err();
    assert_eq!(refusals[0].id, "guest.disk.too-small");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let refusals = define(&guest(), &Making::default(), true).unwrap_err();
    assert_eq!(refusals[0].id, "guest.exists");
}

#[test]
fn what_starts_with_the_host_is_told_so_last() {
    let guest = Guest {
        autostart: true,
        ..guest()
    };
    let plan = define(&guest, &Making::default(), false).unwrap();
    let Some(Change::Run { argv, .. }) = plan.changes.last() else {
        panic!("{:?}", plan.changes);
    };
    assert_eq!(argv.last().unwrap(), "--domain=cloud");
}

#[test]
fn guests_of_its_own_are_for_guests_that_ask() {
    let facts = desktop("5950X");
    let plain = domain(&planned(&facts, &linux()));
    assert!(plain.contains("<feature policy='disable' name='svm'/>"));
    let nested = Wish {
        nested: true,
        ..linux()
    };
    assert!(!domain(&planned(&facts, &nested)).contains("svm"));
}
