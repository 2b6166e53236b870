//! Installing: fetch, unpack into staging, validate, sync, rename, record. No actor and no store is needed for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use farmhand_api::{InstallEvent, InstallStage};
use farmhand_messages::installer::{Installed, PackageWish};

use crate::apt::{Apt, Archive, Fetched, Resolved, Sha256};
use crate::catalogue::{Description, described, nearest};
use crate::config::Config;
use crate::deb::unpack_deb;
use crate::lock::{Hold, Lock};
use crate::progress::Progress;
use crate::record::{ArchiveRecord, CompletionRecord};
use crate::shelf::{Shelf, library_folders, missing, remove_all};
use crate::unpack::{Unpacker, hash_file, sync_tree};
use crate::{InstallError, local};
use sha2::Digest;

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

    /// The package of that name, if it is complete. Reads a small file: it takes well below a millisecond.
    #[must_use]
    pub fn installed(&self, name: &str) -> Option<Installed> {
        described(name)?;
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
        let name = match wish {
            PackageWish::Named(name) => name.clone(),
            PackageWish::Local { path, .. } => local::name_of(path),
        };
        let progress = Progress::new(&name, Arc::new(progress));
        let work = async {
            match wish {
                PackageWish::Named(name) => self.named(name, &progress).await,
                PackageWish::Local { path, sha256 } => self.local(&name, path, *sha256, &progress).await,
            }
        };
        match tokio::time::timeout(INSTALL_DEADLINE, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(InstallError::Deadline { package: name, deadline: INSTALL_DEADLINE }),
        }
    }

    async fn named(&self, name: &str, progress: &Progress) -> Result<Installed, InstallError> {
        let Some(description) = described(name) else {
            return Err(InstallError::UnknownName { name: name.to_owned(), nearest: nearest(name) });
        };
        let shelf = Shelf::new(&self.folder, name);
        if let Some(installed) = shelf.installed(None) {
            return Ok(installed);
        }
        // Before anybody waits for anything.
        let apt = Apt::new(&self.folder, description, &self.config)?;
        let (held, _give_up) = hold(&shelf, progress).await?;
        if let Some(installed) = shelf.installed(None) {
            return Ok(installed);
        }
        sweep(&shelf, &held).await?;
        progress.stage(InstallStage::Resolve, 0, 0);
        let archives = self.fetched(&apt, &shelf, description, progress, &held).await?;
        let record = record_of(description, &archives);
        let progress = progress.of(&record.version, archives.len());

        let unpacked = archives.iter().map(|archive| archive.indexed.unpacked_bytes).sum();
        let mut unpacker = self.unpacker(&shelf, &held, &progress, unpacked)?;
        let dpkg_deb = self.config.find("dpkg-deb", name, Vec::new)?;
        progress.stage(InstallStage::Unpack, 0, unpacked);
        for archive in &archives {
            let file = shelf.fetched().join(&archive.file);
            unpacker = unpack_deb(&dpkg_deb, name, file, unpacker, &held).await?;
        }
        let bytes = archives.iter().map(|archive| archive.indexed.bytes).sum();
        let installed = commit(unpacker, shelf, record, description.must_exist, held).await?;
        progress.stage(InstallStage::Done, bytes, bytes);
        Ok(installed)
    }

    fn unpacker(
        &self,
        shelf: &Shelf,
        held: &Held,
        progress: &Progress,
        total: u64,
    ) -> Result<Unpacker, InstallError> {
        let progress = progress.clone();
        // What an archive says of itself is about right: the bar stays within it.
        let step = move |bytes: u64| {
            let done = if total == 0 { bytes } else { bytes.min(total) };
            progress.step(InstallStage::Unpack, done, total);
        };
        Ok(Unpacker::new(shelf.staging()?, self.config.limits, held.given_up.clone(), step))
    }

    /// The archives of a package, on disk and as the signed index says.
    async fn fetched(
        &self,
        apt: &Apt<'_>,
        shelf: &Shelf,
        description: &Description,
        progress: &Progress,
        held: &Held,
    ) -> Result<Vec<Archive>, InstallError> {
        let package = description.name;
        let start = SystemTime::now();
        let mut again = false;
        loop {
            // An index may be behind its archive; one that was fetched before this run is fetched again, once.
            let complaints = apt.refresh(again.then_some(start)).await?;
            let last = again || !complaints.is_empty() || apt.is_fresh(Some(start));
            again = true;
            let archives = match apt.resolve(description).await? {
                Resolved::All(archives) => archives,
                Resolved::NotThere(_) if !last => continue,
                Resolved::NotThere(detail) if complaints.is_empty() => {
                    return Err(InstallError::NotInArchive { package: package.into(), detail });
                }
                Resolved::NotThere(_) => {
                    return Err(InstallError::Offline { package: package.into(), detail: complaints });
                }
            };
            let total = archives.iter().map(|archive| archive.indexed.bytes).sum();
            let version = version_of(description, &archives);
            let progress = progress.of(&version, archives.len());
            progress.stage(InstallStage::Fetch, 0, total);
            // A second try where the first one took up a file that was damaged since.
            let mut wrong = None;
            for _ in 0..2 {
                let into = shelf.fetched();
                let step = |bytes: u64| progress.step(InstallStage::Fetch, bytes.min(total), total);
                match apt.fetch(&archives, &into, step).await? {
                    Fetched::All => {}
                    Fetched::Gone(_) if !last => {
                        wrong = None;
                        break;
                    }
                    Fetched::Gone(error) => return Err(error),
                }
                match check_hashes(into, archives.clone(), held.clone()).await? {
                    None => {
                        progress.stage(InstallStage::Fetch, total, total);
                        return Ok(archives);
                    }
                    Some(error) => wrong = Some(error),
                }
            }
            if let Some(error) = wrong {
                return Err(error);
            }
        }
    }

    async fn local(
        &self,
        name: &str,
        path: &Path,
        sha256: Option<[u8; 32]>,
        progress: &Progress,
    ) -> Result<Installed, InstallError> {
        let source = local::Source::of(path, sha256)?;
        let shelf = Shelf::new(&self.folder, name);
        if let Some(installed) = sha256.and_then(|hash| shelf.installed(Some(hash))) {
            return Ok(installed);
        }
        let (held, _give_up) = hold(&shelf, progress).await?;
        sweep(&shelf, &held).await?;
        let outcome = self.local_held(name, source, &shelf, sha256, progress, held).await;
        // A copy of a file that is there anyway need not be taken up again.
        let fetched = shelf.fetched();
        remove_all(&fetched).map_err(|error| InstallError::io("remove", &fetched, error))?;
        outcome
    }

    async fn local_held(
        &self,
        name: &str,
        source: local::Source,
        shelf: &Shelf,
        sha256: Option<[u8; 32]>,
        progress: &Progress,
        held: Held,
    ) -> Result<Installed, InstallError> {
        let mut version = "local".to_owned();
        let mut unpacker = self.unpacker(shelf, &held, progress, 0)?;
        let (hash, bytes) = match source {
            local::Source::Folder(folder) => {
                let copy = move || {
                    let copied = unpacker.copy_folder(&folder)?;
                    Ok((unpacker, copied))
                };
                let copied;
                (unpacker, copied) = in_thread(held.clone(), copy).await?;
                copied
            }
            local::Source::File { path, kind } => {
                let copy = shelf.fetched().join(kind.file_name());
                let (hash, bytes) =
                    local::copy(path.clone(), copy.clone(), progress.clone(), held.clone()).await?;
                if let Some(expected) = sha256.filter(|expected| *expected != hash) {
                    let (expected, found) = (Sha256(expected).to_string(), Sha256(hash).to_string());
                    return Err(InstallError::WrongHash { file: path, expected, found });
                }
                if let Some(installed) = shelf.installed(Some(hash)) {
                    return Ok(installed);
                }
                progress.stage(InstallStage::Unpack, 0, 0);
                if kind == local::Kind::Deb {
                    let dpkg_deb = self.config.find("dpkg-deb", name, Vec::new)?;
                    version = local::deb_version(&dpkg_deb, name, &copy).await?;
                    unpacker = unpack_deb(&dpkg_deb, name, copy, unpacker, &held).await?;
                } else {
                    let unpack = move || {
                        local::unpack_tar(kind, &path, &copy, &mut unpacker)?;
                        Ok(unpacker)
                    };
                    unpacker = in_thread(held.clone(), unpack).await?;
                }
                (hash, bytes)
            }
        };
        if let Some(installed) = shelf.installed(Some(hash)) {
            return Ok(installed);
        }
        let archive = ArchiveRecord {
            name: name.to_owned(),
            version: version.clone(),
            bytes,
            sha256: Sha256(hash).to_string(),
        };
        let record = CompletionRecord::new(name, &version, hash, vec![archive]);
        let progress = progress.of(&version, 1);
        let installed = commit(unpacker, shelf.clone(), record, &[], held).await?;
        progress.stage(InstallStage::Done, bytes, bytes);
        Ok(installed)
    }
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

