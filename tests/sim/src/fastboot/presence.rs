//! Where and as what a phone is to be found, and what it has to say.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use farmhand_wire::fastboot::{REPLY_LEN_MAX, Reply};

use super::options::{OptionError, UsbId};

/// What it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In its bootloader.
    Loader,
    /// In fastboot in user space, which knows logical partitions.
    Userspace,
    /// In an image that it was sent.
    Booted,
    /// In what is installed.
    System,
    /// In its recovery.
    Recovery,
    /// On the bus, as something else.
    Other(UsbId),
    /// Off, or its plug is pulled.
    Away,
}

/// Where and as what it is to be found. Another one is another device on the bus, at another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// It grows each time that the phone comes or goes; from 1.
    pub plug: u32,
    /// What it is at.
    pub mode: Mode,
    /// Starts of its bootloader so far.
    pub boot: u64,
}

impl Presence {
    /// Whether it speaks fastboot.
    #[must_use]
    pub fn speaks_fastboot(&self) -> bool {
        matches!(self.mode, Mode::Loader | Mode::Userspace)
    }
}

/// What a phone has for its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// One packet.
    Reply(Bytes),
    /// Bytes of a data phase.
    Data(Bytes),
    /// The connection is to be cut.
    Cut,
}

/// Text of a reply that is longer than a packet, cut.
pub(super) fn cut_to_fit(reply: Reply) -> Reply {
    let cut = |mut text: String| {
        let mut end = text.len().min(REPLY_LEN_MAX - 4);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.replace('\0', "?")
    };
    match reply {
        Reply::Okay(text) => Reply::Okay(cut(text)),
        Reply::Fail(text) => Reply::Fail(cut(text)),
        Reply::Info(text) => Reply::Info(cut(text)),
        Reply::Text(text) => Reply::Text(cut(text)),
        Reply::Data(len) => Reply::Data(len),
    }
}

impl FromStr for Mode {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        Ok(match text {
            "bootloader" => Self::Loader,
            "fastboot" => Self::Userspace,
            "booted" => Self::Booted,
            "system" => Self::System,
            "recovery" => Self::Recovery,
            "away" => Self::Away,
            other => Self::Other(other.parse()?),
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loader => "bootloader",
            Self::Userspace => "fastboot",
            Self::Booted => "booted",
            Self::System => "system",
            Self::Recovery => "recovery",
            Self::Away => "away",
            Self::Other(id) => return write!(f, "{id}"),
        })
    }
}
