//! What can be wrong with a snapshot, or on the way to one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::SnapshotName;
use crate::machine::MachineError;

/// Why there is no snapshot, or no machine from one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// What is no name.
    #[error(
        "{0:?} is no snapshot's name: letters, digits, '-', '_' and '.', 64 at most, and no '.' in front"
    )]
    Name(String),
    /// There is one of that name.
    #[error("there is a snapshot {0}")]
    Exists(SnapshotName),
    /// There is none of that name.
    #[error("there is no snapshot {0}")]
    NoSuch(SnapshotName),
    /// It is read, or a machine runs that was made of it.
    #[error("snapshot {0} is in use")]
    InUse(SnapshotName),
    /// It is not as it was when it was made.
    #[error("snapshot {name} is damaged: {why}")]
    Damaged {
        /// Which.
        name: SnapshotName,
        /// What is wrong with it.
        why: String,
    },
    /// It was made by another QEMU, or of a machine that is not known here.
    #[error("snapshot {name} is of {what} {was}, and this is {is}")]
    Other {
        /// Which.
        name: SnapshotName,
        /// What differs.
        what: &'static str,
        /// There.
        was: String,
        /// Here.
        is: String,
    },
    /// There is no room for it.
    #[error("{} has {free} bytes free, and a snapshot of this machine takes up to {needed}", .folder.display())]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that may be needed.
        needed: u64,
    },
    /// Somebody waits for an answer of the machine's. Nothing was done to it.
    #[error("the machine has not answered what it was told, within {} ms, and is not saved meanwhile", within.as_millis())]
    InFlight {
        /// How long it had.
        within: Duration,
    },
    /// Another machine is in that folder than the one that is meant. Nothing was done to it.
    #[error("the machine in {} is not the one that is to be saved: {why}", .folder.display())]
    Identity {
        /// The machine's.
        folder: PathBuf,
        /// What differs.
        why: String,
    },
    /// A machine is to be made where there is one, or under another's name.
    #[error("there is a machine in {}, or one that is called {called}", .folder.display())]
    Taken {
        /// Where it was to be.
        folder: PathBuf,
        /// What it was to be called.
        called: String,
    },
    /// A file was changed while it was read.
    #[error("{} was changed while it was read", .0.display())]
    Changed(PathBuf),
    /// Only one that runs is saved.
    #[error("the machine is {0}, and only one that runs is saved")]
    NotRunning(String),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// QEMU did not save or load the memory.
    #[error("QEMU: {0}")]
    Memory(String),
    /// A file.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// It failed, and so did what puts things right after that.
    #[error("{first}; and then: {then}")]
    And {
        /// What failed first.
        first: Box<Self>,
        /// What failed then.
        then: Box<Self>,
    },
    /// A task of ours.
    #[error("a task of ours ended: {0}")]
    Panicked(String),
}

impl SnapshotError {
    /// Whether it says that the snapshot is of no use, and not that something else is in the way.
    #[must_use]
    pub fn is_of_the_snapshot(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Memory(_) | Self::Changed(_) => true,
            Self::And { first, then } => first.is_of_the_snapshot() || then.is_of_the_snapshot(),
            _ => false,
        }
    }

    /// As the error of this file.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    /// Of two things that were both to be done: what failed, the first first.
    pub(super) fn both<T>(first: Result<T, Self>, then: Result<(), Self>) -> Result<T, Self> {
        match (first, then) {
            (Err(first), Err(then)) => Err(Self::And { first: Box::new(first), then: Box::new(then) }),
            (first, Ok(())) => first,
            (Ok(_), Err(then)) => Err(then),
        }
    }
}
