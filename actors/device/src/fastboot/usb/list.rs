//! The devices that speak fastboot, from what the kernel shows of each: none is opened, so none that cannot be hides
//! another.

use std::fmt;
use std::path::{Path, PathBuf};

use farmhand_messages::fastboot::UsbIdentity;
use nusb::{DeviceInfo, MaybeFuture};
use tokio::time::timeout;

use super::shape;
use crate::fastboot::deadlines::KERNEL;
use crate::fastboot::error::OpenError;

/// A device that speaks fastboot.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is plugged in, as the kernel names it: `1-4.2`.
    pub port_path: String,
    /// `vendor:product`, in lower-case hexadecimal.
    pub usb: String,
    /// Its serial number, where it has one.
    pub serial: Option<String>,
    /// What it says that it is.
    pub product: Option<String>,
    /// Its node.
    pub node: PathBuf,
    /// Names this enumeration of it; see [the module](crate::fastboot).
    pub enumeration: u64,
    pub(super) info: DeviceInfo,
}

impl Found {
    /// Whether it is the one that is meant; all that is given must hold.
    #[must_use]
    pub fn is(&self, identity: &UsbIdentity) -> bool {
        let usb =
            identity.usb.is_empty() || identity.usb.iter().any(|usb| usb.eq_ignore_ascii_case(&self.usb));
        let serial = identity.serial.is_none() || identity.serial == self.serial;
        let port_path = identity.port_path.as_ref().is_none_or(|path| *path == self.port_path);
        usb && serial && port_path
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.serial {
            Some(serial) => write!(f, "{} serial {serial}", self.usb),
            None => write!(f, "{} without a serial number", self.usb),
        }
    }
}

/// Those that are plugged in, by port path. Opens none, sends nothing.
pub async fn list() -> Result<Vec<Found>, OpenError> {
    Ok(devices().await?.into_iter().filter(|(_, speaks)| *speaks).map(|(found, _)| found).collect())
}

/// Every device, and whether it speaks fastboot.
pub(super) async fn devices() -> Result<Vec<(Found, bool)>, OpenError> {
    let look = tokio::task::spawn_blocking(|| {
        let listed = nusb::list_devices().wait().map_err(|error| OpenError::NoUsb(error.to_string()))?;
        let boot_id = farmhand_runtime::boot_id();
        let mut all: Vec<_> = listed.filter_map(|info| seen(info, &boot_id)).collect();
        all.sort_by(|(a, _), (b, _)| a.port_path.cmp(&b.port_path));
        Ok(all)
    });
    match timeout(KERNEL, look).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(OpenError::NoUsb(error.to_string())),
        Err(_) => Err(OpenError::NoUsb("the kernel did not answer".to_owned())),
    }
}

/// `None` for one that goes as it is looked at.
fn seen(info: DeviceInfo, boot_id: &str) -> Option<(Found, bool)> {
    let sysfs = info.sysfs_path();
    let port_path = sysfs.file_name()?.to_str()?.to_owned();
    let speaks = shape::of_descriptors(&std::fs::read(sysfs.join("descriptors")).ok()?).is_some();
    let (bus, number) = (info.busnum(), info.device_address());
    let found = Found {
        usb: format!("{:04x}:{:04x}", info.vendor_id(), info.product_id()),
        serial: info.serial_number().filter(|serial| !serial.is_empty()).map(str::to_owned),
        product: info.product_string().map(str::to_owned),
        node: PathBuf::from(format!("/dev/bus/usb/{bus:03}/{number:03}")),
        enumeration: enumeration(boot_id, bus, number, inode(sysfs)),
        port_path,
        info,
    };
    Some((found, speaks))
}

/// Of the device's folder in sysfs: made with the device, gone with it, and its number is not given again soon.
fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map_or(0, |meta| meta.ino())
}

/// FNV-1a, 64 bits: it is written down, so it is the same in every version of every program.
fn enumeration(boot_id: &str, bus: u8, number: u8, inode: u64) -> u64 {
    let bytes = boot_id.bytes().chain([bus, number]).chain(inode.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enumeration_is_named_the_same_in_every_version_and_by_all_that_changes() {
        let one = enumeration("b", 1, 7, 42);
        // Persisted: this value never changes.
        assert_eq!(one, 0xaa3a_00eb_1e8c_e31b);
        for other in [
            enumeration("c", 1, 7, 42),
            enumeration("b", 2, 7, 42),
            enumeration("b", 1, 8, 42),
            enumeration("b", 1, 7, 43),
        ] {
            assert_ne!(one, other);
        }
    }
}
