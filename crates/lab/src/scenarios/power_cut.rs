//! The power goes while apply works. The host must boot, and recover to before or after.

use std::time::Duration;

use serde_json::Value;

use crate::agent::quote;
use crate::error::{Context as _, Result};
use crate::host::{self, Host};
use crate::manifest::Manifest;
use crate::session::{DECIDED, DONE, Lab, REBOOT, Session};
use crate::{bail, ensure};

/// How far apply may get in the emulated host until the cut.
const REACH: Duration = Duration::from_secs(400);

/// The moment of a cut.
enum Moment {
    /// passthru itself stops at one of its failpoints.
    Failpoint(String),
    /// This shell condition holds while a command of the plan works.
    While(&'static str),
}

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut after = None;
    let mut session = Session::start(lab, host)?;
    let mut words = vec!["plan", "--json"];
    words.extend(DIRECTLY);
    let plan = session.passthru(&words)?;
    plan.must_end(&[DONE])?;
    for (number, (what, moment)) in moments(&plan.json()?)?.into_iter().enumerate() {
        if number > 0 {
            session = Session::start(lab, host)?;
        }
        lab.report.say(&format!("   cut {}: {what}", number + 1));
        cut(&mut session, &DIRECTLY, &moment).context(|| format!("cut {} ({what})", number + 1))?;
        recover(lab, host, &mut session, &mut after)
            .context(|| format!("after cut {} ({what})", number + 1))?;
    }
    Ok(())
}

/// The same where kernels and images lie on an EFI system partition, which is FAT: nothing there is
/// replaced in one step. The host must come up by itself, from the copies that no tool writes to,
/// and its service must take back what was half done.
pub(super) fn on_esp(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("systemd-boot").ok_or("no such host")?;
    let moments = [
        (
            "kernel-install writes to the EFI system partition",
            Moment::While("grep -qsa '[i]nstall.d/90-loaderentry' /proc/[0-9]*/cmdline"),
            "passthru",
        ),
        (
            "just before the commit",
            Moment::Failpoint("apply.commit".to_owned()),
            "passthru.trial",
        ),
    ];
    for (number, (what, moment, booted)) in moments.into_iter().enumerate() {
        let mut session = Session::start(lab, host)?;
        lab.report.say(&format!("   cut {}: {what}", number + 1));
        cut(&mut session, &["--gpu", "01:00.0"], &moment)
            .context(|| format!("cut {} ({what})", number + 1))?;
        let cmdline = session.agent()?.succeed("cat /proc/cmdline", REACH)?;
        ensure!(
            cmdline.contains(booted),
            "the host was not started from passthru's entry: {cmdline}"
        );
        session.agent()?.succeed(DECIDED, REACH)?;
        let last = session.last_transaction()?;
        ensure!(
            last["state"] == "rolled-back",
            "the service did not take it back: {last}"
        );
        session.must_choose_nothing()?;
        session.reboot()?;
        session.must_be_untouched()?;
        let now = session.power_off()?;
        session.must_equal(&now)?;
    }
    Ok(())
}

/// The same where the generator writes over its output, and GRUB has no other copy of an image.
pub(super) fn on_dracut(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("efi-dracut").ok_or("no such host")?;
    let moments = [
        (
            "dracut writes an image",
            Moment::While("[ -n \"$(find /boot -name 'initrd.img-*.passthru' -size +0)\" ]"),
        ),
        (
            "the new image is about to take its place",
            Moment::Failpoint("apply.activate".to_owned()),
        ),
    ];
    let mut after = None;
    for (number, (what, moment)) in moments.into_iter().enumerate() {
        let mut session = Session::start(lab, host)?;
        lab.report.say(&format!("   cut {}: {what}", number + 1));
        cut(&mut session, &DIRECTLY, &moment).context(|| format!("cut {} ({what})", number + 1))?;
        recover(lab, host, &mut session, &mut after)
            .context(|| format!("after cut {} ({what})", number + 1))?;
    }
    Ok(())
}

/// What is asked of passthru, so that all of it is one transaction.
const DIRECTLY: [&str; 3] = ["--gpu", "01:00.0", "--no-trial"];

