//! Records in the store: the typed side of (kind, bytes).

use farmhand_records::{DecodeRecordError, Incarnation, Record};
use farmhand_store::{Durability, Put, Seq, StoreError, StoreHandle, Stored};
use thiserror::Error;

/// Why a record is not to be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The store's word.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record's own bytes.
    #[error(transparent)]
    Decode(#[from] DecodeRecordError),
}

/// Writes a record; answers as `durability` promises. Refused where a later incarnation wrote it.
pub async fn save<R: Record>(
    store: &StoreHandle,
    record: &R,
    incarnation: Incarnation,
    durability: Durability,
) -> Result<Seq, StoreError> {
    store.put(put(record, incarnation, durability)).await
}

/// The record as a write, for those who write several at once.
pub fn put<R: Record>(record: &R, incarnation: Incarnation, durability: Durability) -> Put {
    Put {
        kind: R::KIND.number(),
        version: R::VERSION,
        key: record.key(),
        body: record.encode(),
        incarnation: incarnation.0,
        durability,
    }
}

/// Reads a record.
pub async fn load<R: Record>(store: &StoreHandle, key: &[u8]) -> Result<Option<R>, SavedError> {
    let stored = store.get(R::KIND.number(), key).await?;
    stored.map(decode).transpose()
}

/// Reads all records of a kind, in the order of their keys; one that cannot be read is an item of its own.
pub async fn load_all<R: Record>(
    store: &StoreHandle,
) -> Result<Vec<Result<R, (Vec<u8>, SavedError)>>, StoreError> {
    let all = store.list(R::KIND.number()).await?;
    let read = |stored: Result<Stored, StoreError>| decode(stored?);
    Ok(all.into_iter().map(|(key, stored)| read(stored).map_err(|error| (key, error))).collect())
}

/// Removes a record.
pub async fn forget<R: Record>(
    store: &StoreHandle,
    key: &[u8],
    durability: Durability,
) -> Result<(), StoreError> {
    store.remove(R::KIND.number(), key, durability).await
}

fn decode<R: Record>(stored: Stored) -> Result<R, SavedError> {
    Ok(R::decode(stored.version, &stored.body)?)
}
