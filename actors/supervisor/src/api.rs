//! What a front end can ask of a farm, answered: each request by asking the actor that knows.

use std::time::Duration;

use bytes::Bytes;
use farmhand_api::{
    Answer, DeviceName, DeviceState, DeviceView, Event, EventBody, EventSeq, Item, Problem, ProblemClass,
    Request, SessionId, SessionView, Settle, Verdict,
};
use farmhand_messages::installer::PackageWish;
use farmhand_messages::{
    DirectoryMessage, EventsMessage, InstallerMessage, Names, SchedulerMessage, SerialMessage, SessionMessage,
};
use farmhand_records::v1::{Phase, Serial as SerialRecord, Session as SessionRecord};
use farmhand_runtime::{Paths, ask, ask_once, load, load_all, unix_ms};
use farmhand_store::StoreHandle;
use tokio::sync::mpsc;

use crate::devices::FASTBOOT;
use crate::farm::FarmMessage;
use crate::problems::{no_session_but, store_problem, unanswered, unsettled};

mod bootloader;
mod guest;
mod log;
mod snapshot;

/// An actor of the core answers from memory, or after one sync; a restart in between takes up to 2.5 s of back-off.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// A session answers between two steps; one that does not is shown as it was last recorded.
const VIEW: Duration = Duration::from_secs(2);
/// A console takes what is written at its line's rate: 1 MiB at 9600 baud is longer, and is refused.
const WRITE: Duration = Duration::from_secs(10);
/// A whole toolchain over a slow line.
const INSTALL: Duration = Duration::from_secs(40 * 60);
/// Sessions in one answer, the latest: about 300 bytes each, and an answer is one frame of 1 MiB.
const SESSIONS: usize = 2000;
/// Steps of an installation that may wait for the client.
const STEPS: usize = 64;

/// All that a front end needs. Cheap to clone; outlives the farm's handle, and then says that nobody is there.
#[derive(Debug, Clone)]
pub struct Api {
    names: Names,
    store: StoreHandle,
    paths: Paths,
}

