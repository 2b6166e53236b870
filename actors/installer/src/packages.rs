//! Installing: fetch, unpack into staging, validate, sync, rename, record. No actor and no store is needed for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farmhand_api::{InstallEvent, InstallStage};
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::packages::{PackageOrigin, PackageSpec};

use crate::apt::Sha256;
use crate::catalogue::described;
use crate::config::Config;
use crate::lock::{Hold, Lock};
use crate::lockfile::LOCK_FILE;
use crate::offers::{CLANG, not_debians, offering};
use crate::progress::Progress;
use crate::record::CompletionRecord;
use crate::shelf::{Shelf, library_folders, missing, remove_all};
use crate::source::{Brought, Desk, PackageSource, source_of};
use crate::unpack::{Unpacker, sync_tree};
use crate::{InstallError, Lease, local};

/// For one installation, waiting for others included: 24 MB over the slowest line we care for (16 kB/s).
pub const INSTALL_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// The folder of installed packages.
#[derive(Debug, Clone)]
pub struct Packages {
    folder: PathBuf,
    config: Config,
}

/// What an installation holds on to while it works in a thread: dropping the future that waits for the thread lets
/// go of neither, but tells the thread to stop.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    // Its release is its drop.
    _lock: Arc<Lock>,
    pub(crate) given_up: Arc<AtomicBool>,
}

/// Tells the threads of an installation that nobody waits for them any more.
struct GiveUpOnDrop(Arc<AtomicBool>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Packages {
    /// The packages in a folder (absolute), configured from the environment.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::with_config(folder, Config::from_env())
    }

    /// The packages in a folder (absolute).
    #[must_use]
    pub fn with_config(folder: impl Into<PathBuf>, config: Config) -> Self {
        Self { folder: folder.into(), config }
    }

    /// Where they all are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The package of that name, if it is complete. Reads a small file: it takes well below a millisecond.
    #[must_use]
    pub fn installed(&self, name: &str) -> Option<Installed> {
        if name != CLANG {
            described(name)?;
        }
        Shelf::new(&self.folder, name).installed(None)
    }

    /// All packages that are complete, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Installed> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names.iter().filter_map(|name| Shelf::new(&self.folder, name).installed(None)).collect()
    }

    /// Has a package installed; answers when its completion record is on disk. Dropping the future gives up.
    pub async fn install(
        &self,
        wish: &PackageWish,
        progress: impl Fn(InstallEvent) + Send + Sync + 'static,
    ) -> Result<Installed, InstallError> {
        let own = not_debians(wish).map(|spec| PackageWish::Declared(Box::new(spec)));
        let wish = own.as_ref().unwrap_or(wish);
        let name = match wish {
            PackageWish::Named(name) => name.clone(),
            PackageWish::Offering(offer) => match offering(offer) {
                Some(description) => description.name.to_owned(),
                None => return Err(InstallError::NoOffer { offer: offer.clone() }),
            },
            PackageWish::Local { path, .. } => local::name_of(path),
            PackageWish::Declared(spec) => shelf_name(spec).to_owned(),
        };
        let progress = Progress::new(&name, Arc::new(progress));
        let spec = match wish {
            PackageWish::Declared(spec) => Some(&**spec),
            PackageWish::Named(_) | PackageWish::Local { .. } | PackageWish::Offering(_) => None,
        };
        // What is locked is what is used, whatever has become of where it came from.
        if let Some(spec) = spec
            && let Some(hash) = spec.locked
            && let Some(there) = Shelf::new(&self.folder, &name).installed(Some(hash))
            && is_kept(&there)
        {
            return Ok(declared(spec, there));
        }
        let installed = self.by_source(&name, source_of(wish)?, spec, &progress).await?;
        if let Some(spec) = spec
            && let Some(locked) = spec.locked
            && locked != installed.hash
        {
            let (expected, found) = (Sha256(locked).to_string(), Sha256(installed.hash).to_string());
            return Err(InstallError::NotAsLocked {
                path: LOCK_FILE.into(),
                name: spec.name.clone(),
                expected,
                found,
            });
        }
        Ok(match spec {
            Some(spec) => declared(spec, installed),
            None => installed,
        })
    }

    /// Has a package installed from a source, within the deadline of one installation.
    pub(crate) async fn by_source(
        &self,
        name: &str,
        source: Box<dyn PackageSource>,
        spec: Option<&PackageSpec>,
        progress: &Progress,
    ) -> Result<Installed, InstallError> {
        let work = self.from(name, &*source, spec, progress);
        match tokio::time::timeout(INSTALL_DEADLINE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(InstallError::Deadline { package: name.to_owned(), deadline: INSTALL_DEADLINE }),
        }
    }

    async fn from(
        &self,
        name: &str,
        source: &dyn PackageSource,
        spec: Option<&PackageSpec>,
        progress: &Progress,
    ) -> Result<Installed, InstallError> {
        let shelf = Shelf::new(&self.folder, name);
        if let Some(installed) = source.there(&shelf)
            && is_kept(&installed)
        {
            return Ok(installed);
        }
        let desk = Desk { name, packages: &self.folder, config: &self.config, shelf: &shelf, progress };
        source.check(&desk)?;
        let (held, _give_up) = hold(&shelf, progress).await?;
        if let Some(installed) = source.there(&shelf) {
            is_kept(&installed);
            return Ok(installed);
        }
        sweep(&shelf, &held).await?;
        let brought = source.bring(&desk, &held).await;
        let brought = match brought {
            Ok(Brought::Unpacked { unpacker, mut record, must_exist, bytes }) => {
                if let Some(spec) = spec {
                    (record.kind, record.offers) = (Some(spec.kind.to_string()), spec.offers.clone());
                }
                let progress = progress.of(&record.version, record.archives.len());
                let committed = commit(unpacker, shelf.clone(), *record, must_exist, held.clone()).await;
                if let Ok(installed) = &committed {
                    is_kept(installed);
                    progress.stage(InstallStage::Done, bytes, bytes);
                }
                committed
            }
            Ok(Brought::There(installed)) => {
                is_kept(&installed);
                Ok(installed)
            }
            Err(error) => Err(error),
        };
        if brought.is_ok() || !source.resumes() {
            let fetched = shelf.fetched();
            let remove =
                move || remove_all(&fetched).map_err(|error| InstallError::io("remove", &fetched, error));
            in_thread(held, remove).await?;
        }
        brought
    }
}

