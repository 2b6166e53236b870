//! Opening one device: only the one that is meant, and with words for what stands in the way.

use std::fs;
use std::future::IntoFuture;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use farmhand_messages::fastboot::UsbIdentity;
use nusb::transfer::{Bulk, In, Out};
use nusb::{Endpoint, ErrorKind, Interface};
use tokio::time::{Instant, sleep, timeout};

use super::list::{Found, devices};
use super::shape::{self, Shape};
use crate::fastboot::deadlines::{KERNEL, OPEN_RETRY, PERMISSION_SETTLE};
use crate::fastboot::error::OpenError;

/// A claimed interface, with its endpoints.
pub(super) struct Opened {
    pub(super) found: Found,
    pub(super) bulk_in: Endpoint<Bulk, In>,
    pub(super) bulk_out: Endpoint<Bulk, Out>,
}

/// Opens the device at this port, if it is the one that is meant.
pub(super) async fn open(port_path: &str, identity: &UsbIdentity) -> Result<Opened, OpenError> {
    let found = expected(port_path, identity).await?;
    let device = open_node(&found).await?;
    // What was looked at is what was opened: nothing else came to this port in between.
    let now = expected(port_path, identity).await?;
    if now.enumeration != found.enumeration {
        return Err(OpenError::OtherDevice {
            port_path: port_path.to_owned(),
            found: format!("{now}, plugged in anew"),
            expected: found.to_string(),
        });
    }
    let shape = device.active_configuration().ok().as_ref().and_then(shape::of);
    let Some(shape) = shape else {
        return Err(OpenError::NotFastboot { port_path: found.port_path, usb: found.usb });
    };
    let interface = claim(&device, &found, shape).await?;
    let bulk_in = interface.endpoint(shape.bulk_in).map_err(|error| kernel(&found, &error))?;
    let bulk_out = interface.endpoint(shape.bulk_out).map_err(|error| kernel(&found, &error))?;
    Ok(Opened { found, bulk_in, bulk_out })
}

async fn expected(port_path: &str, identity: &UsbIdentity) -> Result<Found, OpenError> {
    let all = devices().await?;
    let at = all.into_iter().find(|(found, _)| found.port_path == port_path);
    let Some((found, speaks)) = at else { return Err(OpenError::NoDevice(port_path.to_owned())) };
    if !found.is(identity) {
        let serial = identity.serial.as_ref().map(|serial| format!("serial {serial}"));
        let usb = (!identity.usb.is_empty()).then(|| identity.usb.join(" or "));
        let expected: Vec<_> = usb.into_iter().chain(serial).collect();
        return Err(OpenError::OtherDevice {
            port_path: port_path.to_owned(),
            found: found.to_string(),
            expected: expected.join(" "),
        });
    }
    if !speaks {
        return Err(OpenError::NotFastboot { port_path: found.port_path, usb: found.usb });
    }
    Ok(found)
}

async fn open_node(found: &Found) -> Result<nusb::Device, OpenError> {
    let until = Instant::now() + PERMISSION_SETTLE;
    loop {
        let error = match timeout(KERNEL, found.info.open().into_future()).await {
            Ok(Ok(device)) => return Ok(device),
            Ok(Err(error)) => error,
            Err(_) => return Err(no_answer(found)),
        };
        match error.kind() {
            // udev may not have come to it yet.
            ErrorKind::PermissionDenied if Instant::now() < until => sleep(OPEN_RETRY).await,
            ErrorKind::PermissionDenied => {
                return Err(OpenError::Permission {
                    node: found.node.clone(),
                    port_path: found.port_path.clone(),
                    usb: found.usb.clone(),
                    rule: udev_rule(&found.usb),
                });
            }
            ErrorKind::Disconnected => return Err(OpenError::NoDevice(found.port_path.clone())),
            _ => return Err(kernel(found, &error)),
        }
    }
}

