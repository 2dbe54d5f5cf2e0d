//! udev's database and lines of a skip list: never a panic, and a property that is found is a line.
#![no_main]
use passthru_plan::text::udev;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Some(found) = udev::property(&text, "ID_FS_TYPE") {
        assert!(
            text.lines()
                .any(|line| line == format!("E:ID_FS_TYPE={found}"))
        );
    }
    assert!(!udev::decode(&text).chars().any(char::is_control));
    if udev::is_plain(&text) {
        assert!(!text.contains(['"', '*', '\\', '|', '[', '?', '\n']));
    }
});
