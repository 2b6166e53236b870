//! What a simulated phone is: its names, its memory, its partitions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Of a board that speaks fastboot: Google's vendor number, and the product number that U-Boot's documentation uses.
pub const LOADER_ID: UsbId = UsbId { vendor: 0x18d1, product: 0xd00d };
/// What an image that was booted shows itself as: Linux's gadget serial (drivers/usb/gadget/legacy/serial.c).
pub const NEXT_ID: UsbId = UsbId { vendor: 0x0525, product: 0xa4a7 };
/// What the installed system shows itself as: Google's vendor number, with adb.
pub const SYSTEM_ID: UsbId = UsbId { vendor: 0x18d1, product: 0x4ee7 };
/// Slots beyond which letters run out.
pub const SLOTS_MAX: u8 = 26;

/// `vendor:product`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsbId {
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
}

/// An option that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} is written {wanted}, not \"{found}\"")]
pub struct OptionError {
    what: &'static str,
    wanted: &'static str,
    found: String,
}

impl OptionError {
    pub(super) fn new(what: &'static str, wanted: &'static str, found: &str) -> Self {
        Self { what, wanted, found: found.to_owned() }
    }
}

impl FromStr for UsbId {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let number = |text: &str| u16::from_str_radix(text, 16).ok();
        let ids =
            text.split_once(':').and_then(|(vendor, product)| Some((number(vendor)?, number(product)?)));
        let (vendor, product) =
            ids.ok_or_else(|| OptionError::new("a usb id", "as 18d1:d00d, in hexadecimal", text))?;
        Ok(Self { vendor, product })
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

/// A number of bytes: `4096`, `64K`, `16M`, `1G` or `0x1000`.
pub fn byte_count(text: &str) -> Result<u64, OptionError> {
    let wrong = || OptionError::new("a size", "as 4096, 64K, 16M, 1G or 0x1000", text);
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_err(|_| wrong());
    }
    let (digits, unit) = match text.bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).ok_or_else(wrong)
}

/// One partition, as it is given: `NAME=SIZE[,slotted][,logical][,type=TYPE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Its name, without a slot.
    pub name: String,
    /// Its length, in bytes.
    pub len: u64,
    /// One for each slot: `boot_a` and `boot_b`.
    pub slotted: bool,
    /// Part of `super`.
    pub logical: bool,
    /// What `partition-type` says.
    pub kind: String,
}

impl PartitionSpec {
    /// One that is neither slotted nor logical.
    pub fn new(name: impl Into<String>, len: u64) -> Self {
        Self { name: name.into(), len, slotted: false, logical: false, kind: "raw".to_owned() }
    }
}

impl FromStr for PartitionSpec {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let wrong = || OptionError::new("a partition", "NAME=SIZE[,slotted][,logical][,type=TYPE]", text);
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let mut words = rest.split(',');
        let len = byte_count(words.next().unwrap_or_default())?;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(named) {
            return Err(wrong());
        }
        let mut spec = Self::new(name, len);
        for word in words {
            match word.split_once('=') {
                None if word == "slotted" => spec.slotted = true,
                None if word == "logical" => spec.logical = true,
                Some(("type", kind)) => spec.kind = kind.to_owned(),
                _ => return Err(wrong()),
            }
        }
        Ok(spec)
    }
}

/// A phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneOptions {
    /// Its serial number.
    pub serial: String,
    /// What `product` says.
    pub product: String,
    /// What it takes at once, in bytes.
    pub max_download: u32,
    /// What `fetch` gives at once, in bytes; at 0 it knows no `fetch`.
    pub max_fetch: u32,
    /// Slots; at 0 it knows none.
    pub slots: u8,
    /// Whether it refuses whatever writes, and to boot what it was sent.
    pub locked: bool,
    /// Whether it may be unlocked.
    pub unlockable: bool,
    /// Its partitions.
    pub partitions: Vec<PartitionSpec>,
    /// Where its partitions are files; without it they are in memory.
    pub folder: Option<PathBuf>,
    /// Variables of its own, or other values of those that all have.
    pub variables: BTreeMap<String, String>,
    /// What its bootloader shows itself as.
    pub loader: UsbId,
    /// What an image that was booted shows itself as.
    pub next: UsbId,
    /// What that prints on a serial port of its own; without it, it has none.
    pub banner: Option<String>,
    /// What the installed system shows itself as.
    pub system: UsbId,
}

impl Default for PhoneOptions {
    fn default() -> Self {
        let slotted = |name: &str, len| PartitionSpec { slotted: true, ..PartitionSpec::new(name, len) };
        let kind = |spec: PartitionSpec, kind: &str| PartitionSpec { kind: kind.to_owned(), ..spec };
        Self {
            serial: "farmhand-sim".to_owned(),
            product: "farmhand-phone".to_owned(),
            max_download: 256 << 20,
            max_fetch: 16 << 20,
            slots: 2,
            locked: false,
            unlockable: true,
            partitions: vec![
                slotted("boot", 64 << 20),
                slotted("vbmeta", 64 << 10),
                PartitionSpec { logical: true, ..slotted("system", 256 << 20) },
                kind(PartitionSpec::new("userdata", 512 << 20), "f2fs"),
                PartitionSpec::new("misc", 1 << 20),
            ],
            folder: None,
            variables: BTreeMap::new(),
            loader: LOADER_ID,
            next: NEXT_ID,
            banner: None,
            system: SYSTEM_ID,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read() {
        let spec: PartitionSpec = "boot=64M,slotted,type=raw".parse().unwrap();
        assert_eq!(spec, PartitionSpec { slotted: true, ..PartitionSpec::new("boot", 64 << 20) });
        for wrong in ["boot", "=1", "boot=", "boot=1T", "a/b=1", "boot=1,red", "boot=99999999999G"] {
            assert!(wrong.parse::<PartitionSpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        assert_eq!("18D1:d00d".parse::<UsbId>().unwrap().to_string(), "18d1:d00d");
        for wrong in ["", "18d1", "18d1:", "18d1:d00dd", "x:y"] {
            assert!(wrong.parse::<UsbId>().is_err(), "{wrong}");
        }
    }
}
