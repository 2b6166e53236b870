//! Objects by content, shared by all projects, and what each was made of.
//!
//! - `sources`: the content of input files and the names in folders, each read once in a build.
//! - `outlines`: what sources say to the preprocessor, by their content.
//! - `roots`: paths made independent of where a project or a package lies.
//! - `depfile`: what a compiler says that it read.
//! - `store`: objects by their hash, and the manifests by which they are found.
//! - `usage`: how much there is, and when it was used.
//! - `collect`: what goes when there is too much.

use std::time::Duration;

mod collect;
mod depfile;
mod outlines;
mod roots;
mod sources;
mod store;
mod usage;

pub(crate) use collect::collect;
pub use collect::{CollectWish, Collected};
pub(crate) use depfile::prerequisites;
pub(crate) use outlines::Outlines;
pub(crate) use roots::Roots;
pub(crate) use sources::{FolderSeen, Hash, Hasher, Seen, Sources, Stat, hash_bytes, now_ns, recent_ns};
pub(crate) use store::remove as remove_file;
pub(crate) use store::{Entry, ObjectStore, sweep_unfinished, write_whole};
pub(crate) use usage::{disk_bytes, is_due, note_use};

/// What the name of a file begins with that is not there yet.
const UNFINISHED: &str = ".tmp";
/// What was begun so long ago is finished by nobody.
pub(crate) const UNFINISHED_AFTER: Duration = Duration::from_secs(60 * 60);
/// What the name of a folder begins with in which something is made.
pub(crate) const MAKING: &str = ".making-";
