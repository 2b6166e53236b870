//! The store of packages as a whole: what is in it, whether it is still what it was, and what may go.

mod leftovers;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_messages::installer::Installed;

use crate::apt::Sha256;
use crate::catalogue::described;
use crate::lease::{last_use, lease_file, users};
use crate::lock::{Hold, Lock, may_not_write};
use crate::offers::offers_of;
use crate::record::CompletionRecord;
use crate::shelf::{Shelf, remove_all};
use crate::unpack::read_tree;
use crate::{InstallError, Packages};
pub use state::Keep;
use state::{Candidate, GRACE, choose};

/// A package of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The package.
    pub installed: Installed,
    /// What it is for, where that was said.
    pub kind: Option<String>,
    /// What builds may ask it for.
    pub offers: Vec<String>,
    /// Of its files.
    pub bytes: u64,
    /// When it was last used; else when it was installed.
    pub used: SystemTime,
    /// The processes that use it now.
    pub users: Vec<u32>,
    /// The projects that asked for it, and are still there.
    pub projects: Vec<PathBuf>,
}

impl Stored {
    /// How long ago it was last used.
    #[must_use]
    pub fn idle(&self) -> Duration {
        SystemTime::now().duration_since(self.used).unwrap_or(Duration::ZERO)
    }

    /// Used so short a time ago that no collection takes it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.idle() < GRACE
    }
}

/// What became of a package that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was installed.
    Whole,
    /// It is not.
    Damaged,
    /// It was installed by a version that noted nothing to compare it with.
    Unknown,
}

/// Compares what lies in a package's folder with what was installed there. Blocks: all of it is read.
pub(crate) fn verdict(prefix: &Path) -> Result<Verdict, InstallError> {
    let record = Shelf::record_of(prefix).and_then(|path| CompletionRecord::read(&path));
    let Some(expected) = record.and_then(|record| record.tree) else { return Ok(Verdict::Unknown) };
    let (found, _bytes) = read_tree(prefix)?;
    Ok(if Sha256(found).to_string() == expected { Verdict::Whole } else { Verdict::Damaged })
}

impl Packages {
    /// All that is in the store. Blocks: the size of each is counted.
    #[must_use]
    pub fn stored(&self) -> Vec<Stored> {
        self.shelves()
            .iter()
            .flat_map(|shelf| shelf.complete().into_iter().filter_map(|one| stored(shelf, one)))
            .collect()
    }

    /// Those that lie in these folders.
    #[must_use]
    pub fn list_of<'a>(&self, prefixes: impl IntoIterator<Item = &'a Path>) -> Vec<Installed> {
        let read = |prefix: &Path| {
            let record = CompletionRecord::read(&Shelf::record_of(prefix)?)?;
            record.installed(prefix.to_owned(), true)
        };
        prefixes.into_iter().filter_map(read).collect()
    }

    /// Compares a package with what was installed. Blocks: all of it is read.
    pub fn verify(&self, stored: &Stored) -> Result<Verdict, InstallError> {
        verdict(&stored.installed.prefix)
    }

    /// Takes a damaged package off its shelf, unless it is in use: the next who asks for it installs it again.
    pub fn discard(&self, stored: &Stored) -> Result<bool, InstallError> {
        self.remove(stored, false)
    }

    /// Collects: gives what went, or would go (`dry_run`). Never what is in use. What was fetched of a package and never
    /// became one is collected as well: it is given as a package of that name, in the folder that it lies in. Blocks.
    pub fn collect(&self, keep: Keep, dry_run: bool) -> Result<Vec<Stored>, InstallError> {
        let mut all = self.stored();
        let packages = all.len();
        all.extend(self.shelves().iter().filter_map(leftovers::left));
        let in_use = |at: usize| match at < packages {
            true => is_in_use(&all[at].installed.prefix),
            false => leftovers::is_in_use(&self.shelf_of(&all[at])),
        };
        let candidates: Vec<_> = (0..all.len())
            .map(|at| Candidate { bytes: all[at].bytes, idle: all[at].idle(), in_use: in_use(at) })
            .collect();
        let mut gone = Vec::new();
        for at in choose(&candidates, keep) {
            let remove = || match at < packages {
                true => self.remove(&all[at], true),
                false => leftovers::remove(&self.shelf_of(&all[at]), &all[at]),
            };
            if dry_run || remove()? {
                gone.push(all[at].clone());
            }
        }
        Ok(gone)
    }

    /// Removes what processes that died left. Blocks; passes over what another installs just now.
    pub fn reconcile(&self) -> Result<(), InstallError> {
        for shelf in self.shelves() {
            let lock = Lock::try_take(&shelf.lock(), Hold::Alone);
            // A shelf of another user's is theirs to sweep.
            let Ok(Some(_lock)) = lock else { continue };
            shelf.sweep()?;
        }
        Ok(())
    }

    /// What was used that short a time ago.
    pub(crate) fn used_within(&self, age: Duration) -> Vec<Installed> {
        let now = SystemTime::now();
        let young = |prefix: &Path| {
            last_use(prefix).is_some_and(|used| now.duration_since(used).is_ok_and(|idle| idle < age))
        };
        let all = self.shelves().into_iter().flat_map(|shelf| {
            let complete = shelf.complete().into_iter();
            complete.filter_map(move |record| {
                let prefix = shelf.folder().join(record.folder());
                if young(&prefix) { record.installed(prefix, true) } else { None }
            })
        });
        all.collect()
    }

    /// Notes that a project asked for a package.
    pub(crate) fn note_project(&self, installed: &Installed, project: &Path) -> Result<(), InstallError> {
        let Some(name) = installed.prefix.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
        let folder = self.folder().join(&installed.name);
        let one =
            Sha256(<sha2::Sha256 as sha2::Digest>::digest(project.as_os_str().as_encoded_bytes()).into());
        let path = folder.join(format!(".project-{}", &one.to_string()[..12]));
        let note = format!("{name}\n{}\n", project.display());
        match farmhand_runtime::replace_file(&path, note.as_bytes()) {
            // Of another user: it is used all the same.
            Err(error) if may_not_write(&error) => Ok(()),
            noted => noted.map_err(|error| InstallError::io("write", &path, error)),
        }
    }

    fn shelves(&self) -> Vec<Shelf> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
            .iter()
            .map(|name| Shelf::new(self.folder(), name))
            .filter(|shelf| shelf.folder().is_dir())
            .collect()
    }

    fn shelf_of(&self, stored: &Stored) -> Shelf {
        Shelf::new(self.folder(), &stored.installed.name)
    }

    /// Removes a package, unless it is installed or used just now, or was since it was looked at.
    fn remove(&self, stored: &Stored, unless_used_since: bool) -> Result<bool, InstallError> {
        let prefix = &stored.installed.prefix;
        let shelf = self.shelf_of(stored);
        let lock_error = |path: &Path, error| InstallError::io("lock", path, error);
        let taken = Lock::try_take(&shelf.lock(), Hold::Alone);
        let Some(_held) = taken.map_err(|error| lock_error(&shelf.lock(), error))? else { return Ok(false) };
        let Some(lease) = lease_file(prefix) else { return Ok(false) };
        if let Some(folder) = lease.parent() {
            fs::create_dir_all(folder).map_err(|error| InstallError::io("make", folder, error))?;
        }
        let taken = Lock::try_take(&lease, Hold::Alone);
        let Some(_nobody_uses_it) = taken.map_err(|error| lock_error(&lease, error))? else {
            return Ok(false);
        };
        if unless_used_since && last_use(prefix).is_some_and(|used| used > stored.used) {
            return Ok(false);
        }
        shelf.remove(prefix)?;
        Ok(true)
    }
}

