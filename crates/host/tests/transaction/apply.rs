//! Carrying out a plan, and undoing it when nothing happened in between.

use std::{fs, os::unix::fs::symlink};

use passthru_host::transaction::{self, Failure, State};

use crate::world::*;

#[test]
fn apply_then_undo_is_the_identity() {
    let world = World::new();
    let _ = rustix::fs::setxattr(
        world.real(GRUB),
        "user.test",
        b"value",
        rustix::fs::XattrFlags::empty(),
    );
    let before = world.tree();
    let applied = world.apply(&plan()).unwrap();
    assert_eq!((applied.number, applied.reboot), (1, true));
    assert_eq!(world.read(GRUB), GRUB_AFTER);
    assert!(world.read(CONFIG).contains("iommu=pt"));
    assert!(world.exists(DEEP) && !world.exists(DEAD) && !world.exists(STAGED));
    let after = world.tree();
    // An edited file keeps its mode and attributes, a new one has the plan's.
    assert_eq!(
        after.0["etc/default/grub"].mode,
        before.0["etc/default/grub"].mode
    );
    assert_eq!(after.0["etc/modprobe.d/passthru.conf"].mode & 0o7777, 0o755);
    assert_eq!(world.states(), [State::Applied]);
    let undone = world.undo(None).unwrap();
    assert_eq!((undone.number, undone.notes), (1, vec![]));
    world.tree().assert_is(&before, "undone");
    assert_eq!(world.states(), [State::Undone]);
    // Nothing was run for it.
    assert_eq!(world.tools.runs.borrow().len(), 2);
}

#[test]
fn the_record_says_what_is_in_force() {
    let world = World::new();
    assert_eq!(transaction::history(&world.root).unwrap(), []);
    assert!(!world.exists("/var/lib/passthru"));
    world.apply(&plan()).unwrap();
    let record = transaction::in_force(&world.root).unwrap().unwrap();
    assert_eq!((record.number, &record.plan), (1, &plan()));
    world.undo(Some(1)).unwrap();
    assert_eq!(transaction::in_force(&world.root).unwrap(), None);
    let error = world.undo(Some(1)).unwrap_err();
    assert!(matches!(&error, Failure::Usage(why) if why.what.contains("undone already")));
    assert!(matches!(world.undo(None), Err(Failure::Usage(_))));
    assert!(matches!(world.undo(Some(7)), Err(Failure::Usage(_))));
}

#[test]
fn nothing_to_undo_creates_nothing() {
    let world = World::new();
    assert_eq!(world.undo(None).unwrap_err().exit_status(), 2);
    assert_eq!(world.recover().unwrap(), None);
    assert!(!world.exists("/var/lib/passthru"));
}

#[test]
fn state_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.apply(&plan()).unwrap();
    let mode = |path: &str| fs::metadata(world.real(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("/var/lib/passthru"), 0o700);
    assert_eq!(mode("/var/lib/passthru/transactions/1/journal"), 0o600);
    assert_eq!(mode("/var/lib/passthru/transactions/1/saved/0"), 0o600);
}

#[test]
fn a_file_that_changed_since_the_plan_stops_it() {
    let world = World::new();
    world.write(GRUB, "GRUB_CMDLINE_LINUX=\"mine\"\n");
    let before = world.tree();
    let error = world.apply(&plan()).unwrap_err();
    assert!(matches!(&error, Failure::Unchanged(why)
        if why.what.contains("changed since the plan") && why.way_out == "plan again"));
    world.tree().assert_is(&before, "refused");
    world.write(RULES, "somebody else's\n");
    world.write(GRUB, GRUB_TEXT);
    assert!(matches!(world.apply(&plan()), Err(Failure::Unchanged(_))));
    assert_eq!(world.states(), []);
}

