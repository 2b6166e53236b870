//! The root actor: it starts the others, and is told when one ends.
//!
//! one_for_one for the core, the sessions and the devices; a device's serial port and its device actor are
//! rest_for_one. A restarted actor has the same name, a new incarnation, and begins from its snapshot, after its
//! predecessor's tasks are known to have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use farmhand_api::{ActorView, Job, Problem, StatusView};
use farmhand_messages::device::DeviceConfig;
use farmhand_messages::{Names, SchedulerMessage};
use farmhand_records::v1::{Farm as FarmRecord, Quarantine};
use farmhand_records::{DeviceName, Incarnation, SessionId};
use farmhand_runtime::{Ctx, Effects, Paths, ask, mono_us, tell, unix_ms};
use farmhand_serial::PortKeeper;
use farmhand_store::{OpenReport, StoreHandle};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::watch;

use super::{FarmConfig, FarmEnd};
use crate::restarts::{Decision, Restarts};

/// The tasks of an ended actor end within this: the longest are a page write, a sync, and a child that is killed.
pub(super) const EFFECTS_END: Duration = Duration::from_secs(20);
/// A call to an actor of the core, which answers from memory or after one sync.
pub(super) const CORE: Duration = Duration::from_secs(10);
/// Restarts of one actor within one start of the farm; its incarnation is `farm << 20 | restarts`.
const RESTART_BITS: u32 = 20;

/// Who an actor is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Events,
    Scheduler,
    Directory,
    Installer,
    Compiler,
    Serial(DeviceName),
    Device(DeviceName),
    Session(SessionId),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events => f.write_str("events"),
            Self::Scheduler => f.write_str("scheduler"),
            Self::Directory => f.write_str("directory"),
            Self::Installer => f.write_str("installer"),
            Self::Compiler => f.write_str("compiler"),
            Self::Serial(device) => write!(f, "serial {device}"),
            Self::Device(device) => write!(f, "device {device}"),
            Self::Session(session) => write!(f, "session {session}"),
        }
    }
}

/// What the root actor can say of the farm.
#[derive(Debug)]
pub(crate) struct StatusParts {
    pub(crate) status: StatusView,
}

/// To the root actor.
#[derive(Debug)]
pub(crate) enum FarmMessage {
    /// From a gateway: make a session. Answered once it is durable; safe to send again with the same key.
    Submit { key: String, job: Box<Job>, reply: RpcReplyPort<Result<SessionId, Problem>> },
    /// From a gateway: have an actor for this session, finished or not. Safe.
    Wake { session: SessionId, reply: RpcReplyPort<Result<(), Problem>> },
    /// From the directory: have actors for this device. Safe: a changed configuration restarts them.
    Ensure { config: Box<DeviceConfig>, reply: RpcReplyPort<Result<(), Problem>> },
    /// From a gateway. Safe.
    Status { reply: RpcReplyPort<StatusParts> },
    /// From its own tasks: these can be started again.
    Start { roles: Vec<Role>, why: String },
    /// From its own tasks: this one cannot be kept up.
    Melted { role: Role, why: String },
    /// From its own tasks: the store ended.
    StoreFailed(String),
    /// Checkpoint and end everything but the store.
    Stop { drain: Duration, reply: RpcReplyPort<()> },
    /// From its own tasks: sessions have drained, or the time is up.
    Drained { reply: RpcReplyPort<()> },
}

pub(super) struct Args {
    pub(super) names: Names,
    pub(super) store: StoreHandle,
    pub(super) paths: Paths,
    pub(super) record: FarmRecord,
    pub(super) report: OpenReport,
    pub(super) config: FarmConfig,
    pub(super) end: watch::Sender<Option<FarmEnd>>,
}

struct Child {
    cell: ActorCell,
    effects: Effects,
}

pub(super) struct FarmActor;

