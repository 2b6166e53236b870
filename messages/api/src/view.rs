//! What a front end shows of a farm.

use serde::{Deserialize, Serialize};

use crate::{DeviceName, Epoch, Incarnation, Problem, SessionId, Verdict};

/// The name of a session's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
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
    /// The handoff is about to be issued.
    HandoffIntended,
    /// The handoff was issued.
    HandoffIssued,
    /// Output is read.
    Observing,
    /// It ended.
    Finished,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its name.
    pub id: SessionId,
    /// The job's.
    pub title: String,
    /// The project's folder.
    pub project: String,
    /// The board asked for.
    pub board: String,
    /// Its device, once it has one.
    pub device: Option<DeviceName>,
    /// How far it is.
    pub phase: PhaseName,
    /// More on the phase: `2nd, behind s-9`, `12/20 s`.
    pub detail: String,
    /// The current try at the handoff; 0 before the first.
    pub attempt: u32,
    /// The epoch it owns.
    pub epoch: Option<Epoch>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Why, where not passed.
    pub problem: Option<Problem>,
    /// When it was submitted, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub finished_unix_ms: Option<u64>,
}

/// Whether a device can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Nobody has it.
    Free,
    /// A session has it.
    Leased,
    /// Its state cannot be proven.
    Quarantined,
    /// It is not plugged in.
    Absent,
    /// It is there, and no configuration names it.
    Unclaimed,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its name; none where unclaimed.
    pub name: Option<DeviceName>,
    /// Its board; `vendor:product` where unclaimed.
    pub board: String,
    /// Which driver speaks to it.
    pub driver: String,
    /// Whether it can be had.
    pub state: DeviceState,
    /// Who has it, or left it so.
    pub holder: Option<SessionId>,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// Its port: a path, or a USB port path where unclaimed.
    pub port: Option<String>,
    /// Its USB serial number, where it has one.
    pub serial: Option<String>,
    /// When it was last seen, in milliseconds since 1970.
    pub seen_unix_ms: Option<u64>,
    /// It is a virtual one.
    pub virtual_: bool,
    /// The newest epoch.
    pub epoch: Option<Epoch>,
    /// Why it is set aside; how to claim it.
    pub note: Option<String>,
}

/// An actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorView {
    /// Its role and name.
    pub name: String,
    /// How often it was started.
    pub incarnation: Incarnation,
}

/// The farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its folder.
    pub home: String,
    /// How often it was started.
    pub incarnation: Incarnation,
    /// Since its start, in milliseconds.
    pub uptime_ms: u64,
    /// Sessions not finished.
    pub sessions: u32,
    /// Devices known.
    pub devices: u32,
    /// Its actors.
    pub actors: Vec<ActorView>,
    /// What was found wrong when the store was opened.
    pub store_notes: Vec<String>,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where.
    pub path: String,
    /// It was there already.
    pub already: bool,
}
