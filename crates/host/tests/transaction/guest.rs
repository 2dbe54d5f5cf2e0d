//! Guests as transactions: a domain, its disk and its first settings, with a stand-in for virsh that
//! writes definitions in its own way, as libvirt does.

use std::{fs, path::Path};

use passthru_host::{
    exec::Output,
    transaction::{self, Failure, Silent, State},
};
use passthru_plan::{Change, Plan};

use crate::world::*;

const DISK: &str = "/var/lib/libvirt/images/g.qcow2";
const SEED: &str = "/var/lib/libvirt/images/g-seed.iso";
/// Where the stand-in keeps domains, and the names of those that run.
const DOMAINS: &str = "/libvirt";
const ACTIVE: &str = "/active";
/// A libvirt before 8.9.
const OLD: &str = "/old";

/// virsh(1), as far as it is asked.
pub(crate) fn virsh(root: &Path, arguments: &[&str]) -> Output {
    let store = root.join(&DOMAINS[1..]);
    let file = |name: &str| store.join(format!("{name}.xml"));
    let good = |text: String| Output {
        status: Some(0),
        text,
    };
    let bad = |text: &str| Output {
        status: Some(1),
        text: format!("error: {text}\n\n"),
    };
    match arguments {
        ["list", "--name"] => good(fs::read_to_string(root.join(&ACTIVE[1..])).unwrap_or_default()),
        ["list", "--all", "--persistent", "--name"] => {
            let mut names: Vec<String> = fs::read_dir(&store)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .map(|name| name.trim_end_matches(".xml").to_owned())
                .collect();
            names.sort();
            good(names.join("\n") + "\n\n")
        }
        ["dumpxml", "--inactive", "--security-info", name] => {
            let name = name.strip_prefix("--domain=").unwrap();
            fs::read_to_string(file(name))
                .map_or_else(|_| bad("no such domain"), |xml| good(xml + "\n"))
        }
        ["define", "--validate", path] => {
            let xml = fs::read_to_string(path.strip_prefix("--file=").unwrap()).unwrap();
            if xml.contains("<bad/>") {
                return bad("XML document failed to validate against schema");
            }
            let name = xml.split("<name>").nth(1).unwrap();
            let name = name.split("</name>").next().unwrap();
            let uuid = if xml.contains("<uuid>") {
                ""
            } else {
                "  <uuid>7</uuid>\n"
            };
            fs::create_dir_all(&store).unwrap();
            fs::write(
                file(name),
                xml.replacen("<domain>\n", &format!("<domain>\n{uuid}"), 1),
            )
            .unwrap();
            good(String::new())
        }
        ["undefine", "--nvram", "--keep-tpm", _] if root.join(&OLD[1..]).exists() => {
            bad("command 'undefine' doesn't support option --keep-tpm")
        }
        ["undefine", "--nvram", .., name] => {
            let name = name.strip_prefix("--domain=").unwrap();
            let xml = fs::read_to_string(file(name)).unwrap_or_default();
            match fs::remove_file(file(name)) {
                Ok(()) => {
                    if let Some(path) = passthru_plan::guest::nvram(&xml) {
                        let _ = fs::remove_file(root.join(&path[1..]));
                    }
                    // The directory was not there before.
                    let _ = fs::remove_dir(&store);
                    good(String::new())
                }
                Err(_) => bad("no such domain"),
            }
        }
        other => panic!("virsh {other:?}"),
    }
}

fn xml(inside: &str) -> String {
    format!("<domain>\n  <name>g</name>\n{inside}</domain>\n")
}

/// As the stand-in writes it.
fn written(inside: &str) -> String {
    xml(inside).replacen("<domain>\n", "<domain>\n  <uuid>7</uuid>\n", 1)
}

pub(crate) fn new() -> Plan {
    Plan::of_guest(
        "g",
        vec![
            Change::Make {
                path: DISK.into(),
                argv: vec![
                    vec!["qemu-img".into(), "create".into(), DISK.into()],
                    vec!["qemu-img".into(), "resize".into(), DISK.into()],
                ],
                why: "test".into(),
            },
            Change::Disc {
                path: SEED.into(),
                volume: "cidata".into(),
                files: vec![("user-data".into(), "#cloud-config\n".into())],
                why: "test".into(),
            },
            Change::Domain {
                name: "g".into(),
                before: None,
                after: Some(xml("")),
                why: "test".into(),
            },
        ],
        Vec::new(),
    )
}

fn edited() -> Plan {
    Plan::of_guest(
        "g",
        vec![Change::Domain {
            name: "g".into(),
            before: Some(written("")),
            after: Some(written("  <card/>\n")),
            why: "test".into(),
        }],
        Vec::new(),
    )
}

