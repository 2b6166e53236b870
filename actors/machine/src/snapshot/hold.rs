//! Who uses what: locks that end with the processes that hold them, so that no kill leaves one.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::machine::MachineError;

/// How a file or a folder is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// With others who use it.
    Shared,
    /// Alone.
    Alone,
}

/// What became of an attempt to lock.
#[derive(Debug)]
pub(super) enum Lock {
    /// It is ours until this is dropped, by us and by whoever has inherited it.
    Ours(File),
    /// Somebody else has it.
    Theirs,
    /// It is not there, or is not what was there before.
    Gone,
}

/// A process that is being started has all that is open here until it becomes another program (fork(2), execve(2)), locks
/// too: what seems to be somebody else's may be that.
const STARTED_WITHIN: Duration = Duration::from_millis(250);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Locks a file or a folder. Waits no longer than a process that is being started may seem to have it.
pub(super) fn lock(path: &Path, how: How) -> io::Result<Lock> {
    let until = Instant::now() + STARTED_WITHIN;
    loop {
        match try_lock(path, how)? {
            Lock::Theirs if Instant::now() < until => sleep(LOOK_AGAIN),
            found => return Ok(found),
        }
    }
}

fn try_lock(path: &Path, how: How) -> io::Result<Lock> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::Gone),
        file => file?,
    };
    let operation = match how {
        How::Shared => FlockOperation::NonBlockingLockShared,
        How::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(&file, operation) {
        Err(Errno::WOULDBLOCK) => return Ok(Lock::Theirs),
        done => done?,
    }
    // It may have been removed, or replaced, between the two: then this is a lock on nothing.
    let (ours, there) = (file.metadata()?, fs::metadata(path));
    let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
    Ok(if same { Lock::Ours(file) } else { Lock::Gone })
}

/// The same folder for as long as it is open, whatever it is called by then.
pub(super) fn path_of(open: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

/// A file in a machine's folder that says what is being done with the machine. Its owner has it locked: one that nobody has
/// locked is of an owner who died.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    _lock: File,
}

impl Mark {
    /// Marks the folder. Not synced: no machine outlives the system.
    pub(super) fn make(folder: &Path, name: &str) -> Result<Self, MachineError> {
        let path = folder.join(name);
        let made = Self::of(&path, || {
            File::options().create(true).append(true).open(&path)?;
            Ok(true)
        })?;
        made.ok_or(MachineError::Busy)
    }

    /// The mark of an owner who died, if there is one.
    pub(super) fn left(folder: &Path, name: &str) -> Result<Option<Self>, MachineError> {
        let path = folder.join(name);
        Self::of(&path, || path.try_exists())
    }

    /// Somebody else may remove it while we look: then it is looked again.
    fn of(path: &Path, is_there: impl Fn() -> io::Result<bool>) -> Result<Option<Self>, MachineError> {
        let failed = |error: io::Error| MachineError::File { path: path.to_owned(), why: error.to_string() };
        let until = Instant::now() + STARTED_WITHIN;
        while is_there().map_err(failed)? {
            match lock(path, How::Alone).map_err(failed)? {
                Lock::Ours(lock) => return Ok(Some(Self { path: path.to_owned(), _lock: lock })),
                Lock::Gone if Instant::now() < until => {}
                Lock::Gone | Lock::Theirs => return Err(MachineError::Busy),
            }
        }
        Ok(None)
    }

    /// It is done.
    pub(super) fn remove(self) -> Result<(), MachineError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(MachineError::File { path: self.path, why: error.to_string() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_meanwhile_is_not_locked() {
        let folder = std::env::temp_dir().join(format!("farmhand-hold-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ours = lock(&folder, How::Shared).unwrap();
        assert!(matches!(ours, Lock::Ours(_)));
        assert!(matches!(lock(&folder, How::Shared).unwrap(), Lock::Ours(_)), "with others");
        assert!(matches!(lock(&folder, How::Alone).unwrap(), Lock::Theirs));
        drop(ours);
        assert!(matches!(lock(&folder, How::Alone).unwrap(), Lock::Ours(_)));
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(lock(&folder, How::Alone).unwrap(), Lock::Gone));
    }
}
