//! What input files hold and which names folders have, each read once in a build.
//!
//! All that was read here is what the build depends on: the fingerprint watches just that.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Outlines;
use crate::sketch::Directive;

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// A file changed this shortly before it was read may change again and keep its times: the kernel stamps files with
/// the time of its last tick (4 ms apart at 250 Hz, 10 ms at 100 Hz). In nanoseconds.
const RACY_NS: i128 = 20_000_000;
/// A file that was changed this recently is read before it is compiled: it may change again and not show it. In nanoseconds.
const RECENT_NS: i128 = 2_000_000_000;

/// What the file system says of a file, without a look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat {
    /// Its length, in bytes.
    pub(crate) size: u64,
    /// Its inode: another file of the same name has another.
    pub(crate) inode: u64,
    /// When it was written, in nanoseconds since 1970. Anyone may set it.
    pub(crate) modified_ns: i128,
    /// When it or its inode was changed. Nobody can set it.
    pub(crate) changed_ns: i128,
}

impl Stat {
    /// Reads it.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let wanted = StatxFlags::SIZE | StatxFlags::INO | StatxFlags::MTIME | StatxFlags::CTIME;
        let stat = statx(CWD, path, AtFlags::empty(), wanted)?;
        let ns = |seconds: i64, ns: u32| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Ok(Self {
            size: stat.stx_size,
            inode: stat.stx_ino,
            modified_ns: ns(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed_ns: ns(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        })
    }

    /// The later of its times.
    #[must_use]
    pub(crate) fn newest_ns(&self) -> i128 {
        self.modified_ns.max(self.changed_ns)
    }

    /// Whether a change after `since_ns` might not show in it.
    #[must_use]
    pub(crate) fn is_racy(&self, since_ns: i128) -> bool {
        self.newest_ns() >= since_ns - RACY_NS
    }
}

/// The wall clock, as files are stamped with it: in nanoseconds since 1970.
#[must_use]
pub(crate) fn now_ns() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0))
}

/// What was changed since then is recent.
#[must_use]
pub(crate) fn recent_ns() -> i128 {
    now_ns() - RECENT_NS
}

/// A file as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Just before it was read.
    pub(crate) stat: Stat,
    /// Of its bytes.
    pub(crate) hash: Hash,
    /// When it was read, in nanoseconds since 1970.
    pub(crate) at_ns: i128,
}

/// A folder as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderSeen {
    /// Just before it was read.
    pub(crate) stat: Stat,
    /// Of its names.
    pub(crate) hash: Hash,
    /// When it was read, in nanoseconds since 1970.
    pub(crate) at_ns: i128,
    /// Names that do not count: what the build itself makes there.
    pub(crate) without: Vec<String>,
    /// Its names, sorted; a folder's ends with `/`.
    #[serde(skip)]
    pub(crate) names: Vec<String>,
}

impl FolderSeen {
    /// Reads a folder. Hidden names do not count.
    pub(crate) fn read(path: &Path, without: &[String]) -> io::Result<Self> {
        let at_ns = now_ns();
        let stat = Stat::of(path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let mut name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || without.contains(&name) {
                continue;
            }
            let kind = entry.file_type()?;
            // Who reads from a pipe, a socket or a device may wait for ever.
            if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                continue;
            }
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                name.push('/');
            }
            names.push(name);
        }
        names.sort();
        let hash = hash_bytes(names.join("\n").as_bytes());
        Ok(Self { stat, hash, at_ns, without: without.to_vec(), names })
    }
}

/// The SHA-256 of `bytes`.
#[must_use]
pub(crate) fn hash_bytes(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// A hash over parts, each with its length: no two lists of parts are the same bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Over nothing yet; `purpose` keeps apart what is hashed for different ends.
    #[must_use]
    pub(crate) fn new(purpose: &str) -> Self {
        Self::default().part(purpose)
    }

    /// Adds a part.
    #[must_use]
    pub(crate) fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The hash.
    #[must_use]
    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// All that was read in a build.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: BTreeMap<PathBuf, Seen>,
    folders: BTreeMap<PathBuf, FolderSeen>,
    /// What the build itself wrote: it is no input.
    made: BTreeMap<PathBuf, Hash>,
    /// What was in them for the preprocessor.
    outlines: Outlines,
}

impl Sources {
    /// Nothing yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Nothing yet, and what is known of files that may be read.
    #[must_use]
    pub(crate) fn knowing(outlines: Outlines) -> Self {
        Self { outlines, ..Self::default() }
    }

    /// What is known now.
    #[must_use]
    pub(crate) fn outlines(&self) -> &Outlines {
        &self.outlines
    }

    /// What a source says to the preprocessor; it counts as read.
    pub(crate) fn directives(&mut self, path: &Path) -> io::Result<Arc<[Directive]>> {
        let is_made = self.made.contains_key(path);
        let seen = self.files.get(path).filter(|_| !is_made);
        if let Some(known) = seen.and_then(|seen| self.outlines.of(&seen.hash)) {
            return Ok(known);
        }
        let (hash, bytes) = self.read_hashed(path)?;
        Ok(self.outlines.read(hash, &bytes))
    }