/// Six moments, from the plan's own steps.
fn moments(plan: &Value) -> Result<Vec<(&'static str, Moment)>> {
    let changes = plan["changes"]
        .as_array()
        .ok_or("the plan lists no changes")?;
    let writes: Vec<usize> = changes
        .iter()
        .enumerate()
        .filter(|(_, step)| step["kind"] == "edit")
        .map(|at| at.0)
        .collect();
    let runs = |command: &str| {
        changes.iter().position(|step| {
            step["kind"] == "run"
                && step["argv"].as_array().is_some_and(|words| {
                    words
                        .iter()
                        .filter_map(Value::as_str)
                        .any(|word| word.contains(command))
                })
        })
    };
    let write = *writes
        .get(writes.len() / 2)
        .ok_or("the plan writes no file")?;
    ensure!(
        runs("update-initramfs").is_some(),
        "the plan makes no initramfs"
    );
    let menu = runs("grub-mkconfig").ok_or("the plan makes no boot menu")?;
    Ok(vec![
        (
            "the journal is written",
            Moment::Failpoint("apply.journal-written".to_owned()),
        ),
        (
            "in the middle of writing files",
            Moment::Failpoint(format!("apply.step.{write}.before")),
        ),
        (
            "update-initramfs writes",
            Moment::While("[ -n \"$(find /boot -name 'initrd.img-*.new' -size +0)\" ]"),
        ),
        (
            "the new boot menu is live",
            Moment::Failpoint(format!("apply.step.{menu}.after")),
        ),
        (
            "the new boot menu is about to take its place",
            Moment::Failpoint("apply.activate".to_owned()),
        ),
        (
            "just before the commit",
            Moment::Failpoint("apply.commit".to_owned()),
        ),
    ])
}

/// Starts apply and takes the power at the moment.
fn cut(session: &mut Session<'_>, wanted: &[&str], moment: &Moment) -> Result<()> {
    let wanted = wanted.join(" ");
    let (setting, condition) = match moment {
        Moment::Failpoint(name) => (quote(&format!("{name}=pause")), "[ -s $room/reached ]"),
        Moment::While(condition) => (String::new(), *condition),
    };
    let script = format!(
        "room=/run/lab/cut
rm -rf $room && mkdir $room
PASSTHRU_FAILPOINT={setting} PASSTHRU_FAILPOINT_FILE=$room/reached \
setsid passthru apply {wanted} --yes >$room/said 2>&1 </dev/null 3>&- &
apply=$!
until {condition}; do
    if ! kill -0 $apply 2>&-; then cat $room/said; exit 1; fi
    sleep 0.1
done
cat $room/reached 2>&- || :"
    );
    let report = session.report();
    let agent = session.agent()?;
    let output = report.phase("apply until the moment", || agent.run(&script, REACH))?;
    if output.status != 0 {
        bail!("apply ended before the moment came: {}", output.said());
    }
    session.cut_and_boot()
}

/// The host has booted; after recovery it is as before, or as after an apply.
fn recover(
    lab: &Lab<'_>,
    host: &'static Host,
    session: &mut Session<'_>,
    after: &mut Option<Manifest>,
) -> Result<()> {
    let answer = session.passthru(&["recover", "--json"])?;
    answer.must_end(&[DONE, REBOOT])?;
    lab.report
        .say(&format!("   {}", answer.json()?["recovered"]));
    let now = session.power_off()?;
    let to_before = session.files.difference(&now);
    if to_before.is_empty() {
        lab.report.say("   recovered to before");
        return Ok(());
    }
    let to_after = match after {
        Some(after) => after.difference(&now),
        None => after.insert(applied(lab, host)?).difference(&now),
    };
    ensure!(
        to_after.is_empty(),
        "neither before nor after. Different from before:\n{}\nDifferent from after:\n{}",
        to_before.join("\n"),
        to_after.join("\n")
    );
    lab.report.say("   recovered to after");
    Ok(())
}

/// The files after an apply that nothing disturbed.
fn applied(lab: &Lab<'_>, host: &'static Host) -> Result<Manifest> {
    let mut session = Session::start(lab, host)?;
    session.apply(&DIRECTLY)?;
    session.power_off()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_follow_the_plan() {
        let plan = serde_json::json!({ "changes": [
            { "kind": "edit", "path": "/etc/a" },
            { "kind": "edit", "path": "/etc/b" },
            { "kind": "run", "argv": ["/usr/sbin/update-initramfs", "-u", "-k", "all"] },
            { "kind": "run", "argv": ["grub-mkconfig", "-o", "/boot/grub/grub.cfg.passthru"] },
        ]});
        let names: Vec<String> = moments(&plan)
            .unwrap()
            .into_iter()
            .filter_map(|(_, moment)| match moment {
                Moment::Failpoint(name) => Some(name),
                Moment::While(_) => None,
            })
            .collect();
        assert_eq!(
            names,
            [
                "apply.journal-written",
                "apply.step.1.before",
                "apply.step.3.after",
                "apply.activate",
                "apply.commit"
            ]
        );
        assert!(moments(&serde_json::json!({ "changes": [] })).is_err());
    }
}
