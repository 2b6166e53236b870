//! Who waits for an answer, and what else came with the question.

use std::collections::HashMap;

use farmhand_api::{BootloaderCommand, EventBody};
use farmhand_messages::device::{Connected, DeviceError, Payload, Since, Transferred, Variables};
use farmhand_records::Epoch;
use farmhand_records::v1::Evidence;
use ractor::RpcReplyPort;
use tokio::sync::mpsc;

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
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<Transferred>,
    },
    Reserve(To<Epoch>),
    /// Of a handoff into this epoch.
    Evidence {
        epoch: Option<Epoch>,
        reply: To<Evidence>,
    },
    Confirm(To<Option<Since>>),
    Disconnect(RpcReplyPort<()>),
    Console(To<()>),
    Say {
        command: BootloaderCommand,
        progress: Option<mpsc::Sender<EventBody>>,
        reply: To<String>,
    },
    GetVars {
        names: Vec<String>,
        reply: To<Variables>,
    },
}

impl Reply {
    /// Where steps are told.
    pub(super) fn progress(&self) -> Option<mpsc::Sender<EventBody>> {
        match self {
            Self::Connect { progress, .. } | Self::Transfer { progress, .. } | Self::Say { progress, .. } => {
                progress.clone()
            }
            _ => None,
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
    waiting: HashMap<AskId, Reply>,
}

impl Replies {
    pub(super) fn keep(&mut self, reply: Reply) -> AskId {
        self.next += 1;
        self.waiting.insert(self.next, reply);
        self.next
    }

    pub(super) fn get(&self, id: AskId) -> Option<&Reply> {
        self.waiting.get(&id)
    }

    pub(super) fn take(&mut self, id: AskId) -> Option<Reply> {
        self.waiting.remove(&id)
    }
}
