//! Machines, kept as they were at a moment, and made again from that.
//!
//! | file | what it is |
//! |---|---|
//! | `description.rs` | what a snapshot says of itself, and whether its files are what it says |
//! | `key.rs` | what went into a machine, in one number |
//! | `save.rs` | the operation: asked, paused, saved, let go on whatever failed, published |
//! | `resume.rs` | a machine that is paused by us, and goes on: now, or when it is adopted |
//! | `restore.rs` | machines from a snapshot: refused before anything starts, or paused and whole |
//! | `stream.rs` | a machine's memory on its way out of QEMU and into it |
//! | `seen.rs` | what was found right, and not written since |
//! | `prune.rs` | which cached ones go |
//! | `hold.rs` | who uses what |
//! | `error.rs` | what can be wrong |
//!
//! A snapshot is a folder of its own, below a folder of them: its description, the machine's memory, the program that was
//! loaded. It is made under another name and gets its own by one rename, in which one that it replaces loses it: there is the
//! old one, or the new one, and with both of them all of it.
//!
//! It is **in use** while it is read and while a machine runs that was made of it: that machine's QEMU has the lock on its
//! folder open, and the lock ends with it.

mod description;
mod error;
mod hold;
mod key;
mod prune;
mod restore;
mod resume;
mod save;
mod seen;
mod stream;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

pub use description::{Description, MadeBy, Part, Role, SnapshotName};
pub use error::SnapshotError;
pub use key::Key;
pub use prune::{Keep, Pruned};
pub use restore::{Place, Verified};
pub(crate) use restore::{RESTORING, end_half_restored, is_restoring};
pub(crate) use resume::{SAVING, forget_the_save, go_on_after_a_crash};
pub use save::{Saved, Wanted};
pub(crate) use stream::OUT;

use crate::machine::Program;
use crate::process::Emulator;
use hold::{How, Lock, lock, path_of};
use seen::Seen;

/// In front of the name of one that is being made, or was replaced.
const UNFINISHED: &str = ".new-";
/// In front of the name of one that is being removed.
const GOING: &str = ".gone-";
/// Folders of one name that are being made or removed at once: more than anybody does.
const AT_ONCE_MAX: u32 = 1000;
const DESCRIPTION: &str = "description.json";

/// A folder of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    folder: PathBuf,
}

/// One of a folder of snapshots.
#[derive(Debug)]
pub struct Listed {
    /// Its folder's name.
    pub name: String,
    /// What it says of itself, or what is wrong with that.
    pub description: Result<Description, SnapshotError>,
    /// When a machine was last made of it, or it was made; in milliseconds since 1970.
    pub used_unix_ms: u64,
}

/// One that is in use for as long as this lives.
#[derive(Debug, Clone)]
struct InUse {
    name: SnapshotName,
    folder: Arc<File>,
    /// Where it was when it was locked: for people.
    called: PathBuf,
}

impl InUse {
    /// Its folder, also where another one has its name by now.
    fn path(&self) -> PathBuf {
        path_of(&self.folder)
    }

    /// The same error, with a path that says something to people.
    fn tell(&self, error: SnapshotError) -> SnapshotError {
        let told = |path: PathBuf| match path.strip_prefix(self.path()) {
            Ok(below) => self.called.join(below),
            Err(_) => path,
        };
        match error {
            SnapshotError::Io { path, error } => SnapshotError::Io { path: told(path), error },
            SnapshotError::Changed(path) => SnapshotError::Changed(told(path)),
            SnapshotError::And { first, then } => {
                let (first, then) = (Box::new(self.tell(*first)), Box::new(self.tell(*then)));
                SnapshotError::And { first, then }
            }
            other => other,
        }
    }
}

impl Snapshots {
    /// Those in this folder, which is made where it is not there. What a predecessor left half done is removed.
    pub fn open(folder: &Path) -> Result<Self, SnapshotError> {
        let all = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(SnapshotError::io(folder))?;
        for entry in fs::read_dir(folder).map_err(SnapshotError::io(folder))?.flatten() {
            let name = entry.file_name();
            if [UNFINISHED, GOING].iter().any(|front| name.to_string_lossy().starts_with(front)) {
                remove_unused(&entry.path())?;
            }
        }
        Ok(all)
    }