#[test]
fn a_link_stays_a_link_and_its_target_is_edited() {
    let world = World::new();
    fs::create_dir_all(world.real("/srv/etc")).unwrap();
    fs::rename(world.real(GRUB), world.real("/srv/etc/grub")).unwrap();
    // Absolute: inside the host, not on this machine.
    symlink("/srv/etc/grub", world.real(GRUB)).unwrap();
    fs::rename(world.real("/etc/modprobe.d"), world.real("/srv/modprobe.d")).unwrap();
    symlink("../srv/modprobe.d", world.real("/etc/modprobe.d")).unwrap();
    // The fake tools do not know about roots: give them a plan without them.
    let mut plan = plan();
    plan.changes.truncate(4);
    let before = world.tree();
    world.apply(&plan).unwrap();
    assert!(fs::symlink_metadata(world.real(GRUB)).unwrap().is_symlink());
    assert_eq!(world.read("/srv/etc/grub"), GRUB_AFTER);
    assert!(world.exists("/srv/modprobe.d/passthru.conf"));
    world.undo(None).unwrap();
    world.tree().assert_is(&before, "undone");
}

#[test]
fn links_to_nowhere_and_things_that_are_no_files_are_refused() {
    let check = |make: &dyn Fn(&World), what: &str| {
        let world = World::new();
        make(&world);
        let before = world.tree();
        let error = world.apply(&plan()).unwrap_err();
        assert!(
            matches!(&error, Failure::Unchanged(why) if why.what.contains(what)),
            "{error}"
        );
        world.tree().assert_is(&before, what);
    };
    check(
        &|w| symlink("/nowhere", w.real(RULES)).unwrap(),
        "leads nowhere",
    );
    check(
        &|w| symlink("nowhere", w.real("/etc/initramfs-tools/scripts")).unwrap(),
        "leads nowhere",
    );
    check(
        &|w| fs::create_dir(w.real(RULES)).unwrap(),
        "not a regular file",
    );
    check(
        &|w| fs::hard_link(w.real(GRUB), w.real("/etc/other")).unwrap(),
        "hard links",
    );
    check(
        &|w| {
            // Leads out of the host on this machine: inside the host it leads nowhere.
            symlink(
                format!("../../../../..{}", std::env::temp_dir().display()),
                w.real(RULES),
            )
            .unwrap();
        },
        "leads nowhere",
    );
}

#[test]
fn a_path_that_is_no_plain_path_is_refused() {
    for path in ["etc/x", "/etc/../x", "/etc//x", "/etc/./x", "/", ""] {
        let world = World::new();
        let plan = of(vec![edit(path, None, Some("x"))]);
        assert!(
            matches!(world.apply(&plan), Err(Failure::Unchanged(_))),
            "{path}"
        );
    }
}

#[test]
fn a_refused_or_empty_plan_is_not_carried_out() {
    let world = World::new();
    let mut refused = plan();
    refused.refusals.push(passthru_plan::Refusal {
        id: "x".into(),
        why: "no".into(),
        way_out: "yes".into(),
    });
    assert!(matches!(world.apply(&refused), Err(Failure::Usage(_))));
    assert!(matches!(world.apply(&of(vec![])), Err(Failure::Usage(_))));
    assert!(!world.exists("/var/lib/passthru"));
}

#[test]
fn two_transactions_are_undone_in_order() {
    let world = World::new();
    let start = world.tree();
    world.apply(&plan()).unwrap();
    let middle = world.tree();
    world
        .apply(&of(vec![edit(GRUB, Some(GRUB_AFTER), Some("new\n"))]))
        .unwrap();
    world
        .apply(&of(vec![edit("/etc/other", None, Some("x\n"))]))
        .unwrap();
    let error = world.undo(Some(1)).unwrap_err();
    assert!(matches!(&error, Failure::Usage(why) if why.way_out.contains("undo 2 first")));
    assert_eq!(world.undo(None).unwrap().number, 3);
    assert_eq!(world.undo(None).unwrap().number, 2);
    world.tree().assert_is(&middle, "after the first");
    assert_eq!(world.undo(None).unwrap().number, 1);
    world.tree().assert_is(&start, "at the start");
}

