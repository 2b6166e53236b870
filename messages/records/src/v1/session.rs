//! A session's checkpoint.

use serde::{Deserialize, Serialize};

use super::{Job, Problem};
use crate::{Attempt, ContentHash, DeviceName, Epoch, FencingToken, Kind, PlanHash, Record, SessionId};

/// Whether a handoff may ever be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoffKind {
    /// Never issued again.
    Once,
    /// May be done again as a new attempt in a new, recorded epoch.
    Repeatable,
}

/// What is known of an ambiguous handoff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Proven not to have begun.
    NotStarted(String),
    /// Begun, and safe to do again.
    PartialRedoable(String),
    /// Proven to have been done.
    Complete(String),
    /// Nothing can be proven.
    Unknown(String),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// What was expected was seen.
    Passed,
    /// The firmware's fault.
    Failed,
    /// Ours.
    Infra,
    /// It cannot be proven.
    Unknown,
    /// It was cancelled.
    Cancelled,
}

/// How far a session is. Each is durable before the next side effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Packages are installed and the program is built.
    Preparing,
    /// It waits for a device.
    Queued,
    /// It has a device.
    Leased,
    /// The device is opened and identified.
    Connecting,
    /// The image is written and verified.
    Transferring,
    /// The handoff is about to be issued. Durable before its first byte leaves the host.
    HandoffIntended,
    /// The handoff was issued.
    HandoffIssued(Evidence),
    /// Output of the owned epoch is read.
    Observing,
    /// It ended.
    Finished(Verdict, Option<Problem>),
}

/// The lease that a session holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHeld {
    /// On this device.
    pub device: DeviceName,
    /// With this token.
    pub token: FencingToken,
}

/// A file that a build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name: the hash of its bytes.
    pub hash: ContentHash,
    /// Where it is kept (absolute; in the farm's artifact folder).
    pub path: String,
    /// Bytes that it puts on the device.
    pub image_bytes: u64,
}

/// How far the observation is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The recorder's offset up to which output was judged.
    pub offset: u64,
    /// How many of `expect` have matched.
    pub matched: u32,
    /// Observed for this long, in milliseconds; a restart goes on from here.
    pub elapsed_ms: u64,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// What it is asked to do.
    pub job: Job,
    /// How far it is.
    pub phase: Phase,
    /// The current try at the handoff; 0 before the first.
    pub attempt: Attempt,
    /// Its device.
    pub lease: Option<LeaseHeld>,
    /// What it hands over.
    pub artifact: Option<Artifact>,
    /// The plan of the current attempt.
    pub plan: Option<PlanHash>,
    /// Whether the handoff may be repeated.
    pub handoff: HandoffKind,
    /// The epoch that the current attempt's handoff begins.
    pub epoch: Option<Epoch>,
    /// How far the observation is.
    pub observed: Observed,
    /// It was asked to cancel.
    pub cancel: bool,
    /// `infra` failures so far.
    pub infra_failures: u32,
    /// When it was submitted, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub finished_unix_ms: Option<u64>,
}

impl Record for Session {
    const KIND: Kind = Kind::Session;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.id.0.to_be_bytes().to_vec()
    }
}
