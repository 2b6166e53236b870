//! What QEMU says of itself, at any time.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::word::{
    IoErrorAction, IoOperation, JobStatus, MigrationStatus, PanicAction, ShutdownCause, WatchdogAction,
};
use crate::text::Text;

/// An event (QAPI, by the name in capitals). Some are limited to one a second, the last of them late (QMP, "Asynchronous events"):
/// not those of the machine's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// `SHUTDOWN`: the machine is off, and QEMU about to leave, but for `-no-shutdown`.
    Shutdown(Cause),
    /// `RESET`: the machine was reset.
    Reset(Cause),
    /// `STOP`: the machine was paused.
    Stop,
    /// `RESUME`: the machine goes on.
    Resume,
    /// `POWERDOWN`: the guest was asked to power off; it may not.
    Powerdown,
    /// `SUSPEND`: the guest sleeps (ACPI S3).
    Suspend,
    /// `WAKEUP`: it woke up.
    Wakeup,
    /// `GUEST_PANICKED`.
    GuestPanicked {
        /// What QEMU did.
        action: PanicAction,
    },
    /// `MIGRATION`: a migration is so far.
    Migration {
        /// So far.
        status: MigrationStatus,
    },
    /// `JOB_STATUS_CHANGE`.
    JobStatusChange(JobStatusChange),
    /// `BLOCK_IO_ERROR`.
    BlockIoError(BlockIoError),
    /// `WATCHDOG`: the guest's watchdog ran out.
    Watchdog {
        /// What QEMU did.
        action: WatchdogAction,
    },
    /// `VSERPORT_CHANGE`: the guest opened or closed a port of virtio-serial.
    VserportChange(PortChange),
    /// `DEVICE_DELETED`: the guest let a device go.
    DeviceDeleted(DeviceDeleted),
    /// Any other.
    Other {
        /// In capitals.
        name: Text,
    },
}

/// Who brought it about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Cause {
    /// The guest, rather than the host.
    pub guest: bool,
    /// Why.
    pub reason: ShutdownCause,
}

/// A job changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct JobStatusChange {
    /// Which.
    pub id: Text,
    /// To what.
    pub status: JobStatus,
}

/// A disk failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockIoError {
    /// The device's name; empty where it has none.
    pub device: Text,
    /// The node's, where it has one.
    pub node_name: Option<Text>,
    /// At what.
    pub operation: IoOperation,
    /// What QEMU did.
    pub action: IoErrorAction,
    /// For want of room on the host's disk; only where the machine was paused for it.
    #[serde(rename = "nospace", default)]
    pub no_space: bool,
    /// Why, for people.
    pub reason: Text,
}

/// A port of virtio-serial changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct PortChange {
    /// Its id.
    pub id: Text,
    /// Whether the guest has it open.
    pub open: bool,
}

/// A device was let go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct DeviceDeleted {
    /// Its id, where it has one.
    pub device: Option<Text>,
    /// Its place in the tree of objects.
    pub path: Text,
}

#[derive(Deserialize)]
struct Action<T> {
    action: T,
}

#[derive(Deserialize)]
struct Progress {
    status: MigrationStatus,
}

impl Event {
    /// One whose data are not what the schema says is an error: to go on without it would be to miss it.
    pub(super) fn parse(name: Text, data: Option<Value>) -> Result<Self, serde_json::Error> {
        let data = data.unwrap_or_else(|| Value::Object(Map::new()));
        Ok(match name.as_str() {
            "SHUTDOWN" => Self::Shutdown(read(data)?),
            "RESET" => Self::Reset(read(data)?),
            "STOP" => Self::Stop,
            "RESUME" => Self::Resume,
            "POWERDOWN" => Self::Powerdown,
            "SUSPEND" => Self::Suspend,
            "WAKEUP" => Self::Wakeup,
            "GUEST_PANICKED" => Self::GuestPanicked { action: read::<Action<_>>(data)?.action },
            "MIGRATION" => Self::Migration { status: read::<Progress>(data)?.status },
            "JOB_STATUS_CHANGE" => Self::JobStatusChange(read(data)?),
            "BLOCK_IO_ERROR" => Self::BlockIoError(read(data)?),
            "WATCHDOG" => Self::Watchdog { action: read::<Action<_>>(data)?.action },
            "VSERPORT_CHANGE" => Self::VserportChange(read(data)?),
            "DEVICE_DELETED" => Self::DeviceDeleted(read(data)?),
            _ => Self::Other { name },
        })
    }
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(data)
}
