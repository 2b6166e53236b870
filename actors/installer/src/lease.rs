//! Who uses a package: a lock that is held for as long as it is used, and that ends with its holder, however that
//! ends. The time of its file is the package's last use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_messages::installer::Installed;

use crate::InstallError;
use crate::lock::{Hold, Lock, may_not_write};

/// How often a lock that another holds alone is tried again, and how long after: a look takes microseconds.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A package is in use until this is dropped.
#[derive(Debug)]
pub struct Lease {
    _lock: Lock,
}

/// The file whose lock says that the package in `prefix` is used. It is never removed: two would be two locks.
pub(crate) fn lease_file(prefix: &Path) -> Option<PathBuf> {
    let shelf = prefix.parent()?;
    let (package, one) = (shelf.file_name()?.to_str()?, prefix.file_name()?.to_str()?);
    Some(shelf.parent()?.join(".leases").join(format!("{package}@{one}")))
}

impl Lease {
    /// Uses an installed package. None where it is being collected, or is not there any more: it is to be installed
    /// again.
    pub fn take(installed: &Installed) -> Result<Option<Self>, InstallError> {
        let Some(path) = lease_file(&installed.prefix) else { return Ok(None) };
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let take = || Lock::try_take(&path, Hold::Shared);
        let failed = |error| InstallError::io("lock", &path, error);
        // A folder that may not be made may be there.
        let mut lock = match made {
            Err(error) if !may_not_write(&error) => return Err(failed(error)),
            _ => take().map_err(failed)?,
        };
        // Who asks whether it is in use holds it alone for an instant.
        for _ in 0..LOOKS {
            if lock.is_some() || !installed.prefix.is_dir() {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
            lock = take().map_err(failed)?;
        }
        let Some(lock) = lock.filter(|_| installed.prefix.is_dir()) else { return Ok(None) };
        // Another user's file keeps its time: the owner's own uses are what is known then.
        let _may_not =
            File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(Self { _lock: lock }))
    }
}

/// When the package in `prefix` was last used, where anybody ever did.
pub(crate) fn last_use(prefix: &Path) -> Option<SystemTime> {
    fs::metadata(lease_file(prefix)?).and_then(|there| there.modified()).ok()
}

/// The processes that use the package in `prefix`, as the kernel knows them: their numbers.
pub(crate) fn users(prefix: &Path) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let Some(there) = lease_file(prefix).and_then(|path| fs::metadata(path).ok()) else { return Vec::new() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut users: Vec<_> = locks.lines().filter_map(|line| holder(line, there.ino())).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// The holder of a lock on the file of that number: `1: FLOCK ADVISORY READ 1234 08:01:131 0 EOF` (proc_locks(5)).
fn holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
    let of = file.rsplit(':').next()?.parse::<u64>().ok()?;
    (of == inode).then_some(pid.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says_of_locks() {
        assert_eq!(holder("1: FLOCK  ADVISORY  READ 1234 08:01:131 0 EOF", 131), Some(1234));
        assert_eq!(holder("1: FLOCK  ADVISORY  READ 1234 08:01:131 0 EOF", 31), None);
        assert_eq!(holder("2: POSIX  ADVISORY  WRITE 7 08:01:131 0 EOF", 131), None);
        assert_eq!(holder("1: -> FLOCK  ADVISORY  WRITE 9 08:01:131 0 EOF", 131), None);
        assert_eq!(holder("", 131), None);
    }
}
