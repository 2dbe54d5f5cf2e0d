//! A guest that `vm new` makes of a bound card: it starts in libvirt, is what the plan says from inside
//! and from outside, gives everything back when it stops, and undo takes it away.

use serde_json::Value;

use crate::agent::Agent;
use crate::domain::{self, Cpus, Domain, Placement};
use crate::ensure;
use crate::error::Result;
use crate::guest_system::SERIAL;
use crate::host;
use crate::pci::Functions;
use crate::session::{DONE, Lab, NO, Session};
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(120);
const NAME: &str = "trial";
const USER: &str = "alex";
const SEED: &str = "/var/lib/libvirt/images/trial-seed.iso";
const IMAGE: &str = "/var/lib/libvirt/images/debian.qcow2";

/// Paths that begin so are libvirt's own: what its network `default` writes when it starts, with or
/// without guests.
const LIBVIRTS: [&str; 1] = ["/var/lib/libvirt/dnsmasq"];

/// What differs from one guest to the other.
struct Story<'a> {
    /// Beside the card, what the host is asked for before.
    host: &'a [&'a str],
    /// Where its system is.
    storage: &'a [&'a str],
    /// Its CPUs and its memory.
    size: &'a [&'a str],
    /// It is started a second time, with pages and CPUs of the host that it gives back.
    alone: bool,
}

/// From a whole disk, named by its id; one thread of a core, whose other thread stays idle.
///
/// A guest with more CPUs hangs in one of four starts here: the firmware wakes the second one, which
/// QEMU's emulation of SVM loses (10.0; both ends seen with `info registers`).
pub(super) fn on_disk(lab: &Lab<'_>) -> Result<()> {
    let disk = format!("/dev/disk/by-id/virtio-{SERIAL}");
    run(
        lab,
        &Story {
            host: &[],
            storage: &["--disk", &disk],
            size: &["--cpus", "1", "--threads", "1"],
            alone: true,
        },
    )
}

/// From an image in a file; a whole core, and memory that the host sets aside at every boot.
pub(super) fn on_image(lab: &Lab<'_>) -> Result<()> {
    run(
        lab,
        &Story {
            host: &["--hugepages", "1G"],
            storage: &["--image", IMAGE],
            size: &["--cpus", "2", "--hugepages"],
            alone: false,
        },
    )
}

fn run(lab: &Lab<'_>, story: &Story<'_>) -> Result<()> {
    let host = host::find("guests").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    session.apply_and_keep(&[&["--gpu", "01:00.0"], story.host].concat())?;
    session.must_verify("done", DONE)?;
    session.must_own(&[1])?;
    let files = story.storage.contains(&IMAGE);
    if files {
        make_image(session.agent()?)?;
    }

    let plan = make(&mut session, story)?;
    let mut domain = Domain::new(NAME, USER);
    let lived = live(&mut session, &mut domain, &plan);
    if lived.is_err() {
        let words = domain.last_words(session.agent()?);
        session
            .report()
            .say(&format!("   the guest's last words:\n{words}"));
    }
    lived?;
    session.must_own(&[1])?;
    if story.alone {
        be_alone(&mut session)?;
        session.must_own(&[1])?;
    }

    session
        .passthru(&["undo", "--yes", "--json"])?
        .must_end(&[DONE])?;
    let left = session.agent()?.succeed(
        &format!("virsh list --all --name; ls {SEED} /var/lib/libvirt/qemu/nvram/{NAME}_VARS.fd 2>/dev/null || :"),
        SHORT,
    )?;
    ensure!(left.trim().is_empty(), "undo left {left}");
    session.report().say("   the guest is gone, and its seed");
    if files {
        // The guest wrote to its own disk, which is kept.
        let script = format!("rm {IMAGE} /var/lib/libvirt/images/{NAME}.qcow2");
        session.agent()?.succeed(&script, SHORT)?;
    }
    session.must_undo_except(&LIBVIRTS)
}

/// A cloud image in a file, as a user has it. A layer on the disk would be refused: it names another file.
fn make_image(agent: &mut Agent) -> Result<()> {
    let disk = format!("/dev/disk/by-id/virtio-{SERIAL}");
    let script = format!("qemu-img convert -f raw -O qcow2 {disk} {IMAGE}");
    agent.succeed(&script, SHORT * 5).map(|_| ())
}

