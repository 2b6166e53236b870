//! What an actor is given at its start.

use farmhand_api::EventBody;
use farmhand_messages::{EventsMessage, Names};
use farmhand_records::{DeviceName, Incarnation, SessionId};
use farmhand_store::StoreHandle;

use crate::{Chaos, Effects, Paths, tell};

/// What an actor is given at its start, by the supervisor.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Where the others are found.
    pub names: Names,
    /// What is remembered.
    pub store: StoreHandle,
    /// The farm's folders.
    pub paths: Paths,
    /// Of this actor: grows with each restart, and over restarts of the farm. Older writes are refused by the store.
    pub incarnation: Incarnation,
    /// Its tasks.
    pub effects: Effects,
    /// Where tests kill it.
    pub chaos: Chaos,
}

impl Ctx {
    /// Tells the event log what happened.
    pub fn event(&self, session: Option<SessionId>, device: Option<&DeviceName>, body: EventBody) {
        tell(&self.names.events(), EventsMessage::Tell { session, device: device.cloned(), body });
    }
}
