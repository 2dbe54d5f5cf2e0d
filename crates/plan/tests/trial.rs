//! Trial boots: what they change, how they are judged, and what keeps them.

mod common;

use common::*;
use passthru_plan::{
    Change, Facts, Measured, Plan, Status,
    facts::Health,
    intent::TrialBoot,
    plan::{keep, plan},
    trial,
    verify::{State, verify},
};

const CUSTOM: &str = "/boot/grub/custom.cfg";
const SERVICE: &str = "/etc/systemd/system/passthru-confirm.service";
const DROP_IN: &str = "/etc/default/grub.d/zz-passthru.cfg";

/// The Debian host as it is on a real machine: GRUB can write its environment, and reads custom.cfg.
fn host() -> Facts {
    let mut facts = debian();
    facts.boot.grubenv_read_only = Measured::Value(None);
    facts.boot.one_shot = Measured::Value(None);
    facts.program = Measured::Value("/usr/local/bin/passthru".into());
    facts.health = Health {
        services: names(&["NetworkManager.service", "gdm.service", "ssh.service"]),
        failed_units: names(&["old.service"]),
        default_routes: names(&["eno1"]),
        resolver: Measured::Value(true),
        keyboards: names(&["a keyboard"]),
        connectors: names(&["0000:00:02.0 HDMI-A-1"]),
        boot_mounts: names(&["/boot", "/boot/efi"]),
        kernel_faults: names(&[]),
    };
    with_custom(facts)
}

fn names(names: &[&str]) -> Measured<Vec<String>> {
    Measured::Value(names.iter().map(|&name| name.into()).collect())
}

/// 41_custom's part of grub.cfg.
fn with_custom(mut facts: Facts) -> Facts {
    let mut menu = facts
        .text("/boot/grub/grub.cfg")
        .expect("a menu")
        .to_owned();
    menu += "if [ -f ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n";
    write(&mut facts, "/boot/grub/grub.cfg", &menu);
    facts
}

fn write(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), text_file(text, 0o644));
}

/// The host started with the trial entry.
fn tried(facts: &Facts, plan: &Plan) -> Facts {
    let mut facts = rebooted(&applied(facts, plan), plan);
    let words = &plan.trial.as_ref().expect("a trial").words;
    let cmdline = facts.kernel.cmdline.value().expect("a command line");
    facts.kernel.cmdline = Measured::Value(format!("{cmdline} {}", words.join(" ")));
    facts.boot.one_shot = Measured::Value(None);
    facts
}

fn kept(facts: &Facts, plan: &Plan) -> (Facts, Plan) {
    let keep = keep(facts, plan, 1);
    assert_eq!(keep.refusals, []);
    (with_custom(applied(facts, &keep)), keep)
}

#[test]
fn the_default_entry_is_left_alone() {
    let facts = host();
    let plan = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan.refusals, []);
    let trial = plan.trial.as_ref().expect("a trial comes first");
    assert!(!edits(&plan).contains(&DROP_IN));
    assert_eq!(
        edits(&plan).first(),
        Some(&SERVICE),
        "recovery needs it first"
    );
    let entry = applied(&facts, &plan);
    let entry = entry.text(CUSTOM).unwrap();
    let is_linux = |line: &&str| line.trim_start().starts_with("linux");
    let line = entry.lines().find(is_linux).unwrap();
    for word in plan.words.iter().chain(&trial.words) {
        assert!(line.contains(word.as_str()), "{word} in {line}");
    }
    assert!(line.contains("root=UUID=1 ro quiet"), "{line}");
    assert!(
        matches!(plan.changes.last(), Some(Change::Run { argv, undo: Some(_), .. }) if argv[0] == "grub-reboot")
    );
    let keeps = |c: &Change| matches!(c, Change::Edit { path, .. } if path == DROP_IN);
    assert!(trial.keep.iter().any(keeps));
}

