//! What is remembered of a device.

use serde::{Deserialize, Serialize};

use crate::{Attempt, ContentHash, DeviceName, Epoch, FencingToken, Kind, PlanHash, Record, SessionId};

/// What a device is, as read from itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The chip's signature bytes (AVR: three).
    pub signature: Vec<u8>,
    /// The loader and its version, such as `optiboot 4.4`.
    pub loader: String,
}

/// What was last proven to be on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The image.
    pub image: ContentHash,
    /// The session that proved it.
    pub since: SessionId,
}

/// The last handoff that the device acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoffDone {
    /// Whose.
    pub session: SessionId,
    /// Which try.
    pub attempt: Attempt,
    /// Of which plan.
    pub plan: PlanHash,
    /// The epoch it began.
    pub epoch: Epoch,
    /// The number of starts that the board counted just after, where it counts them.
    pub starts: Option<u64>,
}

/// The last stay in a loader that ended a transfer: with it a board that counts proves, after a crash, that no
/// handoff came through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderStay {
    /// Whose.
    pub session: SessionId,
    /// Which try.
    pub attempt: Attempt,
    /// Of which plan.
    pub plan: PlanHash,
    /// The number of starts that the board had counted in it, where it counts them.
    pub starts: Option<u64>,
    /// The number of handoff commands that the board had accepted before, where it counts them.
    pub handoffs: Option<u64>,
}

/// Why a device is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// What cannot be proven.
    pub why: String,
    /// The session that left it so.
    pub session: Option<SessionId>,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: DeviceName,
    /// What it was when last identified.
    pub identity: Option<Identity>,
    /// The newest epoch that was begun or reserved.
    pub epoch: Epoch,
    /// The newest token seen.
    pub token: FencingToken,
    /// What is on it, if anything was proven.
    pub holding: Option<Holding>,
    /// The last handoff acknowledged.
    pub handoff: Option<HandoffDone>,
    /// The last stay in its loader.
    pub stay: Option<LoaderStay>,
}

impl Record for Device {
    const KIND: Kind = Kind::Device;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.name.as_str().as_bytes().to_vec()
    }
}