    /// The hash of a file's bytes.
    pub(crate) fn hash(&mut self, path: &Path) -> io::Result<Hash> {
        if let Some(hash) = self.made.get(path) {
            return Ok(*hash);
        }
        match self.files.get(path) {
            Some(seen) => Ok(seen.hash),
            None => self.read_hashed(path).map(|(hash, _)| hash),
        }
    }

    /// A file's bytes; they count as read.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_hashed(path).map(|(_, bytes)| bytes)
    }

    fn read_hashed(&mut self, path: &Path) -> io::Result<(Hash, Vec<u8>)> {
        let at_ns = now_ns();
        let stat = Stat::of(path)?;
        let bytes = fs::read(path)?;
        let hash = hash_bytes(&bytes);
        // What was read first is what the build was planned from: a later change must show.
        self.files.entry(path.to_owned()).or_insert(Seen { stat, hash, at_ns });
        Ok((hash, bytes))
    }

    /// A file's text; they count as read.
    pub(crate) fn read_text(&mut self, path: &Path) -> io::Result<String> {
        self.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a file now that may change and not show it: it was changed just now.
    pub(crate) fn note_if_recent(&mut self, path: &Path, since_ns: i128) {
        // Who reads a pipe waits for whoever writes to it.
        if Stat::of(path).is_ok_and(|stat| stat.newest_ns() >= since_ns) && path.is_file() {
            let _not_there = self.hash(path);
        }
    }

    /// The names in a folder, sorted; a folder's ends with `/`.
    pub(crate) fn names(&mut self, path: &Path, without: &[String]) -> io::Result<Vec<String>> {
        if let Some(seen) = self.folders.get(path) {
            return Ok(seen.names.clone());
        }
        let seen = FolderSeen::read(path, without)?;
        let names = seen.names.clone();
        self.folders.insert(path.to_owned(), seen);
        Ok(names)
    }

    /// The hash of the names in a folder.
    pub(crate) fn names_hash(&mut self, path: &Path) -> io::Result<Hash> {
        self.names(path, &[])?;
        Ok(self.folders[path].hash)
    }

    /// Takes note of what the build itself wrote.
    pub(crate) fn made(&mut self, path: &Path, hash: Hash) {
        self.files.remove(path);
        self.made.insert(path.to_owned(), hash);
    }

    /// The hash of a file that a compiler read, which started at `started_ns`; `None` where it cannot be told what
    /// the compiler read, for the file has been changed meanwhile.
    pub(crate) fn settled(&mut self, path: &Path, started_ns: i128) -> Option<Hash> {
        if let Some(hash) = self.made.get(path) {
            return Some(*hash);
        }
        let now = Stat::of(path).ok()?;
        match self.files.get(path) {
            Some(seen) if seen.stat == now && !now.is_racy(seen.at_ns) => Some(seen.hash),
            // The times may hide a change: the bytes do not.
            Some(seen) if seen.stat.size == now.size => {
                let hash = hash_bytes(&fs::read(path).ok()?);
                (hash == seen.hash).then_some(hash)
            }
            Some(_) => None,
            None if now.is_racy(started_ns) => None,
            None => self.hash(path).ok(),
        }
    }

    /// The files that were read, with what they were.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &Seen)> {
        self.files.iter().map(|(path, seen)| (path.as_path(), seen))
    }

    /// The folders that were read.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (&Path, &FolderSeen)> {
        self.folders.iter().map(|(path, seen)| (path.as_path(), seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changed_after_the_compiler_started_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h");
        fs::write(&path, "1").unwrap();
        let mut sources = Sources::new();
        assert_eq!(sources.settled(&path, now_ns()), None, "written within a tick");
        let later = now_ns() + 60_000_000_000;
        assert_eq!(sources.settled(&path, later), Some(hash_bytes(b"1")));
        fs::write(&path, "2").unwrap();
        assert_eq!(sources.settled(&path, later), None, "same size, other bytes");
        fs::write(&path, "1").unwrap();
        assert_eq!(sources.settled(&path, later), Some(hash_bytes(b"1")));
        fs::remove_file(&path).unwrap();
        assert_eq!(sources.settled(&path, later), None);
    }

    /// It would wait for ever.
    #[test]
    fn a_pipe_that_is_new_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("a.h");
        rustix::fs::mkfifoat(CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let mut sources = Sources::new();
        sources.note_if_recent(&pipe, recent_ns());
        assert_eq!(sources.files().count(), 0);
    }

    #[test]
    fn names_without_what_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden", "out"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("sub")).unwrap();
        let mut sources = Sources::new();
        let names = sources.names(folder.path(), &["out".into()]).unwrap();
        assert_eq!(names, ["a", "b", "sub/"]);
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(
            Hasher::new("").part("ab").part("c").finish(),
            Hasher::new("").part("a").part("bc").finish()
        );
    }
}
