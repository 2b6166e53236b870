//! The farm's own counters, and idempotency keys.

use serde::{Deserialize, Serialize};

use crate::{Incarnation, Kind, Record, SessionId};

/// The farm's counters; there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farm {
    /// Grows with each start.
    pub incarnation: Incarnation,
    /// The number of the last session made.
    pub last_session: SessionId,
    /// The machine's boot id (`/proc/sys/kernel/random/boot_id`) at the last start.
    pub boot_id: String,
}

impl Record for Farm {
    const KIND: Kind = Kind::Farm;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// An idempotency key that was used: asking again gives the same session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What the client chose.
    pub key: String,
    /// The session it made.
    pub session: SessionId,
}

impl Record for Key {
    const KIND: Kind = Kind::Key;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.key.as_bytes().to_vec()
    }
}
