//! One process is the farm of a folder: the one that holds the lock in it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use farmhand_api::{Problem, ProblemClass};
use farmhand_runtime::{Paths, process_start};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// The lock of a farm's folder. Held by the kernel for as long as this value, or the process, lives: a lock that is
/// left behind is no lock.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
    home: PathBuf,
}

impl Drop for HomeLock {
    /// Not by closing it alone: a process that is just being started has all that is open here until it is another program, and
    /// with it the lock (flock(2)).
    fn drop(&mut self) {
        let _closing_is_all_that_is_left = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Who holds a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its program, such as `farmhandd`.
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.program, self.pid)
    }
}

/// Why a folder cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeHeld {
    /// Another process is its farm.
    #[error("{} is held by {}", .home.display(), named(.holder.as_ref()))]
    By {
        /// The folder.
        home: PathBuf,
        /// Who; none where it has just begun, or is just ending.
        holder: Option<Holder>,
    },
    /// Its lock cannot be used.
    #[error("lock {}: {source}", .home.display())]
    Unusable {
        /// The folder.
        home: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

fn named(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process that is just starting or ending".into(), Holder::to_string)
}

impl From<HomeHeld> for Problem {
    fn from(error: HomeHeld) -> Self {
        let (class, code, help) = match &error {
            HomeHeld::By { holder, .. } => {
                let mut help = vec!["farmhand stop".to_owned()];
                help.extend(holder.as_ref().map(|holder| format!("kill {}", holder.pid)));
                (ProblemClass::Busy, "F610", help)
            }
            HomeHeld::Unusable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                (ProblemClass::Permission, "F611", vec!["choose another folder: FARMHAND_HOME=...".into()])
            }
            HomeHeld::Unusable { .. } => {
                (ProblemClass::Infra, "F611", vec!["choose another folder: FARMHAND_HOME=...".into()])
            }
        };
        Self { class, code: code.into(), message: error.to_string(), detail: Vec::new(), help, place: None }
    }
}

impl HomeLock {
    /// Takes the folder, which exists, at once or not at all.
    pub fn take(home: &Path) -> Result<Self, HomeHeld> {
        let unusable = |source| HomeHeld::Unusable { home: home.to_owned(), source };
        let path = Paths::new(home).lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(HomeHeld::By { home: home.to_owned(), holder: holder_in(&mut file) });
            }
            Err(error) => return Err(unusable(error.into())),
        }
        let pid = std::process::id();
        let text = format!("{pid} {} {}\n", process_start(pid).unwrap_or(0), program());
        // Written in place: the lock is this very file, so it cannot be replaced.
        let mut write = || {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write().map_err(unusable)?;
        Ok(Self { file, home: home.to_owned() })
    }

    /// The folder that is held.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
}

fn program() -> String {
    let own = std::env::current_exe().ok();
    let name = own.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "farmhand".into())
}

/// Who wrote himself in, if he still lives.
fn holder_in(file: &mut File) -> Option<Holder> {
    /// A pid, a start time and a name.
    const BYTES_MAX: u64 = 512;
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    let mut words = text.trim_end().splitn(3, ' ');
    let pid = words.next()?.parse().ok()?;
    let start: u64 = words.next()?.parse().ok()?;
    let program = words.next()?.to_owned();
    (process_start(pid) == Some(start)).then_some(Holder { pid, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let home = tempfile::tempdir().unwrap();
        let held = HomeLock::take(home.path()).unwrap();
        assert_eq!(held.home(), home.path());
        let Err(HomeHeld::By { holder: Some(holder), .. }) = HomeLock::take(home.path()) else {
            panic!("it was given twice");
        };
        assert_eq!(holder.pid, std::process::id());
        // A process that is just being started has it too.
        let _forked = held.file.try_clone().unwrap();
        drop(held);
        HomeLock::take(home.path()).unwrap();
    }

    #[test]
    fn what_a_dead_holder_wrote_holds_nothing_and_names_nobody() {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("lock");
        std::fs::write(&lock, "4194304000 17 farmhandd\n").unwrap();
        let mut file = File::open(&lock).unwrap();
        assert_eq!(holder_in(&mut file), None);
        HomeLock::take(home.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let home = tempfile::tempdir().unwrap();
        let error = HomeLock::take(&home.path().join("gone")).unwrap_err();
        assert!(matches!(error, HomeHeld::Unusable { .. }), "{error}");
    }
}
