//! Undoing after the host went its own way.

use std::fs;

use passthru_host::transaction::{Failure, State};
use passthru_plan::Change;

use crate::world::*;

fn applied() -> (World, Tree) {
    let world = World::new();
    let before = world.tree();
    world.apply(&plan()).unwrap();
    world.tools.runs.borrow_mut().clear();
    (world, before)
}

#[test]
fn a_file_that_was_edited_since_keeps_the_edit() {
    let (world, before) = applied();
    world.write(
        GRUB,
        &format!("{}NEW=1\n", GRUB_AFTER.replace("quiet", "quiet splash")),
    );
    world.write(
        RULES,
        "softdep snd_hda_intel pre: vfio-pci\noptions mine x=1\n",
    );
    let undone = world.undo(None).unwrap();
    assert_eq!(
        world.read(GRUB),
        format!("{}NEW=1\n", GRUB_TEXT.replace("quiet", "quiet splash"))
    );
    assert_eq!(world.read(RULES), "options mine x=1\n");
    assert_eq!(undone.notes.len(), 2, "{:?}", undone.notes);
    // Everything else is exactly what it was.
    let mut now = world.tree();
    now.0.remove("etc/modprobe.d/passthru.conf");
    now.0.insert(
        "etc/default/grub".into(),
        before.0["etc/default/grub"].clone(),
    );
    now.assert_is(&before, "the rest");
    // The record says it too.
    assert_eq!(world.states(), [State::Undone]);
}

#[test]
fn a_file_of_ours_that_was_removed_stays_so() {
    let (world, before) = applied();
    fs::remove_file(world.real(GRUB)).unwrap();
    fs::remove_file(world.real(RULES)).unwrap();
    let undone = world.undo(None).unwrap();
    assert!(!world.exists(GRUB) && !world.exists(RULES));
    assert_eq!(undone.notes.len(), 1, "{:?}", undone.notes);
    assert!(undone.notes[0].contains("/etc/default/grub was removed since"));
    let mut before = before;
    before.0.remove("etc/default/grub");
    world.tree().assert_is(&before, "the rest");
}

#[test]
fn a_file_that_we_removed_and_that_came_back_is_left() {
    let (world, _) = applied();
    world.write(DEAD, "somebody's\n");
    let undone = world.undo(None).unwrap();
    assert_eq!(world.read(DEAD), "somebody's\n");
    assert!(
        undone.notes[0].contains("made anew since"),
        "{:?}",
        undone.notes
    );
}

#[test]
fn a_directory_of_ours_that_others_use_is_kept() {
    let (world, _) = applied();
    world.write("/etc/initramfs-tools/scripts/init-top/theirs", "x\n");
    let undone = world.undo(None).unwrap();
    assert!(!world.exists(DEEP) && world.exists("/etc/initramfs-tools/scripts/init-top/theirs"));
    assert!(
        undone.notes.iter().any(|note| note.contains("is kept")),
        "{:?}",
        undone.notes
    );
}

#[test]
fn a_new_kernel_gets_its_image_without_us() {
    let (world, before) = applied();
    world.write("/boot/vmlinuz-3", "kernel");
    // As the new kernel's package does it: its own image only, and the menu.
    let others: Vec<_> = ["1", "2"]
        .map(|k| world.real(&format!("/boot/initrd.img-{k}")))
        .map(|path| (fs::read(&path).unwrap(), path))
        .into();
    world.tools.update_initramfs();
    for (bytes, path) in &others {
        fs::write(path, bytes).unwrap();
    }
    world.tools.grub_mkconfig(CONFIG);
    assert!(world.read("/boot/initrd.img-3").contains("softdep"));
    world.undo(None).unwrap();
    assert_eq!(
        *world.tools.runs.borrow(),
        ["update-initramfs", "grub-mkconfig"]
    );
    assert!(!world.read("/boot/initrd.img-3").contains("softdep"));
    assert!(!world.read(CONFIG).contains("iommu"));
    assert!(world.read(CONFIG).contains("vmlinuz-3"));
    // The images of the old kernels are, to the byte, what they were.
    let now = world.tree();
    for name in ["boot/initrd.img-1", "boot/initrd.img-2", "etc/default/grub"] {
        assert_eq!(now.0[name], before.0[name], "{name}");
    }
    assert!(!world.exists(STAGED));
}