#[test]
fn each_step_is_known_for_what_it_is() {
    let facts = host();
    let first = plan(&facts, &gpu("01:00.0"));
    let waiting = applied(&facts, &first);
    assert_eq!(plan(&waiting, &first.intent).changes, []);
    assert_eq!(verify(&waiting, &first.intent).state, State::RebootNeeded);

    let running = tried(&facts, &first);
    assert!(trial::is_running(&running));
    assert_eq!(plan(&running, &first.intent).changes, []);
    assert_eq!(verify(&running, &first.intent).state, State::Done);
    assert!(trial::proved(&trial::judge(&running, &first)));

    let (after, keep) = kept(&running, &first);
    assert!(!keep.reboot, "the trial boot runs it already");
    assert_eq!(keep.continues, Some(1));
    assert_eq!(keep.words, first.words);
    for gone in [CUSTOM, SERVICE] {
        assert_eq!(after.text(gone), None, "{gone}");
    }
    let next = rebooted(&after, &keep);
    assert_eq!(plan(&next, &keep.intent).changes, []);
    assert_eq!(verify(&next, &keep.intent).state, State::Done);
}

#[test]
fn words_that_the_trial_made_unnecessary_are_kept() {
    let facts = without_iommu(host());
    let first = plan(&facts, &gpu("01:00.0"));
    assert!(first.words.contains(&"intel_iommu=on".to_owned()));
    let mut running = tried(&facts, &first);
    // In the trial boot the IOMMU is on.
    running.functions = host().functions;
    running.iommu = host().iommu;
    for f in &mut running.functions {
        let bound = |b: &passthru_plan::plan::BoundFunction| b.function.address == f.address;
        if first.bindings.iter().any(bound) {
            f.driver = Some("vfio-pci".into());
        }
    }
    regroup(&mut running);
    let (_, keep) = kept(&running, &first);
    assert_eq!(keep.words, first.words);
}

#[test]
fn what_broke_is_named() {
    let facts = host();
    let first = plan(&facts, &gpu("01:00.0"));
    let running = tried(&facts, &first);
    type Break = fn(&mut Health);
    let breaks: [(&str, Break); 8] = [
        ("trial.services", |h| h.services = names(&["ssh.service"])),
        ("trial.failed-units", |h| {
            h.failed_units = names(&["new.service", "old.service"]);
        }),
        ("trial.network", |h| h.default_routes = names(&[])),
        ("trial.resolver", |h| h.resolver = Measured::Value(false)),
        ("trial.keyboard", |h| h.keyboards = names(&[])),
        ("trial.display", |h| h.connectors = names(&[])),
        ("trial.boot-mounts", |h| h.boot_mounts = names(&["/boot"])),
        ("trial.kernel-log", |h| h.kernel_faults = names(&["BUG: #"])),
    ];
    for (id, damage) in breaks {
        let mut broken = running.clone();
        damage(&mut broken.health);
        let answers = trial::judge(&broken, &first);
        let bad: Vec<_> = answers.iter().filter(|f| f.status != Status::Yes).collect();
        assert_eq!(bad.len(), 1, "{id}: {bad:?}");
        assert_eq!(bad[0].id, id);
        assert!(!bad[0].evidence.is_empty());
        assert!(!trial::proved(&answers), "{id}");
    }
    // What is no worse than before is no reason to go back.
    let mut other = running.clone();
    other.health.services = names(&[
        "NetworkManager.service",
        "gdm.service",
        "more.service",
        "ssh.service",
    ]);
    other.health.failed_units = names(&[]);
    other.health.default_routes = names(&["enp3s0"]);
    assert!(trial::proved(&trial::judge(&other, &first)));
    // What cannot be measured does not decide; whether the card is bound must be known.
    other.health = Health::default();
    assert!(trial::proved(&trial::judge(&other, &first)));
    other.functions.iter_mut().for_each(|f| f.driver = None);
    assert!(!trial::proved(&trial::judge(&other, &first)));
    assert!(trial::decided(&trial::judge(&other, &first)));
}

