//! Who waits for an answer, and what else came with the question.

use std::collections::HashMap;
use std::time::Duration;

use farmhand_api::{BootloaderCommand, EventBody};
use farmhand_messages::device::{
    Connected, DeviceError, HandoffKnown, Payload, Since, SnapshotWish, Transferred, Variables,
};
use farmhand_messages::fastboot::Model;
use farmhand_records::Epoch;
use farmhand_records::v1::Evidence;
use ractor::RpcReplyPort;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::state::{Answer, AskId, Said};

type To<T> = RpcReplyPort<Result<T, DeviceError>>;

/// One who waits.
#[derive(Debug)]
pub(super) enum Reply {
    Connect {
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<Connected>,
    },
    Transfer {
        payload: Payload,
        model: Option<Model>,
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<Transferred>,
    },
    Reserve(To<Epoch>),
    /// Of a handoff of which this is known.
    Evidence {
        known: HandoffKnown,
        reply: To<Evidence>,
    },
    Confirm(To<Option<Since>>),
    Disconnect(RpcReplyPort<()>),
    Console(To<()>),
    Say {
        command: BootloaderCommand,
        model: Option<Model>,
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<String>,
    },
    GetVars {
        names: Vec<String>,
        reply: To<Variables>,
    },
    Snapshot {
        wish: SnapshotWish,
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<String>,
    },
}

impl Reply {
    /// Where steps are told.
    pub(super) fn progress(&self) -> Option<mpsc::Sender<EventBody>> {
        match self {
            Self::Connect { progress, .. }
            | Self::Transfer { progress, .. }
            | Self::Say { progress, .. }
            | Self::Snapshot { progress, .. } => progress.clone(),
            _ => None,
        }
    }

    /// A person's word, as it is called.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Say { command, .. } => command.to_string(),
            Self::Snapshot { .. } => "a snapshot".to_owned(),
            _ => "questions to its bootloader".to_owned(),
        }
    }

    /// Whether it may be given up: a session asks again, or for evidence; of a person's word nobody hears any more.
    fn is_word(&self) -> bool {
        matches!(self, Self::Say { .. } | Self::GetVars { .. })
    }

    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Say { reply, .. } => reply.is_closed(),
            Self::GetVars { reply, .. } => reply.is_closed(),
            _ => false,
        }
    }

    /// Answers. Whoever does not wait any more asks again, or asks for evidence.
    pub(super) fn answer(self, answer: Answer) {
        let _asker_gone = match (self, answer) {
            (Self::Connect { reply, .. }, Answer::Connected(answer)) => reply.send(answer).is_err(),
            (Self::Transfer { reply, .. }, Answer::Transferred(answer)) => reply.send(answer).is_err(),
            (Self::Reserve(reply), Answer::Reserved(answer)) => reply.send(answer).is_err(),
            (Self::Evidence { reply, .. }, Answer::HandedOff(answer) | Answer::Evidence(answer)) => {
                reply.send(answer).is_err()
            }
            (Self::Confirm(reply), Answer::Confirmed(answer)) => reply.send(answer).is_err(),
            (Self::Disconnect(reply), Answer::Disconnected) => reply.send(()).is_err(),
            (Self::Console(reply), Answer::Console(answer)) => reply.send(answer).is_err(),
            (Self::Say { reply, .. }, Answer::Said(Ok(Said::Text(text)))) => reply.send(Ok(text)).is_err(),
            (Self::Say { reply, .. }, Answer::Said(Err(error))) => reply.send(Err(error)).is_err(),
            (Self::GetVars { reply, .. }, Answer::Said(Ok(Said::Variables(asked)))) => {
                reply.send(Ok(asked)).is_err()
            }
            (Self::GetVars { reply, .. }, Answer::Said(Err(error))) => reply.send(Err(error)).is_err(),
            (Self::Snapshot { reply, .. }, Answer::Said(Ok(Said::Text(text)))) => {
                reply.send(Ok(text)).is_err()
            }
            (Self::Snapshot { reply, .. }, Answer::Said(Err(error))) => reply.send(Err(error)).is_err(),
            (reply, answer) => {
                tracing::error!(?reply, ?answer, "an answer to another question");
                true
            }
        };
    }
}

/// All who wait. Bounded by the machine's queue.
#[derive(Debug, Default)]
pub(super) struct Replies {
    next: AskId,
    waiting: HashMap<AskId, Waits>,
}

/// One who waits, and for how long.
#[derive(Debug)]
struct Waits {
    reply: Reply,
    since: Instant,
    /// It was told for what.
    told: bool,
}

impl Replies {
    pub(super) fn keep(&mut self, reply: Reply) -> AskId {
        self.next += 1;
        self.waiting.insert(self.next, Waits { reply, since: Instant::now(), told: false });
        self.next
    }

    pub(super) fn get(&self, id: AskId) -> Option<&Reply> {
        self.waiting.get(&id).map(|waits| &waits.reply)
    }

    pub(super) fn take(&mut self, id: AskId) -> Option<Reply> {
        self.waiting.remove(&id).map(|waits| waits.reply)
    }

    /// Whether somebody waits who may give up, or has not been told for what.
    pub(super) fn are_looked_at(&self, busy_for: Option<AskId>) -> bool {
        let untold = |id: &AskId, waits: &Waits| {
            !waits.told && Some(*id) != busy_for && waits.reply.progress().is_some()
        };
        self.waiting.iter().any(|(id, waits)| waits.reply.is_word() || untold(id, waits))
    }

    /// Words whose askers have gone. They are forgotten with this; what is being done of them has yet to be ended.
    pub(super) fn given_up(&mut self) -> Vec<AskId> {
        let gone: Vec<_> =
            self.waiting.iter().filter(|(_, waits)| waits.reply.is_given_up()).map(|(id, _)| *id).collect();
        gone.iter().for_each(|id| drop(self.waiting.remove(id)));
        gone
    }

    /// Tells those who have waited so long, once, why; not the one for whom it is done.
    pub(super) fn tell_waiting(&mut self, busy_for: Option<AskId>, silence: Duration, why: &str) {
        for (id, waits) in &mut self.waiting {
            if waits.told || Some(*id) == busy_for || waits.since.elapsed() < silence {
                continue;
            }
            if let Some(progress) = waits.reply.progress() {
                waits.told = true;
                let _slow_reader_loses_it = progress.try_send(EventBody::Note(why.to_owned()));
            }
        }
    }
}
