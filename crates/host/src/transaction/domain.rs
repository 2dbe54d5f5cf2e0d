//! The definition of a libvirt domain as part of a transaction: read, set, and what taking back makes
//! of one that others changed since.

use passthru_plan::{Change, text::merge::take_back};

use super::{
    Reason,
    engine::{Engine, Trouble},
};
use crate::{
    attributes::Attributes,
    libvirt::{Libvirt, LibvirtError},
    write::Writer,
};

impl From<LibvirtError> for Trouble {
    fn from(error: LibvirtError) -> Self {
        let way_out = error.way_out();
        Self::Failed(Reason::new(error.to_string(), way_out))
    }
}

fn libvirt<'a>(engine: &'a Engine<'_>) -> Libvirt<'a> {
    Libvirt::new(engine.exec, engine.cancel())
}

/// The definition of `name` now.
pub(super) fn now(engine: &Engine<'_>, name: &str) -> Result<Option<String>, Trouble> {
    Ok(libvirt(engine).definition(name)?)
}

/// Every domain is defined as the plan was made for, and none of them runs.
pub(super) fn unchanged_since_planned(
    engine: &Engine<'_>,
    changes: &[Change],
) -> Result<(), Trouble> {
    let mut seen = Vec::new();
    for change in changes {
        if let Change::Domain { name, before, .. } = change
            && !seen.contains(&name)
        {
            seen.push(name);
            expect(engine, name, before.as_deref())?;
            may_change(engine, name)?;
        }
    }
    Ok(())
}

pub(super) fn expect(engine: &Engine<'_>, name: &str, before: Option<&str>) -> Result<(), Trouble> {
    if now(engine, name)?.as_deref() == before {
        return Ok(());
    }
    Err(Reason::new(
        match before {
            Some(_) => format!("the guest {name} has changed since the plan was made"),
            None => format!("there is a guest {name} already"),
        },
        "plan again",
    )
    .into())
}

/// A domain that runs keeps what it has until it stops, and one that is forgotten while it runs is
/// gone when it stops: neither is what anybody expects.
pub(super) fn may_change(engine: &Engine<'_>, name: &str) -> Result<(), Trouble> {
    if !libvirt(engine).is_active(name)? {
        return Ok(());
    }
    Err(Reason::new(
        format!("the guest {name} runs"),
        format!(
            "stop it first: sudo passthru vm stop {}",
            passthru_plan::text::quote::word(name)
        ),
    )
    .into())
}

/// Gives `name` the definition `text` instead of `from`, or forgets it; then the one it had is kept in
/// the transaction's directory.
pub(super) fn set(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    directory: &str,
    name: &str,
    from: Option<&str>,
    text: Option<&str>,
) -> Result<(), Trouble> {
    let Some(text) = text else {
        let last = from.unwrap_or_default();
        let private = Attributes::new(0o600);
        writer.replace(&last_of(directory), &mut last.as_bytes(), &private, None)?;
        if let Some(variables) = passthru_plan::guest::nvram(last) {
            keep_file(engine, writer, &variables, &format!("{directory}/last.fd"))?;
        }
        let tpm = passthru_plan::guest::tpm(last);
        if !libvirt(engine).undefine(name, tpm.is_some())? {
            // This libvirt takes the state of the TPM away with the guest.
            for state in tpm
                .iter()
                .flat_map(|tpm| TPM_STATES.map(|state| format!("{tpm}/{state}")))
            {
                keep_file(engine, writer, &state, &format!("{directory}/last.tpm"))?;
            }
            libvirt(engine).undefine(name, false)?;
        }
        return Ok(());
    };
    // In a directory that only root can enter, so nobody can put another file in its place.
    let path = format!("{directory}/define.xml");
    let private = Attributes::new(0o600);
    writer.replace(&path, &mut text.as_bytes(), &private, None)?;
    let shown = engine.root.display(&path);
    let defined = libvirt(engine).define(&shown.to_string_lossy());
    writer.remove(&path)?;
    defined?;
    match now(engine, name)? {
        Some(_) => Ok(()),
        None => Err(Reason::new(
            format!("libvirt said that it has defined {name}, and does not know it"),
            "see what it knows: sudo virsh list --all",
        )
        .into()),
    }
}

/// Keeps how libvirt has written the definition of `name` after `step`: what is found later is
/// compared with it.
pub(super) fn keep(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    directory: &str,
    step: usize,
    name: &str,
) -> Result<(), Trouble> {
    let text = now(engine, name)?.unwrap_or_default();
    let private = Attributes::new(0o600);
    writer.replace(&kept(directory, step), &mut text.as_bytes(), &private, None)?;
    Ok(())
}

/// What [`keep`] kept; `None` if the step forgot the domain.
pub(super) fn left(
    engine: &Engine<'_>,
    directory: &str,
    step: usize,
) -> Result<Option<String>, Trouble> {
    let text = engine.root.text(&kept(directory, step))?;
    Ok((!text.is_empty()).then_some(text))
}

/// Where swtpm keeps its state, by the TPM's version; a guest has one of them.
const TPM_STATES: [&str; 2] = ["tpm2/tpm2-00.permall", "tpm1.2/tpm-00.permall"];

