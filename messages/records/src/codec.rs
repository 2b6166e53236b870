//! A record to bytes and back. Every way in which bytes can be wrong has its own name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The kind of a record: the first part of its key in the store. Numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    /// A session's checkpoint.
    Session = 1,
    /// A device's identity, epoch, token and quarantine.
    Device = 2,
    /// The scheduler's leases and queue.
    Schedule = 3,
    /// A serial recorder's place.
    Serial = 4,
    /// The farm's own counters.
    Farm = 5,
    /// An idempotency key, and the session it made.
    Key = 6,
    /// How far an image is on its way through a bootloader.
    FlashProgress = 7,
    /// A device that no file names, and how it is found again.
    Claim = 8,
    /// The model that a session's device must be of.
    Model = 9,
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::Device,
        Self::Schedule,
        Self::Serial,
        Self::Farm,
        Self::Key,
        Self::FlashProgress,
        Self::Claim,
        Self::Model,
    ];

    /// The kind's number on disk.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The kind with a number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// Why the body of a record could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeRecordError {
    /// Written by a newer farmhand.
    #[error("{kind:?} record of version {found}; this farmhand reads up to {supported}")]
    TooNew {
        /// What the record is.
        kind: Kind,
        /// The version it was written in.
        found: u16,
        /// The newest version that can be read.
        supported: u16,
    },
    /// Not the bytes of this kind of record.
    #[error("{kind:?} record is corrupt: {why}")]
    Corrupt {
        /// What the record should be.
        kind: Kind,
        /// What is wrong with it.
        why: String,
    },
}

/// A type that is persisted.
pub trait Record: Serialize + DeserializeOwned + Send + 'static {
    /// Where it is kept.
    const KIND: Kind;
    /// The version that is written.
    const VERSION: u16;

    /// The key that tells it from others of its kind. Sorts as its ids do.
    fn key(&self) -> Vec<u8>;

    /// The record's bytes.
    fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("records hold no map, float or type that postcard refuses")
    }

    /// Reads a record of `version`; bytes left over are an error.
    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeRecordError> {
        if version > Self::VERSION {
            return Err(DecodeRecordError::TooNew {
                kind: Self::KIND,
                found: version,
                supported: Self::VERSION,
            });
        }
        Self::migrate(version, bytes)
    }

    /// Reads a record of a version up to [`Self::VERSION`]; a type with older versions overrides this.
    fn migrate(_version: u16, bytes: &[u8]) -> Result<Self, DecodeRecordError> {
        exactly(Self::KIND, bytes)
    }
}

fn exactly<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, DecodeRecordError> {
    let corrupt = |why: String| DecodeRecordError::Corrupt { kind, why };
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        Ok((_, rest)) => Err(corrupt(format!("{} bytes left over", rest.len()))),
        Err(error) => Err(corrupt(error.to_string())),
    }
}
