//! A trial boot that fails takes itself back: one that finds no root, one whose kernel panics, and one
//! that comes up with less than there was before.

use std::time::Duration;

use crate::ensure;
use crate::error::Result;
use crate::host;
use crate::session::{DECIDED, DONE, Lab, Session};

/// Longest time for small changes on the host.
const SHORT: Duration = Duration::from_secs(60);
/// Longest time for what passthru does by itself.
const LONG: Duration = Duration::from_secs(400);

/// A script of the initramfs that names a wrong root device in the trial boot (initramfs-tools(7):
/// /conf/param.conf).
const NO_ROOT: &str = "cat >/etc/initramfs-tools/scripts/local-top/lab <<'EOF'
#!/bin/sh
[ \"$1\" = prereqs ] && exit 0
grep -q passthru.trial /proc/cmdline && echo ROOT=/dev/nowhere >>/conf/param.conf
exit 0
EOF
chmod 755 /etc/initramfs-tools/scripts/local-top/lab; sync";
const ROOT: &str = "rm /etc/initramfs-tools/scripts/local-top/lab; sync";

/// A service that acts in the trial boot only: `DOES` is what it does.
const SERVICE: &str = "cat >/etc/systemd/system/lab-breaks.service <<'EOF'
[Unit]
ConditionKernelCommandLine=passthru.trial
DefaultDependencies=no
Before=lab-agent.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'DOES'
[Install]
WantedBy=sysinit.target
EOF
systemctl -q enable lab-breaks.service; sync";
const NO_SERVICE: &str = "systemctl -q disable lab-breaks.service
rm /etc/systemd/system/lab-breaks.service
systemctl daemon-reload; systemctl reset-failed; sync";

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;
    let report = session.report();

    report.say("   the trial entry's initramfs finds no root");
    session.agent()?.succeed(NO_ROOT, SHORT)?;
    session.apply(&["--gpu", "01:00.0"])?;
    session.reboot()?;
    must_be_taken_back(&mut session, "did not come up")?;
    session.agent()?.succeed(ROOT, SHORT)?;

    report.say("   the trial entry's kernel panics");
    let panics = SERVICE.replace("DOES", "echo c >/proc/sysrq-trigger");
    session.agent()?.succeed(&panics, SHORT)?;
    session.apply(&["--gpu", "01:00.0"])?;
    session.reboot()?;
    must_be_taken_back(&mut session, "did not come up")?;

    report.say("   the trial entry comes up, and a service fails");
    let fails = SERVICE.replace("DOES", "exit 1");
    session.agent()?.succeed(&fails, SHORT)?;
    session.apply(&["--gpu", "01:00.0"])?;
    session.reboot_twice("reboot, judge, and reboot by itself")?;
    must_be_taken_back(&mut session, "lab-breaks.service failed")?;
    session.agent()?.succeed(NO_SERVICE, SHORT)?;

    let after = session.power_off()?;
    session.must_equal(&after)
}

fn must_be_taken_back(session: &mut Session<'_>, why: &str) -> Result<()> {
    session.agent()?.succeed(DECIDED, LONG)?;
    let last = session.last_transaction()?;
    let reason = last["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(
        last["state"] == "undone" && reason.contains(why),
        "the trial was not taken back because it {why}: {last}"
    );
    session.report().say(&format!("   history: {reason}"));
    session
        .passthru(&["confirm", "--json"])?
        .must_end(&[DONE])?;
    session.must_verify("nothing-applied", DONE)?;
    session.must_be_untouched()
}