#[test]
fn a_new_kernel_gets_its_image_also_where_each_has_its_command() {
    let world = World::new();
    let before = world.tree();
    world.apply(&plan_beside()).unwrap();
    assert!(world.read("/boot/initrd.img-1").contains("softdep"));
    world.write("/boot/vmlinuz-3", "kernel");
    let made = world.read("/boot/initrd.img-2");
    world.write("/boot/initrd.img-3", &made);
    world.write("/usr/lib/modules/3/modules.order", "");
    // Made for kdump, which has no modules of that name.
    world.write("/boot/initrd.img-3-kdump", &made);
    world.tools.runs.borrow_mut().clear();
    let undone = world.undo(None).unwrap();
    assert_eq!(*world.tools.runs.borrow(), ["dracut"]);
    let named = |note: &&String| note.contains("/boot/initrd.img-3 was made since");
    assert_eq!(undone.notes.iter().filter(named).count(), 1);
    let mut now = world.tree();
    assert!(!world.read("/boot/initrd.img-3").contains("softdep"));
    assert_eq!(world.read("/boot/initrd.img-3-kdump"), made);
    for name in [
        "boot/initrd.img-3",
        "boot/initrd.img-3-kdump",
        "boot/vmlinuz-3",
    ] {
        assert!(now.0.remove(name).is_some());
    }
    now.0.retain(|name, _| !name.starts_with("usr"));
    now.assert_is(&before, "the rest");
}

/// /boot/initramfs-linux.img is of whatever kernel is there: the command of then would make it for the
/// kernel of then.
#[test]
fn an_image_that_packages_name_is_not_made_again() {
    let world = World::new();
    let mut plan = plan_beside();
    for change in &mut plan.changes {
        if let Change::Run {
            argv,
            family,
            anew,
            once,
            ..
        } = change
            && argv[0] == "dracut"
        {
            (*family, *anew, *once) = (None, None, true);
        }
    }
    world.apply(&plan).unwrap();
    world.tools.update_initramfs();
    let now = world.read("/boot/initrd.img-2");
    world.tools.runs.borrow_mut().clear();
    let undone = world.undo(None).unwrap();
    assert!(world.tools.runs.borrow().is_empty());
    assert_eq!(world.read("/boot/initrd.img-2"), now);
    let said =
        |note: &String| note.contains("/boot/initrd.img-2") && note.contains("left as it is");
    assert!(undone.notes.iter().any(said), "{:?}", undone.notes);
    assert!(!world.exists(RULES));
}

#[test]
fn an_image_that_went_with_its_kernel_does_not_come_back() {
    for plan in [plan(), plan_beside()] {
        let world = World::new();
        world.apply(&plan).unwrap();
        fs::remove_file(world.real("/boot/initrd.img-2")).unwrap();
        fs::remove_file(world.real("/boot/vmlinuz-2")).unwrap();
        world.undo(None).unwrap();
        assert!(!world.exists("/boot/initrd.img-2"));
        assert!(!world.read("/boot/initrd.img-1").contains("softdep"));
    }
}

/// As kernel-install's files on the boot partition: no family, and a directory that goes as a whole.
#[test]
fn what_belongs_to_a_removed_kernel_does_not_come_back() {
    let installed = || {
        let world = World::new();
        for kernel in ["6.1.0-1", "6.1.0-10"] {
            world.write(&format!("/usr/lib/modules/{kernel}/modules.order"), "");
            world.write(&format!("/boot/id/{kernel}/linux"), "kernel");
            world.write(
                &format!("/boot/entries/id-{kernel}.conf"),
                "options quiet\n",
            );
        }
        let outputs = ["6.1.0-1", "6.1.0-10"].iter().flat_map(|kernel| {
            [
                format!("/boot/id/{kernel}/linux"),
                format!("/boot/entries/id-{kernel}.conf"),
            ]
        });
        let run = Change::Run {
            argv: vec!["choose-once".into(), "entries".into()],
            undo: None,
            outputs: outputs
                .map(|path| passthru_plan::Output { path, staged: None })
                .collect(),
            family: None,
            anew: None,
            once: false,
            expect: vec![],
            why: "test".into(),
        };
        world.apply(&of(vec![run])).unwrap();
        world
    };
    let world = installed();
    fs::remove_file(world.real("/usr/lib/modules/6.1.0-1/modules.order")).unwrap();
    // What DKMS made for it stays behind.
    world.write("/usr/lib/modules/6.1.0-1/updates/dkms/nvidia.ko", "");
    fs::remove_dir_all(world.real("/boot/id/6.1.0-1")).unwrap();
    fs::remove_file(world.real("/boot/entries/id-6.1.0-1.conf")).unwrap();
    let undone = world.undo(None).unwrap();
    assert!(!world.exists("/boot/id/6.1.0-1") && !world.exists("/boot/entries/id-6.1.0-1.conf"));
    assert!(world.exists("/boot/id/6.1.0-10/linux"));
    assert_eq!(undone.notes.len(), 2, "{:?}", undone.notes);

    // A kernel that is still there gets back what it lost.
    let world = installed();
    fs::remove_file(world.real("/boot/entries/id-6.1.0-10.conf")).unwrap();
    world.undo(None).unwrap();
    assert_eq!(
        world.read("/boot/entries/id-6.1.0-10.conf"),
        "options quiet\n"
    );
}