fn is_in_use(prefix: &Path) -> bool {
    let Some(lease) = lease_file(prefix).filter(|lease| lease.exists()) else { return false };
    // Where it cannot be told, it is.
    !matches!(Lock::try_take(&lease, Hold::Alone), Ok(Some(_)))
}

fn stored(shelf: &Shelf, record: CompletionRecord) -> Option<Stored> {
    let prefix = shelf.folder().join(record.folder());
    if !prefix.is_dir() {
        return None;
    }
    let installed_at = SystemTime::UNIX_EPOCH + Duration::from_millis(record.installed_unix_ms);
    Some(Stored {
        kind: record.kind.clone().or_else(|| described(&record.name).map(|known| known.kind.to_string())),
        offers: match record.offers.is_empty() {
            true => offers_of(&record.name).iter().map(|&offer| offer.to_owned()).collect(),
            false => record.offers.iter().cloned().collect(),
        },
        bytes: bytes_of(&prefix),
        used: last_use(&prefix).map_or(installed_at, |used| used.max(installed_at)),
        users: users(&prefix),
        projects: projects(shelf, &record.folder()),
        installed: record.installed(prefix, true)?,
    })
}

fn projects(shelf: &Shelf, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(shelf.folder()).into_iter().flatten().flatten();
    let notes = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".project-"));
    let mut projects: Vec<_> = notes
        .filter_map(|note| {
            let note = fs::read_to_string(note.path()).ok()?;
            let (of, project) = note.trim_end().split_once('\n')?;
            (of == folder && Path::new(project).is_dir()).then(|| PathBuf::from(project))
        })
        .collect();
    projects.sort();
    projects
}

/// Of the files below a folder.
fn bytes_of(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(there) if there.is_dir() => open.push(entry.path()),
                Ok(there) if there.is_file() => bytes += there.len(),
                _ => {}
            }
        }
    }
    bytes
}

/// Removes what is left of a package, its record first: it is not installed any more from then on.
impl Shelf {
    fn remove(&self, prefix: &Path) -> Result<(), InstallError> {
        if let Some(record) = Self::record_of(prefix) {
            remove_all(&record).map_err(|error| InstallError::io("remove", &record, error))?;
            farmhand_runtime::sync_dir(self.folder())
                .map_err(|error| InstallError::io("sync", self.folder(), error))?;
        }
        remove_all(prefix).map_err(|error| InstallError::io("remove", prefix, error))
    }
}
