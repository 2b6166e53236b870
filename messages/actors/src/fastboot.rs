//! What is known of devices that speak fastboot: where they are, what they are, what may be done to them.

use std::fmt;
use std::str::FromStr;

use farmhand_image::android::{BootLayout, KernelEncoding};
pub use farmhand_records::v1::{Model, Probe, Wanted};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The board of a fastboot device of which no profile says more.
pub const ANY: &str = "fastboot";
/// The port on which fastboot is spoken over TCP and UDP (AOSP, fastboot/README.md).
pub const PORT: u16 = 5554;

/// Where a device's bootloader is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// On USB, by its port path, such as `1-4.2`: the one name that two devices never share.
    Usb(String),
    /// Over TCP: `host:port`.
    Tcp(String),
    /// Over UDP: `host:port`.
    Udp(String),
}

/// Not an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no address of a fastboot device; it is usb:PORT-PATH, tcp:HOST[:PORT] or udp:HOST[:PORT]")]
pub struct AddressError(pub String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if rest.is_empty() || rest.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let with_port = || {
            // Behind the bracket of an IPv6 address.
            let host = rest.rfind(']').map_or(rest, |bracket| &rest[bracket..]);
            match host.rsplit_once(':') {
                None => Ok(format!("{rest}:{PORT}")),
                Some((_, port)) if port.parse::<u16>().is_ok() => Ok(rest.to_owned()),
                Some(_) => Err(wrong()),
            }
        };
        match kind {
            "usb" => Ok(Self::Usb(rest.to_owned())),
            "tcp" => with_port().map(Self::Tcp),
            "udp" => with_port().map(Self::Udp),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usb(path) => write!(f, "usb:{path}"),
            Self::Tcp(to) => write!(f, "tcp:{to}"),
            Self::Udp(to) => write!(f, "udp:{to}"),
        }
    }
}

/// How a boot image is made for a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootParameters {
    /// Where its parts come to stand. Header versions 3 and 4 are of images that are taken as they are.
    pub layout: BootLayout,
    /// How the kernel stands in it.
    pub kernel: KernelEncoding,
    /// What every kernel of this device is told.
    pub cmdline: String,
}

/// What a device shows itself as. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsbIdentity {
    /// `vendor:product`, in lower-case hexadecimal; any of them. Empty: whatever speaks fastboot.
    pub usb: Vec<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its port path.
    pub port_path: Option<String>,
}

/// What is known of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name: the board of its devices.
    pub id: String,
    /// For people.
    pub title: String,
    /// `built in`, or the file that it is from.
    pub origin: String,
    /// How it is told from others before it is asked.
    pub identity: UsbIdentity,
    /// How it is told from others by asking.
    pub probes: Vec<Probe>,
    /// How it is booted.
    pub boot: BootParameters,
    /// What it shows itself as once it runs what was booted; empty: nothing is known of that.
    pub next: Vec<String>,
    /// What its console says then, and its bootloader never.
    pub banner: Option<String>,
}

impl UsbIdentity {
    /// Of a bootloader of this model.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let Model { usb, serial, port_path, .. } = model.clone();
        Self { usb, serial, port_path }
    }
}

impl Profile {
    /// As far as a device is made sure of by it.
    #[must_use]
    pub fn model(&self) -> Model {
        Model {
            id: self.id.clone(),
            usb: self.identity.usb.clone(),
            serial: self.identity.serial.clone(),
            port_path: self.identity.port_path.clone(),
            probes: self.probes.clone(),
            next: self.next.clone(),
            banner: self.banner.clone(),
        }
    }
}

/// What may be done to a device that writes to it, or ends what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// Boot an image from memory. Writes nothing.
    Boot,
    /// Write partitions.
    Flash,
    /// Erase partitions.
    Erase,
    /// Choose the active slot.
    SetActive,
    /// Whatever the maker means by `oem`.
    Oem,
    /// Lock and unlock.
    Flashing,
}

impl Allow {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Flash => "flash",
            Self::Erase => "erase",
            Self::SetActive => "set-active",
            Self::Oem => "oem",
            Self::Flashing => "flashing",
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for (text, whole) in [
            ("usb:1-4.2", "usb:1-4.2"),
            ("tcp:localhost", "tcp:localhost:5554"),
            ("tcp:127.0.0.1:99", "tcp:127.0.0.1:99"),
            ("udp:[::1]", "udp:[::1]:5554"),
            ("udp:[::1]:7", "udp:[::1]:7"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), whole);
        }
        for wrong in ["", "usb:", "1-4", "tcp:host:port", "tcp:a b", "http:host"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
