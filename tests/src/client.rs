//! A front end's part, in a few words.

use std::collections::BTreeMap;

use farmhand::transport::{Client, ClientError, Reply};
use farmhand_api::{
    Answer, DeviceView, EpochCause, Event, EventBody, EventSeq, Item, Job, LogFrom, LogItem, LogOf, Request,
    SessionId, SessionView,
};
use farmhand_records::{DeviceName, Epoch};

use crate::wait::or_hang;

/// A session from some event on to its end.
#[derive(Debug, Clone)]
pub struct Followed {
    /// What happened.
    pub events: Vec<Event>,
    /// How it ended.
    pub view: SessionView,
}

impl Followed {
    /// Whether anything of this session was started again.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.body, EventBody::ActorRestarted { .. })).count()
    }
}

/// Makes a session of a job.
pub async fn submit(client: &Client, key: &str, job: &Job) -> Result<SessionId, ClientError> {
    let request = Request::Submit { key: key.into(), job: Box::new(job.clone()) };
    match client.ask(request).await? {
        Answer::Session(view) => Ok(view.id),
        other => panic!("a submission is answered by {other:?}"),
    }
}

/// A session as it is.
pub async fn session(client: &Client, id: SessionId) -> Result<SessionView, ClientError> {
    match client.ask(Request::Session(id)).await? {
        Answer::Session(view) => Ok(*view),
        other => panic!("a session is answered by {other:?}"),
    }
}

/// All sessions, ended ones too.
pub async fn sessions(client: &Client) -> Result<Vec<SessionView>, ClientError> {
    match client.ask(Request::Sessions { all: true }).await? {
        Answer::Sessions(views) => Ok(views),
        other => panic!("sessions are answered by {other:?}"),
    }
}

/// All devices.
pub async fn devices(client: &Client) -> Result<Vec<DeviceView>, ClientError> {
    match client.ask(Request::Devices).await? {
        Answer::Devices(views) => Ok(views),
        other => panic!("devices are answered by {other:?}"),
    }
}

/// How many sessions have not ended, or still have their device.
pub async fn at_work(client: &Client) -> Result<u32, ClientError> {
    match client.ask(Request::Status).await? {
        Answer::Status(status) => Ok(status.sessions),
        other => panic!("the status is answered by {other:?}"),
    }
}

/// Follows a session to its end.
pub async fn follow(client: &Client, id: SessionId) -> Result<Followed, ClientError> {
    follow_after(client, id, None).await
}

/// Follows a session to its end, from what was seen last.
pub async fn follow_after(
    client: &Client,
    id: SessionId,
    after: Option<EventSeq>,
) -> Result<Followed, ClientError> {
    let followed = async {
        let mut replies = client.stream(Request::Events { after, session: Some(id) }).await?;
        let mut events = Vec::new();
        loop {
            match replies.next().await? {
                Some(Reply::Item(Item::Event(event))) => events.push(*event),
                Some(Reply::Done(Answer::Session(view))) => return Ok(Followed { events, view: *view }),
                other => panic!("events of a session, and {other:?}"),
            }
        }
    };
    or_hang("a session ends", followed).await
}

/// The epochs in a device's recording, and why each began.
pub async fn epochs_of(client: &Client, device: &str) -> Result<BTreeMap<Epoch, EpochCause>, ClientError> {
    let of = LogOf::Device(DeviceName::new(device).unwrap());
    let read = async {
        let mut replies = client.stream(Request::Log { of, from: LogFrom::Start, follow: false }).await?;
        let mut epochs = BTreeMap::new();
        loop {
            match replies.next().await? {
                Some(Reply::Item(Item::Log(LogItem::EpochBegan { epoch, cause, .. }))) => {
                    let before = epochs.insert(epoch, cause.clone());
                    assert!(
                        before.is_none_or(|before| before == cause),
                        "epoch {epoch} of {device} began twice"
                    );
                }
                Some(Reply::Item(_)) => {}
                Some(Reply::Done(_)) | None => return Ok(epochs),
            }
        }
    };
    or_hang("a recording is read", read).await
}

/// Stops a farm, which waits so long for sessions to end.
pub async fn stop(client: &Client, drain_ms: u64) {
    match client.ask(Request::Stop { drain_ms }).await {
        // The connection may end with the farm, before the answer.
        Ok(_) | Err(ClientError::Lost) => {}
        Err(error) => panic!("stop: {error}"),
    }
}
