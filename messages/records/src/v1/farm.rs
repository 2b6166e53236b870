//! The farm's own counters, idempotency keys and downloads.

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

/// A package whose installation has begun; resumed or swept at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// The package, such as `avr-gcc`.
    pub package: String,
    /// The staging folder's name.
    pub staging: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

impl Record for Download {
    const KIND: Kind = Kind::Download;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.package.as_bytes().to_vec()
    }
}