/// What lives off the card goes with it, and nothing else does.
#[test]
fn what_served_the_card_may_be_gone() {
    let facts = host();
    let no = |headless, unit: &str, nvidia: bool| {
        let intent = passthru_plan::Intent {
            headless,
            ..gpu("01:00.0")
        };
        let plan = plan(&facts, &intent);
        let mut now = tried(&facts, &plan);
        now.health.failed_units = names(&["old.service", unit]);
        if nvidia {
            now.functions[0].driver = Some("nvidia".into());
        }
        let checks = trial::judge(&now, &plan);
        let failed = checks.iter().find(|c| c.id == "trial.failed-units");
        failed.expect("it is asked").status == Status::No
    };
    assert!(!no(false, "nvidia-persistenced.service", false));
    assert!(no(false, "nvidia-persistenced.service", true));
    assert!(no(false, "gdm.service", false));
    assert!(!no(true, "gdm.service", false));
    assert!(no(true, "ssh.service", false));
}

#[test]
fn a_screen_of_the_card_itself_may_go_dark() {
    let mut facts = host();
    facts.health.connectors = names(&["0000:00:02.0 HDMI-A-1", "0000:01:00.0 DP-1"]);
    let first = plan(&facts, &gpu("01:00.0"));
    let mut running = tried(&facts, &first);
    running.health.connectors = names(&["0000:00:02.0 HDMI-A-1"]);
    assert!(trial::proved(&trial::judge(&running, &first)));
}

#[test]
fn without_a_one_shot_the_way_back_is_in_sight() {
    let mut facts = host();
    facts.boot.grubenv_read_only = Measured::Value(Some("/boot/grub is on LVM".into()));
    let hidden = GRUB_DEFAULTS.replace("GRUB_TIMEOUT=5", "GRUB_TIMEOUT=0");
    write(&mut facts, "/etc/default/grub", &hidden);
    let plan = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan.trial, None);
    assert!(notices(&plan).contains(&"trial.impossible"));
    let after = applied(&facts, &plan);
    let drop_in = after.text(DROP_IN).unwrap();
    assert!(drop_in.contains("GRUB_TIMEOUT_STYLE=menu") && drop_in.contains("GRUB_TIMEOUT=5"));
    assert_eq!(passthru_plan::plan(&after, &plan.intent).changes, []);
}

#[test]
fn a_program_that_others_can_replace_is_not_started_as_root() {
    let mut facts = host();
    facts.program = Measured::not("others than root can change /home/me");
    assert_eq!(refusals(&facts, &gpu("01:00.0")), ["trial.program"]);
    let mut intent = gpu("01:00.0");
    intent.trial = TrialBoot::Never;
    let plan = plan(&facts, &intent);
    assert_eq!(plan.refusals, []);
    assert_eq!(plan.trial, None);
    assert!(edits(&plan).contains(&DROP_IN));
}

#[test]
fn the_users_own_entries_stay() {
    let mut facts = host();
    let own = "menuentry 'Mine' {\n\tchainloader +1\n}\n";
    write(&mut facts, CUSTOM, own);
    let first = plan(&facts, &gpu("01:00.0"));
    let running = tried(&facts, &first);
    assert!(running.text(CUSTOM).unwrap().starts_with(own));
    let (after, _) = kept(&running, &first);
    assert_eq!(after.text(CUSTOM), Some(own));
}

#[test]
fn a_word_that_nothing_overrules_is_not_on_the_trial_entry() {
    let mut facts = without_iommu(host());
    for (path, from) in [
        ("/boot/grub/grub.cfg", " quiet"),
        ("/etc/default/grub", "quiet"),
    ] {
        let text = facts.text(path).unwrap();
        let text = text.replace(from, &format!("{from} iommu=off"));
        write(&mut facts, path, &text);
    }
    facts.kernel.cmdline = Measured::Value("root=UUID=1 ro quiet iommu=off".into());
    let plan = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan.refusals, []);
    let now = edits(&plan);
    assert!(!now.contains(&"/etc/default/grub"), "not before the trial");
    let entry = applied(&facts, &plan);
    assert!(!entry.text(CUSTOM).unwrap().contains("iommu=off"));
    // With the IOMMU on nothing says any more that the word was in the way.
    let now = with_groups(&tried(&facts, &plan));
    must_be_kept(&now, &plan, "iommu=off");
}

/// The IOMMU is on, and every slot is a group.
fn with_groups(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    let before = debian();
    facts.iommu = before.iommu.clone();
    for f in &mut facts.functions {
        f.group = before.function(f.address).and_then(|f| f.group);
    }
    regroup(&mut facts);
    facts
}