/// The root actor's state.
pub(super) struct Tree {
    pub(super) names: Names,
    pub(super) store: StoreHandle,
    pub(super) paths: Paths,
    pub(super) record: FarmRecord,
    pub(super) report: OpenReport,
    pub(super) config: FarmConfig,
    pub(super) end: watch::Sender<Option<FarmEnd>>,
    pub(super) started: Instant,
    pub(super) notes: Vec<String>,
    /// Sessions that a store that went back has made ambiguous, and that have not ended yet.
    pub(super) behind: BTreeSet<SessionId>,
    /// Sessions that were just made, and have no actor yet.
    pub(super) fresh: BTreeSet<SessionId>,
    pub(super) devices: BTreeMap<DeviceName, (DeviceConfig, PortKeeper)>,
    pub(super) stopping: bool,
    children: BTreeMap<Role, Child>,
    /// Failed, and not started again yet: what they had set going may still be ending.
    restarting: BTreeSet<Role>,
    restarts: BTreeMap<Role, Restarts>,
    started_count: BTreeMap<Role, u64>,
}

impl Tree {
    fn new(args: Args) -> Self {
        let Args { names, store, paths, record, report, config, end } = args;
        Self {
            names,
            store,
            paths,
            record,
            report,
            config,
            end,
            started: Instant::now(),
            notes: Vec::new(),
            behind: BTreeSet::new(),
            fresh: BTreeSet::new(),
            devices: BTreeMap::new(),
            stopping: false,
            children: BTreeMap::new(),
            restarting: BTreeSet::new(),
            restarts: BTreeMap::new(),
            started_count: BTreeMap::new(),
        }
    }

    pub(super) fn has(&self, role: &Role) -> bool {
        self.children.contains_key(role)
    }

    /// It will be there again by itself: nobody else starts it, for what its predecessor set going may not have ended.
    pub(super) fn is_restarting(&self, role: &Role) -> bool {
        self.restarting.contains(role)
    }

    /// What the next incarnation of an actor is given.
    fn ctx(&mut self, role: &Role) -> Ctx {
        let count = self.started_count.entry(role.clone()).or_insert(0);
        *count += 1;
        Ctx {
            names: self.names.clone(),
            store: self.store.clone(),
            paths: self.paths.clone(),
            incarnation: Incarnation(self.record.incarnation.0 << RESTART_BITS | *count),
            effects: Effects::new(),
            chaos: self.config.chaos.clone(),
        }
    }

    /// Starts an actor, from its snapshot where it has one.
    pub(super) async fn start(
        &mut self,
        myself: &ActorRef<FarmMessage>,
        role: Role,
    ) -> Result<Incarnation, ActorProcessingErr> {
        let ctx = self.ctx(&role);
        let (effects, incarnation) = (ctx.effects.clone(), ctx.incarnation);
        let cell = self.spawn(myself, &role, ctx).await?;
        tracing::info!(actor = %role, incarnation = incarnation.0, "started");
        self.children.insert(role, Child { cell, effects });
        Ok(incarnation)
    }

    fn role_of(&self, cell: &ActorCell) -> Option<Role> {
        self.children
            .iter()
            .find(|(_, child)| child.cell.get_id() == cell.get_id())
            .map(|(role, _)| role.clone())
    }

    /// An actor ended as it should not have.
    fn failed(&mut self, myself: &ActorRef<FarmMessage>, role: Role, why: String) {
        tracing::warn!(actor = %role, %why, "failed");
        let mut roles = vec![role.clone()];
        if let Role::Serial(device) = &role {
            // rest_for_one: the device actor's loan and its link are gone with the port's owner.
            roles.push(Role::Device(device.clone()));
        }
        let ended: Vec<_> = roles.iter().filter_map(|role| self.children.remove(role)).collect();
        self.restarting.extend(roles.iter().cloned());
        let now = Duration::from_micros(mono_us());
        let decision = self.restarts.entry(role.clone()).or_default().failed(now);
        let myself = myself.clone();
        tokio::spawn(async move {
            for child in &ended {
                child.cell.kill();
            }
            let mut all_ended = true;
            for child in &ended {
                all_ended &= child.effects.end(EFFECTS_END).await;
            }
            let message = match decision {
                Decision::After(backoff) if all_ended => {
                    tokio::time::sleep(backoff).await;
                    FarmMessage::Start { roles, why }
                }
                Decision::After(_) => {
                    FarmMessage::Melted { role, why: format!("{why}; and what it set going does not end") }
                }
                Decision::Meltdown => FarmMessage::Melted { role, why },
            };
            let _stopping = myself.cast(message);
        });
    }

