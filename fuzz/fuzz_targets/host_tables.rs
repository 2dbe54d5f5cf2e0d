//! Tables of procfs, os-release and cpio: never a panic.
#![no_main]
use passthru_plan::text::{cpio, iomem, mountinfo, os_release, procfs, version};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = bytes.first_chunk() {
        let _ = cpio::Header::parse(header);
    }
    cpio::path(bytes);
    let text = String::from_utf8_lossy(bytes);
    iomem::firmware_consoles(&text);
    mountinfo::parse(&text);
    mountinfo::swaps(&text);
    mountinfo::hugetlbfs(&text);
    os_release::parse(&text);
    procfs::cpuinfo(&text);
    procfs::meminfo(&text);
    procfs::inputs(&text);
    procfs::default_routes_v4(&text);
    procfs::default_routes_v6(&text);
    procfs::remapped_interrupts(&text);
    procfs::loaded_modules(&text);
    if let Some((a, b)) = text.split_once(' ') {
        assert_eq!(version::compare(a, b), version::compare(b, a).reverse());
    }
});
