//! Nothing to do costs nothing: what a build was made of, in one file, checked with one look at each input.
//!
//! A file whose length, inode and times are what they were is taken to be what it was, unless it was changed so
//! shortly before it was read that a change after that might not show: then its bytes are compared. Where the times
//! differ and the length does not, the bytes decide too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_messages::compiler::{BuildWish, Built, Sizes};
use farmhand_records::ContentHash;
use farmhand_records::v1::{Build, Source};
use farmhand_runtime::{Failpoint, Paths, failpoint};
use serde::{Deserialize, Serialize};

use crate::cache::{
    FolderSeen, Hash, Hasher, Seen, Sources, Stat, hash_bytes, sweep_unfinished, write_whole,
};
use crate::inputs;
use crate::place::build_folder;
use crate::plan::{Found, still_found};

/// Its name in the build folder.
pub(crate) const NAME: &str = "fingerprint";
/// Raised when a plan for the same inputs changes, or what is written here.
const FORMAT: &str = "fingerprint 6";

/// What was made, as the file system says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    path: PathBuf,
    size: u64,
    inode: u64,
    modified_ns: i128,
}

impl Output {
    fn of(path: &Path) -> io::Result<Self> {
        let stat = Stat::of(path)?;
        // Not when its inode was changed: another project may link to the same object.
        Ok(Self { path: path.to_owned(), size: stat.size, inode: stat.inode, modified_ns: stat.modified_ns })
    }
}

/// What a build was made of, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    wish: Hash,
    files: Vec<(PathBuf, Seen)>,
    folders: Vec<(PathBuf, FolderSeen)>,
    tools: Vec<(PathBuf, Stat)>,
    found: Vec<Found>,
    outputs: Vec<Output>,
    artifact: PathBuf,
    hash: ContentHash,
    sizes: Sizes,
}

/// What a build was asked for.
pub(crate) fn wish_hash(paths: &Paths, wish: &BuildWish) -> Hash {
    let Build { source, toolchain, flags, cxx_flags, link_flags, jobs: _ } = &wish.build;
    let mut hasher = Hasher::new(FORMAT)
        .part(env!("CARGO_PKG_VERSION"))
        .part(paths.home().to_string_lossy().as_bytes())
        .part(&wish.board)
        .part(postcard::to_stdvec(toolchain).expect("tools of texts and lists"));
    // As it is recorded: no two are the same bytes.
    hasher = hasher.part(postcard::to_stdvec(source).expect("a source of texts and lists"));
    if let Source::CommandOf(..) = source {
        hasher = inputs::environment(hasher);
    }
    for flags in [flags, cxx_flags, link_flags] {
        hasher = hasher.part((flags.len() as u64).to_le_bytes());
        for flag in flags {
            hasher = hasher.part(flag);
        }
    }
    hasher.finish()
}

/// The program, where nothing that it was made of has changed since it was built in `wish.build_dir`. Takes a few
/// milliseconds, and needs no farm, no store and no actor.
#[must_use]
pub fn unchanged(paths: &Paths, wish: &BuildWish) -> Option<Built> {
    let kept = read(&build_folder(paths, wish))?;
    if kept.wish != wish_hash(paths, wish) || !kept.has_all_inputs(wish) || !kept.holds() {
        return None;
    }
    Some(Built {
        artifact: kept.artifact,
        hash: kept.hash,
        sizes: kept.sizes,
        before: None,
        unchanged: true,
        compiled: 0,
        cached: 0,
    })
}

/// The hash of the artifact that was last built for this wish, changed since or not.
pub(crate) fn last_hash(paths: &Paths, wish: &BuildWish) -> Option<ContentHash> {
    let kept = read(&build_folder(paths, wish))?;
    (kept.wish == wish_hash(paths, wish)).then_some(kept.hash)
}

