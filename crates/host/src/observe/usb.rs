//! USB devices that are plugged in.

use passthru_plan::{Ids, Measured, facts::UsbDevice};

use super::not;
use crate::root::{Directory, Root};

const USB: &str = "/sys/bus/usb/devices";

/// Devices by port; interfaces (`1-2:1.0`) and root hubs (`usb1`) are no devices that are plugged in.
pub(super) fn observe(root: &Root) -> Measured<Vec<UsbDevice>> {
    let names = match root.list(USB) {
        Ok(names) => names,
        // The kernel makes the directory with its USB core: without it there is no USB.
        Err(error) if error.is_missing() && root.exists("/sys/bus") && root.is_live() => Vec::new(),
        Err(error) => return not(root, USB, &error),
    };
    let plugged = names
        .iter()
        .filter(|name| name.contains('-') && !name.contains(':'));
    Measured::Value(
        plugged
            .filter_map(|name| device(root, &names, name))
            .collect(),
    )
}

/// A device that is unplugged in the meantime has no ids and is left out.
fn device(root: &Root, names: &[String], port: &str) -> Option<UsbDevice> {
    let path = format!("{USB}/{port}");
    let directory = root.directory(&path).ok()?;
    let id = |name| u16::from_str_radix(&directory.attribute(name)?, 16).ok();
    let text = |name| directory.attribute(name).filter(|text| !text.is_empty());
    let interface = format!("{port}:");
    let interfaces = names.iter().filter(|name| name.starts_with(&interface));
    let keyboard = |name: &String| {
        let path = format!("{USB}/{name}");
        let is = |directory: &Directory<'_>, name, value: &str| {
            directory.attribute(name).as_deref() == Some(value)
        };
        root.directory(&path).is_ok_and(|interface| {
            is(&interface, "bInterfaceClass", "03") && is(&interface, "bInterfaceProtocol", "01")
        })
    };
    Some(UsbDevice {
        ids: Ids::new(id("idVendor")?, id("idProduct")?),
        name: text("product"),
        serial: text("serial"),
        hub: directory.attribute("bDeviceClass").as_deref() == Some("09"),
        keyboard: interfaces.into_iter().any(keyboard),
        port: port.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn devices_are_told_from_interfaces_and_root_hubs() {
        let host = tempfile::tempdir().unwrap();
        let write = |device: &str, files: &[(&str, &str)]| {
            let path = host.path().join("sys/bus/usb/devices").join(device);
            fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                fs::write(path.join(name), format!("{text}\n")).unwrap();
            }
        };
        let root = || Root::open(host.path()).unwrap();
        assert!(observe(&root()).value().is_none());
        write("usb1", &[("idVendor", "1d6b"), ("idProduct", "0002")]);
        write(
            "1-2",
            &[
                ("idVendor", "05e3"),
                ("idProduct", "0610"),
                ("bDeviceClass", "09"),
            ],
        );
        write(
            "1-2.3",
            &[
                ("idVendor", "046d"),
                ("idProduct", "c31c"),
                ("bDeviceClass", "00"),
                ("product", "USB Keyboard"),
                ("serial", ""),
            ],
        );
        write(
            "1-2.3:1.0",
            &[("bInterfaceClass", "03"), ("bInterfaceProtocol", "01")],
        );
        // Unplugged while it was read.
        write("1-4", &[]);
        let found = observe(&root());
        let [hub, keyboard] = &found.value().unwrap()[..] else {
            panic!("{found:?}");
        };
        assert!(hub.hub && !hub.keyboard && hub.port == "1-2");
        assert!(keyboard.keyboard && !keyboard.hub);
        assert_eq!(keyboard.words(), "USB Keyboard in port 1-2.3");
        assert_eq!(keyboard.ids, Ids::new(0x046d, 0xc31c));
    }
}
