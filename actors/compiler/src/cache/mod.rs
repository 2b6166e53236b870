//! Objects by content, shared by all projects, and what each was made of.
//!
//! - `sources`: the content of input files and the names in folders, each read once in a build.
//! - `roots`: paths made independent of where a project or a package lies.
//! - `depfile`: what a compiler says that it read.
//! - `store`: objects by their hash, and the manifests by which they are found.

mod depfile;
mod roots;
mod sources;
mod store;

pub(crate) use depfile::prerequisites;
pub(crate) use roots::Roots;
pub(crate) use sources::{FolderSeen, Hash, Hasher, Seen, Sources, Stat, hash_bytes, now_ns};
pub(crate) use store::remove as remove_file;
pub(crate) use store::{Entry, ObjectStore};
