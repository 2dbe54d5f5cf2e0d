//! Definitions of libvirt domains, and libvirt's answer about its host: any text is read or refused,
//! and what was read makes the same command line when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_plan::guest::{
    Capabilities, domain,
    from_domain::read,
    qemu::{Files, command_line},
};

fuzz_target!(|text: &str| {
    let _ = Capabilities::parse(text);
    let Ok((guest, _)) = read(text) else { return };
    let line = command_line(&guest, &Files::debian(&guest));
    let _ = line.script();
    let _ = domain::domain(&guest);
});
