//! To the device directory: who is plugged in.

use farmhand_records::DeviceName;
use ractor::RpcReplyPort;

use crate::device::DeviceConfig;

/// A device that is plugged in and that no configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// `2341:0043`.
    pub usb_id: String,
    /// USB port path, such as `1-4.2`.
    pub port_path: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its serial port, such as `/dev/ttyACM0`.
    pub port: Option<String>,
    /// Boards that it may be, by its USB id.
    pub boards: Vec<String>,
}

/// To the device directory.
#[derive(Debug)]
pub enum DirectoryMessage {
    /// From a gateway or a session: see to it that there is a device for this board, making a virtual one where
    /// none is configured or plugged in and farmhand has one. Answers when the scheduler knows it. Safe.
    Provide {
        /// The board.
        board: String,
        /// Only a device on this port (a path), claimed for this job.
        port: Option<String>,
        /// Whether there is one.
        reply: RpcReplyPort<bool>,
    },
    /// From the supervisor: how a device is reached. Safe.
    Config {
        /// Which.
        device: DeviceName,
        /// Its configuration.
        reply: RpcReplyPort<Option<DeviceConfig>>,
    },
    /// From a gateway: what is plugged in and unclaimed. Safe.
    Unclaimed {
        /// All of it.
        reply: RpcReplyPort<Vec<Unclaimed>>,
    },
    /// From its own clock, or a hot-plug watch: look again.
    Look,
}
