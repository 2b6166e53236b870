//! To the event log, which linearises all that happens in a farm.

use farmhand_api::{Event, EventBody, EventSeq};
use farmhand_records::{DeviceName, SessionId};
use ractor::RpcReplyPort;
use tokio::sync::mpsc;

/// To the event log.
#[derive(Debug)]
pub enum EventsMessage {
    /// From any actor: number this, keep it, and tell the subscribers. A cast: an event tells of a record, and is
    /// not one.
    Tell {
        /// In which session.
        session: Option<SessionId>,
        /// On which device.
        device: Option<DeviceName>,
        /// What happened.
        body: EventBody,
    },
    /// From a gateway: what is kept after `after`, and on as it happens. Safe to send again. A subscriber that does
    /// not take its events loses them, and is told so by `Missed`.
    Subscribe {
        /// The last that the client saw.
        after: Option<EventSeq>,
        /// Only this session's.
        session: Option<SessionId>,
        /// The stream; it closes when the farm stops.
        reply: RpcReplyPort<mpsc::Receiver<Event>>,
    },
}