/// What is seen at an empty mount point says nothing about the files.
#[test]
fn nothing_is_taken_back_where_something_is_not_mounted() {
    const MOUNTS: &str = "/proc/self/mountinfo";
    let root = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
    let both = format!("{root}2 1 8:2 / /boot rw - vfat /dev/sda2 rw\n");
    for interrupted in [false, true] {
        let world = World::new();
        let before = world.tree();
        world.write(MOUNTS, &both);
        if interrupted {
            world.apply_with(&plan(), "apply.commit=stop").unwrap_err();
        } else {
            world.apply(&plan()).unwrap();
        }
        world.write(MOUNTS, root);
        let aside = world.real("/aside");
        fs::rename(world.real("/boot"), &aside).unwrap();
        fs::create_dir(world.real("/boot")).unwrap();
        let failure = world.undo(None).unwrap_err();
        assert_eq!(failure.exit_status(), if interrupted { 5 } else { 1 });
        let said = match &failure {
            Failure::NotRolledBack { stuck, .. } => &stuck[0],
            other => other.reason().unwrap(),
        };
        assert!(said.what.contains("/boot is not mounted"), "{failure:?}");
        assert!(said.way_out.contains("sudo mount /boot"), "{failure:?}");
        assert_ne!(world.states(), [State::Undone]);
        fs::remove_dir(world.real("/boot")).unwrap();
        fs::rename(&aside, world.real("/boot")).unwrap();
        world.write(MOUNTS, &both);
        world.undo(None).unwrap();
        fs::remove_dir_all(world.real("/proc")).unwrap();
        world.tree().assert_is(&before, "undone");
    }
}

#[test]
fn an_image_that_was_made_anew_since_is_made_anew() {
    let (world, before) = applied();
    world.tools.update_initramfs();
    world.undo(None).unwrap();
    assert_eq!(*world.tools.runs.borrow(), ["update-initramfs"]);
    for kernel in ["1", "2"] {
        assert!(
            !world
                .read(&format!("/boot/initrd.img-{kernel}"))
                .contains("softdep")
        );
    }
    // The menu was as we had left it.
    let name = "boot/grub/grub.cfg";
    assert_eq!(world.tree().0[name], before.0[name]);
}

#[test]
fn the_image_of_a_removed_kernel_is_not_brought_back() {
    let (world, before) = applied();
    for file in ["vmlinuz-2", "initrd.img-2", "initrd.img-2.bak"] {
        fs::remove_file(world.real(&format!("/boot/{file}"))).unwrap();
    }
    let undone = world.undo(None).unwrap();
    assert!(!world.exists("/boot/initrd.img-2"));
    assert!(
        undone
            .notes
            .iter()
            .any(|n| n.contains("/boot/initrd.img-2 is gone"))
    );
    assert!(world.tools.runs.borrow().is_empty());
    let name = "boot/initrd.img-1";
    assert_eq!(world.tree().0[name], before.0[name]);
}

#[test]
fn a_lost_menu_is_brought_back() {
    let (world, before) = applied();
    fs::remove_file(world.real(CONFIG)).unwrap();
    world.undo(None).unwrap();
    world.tree().assert_is(&before, "undone");
}

#[test]
fn a_command_that_fails_in_undo_leaves_the_transaction_in_force() {
    let (world, _) = applied();
    world.tools.update_initramfs();
    let after = world.tree();
    world.tools.fault.set(Fault::Delete);
    let failure = world.undo(None).unwrap_err();
    assert!(
        matches!(&failure, Failure::StillInForce { .. }),
        "{failure:?}"
    );
    world.tree().assert_is(&after, "in force");
    assert_eq!(world.states(), [State::Applied]);
    world.tools.fault.set(Fault::None);
    world.undo(None).unwrap();
}

#[test]
fn a_file_that_became_a_link_is_edited_where_it_leads() {
    let (world, _) = applied();
    fs::rename(world.real(GRUB), world.real("/etc/grub.real")).unwrap();
    std::os::unix::fs::symlink("../grub.real", world.real(GRUB)).unwrap();
    world.undo(None).unwrap();
    assert!(fs::symlink_metadata(world.real(GRUB)).unwrap().is_symlink());
    assert_eq!(world.read(GRUB), GRUB_TEXT);
}

#[test]
fn large_copies_go_when_it_is_over_and_small_ones_stay() {
    let world = World::new();
    let large = "x".repeat(2 << 20);
    world.write("/boot/initrd.img-2", &large);
    world.apply(&plan()).unwrap();
    let saved = || -> Vec<u64> {
        fs::read_dir(world.real("/var/lib/passthru/transactions/1/saved"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect()
    };
    assert!(saved().contains(&(2 << 20)));
    world.undo(None).unwrap();
    assert_eq!(world.read("/boot/initrd.img-2"), large);
    assert!(!saved().contains(&(2 << 20)) && saved().len() > 3);
    assert!(!world.exists("/var/lib/passthru/transactions/1/undo"));
}
