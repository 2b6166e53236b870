//! Removes what builds of a project left, and nothing else.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farmhand_messages::compiler::{BuildWish, ENVIRONMENTS_DIR};
use farmhand_runtime::Paths;
use rustix::fs::{FlockOperation, flock};

use crate::BuildError;
use crate::cache::disk_bytes;
use crate::orphans::end_left;
use crate::place::folder_for;
use crate::plan::OURS;

/// Every folder that a build made has it.
pub(crate) const LOCK: &str = "lock";
/// A lock that its owner has let go is held for a moment longer where a process is just being started, by what is not yet
/// that program: it has all descriptors until then.
const FORKED: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What else is ours in a project's folder.
const IGNORE: &str = ".gitignore";

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The folders.
    pub folders: Vec<PathBuf>,
    /// Files in them.
    pub files: u64,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// What of it is nobody else's: objects may be the cache's too, and stay there.
    pub freed_bytes: u64,
}

/// Removes the build folders of a project (absolute): its own, those of its environments, and, where it may not be
/// written, the one that the farm keeps for it; or `only` these of them. Refused while a build runs in one of them, and where one of them is
/// no folder that a build made; then nothing is removed. With `dry_run` nothing is either. Blocks on the disk.
pub fn clean(
    paths: &Paths,
    project: &Path,
    only: Option<&[PathBuf]>,
    dry_run: bool,
) -> Result<Cleaned, BuildError> {
    let ours = project.join(OURS);
    if is_link(&ours) {
        return Err(not_ours(&ours, "it is a link"));
    }
    if ours.is_file() {
        return Err(not_ours(&ours, "it is no folder"));
    }
    let mut wished = match only {
        Some(only) => only.to_vec(),
        None => {
            let mut all = below(&project.join(ENVIRONMENTS_DIR))?;
            all.push(BuildWish::folder_in(project));
            all
        }
    };
    let elsewhere = wished.iter().map(|folder| folder_for(paths, folder)).collect::<Vec<_>>();
    wished.extend(elsewhere);
    wished.sort();
    wished.dedup();
    let mut held = Vec::new();
    for folder in wished {
        held.extend(hold(&folder)?.map(|lock| (folder, lock)));
    }
    let mut cleaned = Cleaned::default();
    for (folder, _lock) in &held {
        count(folder, &mut cleaned).map_err(BuildError::io("read", folder))?;
        cleaned.folders.push(folder.clone());
    }
    if dry_run {
        return Ok(cleaned);
    }
    for (folder, _lock) in &held {
        // It would write there again, and nothing would say any more that it is there.
        end_left(folder)?;
        fs::remove_dir_all(folder).map_err(BuildError::io("remove", folder))?;
    }
    drop(held);
    tidy(project, &ours);
    Ok(cleaned)
}

/// Removes our folder too, where nothing is left in it that we did not put there.
fn tidy(project: &Path, ours: &Path) {
    let _others_are_there = fs::remove_dir(project.join(ENVIRONMENTS_DIR));
    let only_ours = fs::read_dir(ours)
        .is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name().to_str() == Some(IGNORE)));
    if only_ours {
        let _not_there = fs::remove_file(ours.join(IGNORE));
        let _not_there = fs::remove_dir(ours);
    }
}

/// Holds a build folder, so that no build begins in it; none where there is no such folder.
fn hold(folder: &Path) -> Result<Option<File>, BuildError> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BuildError::io("read", folder)(error)),
        Ok(about) if !about.is_dir() => return Err(not_ours(folder, "it is no folder")),
        Ok(_) => {}
    }
    let path = folder.join(LOCK);
    let lock = match File::options().append(true).open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_ours(folder, "no build made it"));
        }
        Err(error) => return Err(BuildError::io("open", &path)(error)),
    };
    let began = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < FORKED => std::thread::sleep(LOOK_AGAIN),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BuildError::Building { folder: folder.to_owned() });
            }
            Err(errno) => return Err(BuildError::io("lock", &path)(errno.into())),
        }
    }
}

fn not_ours(path: &Path, why: &'static str) -> BuildError {
    BuildError::NotOurs { path: path.to_owned(), why }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink())
}

/// The folders in a folder; none where there is no such folder.
fn below(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    if is_link(folder) {
        return Err(not_ours(folder, "it is a link"));
    }
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(BuildError::io("read", folder)(error)),
    }
}

fn count(folder: &Path, cleaned: &mut Cleaned) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            count(&entry.path(), cleaned)?;
            continue;
        }
        let bytes = disk_bytes(&about);
        cleaned.files += 1;
        cleaned.bytes += bytes;
        if about.nlink() == 1 {
            cleaned.freed_bytes += bytes;
        }
    }
    Ok(())
}
