//! The event log: one place linearises all that happens in a farm.

use std::collections::VecDeque;

use farmhand_api::{Event, EventBody, EventSeq};
use farmhand_messages::EventsMessage;
use farmhand_records::SessionId;
use farmhand_runtime::{ChaosRole, Ctx, unix_ms};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

/// Events that are kept for who comes late: a session makes about thirty, and a build one for each file.
const KEPT: usize = 4096;
/// Events that a subscriber may be behind; one that is further behind starts anew from what is kept.
const BEHIND: usize = 1024;

/// The event log.
pub(crate) struct EventsActor;

pub(crate) struct Log {
    ctx: Ctx,
    last: u64,
    kept: VecDeque<Event>,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    session: Option<SessionId>,
    events: mpsc::Sender<Event>,
    missed: bool,
}

impl Subscriber {
    fn wants(&self, event: &Event) -> bool {
        self.session.is_none() || event.session == self.session
    }

    /// Gives it an event, or notes that it missed one; whether it still listens.
    fn give(&mut self, event: &Event) -> bool {
        if self.missed {
            let missed = Event { body: EventBody::Missed, ..event.clone() };
            match self.events.try_send(missed) {
                Ok(()) => self.missed = false,
                Err(mpsc::error::TrySendError::Full(_)) => return true,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed = true;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Log {
    fn seq(&self, number: u64) -> EventSeq {
        EventSeq { farm: self.ctx.incarnation.0, number }
    }

    fn tell(&mut self, event: Event) {
        tracing::debug!(session = ?event.session, device = ?event.device, body = ?event.body, "event");
        self.subscribers.retain_mut(|subscriber| !subscriber.wants(&event) || subscriber.give(&event));
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
    }

    fn subscribe(&mut self, after: Option<EventSeq>, session: Option<SessionId>) -> mpsc::Receiver<Event> {
        let (events, receiver) = mpsc::channel(KEPT + BEHIND);
        let oldest = self.kept.front().map_or(self.last + 1, |event| event.seq.number);
        let missed = match after {
            Some(after) => after.farm != self.ctx.incarnation.0 || after.number + 1 < oldest,
            None => false,
        };
        let mut subscriber = Subscriber { session, events, missed };
        let from = after.filter(|_| !missed).map_or(0, |after| after.number);
        for event in self.kept.iter().filter(|event| event.seq.number > from) {
            if subscriber.wants(event) {
                subscriber.give(event);
            }
        }
        self.subscribers.push(subscriber);
        receiver
    }
}

#[ractor::async_trait]
impl Actor for EventsActor {
    type Msg = EventsMessage;
    type State = Log;
    type Arguments = Ctx;

    async fn pre_start(&self, _myself: ActorRef<Self::Msg>, ctx: Ctx) -> Result<Log, ActorProcessingErr> {
        Ok(Log { ctx, last: 0, kept: VecDeque::new(), subscribers: Vec::new() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: EventsMessage,
        log: &mut Log,
    ) -> Result<(), ActorProcessingErr> {
        log.ctx.chaos.strike(ChaosRole::Events);
        match message {
            EventsMessage::Tell { session, device, body } => {
                log.last += 1;
                let event = Event { seq: log.seq(log.last), unix_ms: unix_ms(), session, device, body };
                log.tell(event);
            }
            EventsMessage::Subscribe { after, session, reply } => {
                let _gone = reply.send(log.subscribe(after, session));
            }
        }
        Ok(())
    }
}