/// Notes that a package is used now, for those who collect; false where one collects it just now.
fn is_kept(installed: &Installed) -> bool {
    // A folder that cannot be written to is nobody's to collect from here.
    Lease::take(installed).map_or(true, |lease| lease.is_some())
}

/// What a declared package is called in the store.
#[must_use]
pub fn shelf_name(spec: &PackageSpec) -> &str {
    match &spec.origin {
        PackageOrigin::Debian { package } => package,
        _ => &spec.name,
    }
}

/// A package with the environment that its project declares for it.
fn declared(spec: &PackageSpec, mut installed: Installed) -> Installed {
    let prefix = installed.prefix.display().to_string();
    let said =
        spec.environment.iter().map(|(name, value)| (name.clone(), value.replace("{prefix}", &prefix)));
    installed.environment.extend(said);
    installed
}

/// Waits for the package's own lock.
async fn hold(shelf: &Shelf, progress: &Progress) -> Result<(Held, GiveUpOnDrop), InstallError> {
    let folder = shelf.folder();
    fs::create_dir_all(folder).map_err(|error| InstallError::io("make", folder, error))?;
    let lock = Lock::take(shelf.lock(), Hold::Alone, || progress.stage(InstallStage::Wait, 0, 0))
        .await
        .map_err(|error| InstallError::io("lock", &shelf.lock(), error))?;
    let given_up = Arc::new(AtomicBool::new(false));
    Ok((Held { _lock: Arc::new(lock), given_up: given_up.clone() }, GiveUpOnDrop(given_up)))
}

/// Runs blocking work in a thread that keeps the lock until its work, and what came of it, is gone.
pub(crate) async fn in_thread<R: Send + 'static>(
    held: Held,
    work: impl FnOnce() -> Result<R, InstallError> + Send + 'static,
) -> Result<R, InstallError> {
    let span = tracing::Span::current();
    let thread = tokio::task::spawn_blocking(move || {
        let _in_span = span.enter();
        // In this order: where nobody waits any more, the outcome is dropped before the lock.
        (work(), held)
    });
    match thread.await {
        Ok((outcome, _held)) => outcome,
        // A panic there is a panic here: whoever owns this task is to know.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(InstallError::Interrupted { package: "a package".into() }),
        },
    }
}

async fn sweep(shelf: &Shelf, held: &Held) -> Result<(), InstallError> {
    let shelf = shelf.clone();
    in_thread(held.clone(), move || shelf.sweep()).await
}

/// Validates what was unpacked, makes it durable, and makes it the package.
async fn commit(
    unpacker: Unpacker,
    shelf: Shelf,
    mut record: CompletionRecord,
    must_exist: &'static [&'static str],
    held: Held,
) -> Result<Installed, InstallError> {
    in_thread(held, move || {
        let (staging, tree) = unpacker.finish()?;
        record.tree = Some(Sha256(tree).to_string());
        if let Some(missing) = missing(staging.path(), must_exist) {
            return Err(InstallError::Incomplete { package: record.name, missing: missing.to_owned() });
        }
        record.libraries = library_folders(staging.path());
        sync_tree(staging.path())?;
        shelf.commit(staging, &record)
    })
    .await
}
