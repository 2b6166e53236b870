//! Unpacking an archive that nobody vouches for into a folder of ours.

mod bz2;
mod folder;
mod format;
mod links;
mod metered;
mod path;
mod sparse;
mod tarred;
mod told;
mod tree;
mod zip;
mod zstd;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::InstallError;
use crate::error::is_full;
use crate::shelf::Staging;
pub(crate) use folder::hash_file;
pub(crate) use format::{Format, XZ_KIB_MAX};
use links::{Place, resolve};
use path::{Target, link_target};
pub(crate) use told::told;
pub(crate) use tree::read_tree;
use tree::{Leaf, Tree};
pub(crate) use zstd::WINDOW_BYTES_MAX;

/// Folders that an entry may lie below, one in another: three times the deepest of any compiler.
const DEPTH_MAX: usize = 128;
/// Names and links' targets of a package together, for they are kept in memory until it is whole: a hundred times those of
/// the largest package.
const NAMES_BYTES_MAX: usize = 16 << 20;
/// What is copied at once.
const COPY_BYTES: usize = 128 << 10;

/// How much a package may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in files, of all archives of a package together.
    pub bytes_max: u64,
    /// Files, folders and links of all archives of a package together.
    pub entries_max: u64,
}

impl Default for Limits {
    /// Thirty times the largest package that farmhand describes (135 MB in 4,000 entries).
    fn default() -> Self {
        Self { bytes_max: 4 << 30, entries_max: 200_000 }
    }
}

/// The one folder that many archives have all of theirs in: `gcc-14.2/bin/gcc`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Top {
    Kept,
    /// To be left out, whatever the first entry says that it is called.
    Stripped(Option<OsString>),
}

/// Unpacks archives, one after another, into one folder.
pub(crate) struct Unpacker {
    staging: Staging,
    into: PathBuf,
    /// What was unpacked last, in errors.
    archive: PathBuf,
    limits: Limits,
    bytes: u64,
    entries: u64,
    top: Top,
    tree: Tree,
    /// Links whose targets go up again after they went down: what they lead to is known once all is there.
    unsettled: Vec<(PathBuf, PathBuf)>,
    given_up: Arc<AtomicBool>,
    progress: Box<dyn FnMut(u64) + Send>,
}

impl Unpacker {
    /// Into a folder that nobody else writes to, and that goes with it. Stops soon after `given_up` is set; `progress` is told
    /// the bytes so far.
    pub(crate) fn new(
        staging: Staging,
        limits: Limits,
        given_up: Arc<AtomicBool>,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Self {
        let into = staging.path().to_owned();
        let archive = into.clone();
        let progress = Box::new(progress);
        let top = Top::Kept;
        let (tree, unsettled) = (Tree::default(), Vec::new());
        Self {
            staging,
            into,
            archive,
            limits,
            bytes: 0,
            entries: 0,
            top,
            tree,
            unsettled,
            given_up,
            progress,
        }
    }

    /// Leaves out the one folder that all entries are in; an entry outside it is refused.
    pub(crate) fn strip(&mut self) {
        self.top = Top::Stripped(None);
    }

    /// An entry's path without the top folder. It decides before links are judged: they stay below what is left.
    fn below_top(&mut self, path: PathBuf) -> Result<PathBuf, &'static str> {
        let Top::Stripped(top) = &mut self.top else { return Ok(path) };
        let mut parts = path.components();
        let Some(first) = parts.next() else { return Ok(path) };
        let first = first.as_os_str();
        if first != top.get_or_insert_with(|| first.to_owned()) {
            return Err("it is not in the one folder that the others are in");
        }
        Ok(parts.as_path().to_owned())
    }

    /// The hash of what is unpacked so far.
    pub(crate) fn tree(&self) -> [u8; 32] {
        self.tree.hash()
    }

    /// All is unpacked; there must be something. Gives its hash, too.
    pub(crate) fn finish(self) -> Result<(Staging, [u8; 32]), InstallError> {
        self.holds_something()?;
        Ok((self.staging, self.tree.hash()))
    }