fn domain(world: &World) -> String {
    world.read(&format!("{DOMAINS}/g.xml"))
}

#[test]
fn a_guest_is_made_edited_and_taken_back() {
    let world = World::new();
    let before = world.tree();
    world.apply(&new()).unwrap();
    assert_eq!(world.read(DISK), "large disk");
    let disc = fs::read(world.real(SEED)).unwrap();
    assert_eq!(
        disc,
        passthru_plan::guest::iso9660::image("cidata", &[("user-data", b"#cloud-config\n")])
    );
    assert_eq!(domain(&world), written(""));
    let made = world.tree();

    world.apply(&edited()).unwrap();
    assert_eq!(domain(&world), written("  <card/>\n"));
    // The one that made it cannot go while the other is in force.
    assert_eq!(world.undo(Some(1)).unwrap_err().exit_status(), 2);
    assert_eq!(world.undo(None).unwrap().notes, [""; 0]);
    assert_eq!(world.tree().content(), made.content());
    assert_eq!(world.undo(None).unwrap().notes, [""; 0]);
    world.tree().assert_is(&before, "undone");
}

#[test]
fn the_seed_is_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world.apply(&new()).unwrap();
    let mode = fs::metadata(world.real(SEED)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn what_a_guest_wrote_is_kept() {
    let world = World::new();
    world.apply(&new()).unwrap();
    world.write(DISK, "years of work");
    world.write(&format!("{DOMAINS}/g.xml"), &written("  <mine/>\n"));
    let undone = world.undo(None).unwrap();
    // And the directories it lies in.
    assert_eq!(undone.notes.len(), 4, "{:?}", undone.notes);
    assert_eq!(world.read(DISK), "years of work");
    assert!(!world.exists(SEED) && !world.exists(DOMAINS));
    let last = "/var/lib/passthru/transactions/1/last.xml";
    assert_eq!(world.read(last), written("  <mine/>\n"));
}

/// libvirt would give them to the next guest of that name.
#[test]
fn the_variables_of_its_firmware_go_with_it_and_are_kept() {
    let world = World::new();
    world.apply(&new()).unwrap();
    let variables = "/var/lib/libvirt/qemu/nvram/g & co_VARS.fd";
    let os = "  <os>\n    <nvram>/var/lib/libvirt/qemu/nvram/g &amp; co_VARS.fd</nvram>\n  </os>\n";
    world.write(variables, "keys");
    world.write(&format!("{DOMAINS}/g.xml"), &written(os));
    for point in ["undo.step.1", "undo.commit"] {
        world
            .undo_with(None, &format!("{point}=error"))
            .unwrap_err();
        assert_eq!(world.read(variables), "keys", "{point}");
    }
    world.undo(None).unwrap();
    assert!(!world.exists(variables));
    assert_eq!(
        world.read("/var/lib/passthru/transactions/1/last.fd"),
        "keys"
    );
}

#[test]
fn the_state_of_its_tpm_is_kept_where_libvirt_does_not() {
    let state = "/var/lib/libvirt/swtpm/7/tpm2/tpm2-00.permall";
    let last = "/var/lib/passthru/transactions/1/last.tpm";
    for old in [true, false] {
        let world = World::new();
        world.apply(&new()).unwrap();
        world.write(state, "key");
        let tpm = "  <devices><tpm model='tpm-crb'/></devices>\n";
        world.write(&format!("{DOMAINS}/g.xml"), &written(tpm));
        if old {
            world.write(OLD, "");
        }
        world.undo(None).unwrap();
        assert_eq!(world.exists(last), old);
        assert!(!old || world.read(last) == "key");
        assert!(!world.exists(DOMAINS));
    }
}

#[test]
fn an_edit_is_taken_out_of_what_others_edited_since() {
    let world = World::new();
    world.apply(&new()).unwrap();
    world.apply(&edited()).unwrap();
    world.write(
        &format!("{DOMAINS}/g.xml"),
        &written("  <card/>\n  <mine/>\n"),
    );
    let undone = world.undo(None).unwrap();
    assert_eq!(undone.notes.len(), 1, "{:?}", undone.notes);
    assert_eq!(domain(&world), written("  <mine/>\n"));
    // Undefined by hand: it stays so.
    world
        .apply(&Plan::of_guest(
            "g",
            vec![Change::Domain {
                name: "g".into(),
                before: Some(written("  <mine/>\n")),
                after: Some(written("")),
                why: "test".into(),
            }],
            Vec::new(),
        ))
        .unwrap();
    fs::remove_dir_all(world.real(DOMAINS)).unwrap();
    assert_eq!(world.undo(None).unwrap().notes.len(), 1);
    assert!(!world.exists(DOMAINS));
}

#[test]
fn a_guest_that_runs_is_left_alone() {
    let world = World::new();
    world.apply(&new()).unwrap();
    world.write(ACTIVE, "g\n");
    let before = world.tree();
    for failure in [
        world.apply(&edited()).unwrap_err(),
        world.undo(None).unwrap_err(),
    ] {
        assert_eq!(failure.exit_status(), 1);
        let way_out = &failure.reason().unwrap().way_out;
        assert!(way_out.contains("passthru vm stop g"), "{way_out}");
    }
    world.tree().assert_is(&before, "untouched");
    assert_eq!(world.states(), [State::Applied]);
}

#[test]
fn what_is_there_already_is_not_touched() {
    let changed = |path: &str, text: &str| {
        let world = World::new();
        world.write(path, text);
        let before = world.tree();
        let failure = world.apply(&new()).unwrap_err();
        assert_eq!(failure.exit_status(), 1, "{path}");
        world.tree().assert_is(&before, path);
        failure.to_string()
    };
    assert!(changed(DISK, "mine").contains(DISK));
    assert!(changed(SEED, "mine").contains(SEED));
    assert!(changed(&format!("{DOMAINS}/g.xml"), &written("")).contains("guest g"));
    // A plan for another definition than the one there is.
    let world = World::new();
    let before = world.tree();
    assert_eq!(world.apply(&edited()).unwrap_err().exit_status(), 1);
    world.tree().assert_is(&before, "no such domain");
}

#[test]
fn what_libvirt_refuses_takes_everything_back() {
    let world = World::new();
    let before = world.tree();
    let mut plan = new();
    let Some(Change::Domain { after, .. }) = plan.changes.last_mut() else {
        panic!("no domain");
    };
    *after = Some(xml("  <bad/>\n"));
    let failure = world.apply(&plan).unwrap_err();
    assert_eq!(failure.exit_status(), 4);
    assert!(failure.to_string().contains("validate"), "{failure}");
    world.tree().assert_is(&before, "bad definition");

    world.tools.fault.set(Fault::Fail);
    assert_eq!(world.apply(&new()).unwrap_err().exit_status(), 4);
    world.tree().assert_is(&before, "bad disk");
}

#[test]
fn stopped_anywhere_it_recovers() {
    let before = World::new().tree();
    for (first, plan) in [(None, new()), (Some(new()), edited())] {
        let world = || {
            let world = World::new();
            if let Some(first) = &first {
                world.apply(first).unwrap();
            }
            world
        };
        let start = world().tree();
        let applied = |world: &World| {
            let states = world.states();
            states.iter().filter(|s| **s == State::Applied).count()
        };
        for undo in [false, true] {
            let ready = || {
                let world = world();
                if undo {
                    world.apply(&plan).unwrap();
                }
                world
            };
            let options = options("*=count");
            let all = ready();
            if undo {
                transaction::undo(&all.root, &all.tools, None, &options, &mut Silent).unwrap();
            } else {
                transaction::apply(&all.root, &all.tools, &plan, &options, &mut Silent).unwrap();
            }
            let count = options.failpoints.passed();
            assert!(count > 20, "{count} points");
            for k in 1..=count {
                let world = ready();
                let point = format!("*=stop@{k}");
                let stopped = if undo {
                    world.undo_with(None, &point).map(drop)
                } else {
                    world.apply_with(&plan, &point).map(drop)
                };
                assert_eq!(stopped.unwrap_err(), Failure::Stopped, "point {k}");
                world.recover().unwrap();
                if applied(&world) > usize::from(first.is_some()) {
                    world.undo(None).unwrap();
                }
                assert_eq!(
                    world.tree().content(),
                    start.content(),
                    "undo {undo}, point {k}"
                );
                if first.is_some() {
                    world.undo(None).unwrap();
                    world.tree().assert_is(&before, &format!("point {k}"));
                }
            }
        }
    }
}

/// The undo fails in the middle: everything is in force again, the domain too.
#[test]
fn an_undo_that_fails_brings_the_guest_back() {
    let world = World::new();
    world.apply(&new()).unwrap();
    let made = world.tree();
    let failure = world.undo_with(None, "undo.step.1=error");
    if let Err(failure) = failure {
        assert_eq!(failure.exit_status(), 4, "{failure}");
        assert_eq!(world.tree().content(), made.content());
        assert_eq!(world.states(), [State::Applied]);
    } else {
        panic!("the failpoint did nothing");
    }
}
