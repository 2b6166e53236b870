//! What the root actor does: sessions and devices begin, are resumed, and are given up.

use std::time::Duration;

use farmhand_api::{Job, Problem, Source, Verdict};
use farmhand_compiler::{CompilerActor, CompilerArgs};
use farmhand_device::{DeviceActor, DeviceArgs};
use farmhand_installer::{InstallerActor, InstallerArgs};
use farmhand_machine::Machine;
use farmhand_messages::device::DeviceConfig;
use farmhand_messages::{DeviceMessage, DirectoryMessage, SchedulerMessage, SessionMessage};
use farmhand_records::v1::{
    Farm as FarmRecord, HandoffKind, Key, Observed, Phase, Quarantine, Schedule, Session as SessionRecord,
};
use farmhand_records::{Attempt, DeviceName, Incarnation, Kind, Record, SessionId};
use farmhand_runtime::{
    AskError, Ctx, Failpoint, ask, ask_this, failpoint, load, load_all, put, save, unix_ms,
};
use farmhand_serial::{PortKeeper, SEGMENT_BYTES_MAX, SerialActor, SerialArgs};
use farmhand_session::{SessionActor, SessionArgs, Start, Trust};
use farmhand_store::{Durability, StoreError};
use ractor::{ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::doubt::Was;
use super::tree::{CORE, FarmMessage, Role, Tree};
use super::wiring::{Change, change, with_facts_of};
use crate::directory::{DirectoryActor, DirectoryArgs};
use crate::events::EventsActor;
use crate::problems::{infra, store_problem};
use crate::scheduler::SchedulerActor;

/// How often a draining farm looks whether its sessions have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// For a machine that was left running to be reached again: its monitor answers at once, and its console is a terminal.
const ADOPT: Duration = Duration::from_secs(15);

impl Tree {
    /// Starts the actor of a role.
    pub(super) async fn spawn(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        role: &Role,
        ctx: Ctx,
    ) -> Result<ActorCell, ActorProcessingErr> {
        let names = &self.names;
        Ok(match role {
            Role::Events => myself.spawn_linked(Some(names.events()), EventsActor, ctx).await?.0.get_cell(),
            Role::Scheduler => {
                myself.spawn_linked(Some(names.scheduler()), SchedulerActor, ctx).await?.0.get_cell()
            }
            Role::Directory => {
                let args = DirectoryArgs {
                    ctx,
                    entries: self.config.devices.iter().flat_map(crate::DeviceEntry::expand).collect(),
                    virtual_devices: self.config.virtual_devices,
                    known: self.devices.values().map(|(config, _)| config.clone()).collect(),
                    profiles: self.config.profiles.clone(),
                };
                myself.spawn_linked(Some(names.directory()), DirectoryActor, args).await?.0.get_cell()
            }
            Role::Installer => {
                let args = InstallerArgs { ctx };
                myself.spawn_linked(Some(names.installer()), InstallerActor, args).await?.0.get_cell()
            }
            Role::Compiler => {
                let args =
                    CompilerArgs { ctx, workers: self.config.workers, cache_bytes: self.config.cache_bytes };
                myself.spawn_linked(Some(names.compiler()), CompilerActor, args).await?.0.get_cell()
            }
            Role::Serial(device) => {
                let keeper = self.devices.get(device).map(|(_, keeper)| keeper.clone()).unwrap_or_default();
                let args =
                    SerialArgs { ctx, device: device.clone(), keeper, segment_bytes_max: SEGMENT_BYTES_MAX };
                myself.spawn_linked(Some(names.serial(device)), SerialActor, args).await?.0.get_cell()
            }
            Role::Device(device) => {
                let Some((config, _)) = self.devices.get(device) else {
                    return Err(format!("{device} has no configuration").into());
                };
                let args = DeviceArgs { ctx, config: config.clone() };
                myself.spawn_linked(Some(names.device(device)), DeviceActor, args).await?.0.get_cell()
            }
            Role::Session(session) => {
                let Some(record) = load::<SessionRecord>(&self.store, &session_key(*session)).await? else {
                    return Err(format!("{session} has no record").into());
                };
                let start = if self.fresh.remove(session) {
                    Start::New(record)
                } else {
                    let doubt = self.behind.get(session).is_some_and(|was| !was.is_resolved(&record));
                    let trust = if doubt { Trust::Behind } else { Trust::Exact };
                    Start::Recover { record, trust }
                };
                let args = SessionArgs { ctx, id: *session, start };
                myself.spawn_linked(Some(names.session(*session)), SessionActor, args).await?.0.get_cell()
            }
        })
    }

    /// At the start: sessions that have not ended go on, and so do those that ended and still hold a device.
    pub(super) async fn resume_unfinished(
        &mut self,
        myself: &ActorRef<FarmMessage>,
    ) -> Result<(), ActorProcessingErr> {
        self.note_report();
        let everything = self.report.marks_missing || self.report.marks_damaged;
        let holding = load::<Schedule>(&self.store, &Schedule::default().key()).await?.unwrap_or_default();
        let mut resume = Vec::new();
        for record in load_all::<SessionRecord>(&self.store).await? {
            match record {
                Ok(record) => {
                    let unfinished = !matches!(record.phase, Phase::Finished(..));
                    let rolled_back = self
                        .report
                        .rolled_back
                        .iter()
                        .any(|key| key.kind == Kind::Session.number() && key.key == record.key());
                    if unfinished && (everything || rolled_back) {
                        self.behind.insert(record.id, Was::of(&record));
                    }
                    let holds = holding.leases.iter().any(|lease| lease.session == record.id)
                        || holding.queue.iter().any(|waiting| waiting.session == record.id);
                    if unfinished || holds {
                        resume.push(record.id);
                    }
                }
                Err((key, error)) => {
                    self.notes.push(format!("a session ({key:02x?}) cannot be read: {error}"))
                }
            }
        }
        if self.behind.is_empty() {
            // Nothing is ambiguous for what was lost: it need not be told again.
            self.store.settle().await?;
        }
        super::collect::collect(&self.store, &self.paths, &resume.iter().copied().collect()).await?;
        for &session in &resume {
            tracing::info!(%session, "resumed");
            if let Err(error) = self.start(myself, Role::Session(session)).await {
                self.notes.push(format!("{session} could not be resumed at once: {error}"));
                self.failed(myself, Role::Session(session), error.to_string());
            }
        }
        self.release_orphans(&holding, &resume);
        let entries = self.config.devices.iter().flat_map(crate::DeviceEntry::expand);
        let of_desk: Vec<_> = entries.filter(|entry| entry.is_machine()).map(|entry| entry.name).collect();
        self.adopt_machines(&holding, &of_desk);
        self.end_orphaned_machines(&holding, &of_desk);
        Ok(())
    }

    /// The machines of these devices that a killed farm has left running: they go on, and are watched again from here on. One that was
    /// never let go is ended, for nobody else would let it go. Those that a session has are adopted by that.
    fn adopt_machines(&self, holding: &Schedule, devices: &[DeviceName]) {
        for device in devices {
            let is_held = holding.leases.iter().any(|lease| lease.device == *device);
            let folder = self.paths.board(device);
            let Some(process) = Machine::process_in(&folder).filter(|_| !is_held) else { continue };
            let (names, device) = (self.names.clone(), device.clone());
            tokio::spawn(async move {
                match Machine::end_unless_let_go(&folder, process).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => return tracing::warn!(%device, %error, "its machine is not adopted"),
                }
                let claim = |reply| DirectoryMessage::Claim { device: device.clone(), reply };
                let open = |reply| DeviceMessage::OpenConsole { baud: None, reply };
                let claimed = ask(names.directory(), ADOPT, claim).await.map(|claimed| claimed.is_ok());
                match claimed {
                    Ok(true) => match ask(names.device(&device), ADOPT, open).await {
                        Ok(Ok(())) => tracing::info!(%device, "its machine is adopted"),
                        Ok(Err(error)) => tracing::warn!(%device, %error, "its machine is not adopted"),
                        Err(error) => tracing::warn!(%device, %error, "its machine is not adopted"),
                    },
                    _ => tracing::warn!(%device, "its machine is not adopted: there is no such device"),
                }
            });
        }
    }

    /// An emulated machine that no session has or goes on with, and none of these devices: at the end of a farm, and of one that was
    /// killed at the next start. Nobody else would end it.
    pub(super) fn end_orphaned_machines(&self, holding: &Schedule, but: &[DeviceName]) {
        for folder in Machine::running_below(&self.paths.boards()) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if holding
                .leases
                .iter()
                .map(|lease| &lease.device)
                .chain(but)
                .any(|device| device.as_str() == name)
            {
                continue;
            }
            self.ends.spawn(async move {
                match Machine::end_any(&folder).await {
                    Ok(()) => tracing::info!(device = name, "an emulated machine that nobody had is ended"),
                    Err(error) => {
                        tracing::warn!(device = name, %error, "an emulated machine that nobody has")
                    }
                }
            });
        }
    }

    /// A lease, or a place in the queue, of a session whose record is gone: nobody else would let go of it. What became
    /// of the device nobody knows.
    fn release_orphans(&mut self, holding: &Schedule, resumed: &[SessionId]) {
        let orphan = |session: &SessionId| !resumed.contains(session);
        let mut orphans = Vec::new();
        for lease in holding.leases.iter().filter(|lease| orphan(&lease.session)) {
            let (device, session) = (&lease.device, lease.session);
            let note = format!(
                "{session} held {device}, and its record cannot be read: look at the device, then \
                 `farmhand quarantine --lift {device}`"
            );
            tracing::warn!("{note}");
            self.notes.push(note);
            let why = format!("{session} held it and its record cannot be read");
            let quarantine = Quarantine { why, session: Some(session), since_unix_ms: unix_ms() };
            orphans.push((session, Some(quarantine)));
        }
        let waiting = holding.queue.iter().map(|waiting| waiting.session).filter(orphan);
        orphans.extend(waiting.map(|session| (session, None)));
        for (session, quarantine) in orphans {
            self.release(session, quarantine);
        }
    }

    /// Has the scheduler let go of what a session has that will not do it itself.
    fn release(&self, session: SessionId, quarantine: Option<Quarantine>) {
        let names = self.names.clone();
        tokio::spawn(async move {
            let released = ask(names.scheduler(), CORE, |reply| SchedulerMessage::Release {
                session,
                quarantine: quarantine.clone(),
                reply,
            });
            if let Err(error) = released.await {
                tracing::error!(%session, "release: the scheduler {error}");
            }
        });
    }

    fn note_report(&mut self) {
        let report = &self.report;
        if report.marks_missing {
            self.notes
                .push("the store's high-water mark is gone: every unfinished handoff is asked for".into());
        }
        if report.marks_damaged {
            self.notes
                .push("the store's high-water mark is damaged: every unfinished handoff is asked for".into());
        }
        if let Some(back) = &report.went_back {
            self.notes.push(format!("the store went back from write {} to {}", back.expected, back.found));
        }
        let damaged =
            report.damaged.iter().map(|damaged| format!("{} is damaged: {}", damaged.key, damaged.why));
        self.notes.extend(damaged);
        self.notes.extend(report.lost.iter().map(|lost| format!("records are lost: {lost:?}")));
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }

    /// Makes a session: durable with its key and the counter at once, or not at all.
    pub(super) async fn submit(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        key: String,
        job: Job,
    ) -> Result<SessionId, Problem> {
        self.refuse_stopping()?;
        let known = load::<Key>(&self.store, key.as_bytes()).await.map_err(store_problem)?;
        if let Some(known) = known {
            let name = session_key(known.session);
            let record = load::<SessionRecord>(&self.store, &name).await.map_err(store_problem)?;
            // It was made, and may have failed to start: then who asked asks again.
            if record.is_some_and(|record| !matches!(record.phase, Phase::Finished(..))) {
                self.wake(myself, known.session).await?;
            }
            return Ok(known.session);
        }
        let id = SessionId(self.record.last_session.0 + 1);
        let record = FarmRecord { last_session: id, ..self.record.clone() };
        let session = new_session(id, job);
        failpoint(Failpoint::SubmitBeforePersist);
        let incarnation = Incarnation(self.record.incarnation.0 << 20);
        let puts = vec![
            put(&session, incarnation, Durability::Durable),
            put(&Key { key, session: id }, incarnation, Durability::Durable),
            // A number that was used must not be used again for another session.
            put(&record, self.record.incarnation, Durability::Marked),
        ];
        self.store.put_all(puts).await.map_err(|error: StoreError| store_problem(error.into()))?;
        failpoint(Failpoint::SubmitAfterPersist);
        self.record = record;
        self.fresh.insert(id);
        if let Err(error) = self.start(myself, Role::Session(id)).await {
            return Err(infra("F802", format!("{id} did not start: {error}"), &["farmhand status"]));
        }
        Ok(id)
    }

    fn refuse_stopping(&self) -> Result<(), Problem> {
        let problem = || infra("F801", "the farm is stopping".into(), &["start it again: any command does"]);
        if self.stopping { Err(problem()) } else { Ok(()) }
    }

    /// Has an actor for a session, so that it can be settled or cancelled.
    pub(super) async fn wake(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        session: SessionId,
    ) -> Result<(), Problem> {
        let role = Role::Session(session);
        if self.coming.is_coming(&role) {
            // After what its predecessor set going has ended.
            self.coming.want(role);
            return Ok(());
        }
        if self.has(&role) {
            return Ok(());
        }
        self.refuse_stopping()?;
        self.refuse_stuck(&role)?;
        let there = load::<SessionRecord>(&self.store, &session_key(session)).await.map_err(store_problem)?;
        if there.is_none() {
            return Err(crate::problems::no_session(session));
        }
        let started = self.start(myself, Role::Session(session)).await;
        started.map(drop).map_err(|error| infra("F802", format!("{session} did not start: {error}"), &[]))
    }

    /// Has actors for a device.
    pub(super) async fn ensure(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        config: DeviceConfig,
    ) -> Result<(), Problem> {
        let device = config.name.clone();
        let actor = Role::Device(device.clone());
        let running = self.has(&actor);
        let (config, keeper) = match self.devices.get_mut(&device) {
            // Its successor begins with what is told last.
            Some((old, _)) if self.coming.is_coming(&actor) => {
                *old = with_facts_of(old, config);
                return Ok(());
            }
            // The commonest, and nothing is looked up for it: whoever waits in the queue asks again and again.
            Some((old, _)) if running && change(old, config.clone(), true) == Change::Same => return Ok(()),
            Some((old, keeper)) if running => {
                let schedule = load::<Schedule>(&self.store, &Schedule::default().key()).await;
                let schedule = schedule.map_err(store_problem)?.unwrap_or_default();
                let leased = schedule.leases.iter().any(|lease| lease.device == device);
                match change(old, config, leased) {
                    Change::Same => return Ok(()),
                    Change::Later(config) => {
                        *old = config;
                        return Ok(());
                    }
                    Change::Now(config) => (config, keeper.clone()),
                }
            }
            Some((old, keeper)) => (with_facts_of(old, config), keeper.clone()),
            None => (config, PortKeeper::default()),
        };
        if self.stopped {
            self.refuse_stopping()?;
        }
        self.end_device(&device).await?;
        self.devices.insert(device.clone(), (config, keeper));
        for role in [Role::Serial(device.clone()), Role::Device(device.clone())] {
            let started = self.start(myself, role).await;
            started.map_err(|error| infra("F803", format!("{device} did not start: {error}"), &[]))?;
        }
        Ok(())
    }

    /// A session whose actor cannot be kept up ends as ours, unless its handoff is not resolved: that stays as it is,
    /// for a later try, or a person. False where it has not ended: it needs an actor yet.
    pub(super) async fn give_up(&mut self, session: SessionId, why: &str) -> bool {
        let record = match load::<SessionRecord>(&self.store, &session_key(session)).await {
            Ok(Some(record)) => record,
            Ok(None) => return true,
            Err(error) => {
                tracing::error!(%session, %error, "give up a session");
                return false;
            }
        };
        match record.phase {
            Phase::HandoffIntended => return false,
            Phase::Finished(..) => return true,
            _ => {}
        }
        let problem = infra(
            "F804",
            format!("{session}'s actor fails again and again: {why}"),
            &["this is a fault of farmhand: `farmhand status`, and the log, say more"],
        );
        let record = SessionRecord {
            phase: Phase::Finished(Verdict::Infra, Some(problem)),
            finished_unix_ms: Some(unix_ms()),
            ..record
        };
        let incarnation = Incarnation((self.record.incarnation.0 << 20) | 0xf_ffff);
        if let Err(error) = save(&self.store, &record, incarnation, Durability::Durable).await {
            tracing::error!(%session, %error, "give up a session");
            return false;
        }
        self.release(session, None);
        true
    }

    /// Grants nothing more, and waits for the sessions to end.
    pub(super) fn begin_stop(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        drain: Duration,
        reply: RpcReplyPort<()>,
    ) {
        // Who asks while it is stopping is answered with the first, at the end; the shortest drain counts.
        self.stopping = true;
        if self.stopped {
            let _gone = reply.send(());
            return;
        }
        self.stops.push(reply);
        let (names, myself) = (self.names.clone(), myself.clone());
        let sessions = self.sessions();
        tokio::spawn(async move {
            let until = tokio::time::Instant::now() + drain;
            let _not_there =
                ask(names.scheduler(), CORE, |reply| SchedulerMessage::StopGranting { reply }).await;
            let runs = |session: &SessionId| ractor::registry::where_is(names.session(*session)).is_some();
            while tokio::time::Instant::now() < until && sessions.iter().any(runs) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
            let _gone = myself.cast(FarmMessage::Drained);
        });
    }

    /// What could not drain is checkpointed.
    pub(super) async fn checkpoint_sessions(&self) {
        for (role, child) in &self.children {
            let Role::Session(session) = role else { continue };
            let actor = ActorRef::<SessionMessage>::from(child.cell.clone());
            match ask_this(&actor, CORE, |reply| SessionMessage::Drain { reply }).await {
                Ok(()) => {}
                // It ended by itself meanwhile, with its end recorded: we have not been told yet.
                Err(AskError::Ended) => tracing::debug!(%session, "checkpoint: it has ended"),
                Err(error) => tracing::warn!(%session, "checkpoint: it {error}"),
            }
        }
    }
}

fn session_key(session: SessionId) -> Vec<u8> {
    session.0.to_be_bytes().to_vec()
}

fn new_session(id: SessionId, job: Job) -> SessionRecord {
    // What is booted from memory runs: it is never booted twice, whatever the job says.
    let once = job.once || matches!(job.build.source, Source::Boot(_));
    let handoff = if once { HandoffKind::Once } else { HandoffKind::Repeatable };
    SessionRecord {
        id,
        job,
        phase: Phase::Preparing,
        attempt: Attempt(0),
        lease: None,
        artifact: None,
        plan: None,
        handoff,
        epoch: None,
        observed: Observed::default(),
        cancel: false,
        infra_failures: 0,
        created_unix_ms: unix_ms(),
        finished_unix_ms: None,
    }
}
