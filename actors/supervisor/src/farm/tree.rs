//! The root actor: it starts the others, and is told when one ends.
//!
//! one_for_one for the core, the sessions and the devices; a device's serial port and its device actor are
//! rest_for_one. A restarted actor has the same name, a new incarnation, and begins from its snapshot, after its
//! predecessor's tasks are known to have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_api::{ActorView, Job, Problem, StatusView};
use farmhand_messages::Names;
use farmhand_messages::device::DeviceConfig;
use farmhand_records::v1::Farm as FarmRecord;
use farmhand_records::{DeviceName, Incarnation, SessionId};
use farmhand_runtime::{Ctx, Effects, Paths};
use farmhand_serial::PortKeeper;
use farmhand_store::{OpenReport, StoreHandle};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::coming::Coming;
use super::doubt::Was;
use super::{FarmConfig, FarmEnd};
use crate::restarts::Restarts;
use crate::transport::HomeLock;

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
    /// From its own tasks: this one cannot be kept up. `ended`: nothing of it, and of `roles` that went with it, runs
    /// any more.
    Melted { role: Role, roles: Vec<Role>, ended: bool, why: String },
    /// From its own tasks: what this session set going, which ended as it should, has ended, or not in time.
    Ended { session: SessionId, ended: bool },
    /// From its own tasks: a session that could not be given up is tried again.
    Retry { session: SessionId },
    /// From its own tasks: the store ended.
    StoreFailed(String),
    /// Checkpoint and end everything but the store.
    Stop { drain: Duration, reply: RpcReplyPort<()> },
    /// From its own tasks: sessions have drained, or the time is up.
    Drained,
}

pub(super) struct Args {
    pub(super) names: Names,
    pub(super) store: StoreHandle,
    pub(super) paths: Paths,
    pub(super) record: FarmRecord,
    pub(super) report: OpenReport,
    pub(super) config: FarmConfig,
    pub(super) end: watch::Sender<Option<FarmEnd>>,
    pub(super) lock: Arc<HomeLock>,
}

pub(super) struct Child {
    pub(super) cell: ActorCell,
    pub(super) effects: Effects,
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
    /// The folder is ours for as long as anything of the farm runs.
    lock: Arc<HomeLock>,
    pub(super) started: Instant,
    pub(super) notes: Vec<String>,
    /// Sessions that a store that went back has made ambiguous, and that have not ended yet; with how far each was.
    pub(super) behind: BTreeMap<SessionId, Was>,
    /// Sessions that were just made, and have no actor yet.
    pub(super) fresh: BTreeSet<SessionId>,
    pub(super) devices: BTreeMap<DeviceName, (DeviceConfig, PortKeeper)>,
    pub(super) stopping: bool,
    /// All actors have ended, or are ending.
    pub(super) stopped: bool,
    /// Those who asked for the stop: each is answered at its end.
    pub(super) stops: Vec<RpcReplyPort<()>>,
    pub(super) children: BTreeMap<Role, Child>,
    pub(super) coming: Coming,
    /// Ends of what failed or ended by itself: awaited before the store closes.
    pub(super) ends: TaskTracker,
    pub(super) restarts: BTreeMap<Role, Restarts>,
    started_count: BTreeMap<Role, u64>,
}

impl Tree {
    fn new(args: Args) -> Self {
        let Args { names, store, paths, record, report, config, end, lock } = args;
        Self {
            names,
            store,
            paths,
            record,
            report,
            config,
            end,
            lock,
            started: Instant::now(),
            notes: Vec::new(),
            behind: BTreeMap::new(),
            fresh: BTreeSet::new(),
            devices: BTreeMap::new(),
            stopping: false,
            stopped: false,
            stops: Vec::new(),
            children: BTreeMap::new(),
            coming: Coming::default(),
            ends: TaskTracker::new(),
            restarts: BTreeMap::new(),
            started_count: BTreeMap::new(),
        }
    }

    pub(super) fn has(&self, role: &Role) -> bool {
        self.children.contains_key(role)
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

    /// The farm cannot go on.
    pub(super) fn fail(&mut self, why: String) {
        tracing::error!(%why, "the farm ends");
        self.end.send_replace(Some(FarmEnd::Failed(why)));
    }

    pub(super) fn sessions(&self) -> Vec<SessionId> {
        let session = |role: &Role| match role {
            Role::Session(session) => Some(*session),
            _ => None,
        };
        self.children.keys().filter_map(session).collect()
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
}

impl Drop for Tree {
    /// Killed, and not stopped in order: what runs yet ends, then the store closes, then another may have the folder.
    fn drop(&mut self) {
        let children = std::mem::take(&mut self.children);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if children.is_empty() && self.ends.is_empty() {
            return;
        }
        let (ends, store, lock) = (self.ends.clone(), self.store.clone(), self.lock.clone());
        runtime.spawn(async move {
            for child in children.values() {
                child.cell.kill();
            }
            for child in children.values() {
                child.effects.end(EFFECTS_END).await;
            }
            ends.close();
            let _not_all = timeout(EFFECTS_END, ends.wait()).await;
            let _nobody_to_tell = store.close().await;
            drop(lock);
        });
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
            FarmMessage::Melted { role, roles, ended, why } => {
                tree.coming.melted(&role, &roles, ended, &why);
                tree.melted(&myself, role, why).await;
            }
            FarmMessage::Ended { session, ended } => tree.session_has_ended(&myself, session, ended).await,
            FarmMessage::Retry { session } => {
                let role = Role::Session(session);
                let there = tree.stopping || tree.has(&role) || tree.coming.is_coming(&role);
                if !there
                    && tree.coming.stuck(&role).is_none()
                    && let Err(error) = tree.start(&myself, role.clone()).await
                {
                    tree.failed(&myself, role, error.to_string());
                }
            }
            FarmMessage::StoreFailed(why) => {
                if !tree.stopping {
                    tree.fail(format!("the store failed: {why}"));
                }
            }
            FarmMessage::Stop { drain, reply } => tree.begin_stop(&myself, drain, reply),
            FarmMessage::Drained => {
                if !std::mem::replace(&mut tree.stopped, true) {
                    tree.checkpoint_sessions().await;
                    tree.end_children().await;
                }
                for reply in std::mem::take(&mut tree.stops) {
                    let _gone = reply.send(());
                }
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
                    tree.session_ended(&myself, session).await;
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
