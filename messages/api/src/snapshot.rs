//! Snapshots of emulated machines.

use serde::{Deserialize, Serialize};

use crate::{DeviceName, Problem};

/// Devices that are made of a snapshot at once: each is a process, with a machine's memory.
pub const CLONES_MAX: u16 = 64;

/// What is done with a snapshot, or with a machine that there may be one of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotCommand {
    /// Save a device as it is; it goes on. [`Answer::Said`](crate::Answer::Said).
    Create {
        /// An emulated machine that runs, and that no session has.
        device: DeviceName,
        /// What the snapshot is called: letters, digits, `.`, `_` and `-`.
        name: String,
        /// Whether it takes the place of one that has the name.
        replace: bool,
    },
    /// Make a device what it was when that was saved: what it is now is gone. It goes on from there, in a new epoch.
    /// [`Answer::Said`](crate::Answer::Said).
    Restore {
        /// An emulated machine of the same kind, that no session has.
        device: DeviceName,
        /// Which.
        name: String,
    },
    /// Make new devices of it, which go on from there, each by itself: all of them, or none. They are called by the snapshot's
    /// name and a number, and gone with the farm. [`Answer::Devices`](crate::Answer::Devices).
    Clone {
        /// Which.
        name: String,
        /// How many: 1 to [`CLONES_MAX`].
        count: u16,
    },
    /// End an emulated machine that no session has: what it is now is gone. [`Answer::Done`](crate::Answer::Done).
    End {
        /// Which.
        device: DeviceName,
    },
    /// All of them. [`Answer::Snapshots`](crate::Answer::Snapshots).
    List,
    /// Read one, and compare it with what it says of itself. [`Answer::Snapshots`](crate::Answer::Snapshots).
    Verify {
        /// Which.
        name: String,
    },
    /// Remove one that nobody uses. [`Answer::Done`](crate::Answer::Done).
    Delete {
        /// Which.
        name: String,
    },
    /// Remove cached ones that nobody uses, the longest unused first. [`Answer::Said`](crate::Answer::Said).
    Prune {
        /// Those that were not used for so long, in milliseconds.
        unused_ms: u64,
        /// And as many as it takes for the others to have no more bytes than this.
        bytes_max: u64,
    },
}

/// A snapshot, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotView {
    /// What it is called.
    pub name: String,
    /// What is wrong with its description, where that cannot be read; what follows is empty then.
    pub wrong: Option<Box<Problem>>,
    /// The kind of machine, such as `riscv32-virt`.
    pub kind: String,
    /// Of which device.
    pub device: String,
    /// farmhand made it for itself.
    pub cached: bool,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_unix_ms: u64,
    /// When it was last used, in milliseconds since 1970.
    pub used_unix_ms: u64,
}