    fn holds_something(&self) -> Result<(), InstallError> {
        if self.tree.is_empty() {
            let nothing = io::Error::other("there is nothing in it");
            return Err(InstallError::BadArchive { archive: self.archive.clone(), source: nothing });
        }
        Ok(())
    }

    /// Judges the links that go up again by where they lead now: each must lead where what was written for it does. One
    /// that goes up from where another link led to would not.
    fn settle(&mut self, archive: &Path) -> Result<(), InstallError> {
        archive.clone_into(&mut self.archive);
        for (link, said) in std::mem::take(&mut self.unsettled) {
            let written = link_target(&link, said.as_os_str().as_bytes());
            let (Ok(written), Some(Leaf::Link { target, .. })) = (written, self.tree.leaf(&link)) else {
                continue;
            };
            // Another entry took its place.
            if *target != written.path {
                continue;
            }
            let folder = link.parent().unwrap_or(Path::new(""));
            let leads = resolve(&self.tree, folder, &said);
            if leads != Place::Nowhere && leads != resolve(&self.tree, folder, target) {
                let refused = EntryError::Refused("its target goes through a link and up again");
                return Err(refused.of(archive, link.as_os_str().as_bytes()));
            }
        }
        Ok(())
    }

    /// One more entry.
    fn count(&mut self) -> Result<(), EntryError> {
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(EntryError::TooBig(format!("{} entries", self.limits.entries_max)));
        }
        Ok(())
    }

    /// Notes what lies there now.
    fn note(&mut self, path: &Path, leaf: Leaf) -> Result<(), EntryError> {
        self.tree.note(path, leaf);
        if self.tree.names_bytes() > NAMES_BYTES_MAX {
            return Err(EntryError::TooBig(format!("{} MiB of names", NAMES_BYTES_MAX >> 20)));
        }
        Ok(())
    }

    fn still_wanted(&self, archive: &Path) -> Result<(), InstallError> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(InstallError::Interrupted { package: archive.display().to_string() });
        }
        Ok(())
    }

    /// Makes the folder of an entry that was counted, and those above it; none may be a link.
    fn folder(&mut self, path: &Path) -> Result<(), EntryError> {
        if path.components().count() > DEPTH_MAX {
            return Err(EntryError::Refused("it lies below more than 128 folders"));
        }
        let mut below = PathBuf::new();
        for component in path.components() {
            below.push(component);
            if self.tree.is_folder(&below) {
                continue;
            }
            // No entry speaks of those above; they are as much work.
            if below != path {
                self.count()?;
            }
            let full = self.into.join(&below);
            match fs::symlink_metadata(&full) {
                Ok(there) if there.is_dir() => {}
                Ok(_) => return Err(EntryError::Refused("a part of its name is no folder")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Whatever the umask is.
                    let made = DirBuilder::new().mode(0o755).create(&full);
                    made.map_err(|error| EntryError::Io("make", full, error))?;
                }
                Err(error) => return Err(EntryError::Io("look at", full, error)),
            }
            self.note(&below, Leaf::Folder)?;
        }
        Ok(())
    }

    /// Makes the folder that something is to lie in, and gives where; what lies there already goes.
    fn place(&mut self, path: &Path) -> Result<PathBuf, EntryError> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above.filter(|above| !self.tree.is_folder(above)) {
            self.count()?;
            self.folder(above)?;
        }
        let full = self.into.join(path);
        match fs::symlink_metadata(&full) {
            Ok(there) if there.is_dir() => Err(EntryError::Refused("a folder has that name already")),
            Ok(_) => {
                fs::remove_file(&full).map_err(|error| EntryError::Io("replace", full.clone(), error))?;
                Ok(full)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(full),
            Err(error) => Err(EntryError::Io("look at", full, error)),
        }
    }

    fn file(
        &mut self,
        archive: &Path,
        path: &Path,
        mode: u32,
        modified: Option<SystemTime>,
        content: &mut impl Read,
    ) -> Result<(), EntryError> {
        let full = self.place(path)?;
        let write_error = |error| EntryError::Io("write", full.clone(), error);
        // No set-user-id; its owner, us, can read and remove it, and nobody else can write to it, for others use it, too.
        let mode = (mode & 0o755) | 0o600;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&full).map_err(write_error)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut hash = Sha256::new();
        loop {
            let count = content.read(&mut buffer).map_err(EntryError::Read)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            self.bytes += count as u64;
            if self.bytes > self.limits.bytes_max {
                return Err(EntryError::TooBig(format!("{} bytes", self.limits.bytes_max)));
            }
            self.still_wanted(archive).map_err(EntryError::Whole)?;
            file.write_all(&buffer[..count]).map_err(write_error)?;
            (self.progress)(self.bytes);
        }
        // Again: the mode at creation passed through the umask.
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(write_error)?;
        if let Some(modified) = modified {
            file.set_modified(modified).map_err(write_error)?;
        }
        let content = hash.finalize().into();
        self.note(path, Leaf::File { executable: mode & 0o100 != 0, content })
    }

    fn symlink(&mut self, path: &Path, target: Target) -> Result<(), EntryError> {
        let full = self.place(path)?;
        symlink(&target.path, &full).map_err(|error| EntryError::Io("link", full, error))?;
        if let Some(said) = target.goes_up_again {
            self.tree.hold(said.as_os_str().len());
            self.unsettled.push((path.to_owned(), said));
        }
        self.note(path, Leaf::Link { target: target.path, from_root: target.from_root })
    }

    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), EntryError> {
        let above = target.parent().unwrap_or(Path::new(""));
        let mut parts = PathBuf::new();
        for component in above.components() {
            parts.push(component);
            if !self.tree.is_folder(&parts) {
                return Err(EntryError::Refused("it links to what is not in the package"));
            }
        }
        let as_of = target;
        // A second name of a link says the same from where it lies.
        if let Some(Leaf::Link { target, from_root }) = self.tree.leaf(as_of) {
            let said = match from_root {
                true => Path::new("/").join(
                    target.components().filter(|part| *part != Component::ParentDir).collect::<PathBuf>(),
                ),
                false => target.clone(),
            };
            if path == as_of {
                return Err(EntryError::Refused("it links to itself"));
            }
            let target = link_target(path, said.as_os_str().as_bytes()).map_err(EntryError::Refused)?;
            return self.symlink(path, target);
        }
        let target = self.into.join(target);
        match fs::symlink_metadata(&target) {
            Ok(there) if there.is_file() => {}
            _ => return Err(EntryError::Refused("it links to what is no file of the package")),
        }
        if self.into.join(path) == target {
            return Err(EntryError::Refused("it links to itself"));
        }
        let full = self.place(path)?;
        fs::hard_link(&target, &full).map_err(|error| EntryError::Io("link", full, error))?;
        match self.tree.leaf(as_of).cloned() {
            Some(leaf) => self.note(path, leaf),
            None => Ok(()),
        }
    }
}

