//! `passthru devices`: groups, cards, drivers, what must travel together.

use crate::{
    args::{self, Global},
    error::{Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show,
};

pub(super) fn run(args: &args::Devices, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::devices());
    if out.is_json() {
        out.json(&passthru_plan::devices::devices(&facts))?;
    } else if args.tree {
        show::devices::show_tree(out, &facts)?;
    } else if args.all {
        show::devices::show_all(out, &facts)?;
    } else {
        show::devices::show_cards(out, &facts)?;
    }
    out.unreadable(&facts)?;
    Ok(Outcome::Done.about(&facts))
}
