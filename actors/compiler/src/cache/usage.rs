//! How much is in the cache, and when it was last used: told by files beside it, at next to no cost.
//!
//! - When something was last used is the time of its last access, which is set here: not when it was written, which a
//!   project's own link to the same file is watched by.
//! - `counted` is how much there was when it was last counted, and `written` each file's length that came since: a build
//!   adds eight bytes, and nobody waits for anybody. What is added in the middle of a count may be lost; so may what a
//!   killed build wrote: it is counted again each day.

use std::fs::{self, File, FileTimes};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::store::write_whole;

/// A use is noted where the last one was so long ago: the cache tells days apart, not minutes.
const NOTE_AFTER: Duration = Duration::from_secs(60 * 60);
/// It is counted again, and what killed builds left is removed, each day.
const COUNT_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Files of the cache take whole blocks on the disk, in bytes: what most file systems have.
const BLOCK_BYTES: u64 = 4096;
/// A list of what came since that is this long is a reason to count, in bytes: a hundred thousand files.
const WRITTEN_MAX: usize = 1 << 20;
/// Where more than the limit cannot be collected, it is not tried after each build: only when so much of it came anew.
const TRY_AGAIN_PART: u64 = 20;

fn counted(folder: &Path) -> PathBuf {
    folder.join("counted")
}

fn written(folder: &Path) -> PathBuf {
    folder.join("written")
}

/// Notes that a file of the cache is used. One that is another user's is used all the same.
pub(crate) fn note_use(file: &File) {
    let now = SystemTime::now();
    let recent = file
        .metadata()
        .and_then(|about| about.accessed())
        .is_ok_and(|last| now.duration_since(last).is_ok_and(|since| since < NOTE_AFTER));
    if !recent {
        let _not_ours = file.set_times(FileTimes::new().set_accessed(now));
    }
}

/// Notes that a file of so many bytes came into the cache. Where that fails, the daily count finds it.
pub(super) fn note_written(folder: &Path, bytes: u64) {
    let add = || File::options().create(true).append(true).open(written(folder));
    let _counted_later = add().and_then(|mut file| file.write_all(&on_disk(bytes).to_le_bytes()));
}

fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// Takes down a count that began before it was made: what was noted as written meanwhile is in it, or is lost.
pub(super) fn note_counted(folder: &Path, bytes: u64) -> io::Result<()> {
    write_whole(&counted(folder), &[&bytes.to_le_bytes()])?;
    super::remove_file(&written(folder))
}

/// Whether the cache in `folder` is to be counted, and collected where it is too large. Two small files are read.
pub(crate) fn is_due(folder: &Path, limit_bytes: u64) -> bool {
    let came = fs::read(written(folder)).unwrap_or_default();
    if came.len() > WRITTEN_MAX {
        return true;
    }
    let came: u64 =
        came.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes)).sum();
    let last =
        fs::read(counted(folder)).ok().and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    // What was never counted is as old as its folder.
    let since = match last {
        Some(_) => fs::metadata(counted(folder)).and_then(|about| about.modified()),
        None => fs::metadata(folder).and_then(|about| about.created()),
    };
    let Ok(since) = since else { return folder.exists() };
    let is_old = SystemTime::now().duration_since(since).map_or(true, |age| age > COUNT_AFTER);
    is_old || (last.unwrap_or(0).saturating_add(came) > limit_bytes && came > limit_bytes / TRY_AGAIN_PART)
}

/// What a file takes on the disk, in bytes: a block of `stat` has 512, whatever the file system's has (stat(2)).
pub(crate) fn disk_bytes(about: &fs::Metadata) -> u64 {
    about.blocks() * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_when_it_is_full_and_each_day() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("objects");
        assert!(!is_due(&folder, 0), "there is none");
        fs::create_dir(&folder).unwrap();
        assert!(!is_due(&folder, 100_000), "new, and empty");
        note_written(&folder, 60_000);
        assert!(!is_due(&folder, 100_000));
        note_written(&folder, 60_000);
        assert!(is_due(&folder, 100_000), "full");
        note_counted(&folder, 90_000).unwrap();
        assert!(!is_due(&folder, 100_000), "collected");
        note_written(&folder, 9_000);
        assert!(is_due(&folder, 100_000), "full again");
        note_counted(&folder, 110_000).unwrap();
        note_written(&folder, 4_000);
        assert!(!is_due(&folder, 100_000), "what could not be collected is not tried after each build");
        note_written(&folder, 4_000);
        assert!(is_due(&folder, 100_000));
        let file = File::options().append(true).open(counted(&folder)).unwrap();
        note_counted(&folder, 0).unwrap();
        assert!(!is_due(&folder, 100_000));
        drop(file);
        let file = File::options().append(true).open(counted(&folder)).unwrap();
        file.set_modified(SystemTime::now() - COUNT_AFTER * 2).unwrap();
        assert!(is_due(&folder, 100_000), "counted long ago");
    }

    #[test]
    fn a_use_is_noted_once_an_hour_and_changes_no_other_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        fs::write(&path, "object").unwrap();
        let file = File::open(&path).unwrap();
        let day = SystemTime::now() - Duration::from_secs(86_400);
        file.set_times(FileTimes::new().set_accessed(day).set_modified(day)).unwrap();
        note_use(&file);
        let about = file.metadata().unwrap();
        assert!(about.accessed().unwrap() > day, "used now");
        assert_eq!(about.modified().unwrap(), day, "a project's link to it is what it was");
        let recent = SystemTime::now() - NOTE_AFTER / 2;
        file.set_times(FileTimes::new().set_accessed(recent)).unwrap();
        note_use(&file);
        assert_eq!(file.metadata().unwrap().accessed().unwrap(), recent, "noted already");
    }
}