    /// Starts again what failed.
    async fn start_again(&mut self, myself: &ActorRef<FarmMessage>, roles: Vec<Role>, why: &str) {
        for role in roles {
            self.restarting.remove(&role);
            if self.stopping || self.has(&role) {
                continue;
            }
            match self.start(myself, role.clone()).await {
                Ok(incarnation) => {
                    let body = farmhand_api::EventBody::ActorRestarted {
                        actor: role.to_string(),
                        incarnation,
                        why: why.to_owned(),
                    };
                    let (session, device) = match &role {
                        Role::Session(session) => (Some(*session), None),
                        Role::Device(device) | Role::Serial(device) => (None, Some(device.clone())),
                        _ => (None, None),
                    };
                    let events = self.names.events();
                    tell(&events, farmhand_messages::EventsMessage::Tell { session, device, body });
                }
                Err(error) => self.failed(myself, role, error.to_string()),
            }
        }
    }

    /// An actor cannot be kept up: a device is set aside, a session ends as ours, the core ends the farm.
    async fn melted(&mut self, role: Role, why: String) {
        tracing::error!(actor = %role, %why, "meltdown");
        self.restarting.remove(&role);
        if let Role::Serial(device) = &role {
            self.restarting.remove(&Role::Device(device.clone()));
        }
        match role {
            Role::Device(device) | Role::Serial(device) => {
                let names = self.names.clone();
                tokio::spawn(async move {
                    let quarantine = Quarantine {
                        why: format!("its actor fails again and again: {why}"),
                        session: None,
                        since_unix_ms: unix_ms(),
                    };
                    let told = ask(names.scheduler(), CORE, |reply| SchedulerMessage::Quarantine {
                        device: device.clone(),
                        quarantine: quarantine.clone(),
                        reply,
                    });
                    if let Err(error) = told.await {
                        tracing::error!(%device, "set aside: the scheduler {error}");
                    }
                });
            }
            Role::Session(session) => self.give_up(session, &why).await,
            core => self.fail(format!("the {core} actor fails again and again: {why}")),
        }
    }

    /// The farm cannot go on.
    pub(super) fn fail(&mut self, why: String) {
        tracing::error!(%why, "the farm ends");
        self.end.send_replace(Some(FarmEnd::Failed(why)));
    }

    fn status(&self) -> StatusView {
        let actors = self.children.keys().map(|role| ActorView {
            name: role.to_string(),
            incarnation: Incarnation(self.started_count.get(role).copied().unwrap_or(1)),
        });
        let count =
            |of: fn(&Role) -> bool| u32::try_from(self.children.keys().filter(|role| of(role)).count());
        StatusView {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            home: self.paths.home().display().to_string(),
            incarnation: self.record.incarnation,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            sessions: count(|role| matches!(role, Role::Session(_))).unwrap_or(u32::MAX),
            devices: count(|role| matches!(role, Role::Device(_))).unwrap_or(u32::MAX),
            actors: actors.collect(),
            store_notes: self.notes.clone(),
        }
    }

    /// Ends all actors, sessions first, and awaits their tasks.
    async fn end_children(&mut self) {
        let mut children: Vec<_> = std::mem::take(&mut self.children).into_iter().collect();
        // Sessions, then devices before their ports, then the core: the order of starting, reversed.
        children.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (role, child) in children {
            let _stopped_already = child.cell.stop_and_wait(None, Some(EFFECTS_END)).await;
            if !child.effects.end(EFFECTS_END).await {
                tracing::error!(actor = %role, "what it set going does not end");
            }
        }
    }
}

#[ractor::async_trait]
impl Actor for FarmActor {
    type Msg = FarmMessage;
    type State = Tree;
    type Arguments = Args;