    /// All of them, by name. Their files are not read.
    pub fn list(&self) -> Result<Vec<Listed>, SnapshotError> {
        let entries = fs::read_dir(&self.folder).map_err(SnapshotError::io(&self.folder))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names
            .into_iter()
            .map(|name| {
                let used_unix_ms = self.used_unix_ms(&name);
                let description = SnapshotName::new(&name).and_then(|name| self.describe(&name));
                Listed { name, description, used_unix_ms }
            })
            .collect())
    }

    /// What it says of itself.
    pub fn describe(&self, name: &SnapshotName) -> Result<Description, SnapshotError> {
        Description::read(&self.of(name), name)
    }

    /// The cached one of a machine that began with this program, if there is one. QEMU and the program are read; the snapshot's
    /// files are not.
    pub async fn cached(
        &self,
        emulator: &Emulator,
        program: &Program,
    ) -> Result<Option<Description>, SnapshotError> {
        let (all, kind) = (self.clone(), program.kind);
        let (emulator, files) = (emulator.program.clone(), program.files.clone());
        aside(move || {
            let of = |path: &Path| Part::of(path).map_err(SnapshotError::io(path));
            let parts: Result<_, SnapshotError> =
                files.iter().map(|(role, path)| Ok((*role, of(path)?))).collect();
            let name = Key::of(kind, &of(&emulator)?, &parts?).name();
            match all.describe(&name) {
                Err(SnapshotError::NoSuch(_)) => Ok(None),
                Ok(said) if said.made_by == MadeBy::Cache => Ok(Some(said)),
                // A person's, who has called it so.
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Whether its files are what it says: all of them are read.
    pub async fn verify(&self, name: &SnapshotName) -> Result<Description, SnapshotError> {
        let all_of_it = self.hold(name)?;
        let held = all_of_it.clone();
        let read = move || {
            let said = Description::read(&all_of_it.path(), &all_of_it.name)?;
            said.verify(&all_of_it.path(), &Seen::default())?;
            Ok(said)
        };
        aside(read).await.map_err(|error| held.tell(error))
    }

    /// Removes it: it is gone as a whole, whenever this is killed. One that is in use is refused.
    pub fn delete(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        let folder = self.of(name);
        let _alone = match lock(&folder, How::Alone).map_err(SnapshotError::io(&folder))? {
            Lock::Ours(lock) => lock,
            Lock::Theirs => return Err(SnapshotError::InUse(name.clone())),
            Lock::Gone => return Err(SnapshotError::NoSuch(name.clone())),
        };
        // Locked as it is: who sweeps leaves it to us.
        let going = self.gone(name, &folder)?;
        sync_folder(&self.folder)?;
        fs::remove_dir_all(&going).map_err(SnapshotError::io(&going))
    }

    /// Keeps it from being removed.
    fn hold(&self, name: &SnapshotName) -> Result<InUse, SnapshotError> {
        let folder = self.of(name);
        match lock(&folder, How::Shared).map_err(SnapshotError::io(&folder))? {
            Lock::Ours(lock) => Ok(InUse { name: name.clone(), folder: Arc::new(lock), called: folder }),
            // Who has it alone is removing it.
            Lock::Theirs | Lock::Gone => Err(SnapshotError::NoSuch(name.clone())),
        }
    }

    /// A new folder beside it, under a name that nothing else has. It is locked, so that no sweep takes it for one that was left;
    /// one that was faster has taken it already.
    fn fresh(&self, name: &SnapshotName) -> Result<(PathBuf, File), SnapshotError> {
        for tried in self.beside(UNFINISHED, name) {
            match fs::create_dir(&tried) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(SnapshotError::io(&tried))?,
            }
            if let Lock::Ours(lock) = lock(&tried, How::Shared).map_err(SnapshotError::io(&tried))? {
                return Ok((tried, lock));
            }
        }
        Err(SnapshotError::io(&self.folder)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Where its folder is, once it has its name no more.
    fn gone(&self, name: &SnapshotName, folder: &Path) -> Result<PathBuf, SnapshotError> {
        for tried in self.beside(GOING, name) {
            match renameat_with(CWD, folder, CWD, &tried, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => {
                    return done.map(|()| tried).map_err(|error| SnapshotError::io(folder)(error.into()));
                }
            }
        }
        Err(SnapshotError::io(folder)(io::ErrorKind::AlreadyExists.into()))
    }

    /// The names for what has not the name yet, or no more.
    fn beside(&self, front: &str, name: &SnapshotName) -> impl Iterator<Item = PathBuf> {
        (0..AT_ONCE_MAX).map(move |nth| self.folder.join(format!("{front}{name}.{nth}")))
    }

    fn of(&self, name: &SnapshotName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// As the file system tells of its description, which says so when it is used.
    fn used_unix_ms(&self, name: &str) -> u64 {
        let modified =
            fs::metadata(self.folder.join(name).join(DESCRIPTION)).and_then(|file| file.modified());
        let since = modified.ok().and_then(|when| when.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// It is used now. Where that cannot be said it only seems older than it is.
fn touch(held: &InUse) {
    let description = File::options().append(true).open(held.path().join(DESCRIPTION));
    if let Err(error) = description.and_then(|file| file.set_modified(SystemTime::now())) {
        tracing::debug!(snapshot = %held.name, %error, "it cannot be said that it is used");
    }
}

/// Removes a folder, where nobody uses it: the next one who opens the snapshots tries again.
fn remove_unused(folder: &Path) -> Result<(), SnapshotError> {
    match lock(folder, How::Alone).map_err(SnapshotError::io(folder))? {
        Lock::Ours(_alone) => fs::remove_dir_all(folder).map_err(SnapshotError::io(folder)),
        Lock::Theirs | Lock::Gone => Ok(()),
    }
}

/// In a thread that may wait for disks.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
}

fn sync_folder(folder: &Path) -> Result<(), SnapshotError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(SnapshotError::io(folder))
}