/// Shows the guest, makes it, and returns what was shown.
fn make(session: &mut Session<'_>, story: &Story<'_>) -> Result<Value> {
    domain::make_key(session.agent()?)?;
    let wish = [
        "vm",
        "new",
        NAME,
        "--os",
        "linux",
        "--gpu",
        "01:00.0",
        "--memory",
        "1G",
        "--seed-user",
        USER,
        "--ssh-key",
        domain::PUBLIC_KEY,
        "--json",
    ];
    let wish = [&wish, story.size, story.storage].concat();
    let shown = session.passthru(&[&wish, ["--dry-run"].as_slice()].concat())?;
    shown.must_end(&[DONE])?;
    let shown = shown.json()?;
    let made = session.passthru(&[&wish, ["--yes"].as_slice()].concat())?;
    made.must_end(&[DONE])?;
    let made = made.json()?;
    ensure!(
        made["state"] == "applied" && made["guest"] == shown["guest"],
        "shown was {shown}, made was {made}"
    );
    // libvirt takes its own text again, by its schema, and it stays the same.
    session.agent()?.succeed(
        &format!(
            "set -e
cd /run/lab-guest
virsh dumpxml --inactive --security-info {NAME} >before.xml
virsh define --validate before.xml >/dev/null
virsh dumpxml --inactive --security-info {NAME} | cmp - before.xml"
        ),
        SHORT,
    )?;
    edit(session)?;
    Ok(shown["guest"].clone())
}

/// Changes the guest, and takes that back: its definition is the same to the byte.
fn edit(session: &mut Session<'_>) -> Result<()> {
    let edited = session.passthru(&["vm", "edit", NAME, "--no-pin", "--yes", "--json"])?;
    edited.must_end(&[DONE])?;
    ensure!(edited.json()?["state"] == "applied", "nothing was edited");
    let same = |session: &mut Session<'_>| {
        let script = format!(
            "virsh dumpxml --inactive --security-info {NAME} | cmp -s - /run/lab-guest/before.xml && echo same || echo other"
        );
        session.agent()?.succeed(&script, SHORT)
    };
    ensure!(same(session)?.trim() == "other", "the edit changed nothing");
    session
        .passthru(&["undo", "--yes", "--json"])?
        .must_end(&[DONE])?;
    ensure!(
        same(session)?.trim() == "same",
        "undo left another definition"
    );
    session.report().say("   edited and back, to the byte");
    let checked = session.passthru(&["vm", "check", NAME, "--json"])?.json()?;
    ensure!(
        checked["verdict"] != "blocked",
        "vm check finds something in the way: {checked}"
    );
    Ok(())
}

