//! What is remembered, over sled. The only crate that knows sled; it sees `(kind, key, body)`, not types.
//!
//! One OS thread owns the database ([`StoreHandle`] is its address) and commits in groups: all that waits rides on
//! one sync. Order of a group: marks, data sync; then sled, flush, data sync; then the answers.
//!
//! - [`envelope`]: how a record lies on the disk.
//! - `marks`: the append-only high-water mark beside sled, which notices that sled came back older than it was.
//! - `engine`: opening, fencing, committing, checking; no thread, no async. The same code runs over a folder and
//!   over memory.
//! - `folder`: the backend over sled and real files; `memory`: its twin that injects faults.
//! - `thread`, [`StoreHandle`]: the owner, and how it is asked.
//! - [`Model`]: the engine over memory without a thread, for enumerating crashes.
//! - [`import`], [`check_folder`], [`restore`]: what `farmhand store` does while no farm runs.
//!
//! What an answer means: `Ok` is as durable as was asked for. [`StoreError::SyncFailed`], [`StoreError::Exited`] and
//! [`StoreError::NoAnswer`] prove nothing: the record may be found at the next opening, or not.
//!
//! A whole folder put back from an old backup cannot be told from one that was never newer.

mod backend;
mod engine;
pub mod envelope;
mod error;
mod folder;
mod handle;
mod holder;
mod key;
mod maintain;
mod marks;
mod memory;
mod model;
mod report;
mod sticky;
mod text;
mod thread;

pub use error::{ImportError, OpenError, StoreError};
pub use handle::{Health, StoreHandle};
pub use holder::Holding;
pub use key::{
    BODY_BYTES_MAX, Durability, GROUP_RECORDS_MAX, KEY_BYTES_MAX, KIND_MAX, Listed, Put, RecordKey, Seq,
    Stored,
};
pub use maintain::{FolderCheck, Restored, check_folder, import, restore};
pub use memory::{Crash, Disk};
pub use model::Model;
pub use report::{CheckReport, DamagedRecord, ExportReport, ImportReport, LostRange, OpenReport, WentBack};
