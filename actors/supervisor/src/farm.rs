//! A farm: its start, its handle, its end.

mod collect;
mod coming;
mod doubt;
mod keep;
mod tree;
mod wiring;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::profiles::Folders;
use farmhand_messages::Names;
use farmhand_records::v1::Farm as FarmRecord;
use farmhand_records::{Incarnation, Record, SessionId};
use farmhand_runtime::{AskError, Chaos, Paths, SavedError, ask_once, boot_id, load, save};
use farmhand_store::{Durability, OpenError, StoreError, StoreHandle};
use ractor::{Actor, ActorRef};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::devices::DeviceEntry;
use crate::transport::{HomeHeld, HomeLock};

pub(crate) use tree::FarmMessage;

/// Actors end, effects are awaited and the store is closed within this, on top of the drain: the longest that cannot
/// be cut short is a page write or a sync, of seconds on a bad day.
const STOP: Duration = Duration::from_secs(30);

/// What a farm is started with.
#[derive(Debug, Clone)]
pub struct FarmConfig {
    /// Its folder: its whole world.
    pub home: PathBuf,
    /// The devices it owns. Virtual ones are made where none fits.
    pub devices: Vec<DeviceEntry>,
    /// Compilers at once.
    pub workers: usize,
    /// How large the cache of objects may grow, in bytes.
    pub cache_bytes: u64,
    /// Whether a virtual device is made for a board that none is plugged in of.
    pub virtual_devices: bool,
    /// Where device profiles are, besides those built in.
    pub profiles: Folders,
    /// Where tests kill actors.
    pub chaos: Chaos,
}

impl FarmConfig {
    /// A farm in a folder, as it comes.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            devices: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            cache_bytes: farmhand_compiler::CACHE_BYTES,
            virtual_devices: true,
            profiles: Folders::default(),
            chaos: Chaos::default(),
        }
    }
}

/// Why a farm did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process is this farm.
    #[error(transparent)]
    Held(#[from] HomeHeld),
    /// Its folder cannot be made or used.
    #[error("use {}: {source}", .home.display())]
    Home {
        /// The folder.
        home: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store opens, and does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The farm's own record cannot be read.
    #[error("read the farm's own record: {0}")]
    Record(#[from] SavedError),
    /// An actor did not start.
    #[error("start the farm's actors: {0}")]
    Actors(String),
}

/// How a farm ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FarmEnd {
    /// It was asked to.
    Stopped,
    /// It had to: the store failed, or an actor that it cannot do without cannot be kept up.
    Failed(String),
}

/// A farm that runs. Dropped without [`Farm::stop`] it ends as by a kill: nothing is lost, and what was unfinished is
/// resumed by the next start, which is refused until the tasks of this one have ended.
#[derive(Debug)]
pub struct Farm {
    api: Api,
    root: ActorRef<FarmMessage>,
    tree: JoinHandle<()>,
    end: tokio::sync::watch::Receiver<Option<FarmEnd>>,
    store: StoreHandle,
    _lock: Arc<HomeLock>,
}

impl Drop for Farm {
    fn drop(&mut self) {
        // Stopped in order it is gone already. The tree holds the folder until its tasks have ended.
        self.root.kill();
    }
}

impl Farm {
    /// Starts a farm: takes its folder, opens its store, starts its actors, and resumes what was unfinished.
    pub async fn start(config: FarmConfig) -> Result<Self, StartError> {
        let home = |source| StartError::Home { home: config.home.clone(), source };
        make_private(&config.home).map_err(home)?;
        let real = config.home.canonicalize().map_err(home)?;
        let lock = Arc::new(HomeLock::take(&real)?);
        let paths = Paths::new(real);
        let (store, report) = StoreHandle::open(paths.store()).await?;
        match Self::start_in(config, paths, store.clone(), report, lock).await {
            Ok(farm) => Ok(farm),
            Err(error) => {
                let _closing_is_all_that_is_left = store.close().await;
                Err(error)
            }
        }
    }

    async fn start_in(
        config: FarmConfig,
        paths: Paths,
        store: StoreHandle,
        report: farmhand_store::OpenReport,
        lock: Arc<HomeLock>,
    ) -> Result<Self, StartError> {
        let record = next_start(&store).await?;
        // Unique in the process, and told apart in traces: one folder is one farm.
        let names = Names::new(&format!("{}#{}", paths.home().display(), record.incarnation));
        let (end_of, end) = tokio::sync::watch::channel(None);
        let args = tree::Args {
            names: names.clone(),
            store: store.clone(),
            paths: paths.clone(),
            record,
            report,
            config,
            end: end_of,
            lock: lock.clone(),
        };
        let (root, tree) = Actor::spawn(Some(names.farm()), tree::FarmActor, args)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        let api = Api::new(names, store.clone(), paths);
        Ok(Self { api, root, tree, end, store, _lock: lock })
    }

    /// All that a front end needs; it may be cloned and outlive the handle.
    #[must_use]
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Waits until the farm ends by itself, or somebody stops it through the API.
    pub async fn ended(&mut self) -> FarmEnd {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(FarmEnd::Stopped),
            Err(_) => FarmEnd::Failed("the farm's root actor is gone".into()),
        }
    }

    /// Stops: grants nothing more, waits up to `drain` for sessions to end, checkpoints, ends all actors and their
    /// tasks, closes the store. What was unfinished is resumed by the next start.
    pub async fn stop(mut self, drain: Duration) -> FarmEnd {
        let asked =
            ask_once(self.api.names().farm(), drain + STOP, |reply| FarmMessage::Stop { drain, reply }).await;
        self.root.stop(None);
        let _it_panicked_or_not = tokio::time::timeout(STOP, &mut self.tree).await;
        let closed = self.store.close().await;
        match (asked, closed) {
            (Ok(()) | Err(AskError::Absent | AskError::Ended), Ok(())) => FarmEnd::Stopped,
            (Err(error), _) => FarmEnd::Failed(format!("the farm {error} to stop")),
            (_, Err(error)) => FarmEnd::Failed(error.to_string()),
        }
    }
}

/// A folder that only its owner can look into.
fn make_private(home: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home)
}

/// Counts this start, durably.
async fn next_start(store: &StoreHandle) -> Result<FarmRecord, StartError> {
    let empty =
        FarmRecord { incarnation: Incarnation(0), last_session: SessionId(0), boot_id: String::new() };
    let last = load::<FarmRecord>(store, &empty.key()).await?.unwrap_or(empty);
    let record = FarmRecord { incarnation: last.incarnation.next(), boot_id: boot_id(), ..last };
    save(store, &record, record.incarnation, Durability::Marked).await?;
    Ok(record)
}

#[cfg(test)]
mod tests;
