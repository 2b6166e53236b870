//! Leases and the queue.

use serde::{Deserialize, Serialize};

use super::{DeviceSelect, Quarantine};
use crate::{DeviceName, FencingToken, Kind, Record, SessionId};

/// A lease that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// On this device.
    pub device: DeviceName,
    /// To this session.
    pub session: SessionId,
    /// With this token.
    pub token: FencingToken,
    /// It ran out after an intent: the device is not granted again until that handoff is resolved.
    pub revoked: bool,
}

/// A session that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who waits.
    pub session: SessionId,
    /// For a device of this board.
    pub board: String,
    /// For which.
    pub select: DeviceSelect,
}

/// The newest token of a device: it outlives its leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenOf {
    /// Of this device.
    pub device: DeviceName,
    /// The newest granted.
    pub token: FencingToken,
    /// Whether it is set aside.
    pub quarantine: Option<Quarantine>,
}

/// The scheduler's whole state; there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Leases, one a device at most.
    pub leases: Vec<Lease>,
    /// Who waits, first come first.
    pub queue: Vec<Waiting>,
    /// The tokens of all devices that were ever leased.
    pub tokens: Vec<TokenOf>,
}

impl Record for Schedule {
    const KIND: Kind = Kind::Schedule;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        Vec::new()
    }
}
