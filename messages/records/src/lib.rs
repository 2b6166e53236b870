//! What is persisted, and the names of things that outlive a process.
//!
//! A record is postcard in an envelope (the envelope is the store's). Every type in a `vN` module is frozen: a
//! change of a field is a new version and a migration, enums only grow at the end, and `tests/golden.rs` holds the
//! bytes of each. These types are apart from those of the API and of the actors, so that neither can change what
//! is on disk by accident.

mod codec;
mod ids;
pub mod v1;

pub use codec::{DecodeRecordError, Kind, Record};
pub use ids::{
    Attempt, ContentHash, DeviceName, Epoch, FencingToken, Incarnation, InvalidName, ParseIdError, PlanHash,
    SessionId,
};