fn read(build_dir: &Path) -> Option<Fingerprint> {
    let bytes = fs::read(build_dir.join(NAME)).ok()?;
    let (sum, body) = bytes.split_at_checked(32)?;
    if hash_bytes(body) != sum {
        return None;
    }
    match postcard::take_from_bytes(body) {
        Ok((kept, [])) => Some(kept),
        _ => None,
    }
}

impl Fingerprint {
    /// Whether what the project says its command reads is the same files still. Other builds say by their folders what
    /// would be new.
    fn has_all_inputs(&self, wish: &BuildWish) -> bool {
        let Source::CommandOf(folder, _, _, patterns) = &wish.build.source else { return true };
        let files = inputs::input_files(Path::new(folder), patterns);
        files.is_ok_and(|files| files.iter().eq(self.files.iter().map(|(path, _)| path)))
    }

    fn holds(&self) -> bool {
        self.outputs.iter().all(|output| Output::of(&output.path).is_ok_and(|now| now == *output))
            && self.tools.iter().all(|(path, stat)| Stat::of(path).is_ok_and(|now| now == *stat))
            && still_found(&self.found)
            && self.folders.iter().all(|(path, seen)| same_names(path, seen))
            && self.files.iter().all(|(path, seen)| same_bytes(path, seen))
    }
}

fn same_names(path: &Path, seen: &FolderSeen) -> bool {
    let Ok(now) = Stat::of(path) else { return false };
    if now == seen.stat && !now.is_racy(seen.at_ns) {
        return true;
    }
    FolderSeen::read(path, &seen.without).is_ok_and(|now| now.hash == seen.hash)
}

fn same_bytes(path: &Path, seen: &Seen) -> bool {
    let Ok(now) = Stat::of(path) else { return false };
    if now == seen.stat && !now.is_racy(seen.at_ns) {
        return true;
    }
    now.size == seen.stat.size && fs::read(path).is_ok_and(|bytes| hash_bytes(&bytes) == seen.hash)
}

/// What `write` is told of a build.
pub(crate) struct Finished<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) tools: &'a [PathBuf],
    pub(crate) found: &'a [Found],
    pub(crate) outputs: &'a [PathBuf],
    pub(crate) built: &'a Built,
}

/// Takes down what a build was made of.
pub(crate) fn write(paths: &Paths, wish: &BuildWish, finished: &Finished<'_>) -> io::Result<()> {
    let built = finished.built;
    let stats = |path: &PathBuf| Stat::of(path).map(|stat| (path.clone(), stat));
    let outputs = finished.outputs.iter().chain([&built.artifact]).map(|path| Output::of(path));
    let kept = Fingerprint {
        wish: wish_hash(paths, wish),
        files: finished.sources.files().map(|(path, seen)| (path.to_owned(), *seen)).collect(),
        folders: finished.sources.folders().map(|(path, seen)| (path.to_owned(), seen.clone())).collect(),
        tools: finished.tools.iter().map(stats).collect::<io::Result<_>>()?,
        found: finished.found.to_vec(),
        outputs: outputs.collect::<io::Result<_>>()?,
        artifact: built.artifact.clone(),
        hash: built.hash,
        sizes: built.sizes,
    };
    let body = postcard::to_stdvec(&kept).map_err(io::Error::other)?;
    let folder = build_folder(paths, wish);
    write_whole(&folder.join(NAME), &[&hash_bytes(&body), &body])?;
    failpoint(Failpoint::BuildRemembered);
    Ok(())
}

/// Forgets what a build was made of: it is not what is there now. The folder is held: what is unfinished in it was left
/// by a build that was killed.
pub(crate) fn forget(build_dir: &Path) -> io::Result<()> {
    for folder in [build_dir, &build_dir.join("sketch")] {
        sweep_unfinished(folder, Duration::ZERO);
    }
    crate::cache::remove_file(&build_dir.join(NAME))?;
    failpoint(Failpoint::BuildForgotten);
    Ok(())
}
