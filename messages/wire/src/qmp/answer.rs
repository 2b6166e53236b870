//! What comes of a command.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::frame::EXCERPT_LEN_MAX;
use super::message::Version;
use super::word::{ErrorClass, JobStatus, JobType, MigrationStatus, RunState};
use crate::text::Text;

/// What a command was answered. Of what QEMU tells, only what is used here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Accepted. For a migration or a job: begun, not done.
    Done,
    /// Of `query-status`.
    Status(Status),
    /// Of `query-version`.
    Version(Version),
    /// Of `query-name`; `None` where the machine has none.
    Name(Option<Text>),
    /// Of `query-uuid`; all zeros where the machine has none.
    Uuid(Text),
    /// Of `query-migrate`.
    Migration(MigrationInfo),
    /// Of `query-jobs`.
    Jobs(Vec<Job>),
    /// Of `query-chardev`.
    Chardevs(Vec<Chardev>),
    /// Of `query-block`.
    Blocks(Vec<Block>),
}

/// What the machine does (QAPI `StatusInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Status {
    /// Whether its processors run.
    pub running: bool,
    /// What it does.
    #[serde(rename = "status")]
    pub state: RunState,
}

/// How far a migration is (QAPI `MigrationInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationInfo {
    /// `None` where there was none.
    pub status: Option<MigrationStatus>,
    /// How much has moved, while it is active and when it has completed.
    pub ram: Option<MigrationRam>,
    /// Why it failed, for people.
    pub error_desc: Option<Text>,
}

/// Memory of a migration, in bytes (QAPI `MigrationStats`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub struct MigrationRam {
    /// Moved so far. Pages of zeros count next to nothing.
    pub transferred: u64,
    /// Still to come; it grows where the guest runs and writes.
    pub remaining: u64,
    /// All of the machine's.
    pub total: u64,
}

/// A job (QAPI `JobInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// As it was named.
    pub id: Text,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// How far it is.
    pub status: JobStatus,
    /// Of [`Self::total_progress`], in no unit.
    pub current_progress: u64,
    /// May change.
    pub total_progress: u64,
    /// Why it failed, for people. A job that has concluded without it went well.
    pub error: Option<Text>,
}

/// A character device: a console, a monitor, a port (QAPI `ChardevInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chardev {
    /// Its name.
    pub label: Text,
    /// What is behind it, for people.
    pub filename: Text,
    /// Whether the machine's side is open.
    pub frontend_open: bool,
}

/// A drive (QAPI `BlockInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Block {
    /// Its name; empty where it was made without one.
    pub device: Text,
    /// `None` in an empty drive.
    pub inserted: Option<Inserted>,
}

/// What is in a drive (QAPI `BlockDeviceInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inserted {
    /// The name that snapshots take it by.
    pub node_name: Option<Text>,
    /// The image's file, or a description of it in JSON.
    pub file: Text,
}

/// QEMU's no (QMP, "Error").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Error)]
#[error("{desc} ({class})")]
pub struct Refusal {
    /// What a program may look at.
    pub class: ErrorClass,
    /// Why, for people.
    pub desc: Text,
}

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// QEMU did not do it.
    #[error("QEMU refuses: {0}")]
    Refused(Refusal),
    /// It was done, but what came back is not what the schema says.
    #[error("QEMU's answer is not understood: {why}")]
    Unintelligible {
        /// What is wrong with it.
        why: Text,
    },
}

/// What a command is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Nothing,
    Status,
    Version,
    Name,
    Uuid,
    Migration,
    Jobs,
    Chardevs,
    Blocks,
}

#[derive(Deserialize)]
struct Name {
    name: Option<Text>,
}

#[derive(Deserialize)]
struct Uuid {
    #[serde(rename = "UUID")]
    uuid: Text,
}

impl Answer {
    pub(super) fn parse(expected: Expected, value: Value) -> Result<Self, Failure> {
        Ok(match expected {
            Expected::Nothing => Self::Done,
            Expected::Status => Self::Status(read(value)?),
            Expected::Version => Self::Version(read(value)?),
            Expected::Name => Self::Name(read::<Name>(value)?.name),
            Expected::Uuid => Self::Uuid(read::<Uuid>(value)?.uuid),
            Expected::Migration => Self::Migration(read(value)?),
            Expected::Jobs => Self::Jobs(read(value)?),
            Expected::Chardevs => Self::Chardevs(read(value)?),
            Expected::Blocks => Self::Blocks(read(value)?),
        })
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| Failure::Unintelligible { why: Text::cut(&error.to_string(), 4 * EXCERPT_LEN_MAX) })
}
