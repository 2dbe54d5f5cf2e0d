//! Module indexes, aliases and globs.
#![no_main]
use passthru_plan::text::modules;

libfuzzer_sys::fuzz_target!(|index: &[u8]| {
    let device = "pci:v000010DEd00001F08sv00001043sd000086F0bc03sc00i00";
    for alias in modules::aliases(index).chain(modules::builtin_aliases(index)) {
        let _ = (alias.vendor(), alias.matches(device), alias.module_name());
    }
    modules::lists(&String::from_utf8_lossy(index), "vfio_pci");
});
