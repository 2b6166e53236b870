//! A build as a list of actions: what is run, on what, and what comes of it.

mod arduino;
mod bare;
mod bare_tree;
mod clang;
mod commands;
mod compatibility;
mod core_kit;
mod declared;
mod environment;
mod extras;
mod hooks;
mod layout;
mod libraries;
mod library;
mod listing;
mod named;
mod native;
mod own;
mod parts;
mod platform;
mod precompiled;
mod profile;
mod quirks;
mod recipes;
mod scan;
mod search;
mod shelf;
mod supply;
mod support;
mod tools;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use arduino::plan_sketch;
pub(crate) use bare_tree::plan_bare_tree;
pub(crate) use commands::compile_commands;
pub(crate) use core_kit::CoreKit;
pub(crate) use environment::plan_environment;
pub(crate) use hooks::{Hook, hooks_before_all};
pub(crate) use layout::{Layout, OURS};
pub use library::UsedLibrary;
pub(crate) use listing::{Listed, is_taken_in};
pub(crate) use named::{files_and_scripts, folders_named};
pub(crate) use native::plan_native;
pub use platform::{Platform, packages_of};
pub(crate) use search::{Found, host_compiler, still_found};
pub(crate) use supply::Supply;
pub(crate) use support::support;
pub use tools::Packages;
pub(crate) use tools::{Kit, Tools};
pub(crate) use tree::plan_tree;

use crate::cache::{Hash, Roots};

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Compile,
    Archive,
    Link,
    Convert,
    /// Runs what a core has run: it is known neither what that reads nor what it makes.
    Hook,
}

impl Kind {
    /// As in "does not ...".
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Archive => "archive",
            Self::Link => "link",
            Self::Convert => "convert",
            Self::Hook => "run",
        }
    }
}

/// A program to run, and what comes of it.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) kind: Kind,
    /// For people: `wiring.c`.
    pub(crate) what: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Files that it is told to read (absolute).
    pub(crate) sources: Vec<PathBuf>,
    /// Actions whose outputs it reads.
    pub(crate) from: Vec<usize>,
    /// Absolute.
    pub(crate) output: PathBuf,
    /// Where the compiler says what it read (absolute).
    pub(crate) depfile: Option<PathBuf>,
    /// It looks for headers in the project's folders: a new file there may be found first.
    pub(crate) sees_project: bool,
    pub(crate) cost: u64,
}

/// A build.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) actions: Vec<Action>,
    /// The actions whose outputs are the linked program and what goes on the device.
    pub(crate) linked: usize,
    pub(crate) artifact: usize,
    /// Of the tools, and all that they bring along.
    pub(crate) identity: Hash,
    /// The names in the project's folders.
    pub(crate) listing: Listed,
    /// Of all names in the core's and libraries' folders.
    pub(crate) core_listing: Hash,
    pub(crate) roots: Roots,
    /// Folders whose content is part of `identity`.
    pub(crate) immutable: Vec<PathBuf>,
    /// Folders whose names, and those of all below them, are part of `listing`.
    pub(crate) listed: Vec<PathBuf>,
    /// Files that arguments name may be anybody's: a person's core has scripts and libraries that no depfile tells of.
    pub(crate) reads_args: bool,
    /// Of a person's core: what is linked, and made of that, is made anew in each build, for what its hooks do to it, and what a link
    /// leaves beside it, nobody knows.
    pub(crate) is_own: bool,
    /// What the core's own uploader takes, where that is another file.
    pub(crate) upload_file: Option<PathBuf>,
    pub(crate) board: String,
    /// Libraries that are used, and why.
    pub(crate) libraries: Vec<UsedLibrary>,
    /// Bytes of flash for the program, and of RAM; 0 where unknown.
    pub(crate) bytes_max: u64,
    pub(crate) data_bytes_max: u64,
}

/// Whether a file is compiled, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cpp,
    Asm,
}

impl Language {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "c" => Some(Self::C),
            "cpp" | "cc" | "cxx" | "c++" | "C" => Some(Self::Cpp),
            "S" | "s" | "sx" => Some(Self::Asm),
            _ => None,
        }
    }
}
