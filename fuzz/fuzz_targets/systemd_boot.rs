//! The order of boot entries is an order, and patterns end.
#![no_main]
use passthru_plan::text::systemd_boot;

libfuzzer_sys::fuzz_target!(|texts: (&str, &str, &str)| {
    let (a, b, c) = texts;
    assert_eq!(
        systemd_boot::versions(a, b),
        systemd_boot::versions(b, a).reverse()
    );
    systemd_boot::matches(a, b);
    assert!(systemd_boot::matches("*", c));
    systemd_boot::setting(a, b);
    systemd_boot::without_counter(c);
});
