//! What can go wrong: opening a device, and commanding it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use farmhand_wire::fastboot::{CommandError, ExchangeError, printable};
use thiserror::Error;

use super::pipe::PipeError;

/// Why a device is not opened. Nothing was sent to it, but a transport's own greeting (TCP, UDP).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing is plugged in there.
    #[error("no usb device at port {0}")]
    NoDevice(String),
    /// It is in another mode, or something else.
    #[error(
        "{port_path} ({usb}) has no fastboot interface: class ff, subclass 42, protocol 03, one bulk endpoint each way"
    )]
    NotFastboot {
        /// Where.
        port_path: String,
        /// Vendor and product.
        usb: String,
    },
    /// Another device than the one that is meant is plugged in there.
    #[error("{port_path} is {found}, not {expected}: nothing was sent to it")]
    OtherDevice {
        /// Where.
        port_path: String,
        /// Vendor, product and serial number of the one that is there.
        found: String,
        /// Of the one that was meant.
        expected: String,
    },
    /// The node may not be written by this user.
    #[error("no permission to open {node} ({usb} at {port_path}): a udev rule is missing")]
    Permission {
        /// The device's node.
        node: PathBuf,
        /// Where.
        port_path: String,
        /// Vendor and product.
        usb: String,
        /// The rule that would allow it.
        rule: String,
    },
    /// Someone else has it.
    #[error("{node} is held by {holder}")]
    Held {
        /// The device's node.
        node: PathBuf,
        /// Who, as far as can be seen.
        holder: String,
    },
    /// There is no USB on this machine, as far as this process can see.
    #[error("usb devices cannot be listed: {0}")]
    NoUsb(String),
    /// The kernel said no.
    #[error("open {node}: {error}")]
    Kernel {
        /// The device's node.
        node: PathBuf,
        /// Its words.
        error: String,
    },
    /// A name that leads nowhere, or a network that does not.
    #[error("connect to {address}: {error}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Nobody answered.
    #[error("{address} did not answer within {} s", after.as_secs())]
    Silent {
        /// Who was asked.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody answered, but not a device that speaks fastboot as we do.
    #[error("{address}: {error}")]
    Greeting {
        /// Who was asked.
        address: String,
        /// What is wrong.
        #[source]
        error: PipeError,
    },
}

/// Why a command did not do what it is for. What the connection is good for afterwards, the client knows:
/// [`Client::connection`](super::Client::connection).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The device answered FAIL.
    #[error("device refused {command:?}: {}", shown(text))]
    Refused {
        /// What it was asked.
        command: String,
        /// Its words; not escaped.
        text: String,
    },
    /// The command cannot be sent.
    #[error("{command:?} is no command to send: {error}")]
    Command {
        /// What it would have been.
        command: String,
        /// Why not.
        #[source]
        error: CommandError,
    },
    /// The device said what no specification knows, or what does not fit there.
    #[error("{command:?}: {error}")]
    Nonsense {
        /// What it was asked.
        command: String,
        /// What is wrong.
        #[source]
        error: ExchangeError,
    },
    /// Nothing came, or went.
    #[error("{command:?}: {error}")]
    Pipe {
        /// What was being done.
        command: String,
        /// What is wrong.
        #[source]
        error: PipeError,
    },
    /// A data phase was cut in the middle.
    #[error("{command:?} was cut at {moved} of {len} bytes: {error}")]
    Cut {
        /// What was being done.
        command: String,
        /// Bytes that moved.
        moved: u64,
        /// Of how many.
        len: u64,
        /// What is wrong.
        #[source]
        error: PipeError,
    },
    /// The device handed over less than it was asked for.
    #[error("{command:?}: device gave {len} bytes, and {wanted} were asked for")]
    Short {
        /// What it was asked.
        command: String,
        /// Bytes that came.
        len: u64,
        /// Bytes that were to come.
        wanted: u64,
    },
    /// What the device hands over cannot be written down.
    #[error("{command:?}: what the device sends is not written: {error}")]
    Sink {
        /// What was being done.
        command: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The device says that it takes less.
    #[error("image of {len} bytes is larger than the {len_max} that the device takes at once")]
    TooLarge {
        /// The image.
        len: u64,
        /// What the device takes.
        len_max: u64,
    },
    /// It is not wanted any more: not sent, or, where it writes nothing, not waited for.
    #[error("{command:?}: ended, for nobody waits for it any more")]
    Stopped {
        /// What was about to be done, or being done.
        command: String,
    },
    /// A boot, and nothing was downloaded on this connection.
    #[error("nothing was downloaded that could be booted")]
    NothingStaged,
    /// An earlier error left the connection useless.
    #[error("connection is of no use after an earlier error")]
    Unusable,
}

/// A device's text, for people.
fn shown(text: &str) -> String {
    if text.is_empty() { "it gave no reason".to_owned() } else { printable(text) }
}
