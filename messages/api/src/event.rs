//! What happens in a farm, numbered.

use serde::{Deserialize, Serialize};

use crate::{DeviceName, Epoch, EpochCause, Incarnation, PhaseName, Problem, SessionId, Verdict};

/// The number of an event: the farm's start, and a count within it. A client that reconnects asks from the last it
/// saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventSeq {
    /// The farm's start.
    pub farm: u64,
    /// Counted from 1 within it.
    pub number: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub seq: EventSeq,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// In which session.
    pub session: Option<SessionId>,
    /// On which device.
    pub device: Option<DeviceName>,
    /// What.
    pub body: EventBody,
}

/// What an installation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstallStage {
    /// Asking what there is.
    Resolve,
    /// Waiting for somebody else who installs the same.
    Wait,
    /// Fetching.
    Fetch,
    /// Unpacking.
    Unpack,
    /// Done.
    Done,
}

/// A step of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallEvent {
    /// The package, such as `avr-gcc`.
    pub package: String,
    /// Its version, once known.
    pub version: String,
    /// How many archives it is made of.
    pub archives: u32,
    /// What is being done.
    pub stage: InstallStage,
    /// Bytes so far.
    pub done_bytes: u64,
    /// Bytes in all; 0 while unknown.
    pub total_bytes: u64,
    /// Since the start, in milliseconds.
    pub elapsed_ms: u64,
}

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildEvent {
    /// Actions done, of how many, and what was last begun.
    Progress {
        /// Done.
        done: u32,
        /// In all.
        total: u32,
        /// A file, such as `wiring.c`.
        what: String,
    },
    /// A compiler's own words, as written.
    Diagnostic {
        /// Raw text, with its newlines, and with colours where the compiler has any: [`crate::plain`] takes them off.
        text: String,
    },
    /// It is built.
    Done {
        /// Nothing had to be done.
        unchanged: bool,
        /// Files compiled.
        compiled: u32,
        /// Files taken from the cache.
        cached: u32,
        /// Bytes that go on the device.
        image_bytes: u64,
        /// Bytes that there is room for; 0 where unknown.
        image_bytes_max: u64,
        /// Bytes of RAM that its variables take; 0 where unknown.
        data_bytes: u64,
        /// Bytes of RAM that there are; 0 where unknown.
        data_bytes_max: u64,
        /// What goes on the device, and RAM, in bytes, when it was last built for this board, if it was.
        before: Option<(u64, u64)>,
        /// In milliseconds.
        elapsed_ms: u64,
    },
    /// Something worth a line.
    Note(String),
    /// What is run, as a shell takes it; only where it was asked for.
    Command(String),
}

/// What is being done to a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlashStage {
    /// Reading what is there, to write only what differs.
    Compare,
    /// Writing.
    Write,
    /// Reading back.
    Verify,
    /// Into the device's memory, through its bootloader.
    Download,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventBody {
    /// A session entered a phase.
    Phase(PhaseName),
    /// A package is being installed.
    Install(InstallEvent),
    /// A program is being built.
    Build(BuildEvent),
    /// A session was given its device.
    Device {
        /// Its board.
        board: String,
        /// It is a virtual one: no board was plugged in.
        virtual_: bool,
    },
    /// A device is being written or read.
    Flash {
        /// What is being done.
        stage: FlashStage,
        /// Bytes so far.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// What a bootloader says while it works. Shown as it comes.
    Bootloader {
        /// Its words; a line where `line` is set, or else a part of one.
        text: String,
        /// A line's end belongs behind it.
        line: bool,
    },
    /// A checkpoint is not written for want of room: the session goes on once there is some.
    WaitsForRoom {
        /// Where.
        path: String,
        /// How it ends then, where it does.
        ends: Option<Box<Problem>>,
    },
    /// An image is in the device's memory, and nothing was written.
    Staged {
        /// Its bytes.
        bytes: u64,
        /// It took so long, in milliseconds.
        elapsed_ms: u64,
    },
    /// A partition is written, or erased, in the bootloader's own word.
    Partition {
        /// Its name.
        name: String,
        /// It was erased.
        erased: bool,
        /// Bytes of the file.
        bytes: u64,
        /// It took so long, in milliseconds.
        elapsed_ms: u64,
        /// Which step this was, from 1.
        step: u32,
        /// Of so many.
        steps: u32,
        /// It was done before: by the same session, before it was interrupted.
        before: bool,
    },
    /// The image is on the device and was read back.
    Flashed {
        /// Bytes of the image.
        image_bytes: u64,
        /// Bytes that had to be written; 0 where the device held them already.
        written_bytes: u64,
        /// The session since which the device holds it, where nothing was written.
        since: Option<SessionId>,
        /// In milliseconds.
        elapsed_ms: u64,
    },
    /// An epoch began on a device.
    EpochBegan {
        /// Which.
        epoch: Epoch,
        /// Why.
        cause: EpochCause,
    },
    /// Something worth a line.
    Note(String),
    /// A session ended.
    Finished {
        /// How.
        verdict: Verdict,
        /// Why, where not passed.
        problem: Option<Box<Problem>>,
        /// What matched last, where passed.
        matched: Option<String>,
        /// Since it was submitted, in milliseconds.
        elapsed_ms: u64,
    },
    /// An actor was restarted from its snapshot.
    ActorRestarted {
        /// Its role and name, such as `session s-7`.
        actor: String,
        /// Its new incarnation.
        incarnation: Incarnation,
        /// Why the last one ended.
        why: String,
    },
    /// A device appeared, vanished or changed.
    Presence {
        /// It is there.
        present: bool,
    },
    /// A device was set aside, or given back (`None`).
    Quarantine(Option<String>),
    /// Events before this one are no longer kept.
    Missed,
}
