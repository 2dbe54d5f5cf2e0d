//! `passthru plan`: everything that would change, and nothing changes.

use std::path::Path;

use passthru_plan::{
    Facts, Intent, Plan,
    guest::hugepages::PageSize,
    intent::{BadIntent, TrialBoot},
};
use serde::Serialize;

use crate::{
    args::{Global, Want},
    error::{Error, Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show,
};

/// `plan --json`: the plan itself, with a version.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    plan: &'a Plan,
    unreadable: &'a [String],
}

pub(super) fn run(args: &Want, global: &Global, out: &mut Out) -> Result<Outcome> {
    let intent = intent(args)?;
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::all());
    let plan = passthru_plan::plan(&facts, &intent);
    out.unreadable(&facts)?;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            plan: &plan,
            unreadable: &facts.unreadable,
        })?;
    } else {
        show::plan::show(out, &facts, &plan)?;
        next(out, args, &host, &plan)?;
    }
    Ok(if plan.refusals.is_empty() {
        Outcome::Done
    } else {
        Outcome::No.about(&facts)
    })
}

fn next(out: &mut Out, args: &Want, host: &host::Host, plan: &Plan) -> Result<()> {
    if !plan.refusals.is_empty() {
        return Ok(out.text("Nothing was changed, and nothing would be.")?);
    }
    if plan.changes.is_empty() {
        out.blank()?;
        out.text(if plan.intent.is_repair_only() {
            "Nothing to do: there is nothing to put right."
        } else {
            "Nothing to do: this host is set up that way."
        })?;
        return Ok(());
    }
    out.heading(if plan.reboot {
        "Nothing was changed. To apply this, and reboot afterwards:"
    } else {
        "Nothing was changed. To apply this:"
    })?;
    out.command(&host.command(&apply_words(args, &plan.intent)))?;
    Ok(())
}

/// `apply` with what was asked for, cards named by what they are.
pub(super) fn apply_words(args: &Want, resolved: &Intent) -> Vec<String> {
    let mut words = vec!["apply".to_owned()];
    if let Some(file) = &args.intent {
        words.extend(["--intent".into(), file.to_string_lossy().into_owned()]);
        return words;
    }
    for (flag, named, resolved) in [
        ("--gpu", &args.gpu, &resolved.gpu),
        ("--with", &args.with, &resolved.with),
    ] {
        // The plan names every function it takes; what the user named is enough to say again.
        for selector in named {
            let same = resolved.iter().find(|r| r.address == selector.address);
            words.extend([flag.into(), same.unwrap_or(selector).to_string()]);
        }
    }
    if let Some(kib) = resolved.hugepages_kib {
        words.extend(["--hugepages".into(), format!("{kib}K")]);
        match resolved.hugepage_size {
            PageSize::Largest => {}
            PageSize::Mib2 => words.extend(["--hugepage-size".into(), "2M".into()]),
            PageSize::Gib1 => words.extend(["--hugepage-size".into(), "1G".into()]),
        }
    }
    for (flag, set) in [
        ("--headless", resolved.headless),
        (
            "--allow-unsafe-interrupts",
            resolved.allow_unsafe_interrupts,
        ),
        ("--no-hugepages", resolved.no_hugepages),
        ("--iommu-only", resolved.iommu_only),
        ("--repair", resolved.repair),
        ("--no-trial", resolved.trial == TrialBoot::Never),
    ] {
        if set {
            words.push(flag.into());
        }
    }
    words
}

/// What is wanted, from flags or a file.
pub(super) fn intent(args: &Want) -> Result<Intent> {
    let intent = match &args.intent {
        Some(file) => from_file(file)?,
        None => Intent {
            gpu: args.gpu.clone(),
            with: args.with.clone(),
            binding: args.binding.map(Into::into).unwrap_or_default(),
            headless: args.headless,
            allow_unsafe_interrupts: args.allow_unsafe_interrupts,
            iommu_only: args.iommu_only,
            repair: args.repair,
            hugepages_kib: args.hugepages.map(|size| size.0),
            hugepage_size: args.hugepage_size.map(Into::into).unwrap_or_default(),
            no_hugepages: args.no_hugepages,
            trial: if args.no_trial {
                TrialBoot::Never
            } else {
                TrialBoot::IfPossible
            },
        },
    };
    intent.check().map_err(|bad| match (&args.intent, bad) {
        (Some(file), BadIntent::Nothing) => Error::input(format!("{}: {bad}", file.display()))
            .hint("add a line such as gpu = [\"01:00.0\"]"),
        (Some(file), _) => Error::input(format!("{}: {bad}", file.display())),
        (None, BadIntent::Nothing) => Error::usage("which card? No --gpu was given")
            .hint("passthru devices shows the cards of this host")
            .hint("then: passthru plan --gpu ADDR"),
        (None, _) => Error::usage(bad),
    })?;
    Ok(intent)
}

fn from_file(file: &Path) -> Result<Intent> {
    let text = passthru_host::input::text(file).map_err(Error::input)?;
    toml::from_str(&text)
        .map_err(|e| Error::input(format!("{}: {}", file.display(), e.to_string().trim_end())))
}

/// What the plan says about the host's facts, for commands that carry it out.
pub(super) fn make(host: &host::Host, global: &Global, intent: &Intent) -> (Facts, Plan) {
    let mut facts = host.facts_with_health(global);
    // What even root may not list, nobody can account for.
    let closed = std::mem::take(&mut facts.closed);
    facts.unreadable.extend(closed);
    let plan = passthru_plan::plan(&facts, intent);
    (facts, plan)
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, Args, FromArgMatches};

    use super::*;

    /// A value of an option, as it is typed and as a file has it.
    fn example(arg: &clap::Arg) -> (Option<String>, String) {
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return (None, "true".into());
        }
        let name = arg.get_value_names().map(|names| names[0].as_str());
        let value = match (arg.get_possible_values().last(), name) {
            (Some(value), _) => value.get_name().to_owned(),
            (None, Some("ADDR[=IDS]")) => "01:00.0".into(),
            (None, Some("SIZE")) => "16G".into(),
            (None, other) => panic!("{}: {other:?}", arg.get_id()),
        };
        let key = match arg.get_action() {
            ArgAction::Append => format!("[\"{value}\"]"),
            _ => format!("\"{value}\""),
        };
        (Some(value), key)
    }

    #[test]
    fn every_flag_is_a_key_of_an_intent_file() {
        let command = Want::augment_args(clap::Command::new("plan"));
        let mut argv = vec!["plan".to_owned()];
        let mut file = String::new();
        for arg in command
            .get_arguments()
            // No huge pages is the contrary of some.
            .filter(|arg| !["intent", "no_hugepages"].contains(&arg.get_id().as_str()))
        {
            let flag = arg.get_long().unwrap();
            let (typed, key) = example(arg);
            argv.push(format!("--{flag}"));
            argv.extend(typed);
            file.push_str(&format!("{flag} = {key}\n"));
        }
        assert!(file.contains("no-trial = true"), "{file}");
        let matches = command.try_get_matches_from(argv).unwrap();
        let flags = intent(&Want::from_arg_matches(&matches).unwrap()).unwrap();
        assert_eq!(flags, toml::from_str(&file).unwrap(), "{file}");
        assert_ne!(flags, Intent::default());
        let none: Intent = toml::from_str("repair = true\nno-hugepages = true").unwrap();
        assert!(none.no_hugepages && none.check().is_ok());
        let both = "gpu = [\"01:00.0\"]\nhugepages = \"1G\"\nno-hugepages = true";
        assert!(toml::from_str::<Intent>(both).unwrap().check().is_err());
    }
}