impl Api {
    pub(crate) fn new(names: Names, store: StoreHandle, paths: Paths) -> Self {
        Self { names, store, paths }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The farm's folders.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Answers a request; what streams goes to `items` first, as fast as it is taken. Dropping the receiver ends a
    /// stream.
    pub async fn answer(&self, request: Request, items: mpsc::Sender<Item>) -> Result<Answer, Problem> {
        match request {
            Request::Submit { key, job } => self.submit(key, job).await.map(session),
            Request::Sessions { all } => self.sessions(all).await.map(Answer::Sessions),
            Request::Session(id) => self.view(id).await.map(session),
            Request::Cancel(id) => self.cancel(id).await.map(session),
            Request::Resume { session: id, settle } => self.resume(id, settle).await.map(session),
            Request::Devices => self.devices().await.map(Answer::Devices),
            Request::Status => {
                let status = ask(self.names.farm(), ANSWER, |reply| FarmMessage::Status { reply }).await;
                Ok(Answer::Status(Box::new(status.map_err(|error| unanswered("farm", error))?.status)))
            }
            Request::Events { after, session } => self.events(after, session, &items).await,
            Request::Log { of, from, follow } => self.log(of, from, follow, &items).await,
            Request::Write { device, bytes, take } => self.write(device, bytes, take).await,
            Request::Install { packages, board } => self.install(packages, board, &items).await,
            Request::Unquarantine(device) => {
                let ask = ask(self.names.scheduler(), ANSWER, |reply| SchedulerMessage::Unquarantine {
                    device: device.clone(),
                    reply,
                });
                let _was_aside = ask.await.map_err(|error| unanswered("scheduler", error))?;
                Ok(Answer::Done)
            }
            Request::Bootloader { device, project, command } => {
                self.bootloader(device, project, command, &items).await
            }
            Request::Profiles { project } => self.profiles(project).await,
            Request::Probe { device, project } => self.probe(device, project).await,
            Request::Snapshot(command) => self.snapshot(command, &items).await,
            Request::Guest(command) => self.guest(command, &items).await,
            Request::Stop { drain_ms } => {
                let drain = Duration::from_millis(drain_ms);
                let asked = ask_once(self.names.farm(), drain + 2 * ANSWER, |reply| FarmMessage::Stop {
                    drain,
                    reply,
                });
                asked.await.map_err(|error| unanswered("farm", error))?;
                Ok(Answer::Done)
            }
        }
    }

    async fn submit(&self, key: String, job: Box<farmhand_api::Job>) -> Result<SessionView, Problem> {
        let made = ask(self.names.farm(), ANSWER, |reply| FarmMessage::Submit {
            key: key.clone(),
            job: job.clone(),
            reply,
        });
        let id = made.await.map_err(|error| unanswered("farm", error))??;
        self.view(id).await
    }

    async fn record(&self, id: SessionId) -> Result<SessionRecord, Problem> {
        let record = load::<SessionRecord>(&self.store, &id.0.to_be_bytes()).await.map_err(store_problem)?;
        if let Some(record) = record {
            return Ok(record);
        }
        let records =
            load_all::<SessionRecord>(&self.store).await.map_err(|error| store_problem(error.into()))?;
        let there = records.into_iter().flatten().map(|record| record.id);
        Err(no_session_but(id, there.min_by_key(|there| there.0.abs_diff(id.0))))
    }

    /// A session as its actor sees it, or as it was last recorded where it has none.
    async fn view(&self, id: SessionId) -> Result<SessionView, Problem> {
        let record = self.record(id).await?;
        Ok(self.view_of(record).await)
    }

    async fn view_of(&self, record: SessionRecord) -> SessionView {
        if !matches!(record.phase, Phase::Finished(..)) {
            let name = self.names.session(record.id);
            if let Ok(view) = ask_once(&name, VIEW, |reply| SessionMessage::View { reply }).await {
                return view;
            }
        }
        farmhand_session::view(&record)
    }

    async fn sessions(&self, all: bool) -> Result<Vec<SessionView>, Problem> {
        let records =
            load_all::<SessionRecord>(&self.store).await.map_err(|error| store_problem(error.into()))?;
        let mut records: Vec<_> = records
            .into_iter()
            .flatten()
            .filter(|record| all || !matches!(record.phase, Phase::Finished(..)))
            .collect();
        records.drain(..records.len().saturating_sub(SESSIONS));
        let mut views = Vec::new();
        for record in records {
            views.push(self.view_of(record).await);
        }
        Ok(views)
    }

    async fn wake(&self, session: SessionId) -> Result<(), Problem> {
        let woken = ask(self.names.farm(), ANSWER, |reply| FarmMessage::Wake { session, reply });
        woken.await.map_err(|error| unanswered("farm", error))?
    }

    async fn cancel(&self, id: SessionId) -> Result<SessionView, Problem> {
        if matches!(self.record(id).await?.phase, Phase::Finished(..)) {
            return self.view(id).await;
        }
        self.wake(id).await?;
        match ask(self.names.session(id), ANSWER, |reply| SessionMessage::Cancel { reply }).await {
            Ok(view) => Ok(view),
            // It ended meanwhile, or its record says why it did not answer.
            Err(_) => self.view(id).await,
        }
    }

    async fn resume(&self, id: SessionId, settle: Option<Settle>) -> Result<SessionView, Problem> {
        let record = self.record(id).await?;
        let unknown = matches!(record.phase, Phase::Finished(Verdict::Unknown, _));
        let Some(settle) = settle else {
            if unknown {
                return Err(unsettled(&record));
            }
            if !matches!(record.phase, Phase::Finished(..)) {
                self.wake(id).await?;
            }
            return self.view(id).await;
        };
        self.wake(id).await?;
        let settled = ask(self.names.session(id), ANSWER, |reply| SessionMessage::Settle { settle, reply });
        settled.await.map_err(|error| unanswered("session", error))?
    }

    async fn devices(&self) -> Result<Vec<DeviceView>, Problem> {
        let leased = ask(self.names.scheduler(), ANSWER, |reply| SchedulerMessage::Devices { reply });
        let mut views = leased.await.map_err(|error| unanswered("scheduler", error))?;
        let drivers = ask(self.names.directory(), ANSWER, |reply| DirectoryMessage::Drivers { reply });
        let drivers = drivers.await.map_err(|error| unanswered("directory", error))?;
        for view in &mut views {
            let Some(name) = view.name.clone() else { continue };
            if let Some((_, driver)) = drivers.iter().find(|(device, _)| *device == name) {
                view.driver.clone_from(driver);
            }
            // What is recorded, not what is reserved: the device's own number runs ahead of it.
            let record = load::<SerialRecord>(&self.store, name.as_str().as_bytes()).await;
            view.epoch = record.ok().flatten().map(|record| record.epoch);
        }
        let unclaimed = ask(self.names.directory(), ANSWER, |reply| DirectoryMessage::Unclaimed { reply });
        let unclaimed = unclaimed.await.map_err(|error| unanswered("directory", error))?;
        views.extend(unclaimed.into_iter().map(|plugged| {
            let place = plugged.port_path.or(plugged.path);
            let claim = place.as_ref().map(|place| format!("unclaimed: farmhand init --add {place}"));
            DeviceView {
                name: None,
                board: plugged.usb_id.unwrap_or_default(),
                driver: if plugged.bootloader { FASTBOOT.into() } else { String::new() },
                state: DeviceState::Unclaimed,
                holder: None,
                since_unix_ms: None,
                port: place,
                serial: plugged.serial,
                seen_unix_ms: Some(unix_ms()),
                virtual_: false,
                epoch: None,
                note: claim,
            }
        }));
        Ok(views)
    }

    /// Events as they happen; with a session, until it has ended.
    async fn events(
        &self,
        mut after: Option<EventSeq>,
        session: Option<SessionId>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        loop {
            let mut events = self.subscribe(after, session).await?;
            // Looked at after the subscription: an end that came before it is in the record, one that comes after it
            // is in the stream.
            if let Some(id) = session
                && matches!(self.record(id).await?.phase, Phase::Finished(..))
            {
                while let Ok(event) = events.try_recv() {
                    if items.send(Item::Event(Box::new(event))).await.is_err() {
                        break;
                    }
                }
                return self.view(id).await.map(crate::api::session);
            }
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    () = items.closed() => return Ok(Answer::Done),
                };
                // The event log was restarted: what is missed is said by the next subscription.
                let Some(event) = event else { break };
                after = Some(event.seq);
                let ended = matches!(event.body, EventBody::Finished { .. }) && session.is_some();
                if items.send(Item::Event(Box::new(event))).await.is_err() {
                    return Ok(Answer::Done);
                }
                // An end that a person has settled since is told again by the history, and is not the end.
                if let (true, Some(id)) = (ended, session)
                    && matches!(self.record(id).await?.phase, Phase::Finished(..))
                {
                    return self.view(id).await.map(crate::api::session);
                }
            }
        }
    }

    async fn subscribe(
        &self,
        after: Option<EventSeq>,
        session: Option<SessionId>,
    ) -> Result<mpsc::Receiver<Event>, Problem> {
        let subscribed =
            ask(self.names.events(), ANSWER, |reply| EventsMessage::Subscribe { after, session, reply });
        subscribed.await.map_err(|error| unanswered("event log", error))
    }

    async fn claim(&self, device: &DeviceName) -> Result<(), Problem> {
        let claimed = ask(self.names.directory(), ANSWER, |reply| DirectoryMessage::Claim {
            device: device.clone(),
            reply,
        });
        claimed.await.map_err(|error| unanswered("directory", error))?
    }

    async fn write(&self, device: DeviceName, bytes: Bytes, take: bool) -> Result<Answer, Problem> {
        self.open_console(&device).await?;
        let written = ask_once(self.names.serial(&device), WRITE, |reply| SerialMessage::Write {
            writer: "farmhand".into(),
            bytes,
            take,
            reply,
        });
        match written.await.map_err(|error| unanswered("serial port", error))? {
            Ok(()) => Ok(Answer::Done),
            Err(error) => Err(Problem {
                class: ProblemClass::Busy,
                code: "F220".into(),
                message: format!("write to {device}: {error}"),
                detail: Vec::new(),
                help: vec!["farmhand devices".into()],
                place: None,
            }),
        }
    }

    async fn install(
        &self,
        packages: Vec<String>,
        board: Option<String>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        let mut wishes: Vec<_> = packages.iter().map(|package| wish(package)).collect();
        if wishes.is_empty() {
            let board = board.unwrap_or_else(|| crate::UNO.into());
            wishes = crate::facts::packages_of(&board)?.into_iter().map(PackageWish::Named).collect();
        }
        let mut installed = Vec::new();
        for wish in wishes {
            let (progress, mut steps) = mpsc::channel(STEPS);
            let name = self.names.installer();
            let asked = ask(&name, INSTALL, |reply| InstallerMessage::Install {
                wish: wish.clone(),
                progress: Some(progress.clone()),
                reply,
            });
            tokio::pin!(asked);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut asked => break outcome,
                    Some(step) = steps.recv() => {
                        let event = Event {
                            seq: EventSeq::default(),
                            unix_ms: unix_ms(),
                            session: None,
                            device: None,
                            body: EventBody::Install(step),
                        };
                        let _client_gone = items.send(Item::Event(Box::new(event))).await;
                    }
                }
            };
            let package = outcome.map_err(|error| unanswered("installer", error))??;
            installed.push(farmhand_api::InstalledView {
                name: package.name,
                version: package.version,
                path: package.prefix.display().to_string(),
                already: package.already,
            });
        }
        Ok(Answer::Installed(installed))
    }
}

/// A name, or what looks like a path.
fn wish(text: &str) -> PackageWish {
    let path = std::path::Path::new(text);
    if text.contains('/') || path.exists() {
        PackageWish::Local { path: path.to_owned(), sha256: None }
    } else {
        PackageWish::Named(text.into())
    }
}

fn session(view: SessionView) -> Answer {
    Answer::Session(Box::new(view))
}