    async fn pre_start(&self, myself: ActorRef<FarmMessage>, args: Args) -> Result<Tree, ActorProcessingErr> {
        let mut tree = Tree::new(args);
        let (store, root) = (tree.store.clone(), myself.clone());
        tokio::spawn(async move {
            let why = store.failed().await;
            let _gone = root.cast(FarmMessage::StoreFailed(why));
        });
        for role in [Role::Events, Role::Scheduler, Role::Installer, Role::Compiler, Role::Directory] {
            tree.start(&myself, role).await?;
        }
        tree.resume_unfinished(&myself).await?;
        Ok(tree)
    }

    async fn handle(
        &self,
        myself: ActorRef<FarmMessage>,
        message: FarmMessage,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FarmMessage::Submit { key, job, reply } => {
                let answer = tree.submit(&myself, key, *job).await;
                let _gone = reply.send(answer);
            }
            FarmMessage::Wake { session, reply } => {
                let answer = tree.wake(&myself, session).await;
                let _gone = reply.send(answer);
            }
            FarmMessage::Ensure { config, reply } => {
                let answer = tree.ensure(&myself, *config).await;
                let _gone = reply.send(answer);
            }
            FarmMessage::Status { reply } => {
                let _gone = reply.send(StatusParts { status: tree.status() });
            }
            FarmMessage::Start { roles, why } => tree.start_again(&myself, roles, &why).await,
            FarmMessage::Melted { role, why } => tree.melted(role, why).await,
            FarmMessage::StoreFailed(why) => {
                if !tree.stopping {
                    tree.fail(format!("the store failed: {why}"));
                }
            }
            FarmMessage::Stop { drain, reply } => tree.begin_stop(&myself, drain, reply),
            FarmMessage::Drained { reply } => {
                tree.checkpoint_sessions().await;
                tree.end_children().await;
                let _gone = reply.send(());
                tree.end.send_if_modified(|end| {
                    let first = end.is_none();
                    end.get_or_insert(FarmEnd::Stopped);
                    first
                });
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<FarmMessage>,
        event: SupervisionEvent,
        tree: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let Some(role) = tree.role_of(&cell) else { return Ok(()) };
                // An actor that stops itself gives no reason; a kill (a task's panic) does.
                if let (Role::Session(session), None) = (&role, &reason) {
                    let session = *session;
                    tree.session_ended(session).await;
                    return Ok(());
                }
                (cell, reason.unwrap_or_else(|| "it ended by itself".into()))
            }
            _ => return Ok(()),
        };
        if let Some(role) = tree.role_of(&cell)
            && !tree.stopping
        {
            tree.failed(&myself, role, why);
        }
        Ok(())
    }
}

impl Tree {
    /// A session ended as it should: its tasks are awaited, and nobody is started again.
    async fn session_ended(&mut self, session: SessionId) {
        if let Some(child) = self.children.remove(&Role::Session(session)) {
            tokio::spawn(async move { child.effects.end(EFFECTS_END).await });
        }
        self.restarts.remove(&Role::Session(session));
        if self.behind.remove(&session) && self.behind.is_empty() {
            // All that the store's way back made ambiguous is resolved: it need not be told again.
            if let Err(error) = self.store.settle().await {
                tracing::error!(%error, "settle what the store lost");
            }
        }
    }

    /// The device actors are started anew, for their configuration changed.
    pub(super) async fn replace_device(&mut self, device: &DeviceName) {
        for role in [Role::Device(device.clone()), Role::Serial(device.clone())] {
            if let Some(child) = self.children.remove(&role) {
                let _stopped = child.cell.stop_and_wait(None, Some(EFFECTS_END)).await;
                child.effects.end(EFFECTS_END).await;
            }
        }
    }

    pub(super) fn sessions(&self) -> Vec<SessionId> {
        let session = |role: &Role| match role {
            Role::Session(session) => Some(*session),
            _ => None,
        };
        self.children.keys().filter_map(session).collect()
    }
}
