//! Serial output as a reader sees it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{DeviceName, Epoch, SessionId};

/// Whose output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogOf {
    /// A device's.
    Device(DeviceName),
    /// A session's: that of the epochs it owned.
    Session(SessionId),
}

/// From where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFrom {
    /// What is kept, from its start.
    Start,
    /// From now on.
    Now,
    /// From an offset of the stream, in bytes since the recorder's first.
    Offset(u64),
    /// From the start of an epoch.
    Epoch(Epoch),
    /// From a wall time, in microseconds since 1970.
    Time(u64),
}

/// When a chunk came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Of the monotonic clock (CLOCK_BOOTTIME), in microseconds. What durations are measured with.
    pub mono_us: u64,
    /// Of the wall clock, in microseconds since 1970. It may jump.
    pub unix_us: u64,
}

/// Why an epoch began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EpochCause {
    /// A session's handoff: the session owns it.
    Handoff(SessionId),
    /// We reset the device, to speak to its loader.
    Reset,
    /// The port was opened, and that reset the device, or it is not known that it did not.
    Opened,
    /// The device came back after it had vanished.
    Returned,
    /// The device started by itself: a watchdog, power, a loader's timeout. Nobody owns it.
    Itself(String),
    /// It was made what it was when the snapshot of this name was saved. Nobody owns it.
    Restored(String),
}

/// An item of a recorded stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogItem {
    /// Bytes, as they came.
    Chunk {
        /// The offset of the first, in bytes since the recorder's first.
        offset: u64,
        /// The epoch they belong to.
        epoch: Epoch,
        /// When they came.
        stamp: Stamp,
        /// Raw.
        bytes: Bytes,
    },
    /// An epoch began at an offset.
    EpochBegan {
        /// Where.
        offset: u64,
        /// Which.
        epoch: Epoch,
        /// When.
        stamp: Stamp,
        /// Why.
        cause: EpochCause,
    },
    /// The port was lent to a driver; what it said to the loader is not console output.
    Lent {
        /// Where.
        offset: u64,
        /// When.
        stamp: Stamp,
    },
    /// The port came back from a driver.
    Returned {
        /// Where.
        offset: u64,
        /// When.
        stamp: Stamp,
    },
    /// Nothing was recorded for a while: the farm was not there, or the port was closed or gone.
    Gap {
        /// Where.
        offset: u64,
        /// When it was noticed.
        stamp: Stamp,
        /// Why.
        why: String,
    },
    /// This reader was too slow, and lost bytes. The recording has them, unless `dropped` says it has not.
    Lost {
        /// From this offset.
        offset: u64,
        /// So many.
        bytes: u64,
        /// The recorder could not keep them either: the disk was full.
        dropped: bool,
    },
}
