//! Domains that anybody may have written, and what libvirt and the kernel say of addresses: any text
//! is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_plan::guest::{
    Domain,
    run::address::{Source, arp, domifaddr, nothing, useful},
};

fuzz_target!(|text: &str| {
    let found = domifaddr(text, Source::Agent).into_iter().chain(arp(text));
    let found: Vec<_> = found.collect();
    let Ok(domain) = Domain::parse(text) else {
        return;
    };
    let _ = useful(&domain, found);
    let _ = nothing(&domain, true);
    let _ = domain.pinned();
});
