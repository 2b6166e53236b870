//! What is plugged in: USB devices, and the serial ports that are theirs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nusb::MaybeFuture;

use farmhand_messages::directory::PluggedIn;

/// Where Linux lists terminals (Documentation/ABI/testing/sysfs-tty).
const TTYS: &str = "/sys/class/tty";

/// Class, subclass and protocol of an interface that speaks fastboot (AOSP, fastboot/README.md, "Transport").
const FASTBOOT: (u8, u8, u8) = (0xff, 0x42, 0x03);

/// All USB devices, and all serial ports on USB. Blocking: reads a few files each. No node is opened, so that one that
/// hangs cannot hang us.
pub(crate) fn plugged_in() -> Vec<PluggedIn> {
    let ports = serial_ports(Path::new(TTYS));
    let Ok(devices) = nusb::list_devices().wait() else { return Vec::new() };
    devices
        .map(|device| {
            let port_path = port_path(device.busnum(), device.port_chain());
            PluggedIn {
                usb_id: Some(format!("{:04x}:{:04x}", device.vendor_id(), device.product_id())),
                serial: device.serial_number().map(str::to_owned),
                path: ports.get(&port_path).cloned(),
                bootloader: device.interfaces().any(|interface| {
                    (interface.class(), interface.subclass(), interface.protocol()) == FASTBOOT
                }),
                port_path: Some(port_path),
            }
        })
        .filter(|device| device.port_path.as_deref().is_some_and(|path| !path.ends_with('-')))
        .collect()
}

/// As the kernel names it: bus, and the chain of ports (`1-4.2`).
fn port_path(bus: u8, chain: &[u8]) -> String {
    let chain: Vec<_> = chain.iter().map(u8::to_string).collect();
    format!("{bus}-{}", chain.join("."))
}

/// Serial ports on USB, by their device's port path.
fn serial_ports(ttys: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(ttys) else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            // .../usb1/1-4/1-4.2/1-4.2:1.0/tty/ttyACM0: the interface names its device's port path.
            let real = fs::canonicalize(entry.path().join("device")).ok()?;
            let interface = real
                .ancestors()
                .filter_map(|part| part.file_name()?.to_str())
                .find(|part| part.contains(':'))?;
            let (port_path, _) = interface.split_once(':')?;
            let starts_with_bus = port_path.split_once('-').is_some_and(|(bus, _)| bus.parse::<u8>().is_ok());
            starts_with_bus
                .then(|| (port_path.to_owned(), format!("/dev/{}", entry.file_name().to_string_lossy())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_serial_port_is_found_by_its_devices_port_path() {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("usb1/1-4/1-4.2/1-4.2:1.0");
        let tty = sys.path().join("class/ttyACM0");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(&tty).unwrap();
        symlink(&device, tty.join("device")).unwrap();
        // A port on the board itself: PNP names have a colon too.
        let onboard = sys.path().join("pnp0/00:01");
        fs::create_dir_all(&onboard).unwrap();
        fs::create_dir_all(sys.path().join("class/ttyS0")).unwrap();
        symlink(&onboard, sys.path().join("class/ttyS0/device")).unwrap();
        let ports = serial_ports(&sys.path().join("class"));
        assert_eq!(ports, BTreeMap::from([("1-4.2".into(), "/dev/ttyACM0".into())]));
    }

    #[test]
    fn listing_never_fails_where_there_is_no_usb() {
        let _whatever_there_is = plugged_in();
    }
}
