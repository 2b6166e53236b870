//! What can be asked, and what is answered.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    BootloaderCommand, DeviceName, DeviceView, Event, EventSeq, GuestCommand, GuestEnded, GuestHealth,
    InstalledView, Job, LogFrom, LogItem, LogOf, ProbeView, Problem, ProfileView, SessionId, SessionView,
    SnapshotCommand, SnapshotView, StatusView,
};

/// What a person says of a handoff that could not be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    /// It was done: go on observing.
    Booted,
    /// It was not: it may be issued, as a new attempt.
    NotBooted,
}

/// A request. Each says what answers it, and whether it is safe to send again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Make a session of a job. Answered with [`Answer::Session`] once it is durable. Safe to send again with the
    /// same key: the same session is answered.
    Submit {
        /// The idempotency key, chosen by the client: unique to this wish.
        key: String,
        /// What to do.
        job: Box<Job>,
    },
    /// The latest sessions, or those not finished; 2000 at most. [`Answer::Sessions`]. Safe.
    Sessions {
        /// The finished ones too.
        all: bool,
    },
    /// One session. [`Answer::Session`]. Safe.
    Session(SessionId),
    /// Cancel a session: at once before its handoff's intent; after it the handoff is still resolved.
    /// [`Answer::Session`]. Safe.
    Cancel(SessionId),
    /// Take up a session that was left unfinished or unknown. [`Answer::Session`]. Safe.
    Resume {
        /// Which.
        session: SessionId,
        /// What a person saw, where it could not be proven.
        settle: Option<Settle>,
    },
    /// All devices. [`Answer::Devices`]. Safe.
    Devices,
    /// The farm itself. [`Answer::Status`]. Safe.
    Status,
    /// A stream of [`Item::Event`]: what happened from `from` on, and on as it happens. With a session: its events
    /// only, and the stream ends with [`Answer::Session`] when it is finished. Safe.
    Events {
        /// The last event that the client saw; `None` from the oldest kept.
        after: Option<EventSeq>,
        /// Only this session's.
        session: Option<SessionId>,
    },
    /// A stream of [`Item::Log`]: serial output that was recorded, and on as it comes where `follow` is set. With a
    /// session that is not finished, it ends when the session ends. Safe.
    Log {
        /// Whose.
        of: LogOf,
        /// From where.
        from: LogFrom,
        /// Go on as it comes.
        follow: bool,
    },
    /// Write to a device's console. [`Answer::Done`] once the port took it. Not safe to send again.
    Write {
        /// Whose console.
        device: DeviceName,
        /// What is written.
        bytes: Bytes,
        /// Take over from another writer.
        take: bool,
    },
    /// Install packages: names, or paths of local files. A stream of [`Item::Event`], then [`Answer::Installed`].
    /// Safe.
    Install {
        /// What is wanted; empty: what the board needs.
        packages: Vec<String>,
        /// For this board.
        board: Option<String>,
    },
    /// Give a quarantined device back after a look at it. [`Answer::Done`]. Safe.
    Unquarantine(DeviceName),
    /// A word to a bootloader: by a device's name, its USB serial number, or its address (`tcp:HOST`). A stream of
    /// [`Item::Event`] with what it says meanwhile, then [`Answer::Said`]. Refused where a session has the device. Not
    /// safe to send again where it writes.
    Bootloader {
        /// Which device; none: the only one there is.
        device: Option<String>,
        /// What writes is held against the profiles of the project in this folder too (absolute).
        project: Option<String>,
        /// What.
        command: BootloaderCommand,
    },
    /// All device profiles. [`Answer::Profiles`]. Safe.
    Profiles {
        /// Those of the project in this folder too (absolute).
        project: Option<String>,
    },
    /// Which profile is it? Asks the bootloader, and writes nothing. [`Answer::Probed`]. Safe.
    Probe {
        /// Which device; none: the only one there is.
        device: Option<String>,
        /// Among the profiles of the project in this folder too (absolute).
        project: Option<String>,
    },
    /// Something with a snapshot of an emulated machine. A stream of [`Item::Event`] where a device is concerned, then what the
    /// command says. Once begun it is done, whoever waits for it. Safe to send again, but that a [`SnapshotCommand::Create`]
    /// finds what it made.
    Snapshot(SnapshotCommand),
    /// Something with a Linux guest: what the command says.
    Guest(GuestCommand),
    /// Stop the farm: stop granting, drain, checkpoint, close. [`Answer::Done`], then the connection ends. Safe.
    Stop {
        /// Wait this long for sessions to end, in milliseconds; what is left is resumed next time.
        drain_ms: u64,
    },
}

/// The answer that ends a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// One session.
    Session(Box<SessionView>),
    /// Sessions, oldest first.
    Sessions(Vec<SessionView>),
    /// Devices, by name.
    Devices(Vec<DeviceView>),
    /// The farm.
    Status(Box<StatusView>),
    /// What was installed.
    Installed(Vec<InstalledView>),
    /// What a bootloader answered.
    Said(String),
    /// Device profiles, by name; and what is wrong with others.
    Profiles(Vec<ProfileView>, Vec<Problem>),
    /// What a bootloader was asked, and what fits.
    Probed(Box<ProbeView>),
    /// Snapshots, by name.
    Snapshots(Vec<SnapshotView>),
    /// What was asked of a guest has ended, so.
    Ended(GuestEnded),
    /// How a guest is.
    Health(GuestHealth),
}

/// An item of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// Something happened.
    Event(Box<Event>),
    /// Serial output, or a mark in it.
    Log(LogItem),
    /// What a command in a guest says.
    Guest {
        /// On its standard error.
        err: bool,
        /// Raw.
        bytes: Bytes,
    },
}