async fn claim(device: &nusb::Device, found: &Found, shape: Shape) -> Result<Interface, OpenError> {
    let claimed = timeout(KERNEL, device.claim_interface(shape.interface).into_future()).await;
    let interface = match claimed.map_err(|_| no_answer(found))? {
        Ok(interface) => interface,
        Err(error) if error.kind() == ErrorKind::Busy => {
            let (node, folder) = (found.node.clone(), found.info.sysfs_path().to_owned());
            let who = tokio::task::spawn_blocking(move || holder(&node, &folder, shape.interface));
            let holder = match timeout(KERNEL, who).await {
                Ok(Ok(Some(holder))) => holder,
                _ => "a program that this user cannot see".to_owned(),
            };
            return Err(OpenError::Held { node: found.node.clone(), holder });
        }
        Err(error) if error.kind() == ErrorKind::Disconnected => {
            return Err(OpenError::NoDevice(found.port_path.clone()));
        }
        Err(error) => return Err(kernel(found, &error)),
    };
    if interface.get_alt_setting() != shape.alternate {
        let set = timeout(KERNEL, interface.set_alt_setting(shape.alternate).into_future()).await;
        set.map_err(|_| no_answer(found))?.map_err(|error| kernel(found, &error))?;
    }
    Ok(interface)
}

fn kernel(found: &Found, error: &nusb::Error) -> OpenError {
    OpenError::Kernel { node: found.node.clone(), error: error.to_string() }
}

fn no_answer(found: &Found) -> OpenError {
    let error = format!("the kernel did not answer within {} s", KERNEL.as_secs());
    OpenError::Kernel { node: found.node.clone(), error }
}

/// The rule by which udev lets whoever sits at the machine open devices of this `vendor:product`.
#[must_use]
pub fn udev_rule(usb: &str) -> String {
    let (vendor, product) = usb.split_once(':').unwrap_or((usb, ""));
    format!(
        "SUBSYSTEM==\"usb\", ATTR{{idVendor}}==\"{vendor}\", ATTR{{idProduct}}==\"{product}\", TAG+=\"uaccess\""
    )
}

/// Who has the interface: a driver of the kernel's, or a process, as far as the system shows it. Blocking.
fn holder(node: &Path, sysfs: &Path, interface: u8) -> Option<String> {
    let driver = driver(sysfs, interface);
    if let Some(driver) = driver.filter(|driver| driver != "usbfs") {
        return Some(format!("the kernel's driver {driver}"));
    }
    let device = fs::metadata(node).ok().filter(|meta| meta.file_type().is_char_device())?.rdev();
    let me = std::process::id();
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| has_open(*pid, device);
    match pids.filter(|pid| *pid != me).find(has) {
        Some(pid) => Some(named(pid)),
        None => has_open(me, device).then(|| "this program, through another handle".to_owned()),
    }
}

/// The driver of an interface of the active configuration: its folder is `PORT:CONFIGURATION.INTERFACE`.
fn driver(sysfs: &Path, interface: u8) -> Option<String> {
    let suffix = format!(".{interface}");
    let folders = fs::read_dir(sysfs).ok()?.flatten();
    let mut folders = folders.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.contains(':') && name.ends_with(&suffix))
    });
    let link = fs::read_link(folders.next()?.path().join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn has_open(pid: u32, device: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        // What is not a USB node is not looked at: a stat of somebody's network file may hang.
        let usb = fs::read_link(descriptor.path()).is_ok_and(|target| target.starts_with("/dev/bus/usb"));
        usb && fs::metadata(descriptor.path()).is_ok_and(|meta| meta.rdev() == device)
    })
}

fn named(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (pid {pid})", name.trim_end()),
        Err(_) => format!("pid {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_names_the_model() {
        assert_eq!(
            udev_rule("18d1:d00d"),
            r#"SUBSYSTEM=="usb", ATTR{idVendor}=="18d1", ATTR{idProduct}=="d00d", TAG+="uaccess""#
        );
    }

    #[test]
    fn a_driver_is_named_from_the_interfaces_folder() {
        let sysfs = tempfile::tempdir().unwrap();
        let folder = sysfs.path().join("1-4:1.2");
        fs::create_dir(&folder).unwrap();
        assert_eq!(driver(sysfs.path(), 2), None);
        std::os::unix::fs::symlink("../../bus/usb/drivers/cdc_acm", folder.join("driver")).unwrap();
        assert_eq!(driver(sysfs.path(), 2).as_deref(), Some("cdc_acm"));
        assert_eq!(driver(sysfs.path(), 1), None);
    }
}