/// From its start to its end.
fn live(session: &mut Session<'_>, domain: &mut Domain<'_>, plan: &Value) -> Result<()> {
    let report = session.report();
    let card = host::find("guests").ok_or("no such host")?.card(1);
    let started = session.passthru(&["vm", "start", NAME, "--yes", "--json"])?;
    started.must_end(&[DONE])?;
    ensure!(started.json()?["state"] == "started", "it did not start");
    domain.listen(session.agent()?)?;
    let reached = session.passthru(&["vm", "ip", NAME, "--wait", "400", "--json"])?;
    if reached.must_end(&[DONE]).is_err() && domain.hangs(session.agent()?)? {
        // Seen with `info registers`: a virtual processor waits for an interrupt that is lost.
        report.emulation_failed("the guest hung in the emulated processor".to_owned());
    }
    reached.must_end(&[DONE])?;
    let reached = reached.json()?;
    let address = reached["addresses"][0]["address"]
        .as_str()
        .unwrap_or_default();
    report.say(&format!("   it is at {address}"));
    let agent = session.agent()?;
    report.phase("log in", || domain.log_in(agent, address))?;

    report.phase("look from inside", || {
        let said = domain.run(
            agent,
            "id -un; sudo -n id -un; cloud-init status --wait; cat /proc/sys/kernel/hostname",
        )?;
        let lines: Vec<&str> = said.lines().collect();
        ensure!(
            lines == [USER, "root", "status: done", NAME],
            "the seed did not do its work: {lines:?}"
        );
        let functions = domain.functions(agent)?;
        must_be_in_one_slot(
            &functions,
            &card.iter().map(|one| one.id).collect::<Vec<_>>(),
        )?;
        let siblings = domain.run(
            agent,
            "cat /sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
        )?;
        must_be_shaped(&siblings, &plan["topology"])
    })?;
    report.phase("look from outside", || {
        let planned = planned(&plan["pinning"])?;
        for (whose, seen) in [
            ("libvirt", domain.told(agent)?),
            ("the kernel", domain.found(agent)?),
        ] {
            ensure!(
                seen == planned,
                "{whose} has {seen:?}, planned was {planned:?}"
            );
        }
        report.say(&format!("   pinned as planned: {planned:?}"));
        Ok(())
    })?;
    let stopped = session.passthru(&["vm", "stop", NAME, "--timeout", "180", "--json"])?;
    stopped.must_end(&[DONE])?;
    let stopped = stopped.json()?;
    let back = stopped["functions"]
        .as_array()
        .is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["ok"] == true));
    ensure!(
        stopped["state"] == "stopped" && back,
        "the card is not back: {stopped}"
    );
    Ok(())
}

/// What of the host is the guest's: huge pages, and the CPUs that its own processes do not get.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    pages: u64,
    kept: Cpus,
}

impl Given {
    fn now(agent: &mut Agent) -> Result<Self> {
        given(&agent.succeed(
            "cat /proc/sys/vm/nr_hugepages
cat /sys/devices/system/cpu/online
cat /sys/fs/cgroup/system.slice/cpuset.cpus.effective 2>/dev/null || cat /sys/devices/system/cpu/online",
            SHORT,
        )?)
    }
}

/// Three lines: huge pages, CPUs, and those of them that the host's services may use.
fn given(text: &str) -> Result<Given> {
    let lines: Vec<&str> = text.lines().collect();
    let [pages, online, services] = lines.as_slice() else {
        crate::bail!("not three lines: {text}");
    };
    let services = domain::cpus(services)?;
    Ok(Given {
        pages: pages.parse()?,
        kept: domain::cpus(online)?
            .difference(&services)
            .copied()
            .collect(),
    })
}

/// Starts it with huge pages that nobody set aside and with CPUs that the host's own processes leave.
/// Both are the host's again when it is stopped, and its definition is as before with undo.
fn be_alone(session: &mut Session<'_>) -> Result<()> {
    let before = Given::now(session.agent()?)?;
    let words = ["vm", "edit", NAME, "--hugepages=2M", "--yes", "--json"];
    session.passthru(&words)?.must_end(&[DONE])?;
    // There are no such pages yet.
    let words = ["vm", "start", NAME, "--yes", "--json"];
    session.passthru(&words)?.must_end(&[NO])?;
    let words = [&words[..], &["--allocate-hugepages", "--isolate"]].concat();
    let started = session.passthru(&words)?;
    started.must_end(&[DONE])?;
    let held = started.json()?["held"].clone();
    let pages = held["pools"][0]["added"].as_u64().unwrap_or_default();
    let cpus = domain::cpus(held["isolation"]["guest"].as_str().unwrap_or_default())?;
    let now = Given::now(session.agent()?)?;
    let wanted = Given {
        pages: before.pages + pages,
        kept: cpus,
    };
    ensure!(
        now == wanted && pages > 0 && !now.kept.is_empty(),
        "the host gives {now:?}, passthru says {held}"
    );
    session
        .report()
        .say(&format!("   the guest alone has {now:?}"));
    let words = ["vm", "stop", NAME, "--force", "--yes", "--json"];
    session.passthru(&words)?.must_end(&[DONE])?;
    let after = Given::now(session.agent()?)?;
    ensure!(after == before, "the host had {before:?} and has {after:?}");
    session
        .passthru(&["undo", "--yes", "--json"])?
        .must_end(&[DONE])
}

