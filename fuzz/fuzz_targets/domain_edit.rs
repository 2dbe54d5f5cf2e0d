//! Edits of libvirt domains: any text is read or refused; nothing asked is nothing changed, what was
//! edited is a domain still, and asking again changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passthru_plan::{
    Facts,
    guest::{
        check::{RomFiles, check},
        edit::{Edit, edit},
        hugepages::{HostPages, PageSize},
        passwords,
        spec::Bus,
    },
};

fn edits() -> Vec<Edit> {
    let usb = passthru_plan::guest::edit::Usb::Ids(passthru_plan::Ids::new(0x46d, 0xc52b));
    let disk = "/dev/disk/by-id/nvme-SAMPLE";
    let keyboard = "/dev/input/by-id/usb-Sample-event-kbd";
    vec![
        Edit::AddUsb(usb.clone()),
        Edit::RemoveUsb(usb),
        Edit::AddDisk {
            path: disk.into(),
            bus: Bus::Virtio,
            transplant: false,
        },
        Edit::RemoveDisk(disk.into()),
        Edit::AddEvdev(keyboard.into()),
        Edit::RemoveEvdev(keyboard.into()),
        Edit::Hugepages(PageSize::Largest),
        Edit::Hugepages(PageSize::Mib2),
        Edit::NoHugepages,
        Edit::NoPin,
        Edit::NoScreen,
    ]
}

fuzz_target!(|text: &str| {
    let facts = Facts::default();
    let hidden = passwords::hidden(text);
    assert_eq!(passwords::hidden(&hidden), hidden);
    let Ok(same) = edit(&facts, text, &[]) else {
        return;
    };
    assert_eq!(same.xml, text);
    let _ = check(&facts, text, &RomFiles::new(), HostPages::default());
    for one in edits() {
        let one = std::slice::from_ref(&one);
        let Ok(once) = edit(&facts, text, one) else {
            continue;
        };
        let twice = edit(&facts, &once.xml, one).expect("an edited domain is one");
        assert_eq!(twice.xml, once.xml, "{one:?}");
    }
});