/// The trial that runs is as planned, and what keeps it takes `word` out of the defaults.
fn must_be_kept(now: &Facts, tried: &Plan, word: &str) {
    let verified = verify(now, &tried.intent);
    assert_eq!(verified.drift, [""; 0]);
    assert_eq!(verified.state, State::Done);
    let (after, _) = kept(now, tried);
    assert!(
        !after
            .text("/etc/default/grub")
            .expect("defaults")
            .contains(word)
    );
    assert!(after.text(SERVICE).is_none());
}

/// A guide's list that lost the race against another driver acts in the trial boot.
#[test]
fn a_list_that_was_dormant_goes_when_the_trial_is_kept() {
    let mut facts = host();
    let card = facts.function("01:00.0".parse().unwrap()).unwrap();
    let word = format!("vfio-pci.ids={}", card.ids);
    assert!(!card.is_on_vfio());
    for (path, from) in [
        ("/boot/grub/grub.cfg", " quiet"),
        ("/etc/default/grub", "quiet"),
    ] {
        let text = facts.text(path).unwrap();
        let text = text.replace(from, &format!("{from} {word}"));
        write(&mut facts, path, &text);
    }
    facts.kernel.cmdline = Measured::Value(format!("root=UUID=1 ro quiet {word}"));
    let plan = plan(&facts, &gpu("01:00.0"));
    assert_eq!(plan.refusals, []);
    must_be_kept(&tried(&facts, &plan), &plan, &word);
}

/// What is tried is what starts afterwards.
#[test]
fn the_entry_that_starts_by_default_is_tried() {
    let old = "menuentry 'Debian, old' $menuentry_id_option 'gnulinux-old-advanced-1' {\n\
        \tlinux\t/boot/vmlinuz-5.10 root=UUID=1 ro quiet\n\tinitrd\t/boot/initrd.img-5.10\n}\n";
    let tries = |default: &str, running: &str| {
        let mut facts = host();
        let menu = facts
            .text("/boot/grub/grub.cfg")
            .expect("a menu")
            .to_owned();
        write(&mut facts, "/boot/grub/grub.cfg", &format!("{menu}{old}"));
        let defaults = facts
            .text("/etc/default/grub")
            .expect("defaults")
            .to_owned();
        let other = format!("GRUB_DEFAULT={default}");
        write(
            &mut facts,
            "/etc/default/grub",
            &defaults.replace("GRUB_DEFAULT=0", &other),
        );
        facts.kernel.release = Some(running.into());
        let plan = plan(&facts, &gpu("01:00.0"));
        let custom = applied(&facts, &plan);
        custom
            .text(CUSTOM)
            .expect("a trial")
            .contains("vmlinuz-5.10")
    };
    let newest = host().kernel.release.expect("a release");
    assert!(tries("gnulinux-old-advanced-1", &newest));
    assert!(tries("\"Debian, old\"", &newest));
    assert!(tries("saved", "5.10"));
    assert!(!tries("saved", &newest));
    assert!(!tries("0", "5.10"));
    assert!(!tries("nothing-that-is-there", "5.10"));
}

/// The trial entry starts the kernel that was the default when it was made.
#[test]
fn a_kernel_that_came_meanwhile_is_no_reason_to_take_back() {
    let facts = host();
    let plan = plan(&facts, &gpu("01:00.0"));
    let mut now = tried(&facts, &plan);
    let menu = now.text("/boot/grub/grub.cfg").unwrap().to_owned();
    assert!(menu.contains("vmlinuz-"));
    write(
        &mut now,
        "/boot/grub/grub.cfg",
        &menu.replacen("root=UUID=1", "root=UUID=1 newer", 1),
    );
    let verified = verify(&now, &plan.intent);
    assert_eq!(verified.drift, [""; 0]);
    // Before the reboot it is still to be made.
    let mut before = applied(&facts, &plan);
    let menu = now.text("/boot/grub/grub.cfg").unwrap().to_owned();
    write(&mut before, "/boot/grub/grub.cfg", &menu);
    let again = passthru_plan::plan(&before, &plan.intent);
    assert!(edits(&again).contains(&CUSTOM));
}