#[test]
fn a_file_may_be_edited_twice_in_one_plan() {
    let world = World::new();
    let before = world.tree();
    let plan = of(vec![
        edit(GRUB, Some(GRUB_TEXT), Some("one\n")),
        edit("/etc/new", None, Some("one\n")),
        edit(GRUB, Some("one\n"), Some("two\n")),
        edit("/etc/new", Some("one\n"), None),
    ]);
    world.apply(&plan).unwrap();
    assert_eq!(world.read(GRUB), "two\n");
    assert!(!world.exists("/etc/new"));
    world.undo(None).unwrap();
    world.tree().assert_is(&before, "undone");
    let contradictory = of(vec![
        edit(GRUB, Some(GRUB_TEXT), Some("one\n")),
        edit(GRUB, Some(GRUB_TEXT), Some("two\n")),
    ]);
    assert!(matches!(
        world.apply(&contradictory),
        Err(Failure::Unchanged(_))
    ));
}

/// The state directory of a machine that an earlier passthru worked on: it must be understood as
/// long as there are such machines.
#[test]
fn what_schema_1_wrote_can_be_undone() {
    let world = World::new();
    let before = world.tree();
    let state = "/var/lib/passthru/transactions/4";
    world.write(GRUB, GRUB_AFTER);
    world.write(RULES, "ours\n");
    let plan = format!(
        r#"{{"schema":1,"plan":{{"intent":{{}},"refusals":[],"notices":[],"bindings":[],
            "words":["iommu=pt"],"reboot":true,"outcome":[],"changes":[
            {{"kind":"edit","path":"{GRUB}","before":{},"after":{},"mode":420,"why":"x"}},
            {{"kind":"edit","path":"{RULES}","before":null,"after":"ours\n","mode":420,"why":"x"}}
        ]}}}}"#,
        serde_json::json!(GRUB_TEXT),
        serde_json::json!(GRUB_AFTER)
    );
    world.write(&format!("{state}/plan.json"), &plan);
    world.write(&format!("{state}/saved/0"), GRUB_TEXT);
    let owner = {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(world.real(GRUB)).unwrap();
        format!(r#""uid":{},"gid":{}"#, meta.uid(), meta.gid())
    };
    world.write(
        &format!("{state}/saved/manifest.json"),
        &format!(
            r#"{{"schema":1,"token":"0011223344556677","directories":[],"entries":[
            {{"path":"{GRUB}","real":"{GRUB}","role":"edit","step":0,"was":{{"was":"file","copy":"0",
              "sha256":"5f62aa742228b2ef0594d19788896c54ff18ded6b380cb3b7286826db71f2178","size":64,
              "mode":416,{owner},"mtime":[1000000000,123456789]}}}},
            {{"path":"{RULES}","real":"{RULES}","role":"edit","step":1,"was":{{"was":"absent"}}}}
        ]}}"#
        ),
    );
    let journal = r#"{"time":1700000000,"event":"begin","boot":"b","packages":null}
{"time":1700000001,"event":"intent","step":0}
{"time":1700000001,"event":"done","step":0,"after":[{"path":"/etc/default/grub","is":"file","sha256":"1"}]}
{"time":1700000002,"event":"intent","step":1}
{"time":1700000002,"event":"running","step":1,"pid":1,"start":null}
{"time":1700000002,"event":"done","step":1,"after":[{"path":"/x","is":"absent"}],"family":["/y"]}
{"time":1700000003,"event":"commit"}
"#;
    world.write(&format!("{state}/journal"), journal);
    let record = transaction::in_force(&world.root).unwrap().unwrap();
    assert_eq!(
        (record.number, record.begun, record.since),
        (4, 1_700_000_000, 1_700_000_003)
    );
    world.undo(None).unwrap();
    world.tree().assert_is(&before, "undone");
}

#[test]
fn what_a_newer_passthru_wrote_is_not_guessed_at() {
    let world = World::new();
    world.apply(&plan()).unwrap();
    let file = "/var/lib/passthru/transactions/1/plan.json";
    let text = world.read(file).replace("\"schema\": 1", "\"schema\": 2");
    world.write(file, &text);
    let failure = world.undo(None).unwrap_err();
    assert!(failure.to_string().contains("newer passthru"), "{failure}");
    assert_eq!(failure.reason().unwrap().way_out, "use that version");
}
