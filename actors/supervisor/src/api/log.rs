//! Serial output for a front end.

use std::time::Duration;

use farmhand_api::{
    Answer, DeviceName, Epoch, EpochCause, EventBody, Item, LogFrom, LogItem, LogOf, PhaseName, Problem,
    SessionId, SessionView,
};
use farmhand_messages::device::DeviceError;
use farmhand_messages::{DeviceMessage, SerialMessage};
use farmhand_runtime::ask;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{ANSWER, Api};
use crate::problems::{infra, unanswered};

/// Opening a port of a device that has to be started first (a virtual board that was not built yet).
const OPEN: Duration = Duration::from_secs(120);
/// What was recorded reaches a reader within this, or the reader has gone.
const DRAIN: Duration = Duration::from_secs(5);

impl Api {
    pub(super) async fn log(
        &self,
        of: LogOf,
        from: LogFrom,
        follow: bool,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        match of {
            LogOf::Device(device) => {
                if follow {
                    self.open_console(&device).await?;
                } else {
                    self.claim(&device).await?;
                }
                let mut reader = self.reader(&device, from, follow).await?;
                while let Some(item) = next(&mut reader, items).await {
                    if items.send(Item::Log(item)).await.is_err() {
                        break;
                    }
                }
                Ok(Answer::Done)
            }
            LogOf::Session(session) => self.session_log(session, follow, items).await,
        }
    }

    pub(super) async fn open_console(&self, device: &DeviceName) -> Result<(), Problem> {
        self.claim(device).await?;
        let opened =
            ask(self.names.device(device), OPEN, |reply| DeviceMessage::OpenConsole { baud: None, reply });
        match opened.await.map_err(|error| unanswered("device", error))? {
            Ok(()) => Ok(()),
            Err(DeviceError::NotBegun(problem) | DeviceError::Failed(problem)) => Err(*problem),
            Err(error) => {
                Err(infra("F221", format!("open the console of {device}: {error}"), &["farmhand devices"]))
            }
        }
    }

    async fn reader(
        &self,
        device: &DeviceName,
        from: LogFrom,
        follow: bool,
    ) -> Result<mpsc::Receiver<LogItem>, Problem> {
        let subscribed =
            ask(self.names.serial(device), ANSWER, |reply| SerialMessage::Subscribe { from, follow, reply });
        subscribed.await.map_err(|error| unanswered("serial port", error))
    }

    /// The output of the epochs that a session owned: of an ended one what was recorded, of one that runs as it comes,
    /// until it has ended.
    async fn session_log(
        &self,
        session: SessionId,
        follow: bool,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        // Before the view: what changes after it is told by an event.
        let mut events = self.subscribe(None, Some(session)).await?;
        let mut view = self.view(session).await?;
        let mut reader: Option<mpsc::Receiver<LogItem>> = None;
        let mut shown = Shown { session, epochs: Vec::new(), offset: None };
        loop {
            let ended = view.phase == PhaseName::Finished;
            if let (Some(device), Some(epoch)) = (owned(&view), view.epoch) {
                shown.owns(epoch);
                if reader.is_none() {
                    self.claim(&device).await?;
                    let from = shown.offset.map_or(LogFrom::Epoch(epoch), LogFrom::Offset);
                    reader = Some(self.reader(&device, from, follow && !ended).await?);
                }
                if ended && let Some(reader) = &mut reader {
                    let place =
                        ask(self.names.serial(&device), ANSWER, |reply| SerialMessage::Position { reply });
                    let until = place.await.map_or(0, |(offset, _)| offset);
                    drain(reader, until, &mut shown, items).await;
                }
            }
            if ended || !follow {
                return Ok(Answer::Session(Box::new(view)));
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) if matches!(event.body, EventBody::Phase(_) | EventBody::Finished { .. }) => {
                        view = self.view(session).await?;
                    }
                    Some(_) => {}
                    None => {
                        events = self.subscribe(None, Some(session)).await?;
                        view = self.view(session).await?;
                    }
                },
                item = next_of(&mut reader), if reader.is_some() => match item {
                    Some(item) => {
                        if !shown.show(item, items).await {
                            return Ok(Answer::Done);
                        }
                    }
                    // The serial actor was restarted: its recording goes on where it was.
                    None => {
                        reader = None;
                        view = self.view(session).await?;
                    }
                },
                () = items.closed() => return Ok(Answer::Done),
            }
        }
    }
}

/// The device, once output of the session's own epoch can be there.
fn owned(view: &SessionView) -> Option<DeviceName> {
    let issued = matches!(view.phase, PhaseName::HandoffIssued | PhaseName::Observing | PhaseName::Finished);
    issued.then(|| view.device.clone()).flatten()
}

/// What a client was shown, so that nothing comes twice or of an epoch that is not the session's.
struct Shown {
    session: SessionId,
    epochs: Vec<Epoch>,
    offset: Option<u64>,
}

impl Shown {
    fn owns(&mut self, epoch: Epoch) {
        if !self.epochs.contains(&epoch) {
            self.epochs.push(epoch);
        }
    }

    /// Shows an item, if it is the session's; whether the client is still there.
    async fn show(&mut self, item: LogItem, items: &mpsc::Sender<Item>) -> bool {
        let ours = match &item {
            LogItem::Chunk { offset, epoch, bytes, .. } => {
                let new = self.offset.is_none_or(|shown| *offset >= shown);
                if new {
                    self.offset = Some(offset + bytes.len() as u64);
                }
                new && self.epochs.contains(epoch)
            }
            LogItem::EpochBegan { epoch, offset, cause, .. } => {
                self.offset = self.offset.max(Some(*offset));
                // The stream itself says whose an epoch is, before the session has recorded that it was issued.
                if *cause == EpochCause::Handoff(self.session) {
                    self.owns(*epoch);
                }
                self.epochs.contains(epoch)
            }
            LogItem::Gap { .. } | LogItem::Lost { .. } => self.offset.is_some(),
            LogItem::Lent { .. } | LogItem::Returned { .. } => false,
        };
        !ours || items.send(Item::Log(item)).await.is_ok()
    }
}

async fn drain(
    reader: &mut mpsc::Receiver<LogItem>,
    until: u64,
    shown: &mut Shown,
    items: &mpsc::Sender<Item>,
) {
    while shown.offset.unwrap_or(0) < until {
        match timeout(DRAIN, reader.recv()).await {
            Ok(Some(item)) => {
                if !shown.show(item, items).await {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

async fn next_of(reader: &mut Option<mpsc::Receiver<LogItem>>) -> Option<LogItem> {
    match reader {
        Some(reader) => reader.recv().await,
        None => None,
    }
}

async fn next(reader: &mut mpsc::Receiver<LogItem>, items: &mpsc::Sender<Item>) -> Option<LogItem> {
    tokio::select! {
        item = reader.recv() => item,
        () = items.closed() => None,
    }
}
