//! A trial boot that fails takes itself back: one that panics, and one that comes up with less than
//! there was before.

use std::time::Duration;

use crate::error::Result;
use crate::host;
use crate::session::{DONE, Lab, Session};
use crate::{ensure, report::Report};

/// Longest time for small changes on the host.
const SHORT: Duration = Duration::from_secs(60);

/// The first process of the trial entry ends at once, and the kernel panics.
const PANIC: &str = "sed -i 's/passthru.trial=1/& init=\\/bin\\/false/' /boot/grub/custom.cfg
grep -q 'init=/bin/false' /boot/grub/custom.cfg && sync";

/// A service that fails in the trial boot only.
const FAILING: &str = "cat >/etc/systemd/system/lab-fails.service <<'EOF'
[Unit]
ConditionKernelCommandLine=passthru.trial
[Service]
Type=oneshot
ExecStart=/bin/false
[Install]
WantedBy=multi-user.target
EOF
systemctl -q enable lab-fails.service && sync";

const MENDED: &str = "systemctl -q disable lab-fails.service
rm /etc/systemd/system/lab-fails.service
systemctl daemon-reload
systemctl reset-failed";

/// Ends when the service of a trial boot has nothing more to do, whether it was there or not.
const AT_REST: &str =
    "while systemctl is-active -q passthru-confirm.service; do sleep 0.5; done; true";

pub(super) fn run(lab: &Lab<'_>) -> Result<()> {
    let host = host::find("intel").ok_or("no such host")?;
    let mut session = Session::start(lab, host)?;

    session.apply(&["--gpu", "01:00.0"])?;
    session.agent()?.succeed(PANIC, SHORT)?;
    // Through the panic, and up again from the old entry.
    session.reboot()?;
    session
        .agent()?
        .succeed(AT_REST, Duration::from_secs(300))?;
    must_be_taken_back(&mut session, lab.report, "did not come up")?;

    session.agent()?.succeed(FAILING, SHORT)?;
    session.apply(&["--gpu", "01:00.0"])?;
    session.reboot()?;
    session.wait_for_another_boot("the trial is judged, and the host reboots by itself")?;
    must_be_taken_back(&mut session, lab.report, "lab-fails.service failed")?;
    session.agent()?.succeed(MENDED, SHORT)?;

    let after = session.power_off()?;
    session.must_equal(&after)
}

fn must_be_taken_back(session: &mut Session<'_>, report: &Report, why: &str) -> Result<()> {
    let last = session.last_transaction()?;
    let reason = last["reason"].as_str().unwrap_or_default();
    ensure!(
        last["state"] == "undone" && reason.contains(why),
        "the trial was not taken back because it {why}: {last}"
    );
    report.say(&format!("   history: {reason}"));
    let trial = session.passthru(&["confirm", "--json"])?;
    trial.must_end(&[DONE])?;
    session.must_verify("nothing-applied", DONE)?;
    session.must_be_untouched()
}