/// Each of these is a function of one slot, in this order and with these numbers.
fn must_be_in_one_slot(functions: &Functions, ids: &[&str]) -> Result<()> {
    let first = ids.first().ok_or("a card has functions")?;
    let seen = || {
        functions
            .iter()
            .map(|(address, one)| format!("{address} {}", one.id))
    };
    let slot = functions
        .iter()
        .find(|(_, one)| one.id == *first)
        .and_then(|(address, _)| address.strip_suffix(".0"));
    let Some(slot) = slot else {
        crate::bail!(
            "the guest has no {first} as function 0: {:?}",
            seen().collect::<Vec<_>>()
        );
    };
    let there: Vec<String> = seen().filter(|line| line.starts_with(slot)).collect();
    let wanted: Vec<String> = ids
        .iter()
        .enumerate()
        .map(|(number, id)| format!("{slot}.{number} {id}"))
        .collect();
    ensure!(
        there == wanted,
        "the guest has {there:?} instead of {wanted:?}"
    );
    Ok(())
}

/// `siblings` has a line for each CPU: those of its core.
fn must_be_shaped(siblings: &str, topology: &Value) -> Result<()> {
    let number = |name| topology[name].as_u64().unwrap_or_default();
    let threads = number("threads");
    let cores = number("sockets") * number("dies") * number("cores");
    let mut lines: Vec<_> = siblings.lines().map(domain::cpus).collect::<Result<_>>()?;
    let cpus = lines.len() as u64;
    lines.sort();
    lines.dedup();
    ensure!(
        cpus == cores * threads
            && lines.len() as u64 == cores
            && lines.iter().all(|line| line.len() as u64 == threads),
        "planned is {topology}, the guest has {siblings}"
    );
    Ok(())
}

fn planned(pinning: &Value) -> Result<Placement> {
    let list = |name| domain::cpus(pinning[name].as_str().unwrap_or_default());
    let vcpus = pinning["vcpus"]
        .as_array()
        .ok_or("the plan has no pinning")?;
    Ok(Placement {
        vcpus: (0..)
            .zip(vcpus)
            .map(|(number, cpu)| {
                (
                    number,
                    cpu.as_u64()
                        .and_then(|cpu| cpu.try_into().ok())
                        .into_iter()
                        .collect(),
                )
            })
            .collect(),
        emulator: list("emulator")?,
        io: list("io")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci;

    #[test]
    fn a_card_is_in_one_slot() {
        let text = "0000:00:01.0 1b36:000c pcieport -\n0000:01:00.0 1002:5159 - -\n0000:01:00.1 8086:293e - -\n";
        let functions = pci::parse(text).unwrap();
        must_be_in_one_slot(&functions, &["1002:5159", "8086:293e"]).unwrap();
        for wrong in [
            ["1002:5159", "1b36:000d"].as_slice(),
            &["1002:5159"],
            &["8086:293e"],
            &["1002:5159", "8086:293e", "1b36:000d"],
        ] {
            assert!(must_be_in_one_slot(&functions, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_guest_has_the_shape_of_the_plan() {
        let plan = serde_json::json!({"sockets": 1, "dies": 1, "cores": 1, "threads": 2});
        must_be_shaped("0-1\n0-1\n", &plan).unwrap();
        assert!(must_be_shaped("0\n1\n", &plan).is_err());
        assert!(must_be_shaped("0-1\n0-1\n2-3\n2-3\n", &plan).is_err());
    }

    #[test]
    fn what_services_may_not_use_is_the_guests() {
        let given = given("512\n0-3\n0-1\n").unwrap();
        let kept = [2, 3].into();
        assert_eq!(given, Given { pages: 512, kept });
        assert!(super::given("512\n0-3\n").is_err());
    }

    #[test]
    fn a_plan_is_a_placement() {
        let plan = serde_json::json!({"vcpus": [2, 3], "emulator": "0-1", "io": "0"});
        let placement = planned(&plan).unwrap();
        assert_eq!(placement.vcpus, [(0, [2].into()), (1, [3].into())].into());
        assert_eq!(placement.io, [0].into());
        assert!(planned(&Value::Null).is_err());
    }
}
