//! What of the cache goes when it is too large: what was used longest ago.
//!
//! It is walked twice, so that nothing but times and lengths is kept in memory: once to find until when what was used
//! goes, and once to remove it; what is used between the two stays. Nothing here keeps a build out, and none needs to be:
//! what is gone is compiled again.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::usage::{disk_bytes, note_counted};
use super::{MAKING, UNFINISHED, UNFINISHED_AFTER};

/// Held by who collects.
const LOCK: &str = "lock";
/// Programs of this machine's own: started by their paths, a while after they are asked for.
const PROGRAMS: &str = "host";
/// A program of this machine's own stays so long after its last use.
const PROGRAM_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Below the limit by so much of it, so that the next build does not have it collected again.
const ROOM_PART: u64 = 5;
/// Between two looks at the lock: the kernel tells nobody.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// What is done with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectWish {
    /// It is to be no larger, in bytes.
    pub limit_bytes: u64,
    /// Nothing is removed, only counted.
    pub dry_run: bool,
    /// How long who collects already is waited for.
    pub wait: Duration,
}

/// What became of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files that were in it.
    pub files: u64,
    /// What they took on the disk, in bytes.
    pub bytes: u64,
    /// Files that went, or would.
    pub files_gone: u64,
    /// What they took, in bytes.
    pub bytes_gone: u64,
    /// What of that no project has a link to: so much the disk has more, in bytes.
    pub freed_bytes: u64,
    /// Files among them that killed builds left unfinished.
    pub left: u64,
    /// What stays whatever there is: programs of this machine's own that are about to be started, and what is just being
    /// made, in bytes.
    pub kept_bytes: u64,
}

