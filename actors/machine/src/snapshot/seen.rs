//! What was read and found right is not read again while nobody has written to it: reading a machine's memory to compare it takes
//! longer than QEMU takes to load it.
//!
//! A file is the one that was read where the file system says so: its number, length and times. That holds for one boot of the
//! system; and a file that was written a moment ago may be written again at the same time, as far as its clock tells.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use farmhand_runtime::{boot_id, unix_us};
use serde::{Deserialize, Serialize};

/// In a snapshot's folder.
const SEEN: &str = "seen.json";
/// The clocks of file systems go in steps: of some milliseconds, and of two seconds on those that have the coarsest. In seconds.
const STEP_S: i64 = 3;

/// One state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// As it is now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let now = fs::metadata(path)?;
        Ok(Self {
            device: now.dev(),
            inode: now.ino(),
            len: now.len(),
            modified: (now.mtime(), now.mtime_nsec()),
            changed: (now.ctime(), now.ctime_nsec()),
        })
    }
}

/// A look at a file before it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub(super) stamp: Stamp,
    /// Whether another write from then on shows.
    settled: bool,
}

impl Looked {
    /// Now.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let now_s = i64::try_from(unix_us() / 1_000_000).unwrap_or_default();
        Ok(Self::of(Stamp::of(path)?, now_s))
    }

    fn of(stamp: Stamp, now_s: i64) -> Self {
        Self { stamp, settled: now_s - stamp.modified.0.max(stamp.changed.0) > STEP_S }
    }
}

/// What was found right, by what it is called here.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    boot: String,
    files: BTreeMap<String, Stamp>,
}

impl Seen {
    /// What was noted in this snapshot's folder; nothing where that is of an earlier boot, or no note.
    pub(super) fn of(folder: &Path) -> Self {
        let noted: Option<Self> =
            fs::read(folder.join(SEEN)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let boot = boot_id();
        noted
            .filter(|noted| noted.boot == boot && !boot.is_empty())
            .unwrap_or_else(|| Self { boot, files: BTreeMap::new() })
    }

    /// Whether that is what was found right.
    pub(super) fn has(&self, called: &str, stamp: Stamp) -> bool {
        self.files.get(called) == Some(&stamp)
    }

    /// Notes what was read since it had this stamp, and found right.
    pub(super) fn note(&mut self, folder: &Path, all: impl IntoIterator<Item = (String, Looked)>) {
        let settled = all.into_iter().filter(|(_, looked)| looked.settled);
        let new: Vec<_> = settled.filter(|(called, looked)| !self.has(called, looked.stamp)).collect();
        if new.is_empty() || self.boot.is_empty() {
            return;
        }
        self.files.extend(new.into_iter().map(|(called, looked)| (called, looked.stamp)));
        // Where it cannot be noted it is read again.
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|text| {
            let beside = folder.join(format!("{SEEN}.{}", std::process::id()));
            fs::write(&beside, text)?;
            fs::rename(&beside, folder.join(SEEN))
        });
        if let Err(error) = written {
            tracing::debug!(%error, "what was found right is not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder, with a file in it of which the clock says that it is an hour old.
    fn old() -> (std::path::PathBuf, std::path::PathBuf) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("farmhand-seen-{}-{nth}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("memory");
        fs::write(&file, "as it was").unwrap();
        (folder, file)
    }

    fn an_hour_later(file: &Path) -> Looked {
        let now_s = i64::try_from(unix_us() / 1_000_000).unwrap();
        Looked::of(Stamp::of(file).unwrap(), now_s + 3600)
    }

    /// Seen red where a stamp has no times in it.
    #[test]
    fn what_was_written_since_is_not_what_was_found_right() {
        let (folder, file) = old();
        Seen::of(&folder).note(&folder, [("memory".to_owned(), an_hour_later(&file))]);
        let noted = Seen::of(&folder);
        assert!(noted.has("memory", Stamp::of(&file).unwrap()));
        assert!(!noted.has("disk", Stamp::of(&file).unwrap()));
        // As long as it was, and with the time that it had: by whoever can set that.
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&file, "as it isn").unwrap();
        fs::File::options().append(true).open(&file).unwrap().set_modified(before).unwrap();
        assert!(!noted.has("memory", Stamp::of(&file).unwrap()));
        fs::remove_dir_all(folder).unwrap();
    }

    /// Seen red where the age of a file is not asked for.
    #[test]
    fn what_was_written_a_moment_ago_is_read_again() {
        let (folder, file) = old();
        Seen::of(&folder).note(&folder, [("memory".to_owned(), Looked::at(&file).unwrap())]);
        assert!(!Seen::of(&folder).has("memory", Stamp::of(&file).unwrap()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_was_noted_is_of_one_boot_of_the_system() {
        let (folder, file) = old();
        let looked = an_hour_later(&file);
        let mut of_another = Seen { boot: "another".into(), files: BTreeMap::new() };
        of_another.note(&folder, [("memory".to_owned(), looked)]);
        assert!(folder.join(SEEN).exists());
        assert!(!Seen::of(&folder).has("memory", looked.stamp));
        fs::remove_dir_all(folder).unwrap();
    }
}
