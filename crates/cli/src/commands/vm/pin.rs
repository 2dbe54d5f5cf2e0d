//! `passthru vm pin`: which CPUs and which memory a guest should get. Changes nothing.

use passthru_plan::{
    Facts, Refusal,
    guest::{
        GuestMemory, Pinning, Wanted as WantedCpus, hugepages::PageSize, memory, pinning, xml,
    },
};
use serde::Serialize;

use crate::{
    args::{Global, vm::Pin},
    error::{Outcome, Result},
    host::{self, Wanted},
    out::Out,
    show,
};

/// `vm pin --json`.
#[derive(Default, Serialize)]
struct Document {
    schema: u32,
    refusals: Vec<Refusal>,
    pinning: Option<Pinning>,
    memory: Option<GuestMemory>,
    xml: Option<String>,
}

pub(super) fn run(args: &Pin, global: &Global, out: &mut Out) -> Result<Outcome> {
    let host = host::reading(global)?;
    let facts = host.facts(Wanted::guest());
    let document = match plan(&facts, args) {
        Ok((pinning, memory)) => Document {
            schema: 1,
            xml: Some(xml::fragment(
                &pinning,
                memory.as_ref(),
                facts.machine.cpu.vendor,
            )),
            pinning: Some(pinning),
            memory,
            refusals: Vec::new(),
        },
        Err(refusal) => Document {
            schema: 1,
            refusals: vec![refusal],
            ..Document::default()
        },
    };
    if out.is_json() {
        out.json(&document)?;
    } else if let (Some(pinning), Some(xml)) = (&document.pinning, &document.xml) {
        show::pin::show(out, &facts, pinning, document.memory.as_ref(), xml)?;
    } else {
        show::plan::refusals(out, &document.refusals)?;
    }
    out.unreadable(&facts)?;
    Ok(if document.refusals.is_empty() {
        Outcome::Done
    } else {
        Outcome::No
    })
}

fn plan(facts: &Facts, args: &Pin) -> std::result::Result<(Pinning, Option<GuestMemory>), Refusal> {
    let wanted = WantedCpus {
        cpus: args.cpus,
        near: args.gpu,
        cores: (&args.cores).into(),
    };
    let pinning = pinning::plan(facts, &wanted)?;
    let memory = args
        .memory
        .map(|kib| memory::plan(facts, &pinning, kib.0, PageSize::Largest))
        .transpose()?;
    Ok((pinning, memory))
}
