//! A lock across processes that is held, not a file that is found: its holder's end, however it comes, releases it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Between two tries of a lock that another holds: short beside an installation, long beside a system call.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    // The file itself stays, for whoever waits on it.
    file: File,
}

impl Drop for Lock {
    /// flock(2) belongs to the open file, which a process that is just being started has too, until it is another program: closing it
    /// here would not be the release.
    fn drop(&mut self) {
        let _closing_is_all_that_is_left = flock(&self.file, FlockOperation::Unlock);
    }
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// By one.
    Alone,
    /// By any number, none of them alone.
    Shared,
}

impl Lock {
    /// Tries once.
    pub(crate) fn try_take(path: &Path, hold: Hold) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().create(true).truncate(false).write(true).open(path) {
            // Whoever may read a file may lock it, too.
            Err(error) if may_not_write(&error) => File::open(path).map_err(|_not_there| error)?,
            opened => opened?,
        };
        let operation = match hold {
            Hold::Alone => FlockOperation::NonBlockingLockExclusive,
            Hold::Shared => FlockOperation::NonBlockingLockShared,
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for it; `waits` is called once where another holds it. The caller has the deadline.
    pub(crate) async fn take(path: PathBuf, hold: Hold, waits: impl FnOnce()) -> io::Result<Self> {
        let mut waits = Some(waits);
        loop {
            if let Some(lock) = Self::try_take(&path, hold)? {
                return Ok(lock);
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}

/// Whether something is another user's, or on a disk that is only read.
pub(crate) fn may_not_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_or_many_shared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let alone = Lock::try_take(&path, Hold::Alone).unwrap().unwrap();
        assert!(Lock::try_take(&path, Hold::Alone).unwrap().is_none());
        assert!(Lock::try_take(&path, Hold::Shared).unwrap().is_none());
        // A process that is just being started has it too.
        let _forked = alone.file.try_clone().unwrap();
        drop(alone);
        let _one = Lock::try_take(&path, Hold::Shared).unwrap().unwrap();
        let _two = Lock::try_take(&path, Hold::Shared).unwrap().unwrap();
        assert!(Lock::try_take(&path, Hold::Alone).unwrap().is_none());
    }
}