/// Checks what was fetched against the signed index. A file that is wrong is removed; the first is told.
async fn check_hashes(
    folder: PathBuf,
    archives: Vec<Archive>,
    held: Held,
) -> Result<Option<InstallError>, InstallError> {
    in_thread(held, move || {
        let mut first = None;
        for archive in &archives {
            let file = folder.join(&archive.file);
            let (hash, _bytes) = hash_file(&file, |_, _| Ok(()))?;
            if hash != archive.indexed.sha256 {
                remove_all(&file).map_err(|error| InstallError::io("remove", &file, error))?;
                let (expected, found) =
                    (Sha256(archive.indexed.sha256).to_string(), Sha256(hash).to_string());
                first.get_or_insert(InstallError::WrongHash { file, expected, found });
            }
        }
        Ok(first)
    })
    .await
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
        let staging = unpacker.finish()?;
        if let Some(missing) = missing(staging.path(), must_exist) {
            return Err(InstallError::Incomplete { package: record.name, missing: missing.to_owned() });
        }
        record.libraries = library_folders(staging.path());
        sync_tree(staging.path())?;
        let installed = shelf.commit(staging, &record)?;
        let fetched = shelf.fetched();
        remove_all(&fetched).map_err(|error| InstallError::io("remove", &fetched, error))?;
        Ok(installed)
    })
    .await
}

fn record_of(description: &Description, archives: &[Archive]) -> CompletionRecord {
    let record = |archive: &Archive| ArchiveRecord {
        name: archive.indexed.name.clone(),
        version: archive.indexed.version.clone(),
        bytes: archive.indexed.bytes,
        sha256: Sha256(archive.indexed.sha256).to_string(),
    };
    let records: Vec<_> = archives.iter().map(record).collect();
    let mut hashes: Vec<_> = archives.iter().map(|archive| archive.indexed.sha256).collect();
    hashes.sort_unstable();
    let hash = hashes.iter().fold(sha2::Sha256::new(), |hash, archive| hash.chain_update(archive));
    CompletionRecord::new(
        description.name,
        &version_of(description, archives),
        hash.finalize().into(),
        records,
    )
}

/// The first root's, without its epoch, which only orders it.
fn version_of(description: &Description, archives: &[Archive]) -> String {
    let main = archives.iter().find(|archive| archive.indexed.name == description.roots[0]);
    let version = main.map_or("", |archive| archive.indexed.version.as_str());
    version.split_once(':').map_or(version, |(_epoch, version)| version).to_owned()
}