/// What is wrong with one entry.
enum EntryError {
    Refused(&'static str),
    Io(&'static str, PathBuf, io::Error),
    Read(io::Error),
    /// More than that.
    TooBig(String),
    Whole(InstallError),
}

impl EntryError {
    fn of(self, archive: &Path, name: &[u8]) -> InstallError {
        match self {
            Self::Refused(why) => {
                InstallError::Refused { archive: archive.to_owned(), entry: told(name), why }
            }
            Self::Io(_, _, error) if Errno::from_io_error(&error) == Some(Errno::NAMETOOLONG) => {
                Self::Refused("its name or its target is longer than the system takes").of(archive, name)
            }
            Self::Io(what, path, error) => InstallError::io(what, &path, error),
            Self::Read(error) if is_full(&error) => InstallError::DiskFull { path: archive.to_owned() },
            Self::Read(source) => InstallError::archive(archive, source),
            Self::TooBig(what) => InstallError::TooBig { archive: archive.to_owned(), what },
            Self::Whole(error) => error,
        }
    }
}

/// Makes all that was written below `folder` durable, in one call: thousands of files are synced together.
pub(crate) fn sync_tree(folder: &Path) -> Result<(), InstallError> {
    let sync = || rustix::fs::syncfs(File::open(folder)?).map_err(io::Error::from);
    sync().map_err(|error| InstallError::io("sync", folder, error))
}