/// Keeps a copy of a file of the guest, if it has started once.
fn keep_file(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    from: &str,
    to: &str,
) -> Result<(), Trouble> {
    let root = engine.root;
    if root.meta(from).is_ok_and(|meta| meta.is_file()) {
        let mut file = crate::write::open(root, from)?;
        writer.replace(to, &mut file, &Attributes::new(0o600), None)?;
    }
    Ok(())
}

/// Gives a guest that was forgotten, and is defined again, the files that [`set`] kept of it.
pub(super) fn give_back(
    engine: &Engine<'_>,
    writer: &Writer<'_>,
    directory: &str,
    definition: &str,
) -> Result<(), Trouble> {
    let variables = passthru_plan::guest::nvram(definition);
    let tpm = passthru_plan::guest::tpm(definition);
    let states = tpm
        .iter()
        .flat_map(|tpm| TPM_STATES.map(|state| format!("{tpm}/{state}")));
    let files = variables
        .into_iter()
        .map(|path| (path, "last.fd"))
        .chain(states.map(|path| (path, "last.tpm")));
    for (path, kept) in files {
        let root = engine.root;
        let (parent, _) = crate::root::split(&path);
        // libvirt gives files to QEMU's user when the guest starts.
        if root.meta(&path).is_err_and(|e| e.is_missing()) && root.meta(parent).is_ok() {
            keep_file(engine, writer, &format!("{directory}/{kept}"), &path)?;
        }
    }
    Ok(())
}

fn last_of(directory: &str) -> String {
    format!("{directory}/last.xml")
}

fn kept(directory: &str, step: usize) -> String {
    format!("{directory}/saved/domain-{step}.xml")
}

/// The definition that taking back leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TakenBack {
    pub(super) text: Option<String>,
    pub(super) notes: Vec<String>,
}

/// What becomes of a domain that was `before`, was `left` by the transaction, and is `now`.
pub(super) fn back(
    directory: &str,
    name: &str,
    before: Option<&str>,
    left: Option<&str>,
    now: Option<&str>,
) -> TakenBack {
    let mut notes = Vec::new();
    let uuid = |text: Option<&str>| text.and_then(passthru_plan::guest::uuid);
    let another = match (uuid(left), uuid(now)) {
        (Some(left), Some(now)) => left != now,
        _ => false,
    };
    let text = match (before, now, left) {
        (_, Some(now), _) if another => {
            notes.push(format!(
                "the guest {name} of now is another one than this transaction's: it is left as it is"
            ));
            Some(now.to_owned())
        }
        _ if now == before || now == left => before.map(str::to_owned),
        (_, None, _) => {
            notes.push(format!("the guest {name} was undefined since: it stays so"));
            None
        }
        (None, Some(_), _) => {
            notes.push(format!(
                "the guest {name} was changed since; its last definition is kept in {}",
                last_of(directory)
            ));
            None
        }
        (Some(_), Some(now), None) => {
            notes.push(format!(
                "the guest {name} was defined anew since: it is left as it is"
            ));
            Some(now.to_owned())
        }
        (Some(before), Some(now), Some(left)) => {
            let merged = take_back(before, left, now);
            notes.push(format!(
                "the guest {name} was changed since: what this transaction put in was taken out, the \
                 rest kept"
            ));
            notes.extend(merged.left.iter().map(|left| format!("{name}: {left}")));
            Some(merged.text)
        }
    };
    TakenBack { text, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(back: TakenBack) -> (Option<String>, usize) {
        (back.text, back.notes.len())
    }

    #[test]
    fn what_nobody_else_touched_comes_back_as_it_was() {
        let before = Some("<a/>\n");
        let left = Some("<a/>\n<b/>\n");
        assert_eq!(
            text(back("/t", "g", before, left, left)),
            (before.map(Into::into), 0)
        );
        assert_eq!(text(back("/t", "g", None, left, left)), (None, 0));
        assert_eq!(
            text(back("/t", "g", before, None, None)),
            (before.map(Into::into), 0)
        );
        assert_eq!(
            text(back("/t", "g", before, left, before)),
            (before.map(Into::into), 0)
        );
    }

    #[test]
    fn another_guest_of_that_name_is_nobody_elses() {
        let with =
            |uuid: &str| format!("<domain>\n  <name>g</name>\n  <uuid>{uuid}</uuid>\n</domain>\n");
        let (ours, theirs) = (with("7"), with("8"));
        for before in [None, Some(ours.as_str())] {
            let taken = back("/t", "g", before, Some(&ours), Some(&theirs));
            assert_eq!(text(taken), (Some(theirs.clone()), 1));
        }
        assert_eq!(
            text(back("/t", "g", None, Some(&ours), Some(&ours))),
            (None, 0)
        );
    }

    #[test]
    fn what_others_did_since_stays() {
        let before = "<d>\n  <a/>\n</d>\n";
        let left = "<d>\n  <a/>\n  <card/>\n</d>\n";
        let now = "<d>\n  <a/>\n  <card/>\n  <mine/>\n</d>\n";
        let merged = back("/t", "g", Some(before), Some(left), Some(now));
        assert_eq!(
            merged.text.as_deref(),
            Some("<d>\n  <a/>\n  <mine/>\n</d>\n")
        );
        assert_eq!(merged.notes.len(), 1);
        assert_eq!(
            text(back("/t", "g", Some(before), Some(left), None)),
            (None, 1)
        );
        assert_eq!(
            text(back("/t", "g", Some(before), None, Some(now))),
            (Some(now.into()), 1)
        );
    }
}