/// Collects what is too much in `folder`; `None` where another process does. Who only counts waits for nobody and keeps
/// nobody out. `is_over` is asked now and then: true ends it in the middle, which does no harm. Blocks on the disk.
pub(crate) fn collect(
    folder: &Path,
    wish: CollectWish,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<Collected>> {
    if !folder.is_dir() {
        return Ok(Some(Collected::default()));
    }
    // Who collects behind a build does not wait: a count that held the lock would keep it from being done at all.
    let _only_we = if wish.dry_run {
        None
    } else {
        let Some(lock) = hold(folder, wish.wait)? else { return Ok(None) };
        Some(lock)
    };
    let now = SystemTime::now();
    let mut done = Collected::default();
    let mut uses = Vec::new();
    let way = Way { is_over, sweeps: !wish.dry_run };
    walk(folder, way, &mut |file| {
        let bytes = disk_bytes(&file.about);
        done.files += 1;
        done.bytes += bytes;
        if file.is_left(now) {
            done.left += 1;
            file.go(wish.dry_run, &mut done)?;
        } else if file.is_kept(now) {
            done.kept_bytes += bytes;
        } else {
            uses.push((file.used(), bytes));
        }
        Ok(())
    })?;
    let rest: u64 = done.kept_bytes + uses.iter().map(|(_, bytes)| bytes).sum::<u64>();
    if rest > wish.limit_bytes {
        let too_much = rest - (wish.limit_bytes - wish.limit_bytes / ROOM_PART);
        let mut left = too_much;
        let Some(until) = until(uses, too_much) else { return Ok(Some(done)) };
        walk(folder, way, &mut |file| {
            if left > 0 && !file.is_left(now) && !file.is_kept(now) && file.used() <= until {
                left = left.saturating_sub(disk_bytes(&file.about));
                file.go(wish.dry_run, &mut done)?;
            }
            Ok(())
        })?;
    }
    if !wish.dry_run && !is_over() {
        // Builds go on: some of what went was made after the rest was counted.
        note_counted(folder, done.bytes.saturating_sub(done.bytes_gone))?;
    }
    Ok(Some(done))
}

/// Until when what was last used must go, so that so many bytes do. Pure.
fn until(mut uses: Vec<(SystemTime, u64)>, too_much: u64) -> Option<SystemTime> {
    uses.sort_unstable();
    let mut sum = 0_u64;
    let enough = |&&(_, bytes): &&(SystemTime, u64)| {
        sum += bytes;
        sum >= too_much
    };
    uses.iter().find(enough).or(uses.last()).map(|&(used, _)| used)
}

/// The lock; none where somebody has it for longer than we wait.
fn hold(folder: &Path, wait: Duration) -> io::Result<Option<File>> {
    let lock = File::options().create(true).append(true).open(folder.join(LOCK))?;
    let began = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < wait => std::thread::sleep(LOCK_AGAIN),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A file of the cache.
struct Found {
    entry: DirEntry,
    about: fs::Metadata,
    is_program: bool,
    is_unfinished: bool,
}

impl Found {
    fn used(&self) -> SystemTime {
        self.about.accessed().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// What nobody goes on with.
    fn is_left(&self, now: SystemTime) -> bool {
        let age = self.about.modified().map(|at| now.duration_since(at).unwrap_or_default());
        self.is_unfinished && age.is_ok_and(|age| age > UNFINISHED_AFTER)
    }

    /// What stays, whatever there is.
    fn is_kept(&self, now: SystemTime) -> bool {
        let idle = now.duration_since(self.used()).unwrap_or_default();
        self.is_unfinished || (self.is_program && idle < PROGRAM_AFTER)
    }

    fn go(&self, dry_run: bool, done: &mut Collected) -> io::Result<()> {
        if !dry_run {
            super::remove_file(&self.entry.path())?;
        }
        let bytes = disk_bytes(&self.about);
        done.files_gone += 1;
        done.bytes_gone += bytes;
        if self.about.nlink() == 1 {
            done.freed_bytes += bytes;
        }
        Ok(())
    }
}

/// How the cache is walked.
#[derive(Clone, Copy)]
struct Way<'a> {
    is_over: &'a dyn Fn() -> bool,
    /// Empty folders that killed builds left go.
    sweeps: bool,
}

/// Every file in the folders of the cache; what is beside them says how much there is.
fn walk(folder: &Path, way: Way<'_>, each: &mut dyn FnMut(&Found) -> io::Result<()>) -> io::Result<()> {
    for kind in fs::read_dir(folder)? {
        let kind = kind?;
        if kind.file_type()?.is_dir() {
            below(&kind.path(), (kind.file_name() == PROGRAMS, false), way, each)?;
        }
    }
    Ok(())
}

fn below(
    folder: &Path,
    (is_program, is_unfinished): (bool, bool),
    way: Way<'_>,
    each: &mut dyn FnMut(&Found) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        // Somebody else removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        if (way.is_over)() {
            return Ok(());
        }
        let entry = entry?;
        let about = match entry.metadata() {
            // Somebody else removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        let name = entry.file_name();
        let starts = |start: &&str| name.as_encoded_bytes().starts_with(start.as_bytes());
        let is_unfinished = is_unfinished || [UNFINISHED, MAKING].iter().any(starts);
        if about.is_dir() {
            below(&entry.path(), (is_program, is_unfinished), way, each)?;
            let age = about.modified().map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if way.sweeps && is_unfinished && age.is_ok_and(|age| age > UNFINISHED_AFTER) {
                let _not_empty = fs::remove_dir(entry.path());
            }
        } else {
            each(&Found { entry, about, is_program, is_unfinished })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::path::PathBuf;

    use super::*;

    const BYTES: u64 = 8192;

    /// A file of the cache that was last used, and written, so long ago.
    fn put(folder: &Path, name: &str, hours: u64) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![7; usize::try_from(BYTES).unwrap()]).unwrap();
        let at = SystemTime::now() - Duration::from_secs(hours * 3600);
        let file = File::options().append(true).open(&path).unwrap();
        file.set_times(FileTimes::new().set_accessed(at).set_modified(at)).unwrap();
        path
    }

    fn wish(limit_bytes: u64) -> CollectWish {
        CollectWish { limit_bytes, dry_run: false, wait: Duration::ZERO }
    }

    #[test]
    fn what_was_used_longest_ago_goes_and_what_is_begun_or_started_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let old = [put(at, "o/aa/1", 50), put(at, "m1/bb/2", 40), put(at, "host/cc/3/uno", 30)];
        let left = [put(at, "o/aa/.tmpX", 2), put(at, "host/cc/.making-Y/program", 2)];
        let young = [put(at, "o/dd/4", 3), put(at, "o/dd/5", 2), put(at, "o/dd/6", 1)];
        let kept = [put(at, "o/aa/.tmpZ", 0), put(at, "host/cc/7/uno", 20)];
        let beside = put(at, "written", 1000);
        let asked = CollectWish { dry_run: true, ..wish(5 * BYTES) };
        let would = collect(at, asked, &|| false).unwrap().unwrap();
        assert!(old.iter().chain(&left).all(|path| path.exists()), "nothing was removed: {would:?}");
        // Of what is left there are 8; 5 may stay, and by a fifth less.
        let done = collect(at, wish(5 * BYTES), &|| false).unwrap().unwrap();
        assert_eq!(done, would);
        assert_eq!((done.files, done.files_gone, done.left), (10, 6, 2));
        assert_eq!(done.freed_bytes, 6 * BYTES);
        assert!(old.iter().chain(&left).chain(&young[..1]).all(|path| !path.exists()));
        assert!(young[1..].iter().chain(&kept).all(|path| path.exists()));
        assert!(!beside.exists(), "it is counted");
        assert!(!super::super::is_due(at, 5 * BYTES));
        let again = collect(at, wish(5 * BYTES), &|| false).unwrap().unwrap();
        assert_eq!((again.files, again.files_gone), (4, 0));
    }

    #[test]
    fn what_a_project_has_a_link_to_frees_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let object = put(folder.path(), "o/aa/1", 1);
        fs::hard_link(&object, folder.path().join("project.o")).unwrap();
        let done = collect(folder.path(), wish(0), &|| false).unwrap().unwrap();
        assert_eq!((done.bytes_gone, done.freed_bytes), (BYTES, 0));
    }

    #[test]
    fn one_collects_and_who_died_at_it_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "o/aa/1", 1);
        let held = hold(folder.path(), Duration::ZERO).unwrap().unwrap();
        assert_eq!(collect(folder.path(), wish(0), &|| false).unwrap(), None);
        // As the system does for whoever is killed.
        drop(held);
        assert!(
            collect(folder.path(), wish(0), &|| false).unwrap().is_some(),
            "the file of the lock is there"
        );
    }

    #[test]
    fn who_counts_waits_for_nobody_and_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        put(at, "o/aa/1", 1);
        let count = CollectWish { dry_run: true, ..wish(0) };
        let held = hold(at, Duration::ZERO).unwrap().unwrap();
        assert_eq!(collect(at, count, &|| false).unwrap().map(|would| would.files_gone), Some(1));
        drop(held);
        let counted = collect(at, count, &|| {
            assert!(collect(at, wish(0), &|| false).unwrap().is_some(), "kept out");
            false
        });
        assert!(counted.unwrap().is_some());
    }

    #[test]
    fn enough_goes_and_no_more() {
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let uses = vec![(at(3), 10), (at(1), 10), (at(2), 10)];
        assert_eq!(until(uses.clone(), 1), Some(at(1)));
        assert_eq!(until(uses.clone(), 10), Some(at(1)));
        assert_eq!(until(uses.clone(), 11), Some(at(2)));
        assert_eq!(until(uses, 1000), Some(at(3)));
        assert_eq!(until(Vec::new(), 1000), None);
    }
}
