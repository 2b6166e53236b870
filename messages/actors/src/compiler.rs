//! To the compiler pool.

use std::path::{Path, PathBuf};

use farmhand_api::{BuildEvent, Problem};
use farmhand_records::ContentHash;
use farmhand_records::v1::{Build, Job, Source};
use ractor::RpcReplyPort;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// A program to build for a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildWish {
    /// The board, such as `arduino:avr:uno`.
    pub board: String,
    /// How, and from what.
    pub build: Build,
    /// Where the build leaves its things, and `compile_commands.json`: a folder of the project's.
    pub build_dir: PathBuf,
}

/// Below a project: the build folders of its environments, where all of them are built.
pub const ENVIRONMENTS_DIR: &str = ".farmhand/builds";

impl BuildWish {
    /// What a job wants built, in the folder of its project that is farmhand's.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self {
            board: job.board.clone(),
            build: job.build.clone(),
            build_dir: match &job.build.source {
                // Each has its own: they differ in all that is made.
                Source::Environment(of) => Self::folder_of(job, &of.name),
                Source::Profile(of) => Self::folder_of(job, &of.name),
                _ => Self::folder_in(Path::new(&job.project)),
            },
        }
    }

    /// The folder of an environment: below the project's, whatever it is called.
    fn folder_of(job: &Job, name: &str) -> PathBuf {
        let plain = |c: char| if c == '/' || c == '\\' || c == '\0' { '_' } else { c };
        let name: String = name.chars().map(plain).collect();
        let name = if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name };
        Path::new(&job.project).join(ENVIRONMENTS_DIR).join(name)
    }

    /// The folder in a project where it is built.
    #[must_use]
    pub fn folder_in(project: &Path) -> PathBuf {
        project.join(".farmhand/build")
    }
}

/// Whose build it is. The later ones go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Nobody looks at it: a session that is tried again by itself.
    Background,
    /// A person waits for it.
    #[default]
    Person,
}

/// A program for this machine, built of one C file and installed packages: the virtual Uno's board program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProgram {
    /// Its name.
    pub name: String,
    /// Its source text.
    pub source: String,
    /// Packages it is compiled and linked against, by the installer's names.
    pub packages: Vec<String>,
    /// Folders of headers, below each package's prefix: `usr/include/simavr`.
    pub include: Vec<String>,
    /// Libraries, as the linker names them: `:libsimavr.so.2`.
    pub libraries: Vec<String>,
}

/// How large a program is, and may be. In bytes; 0 where unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// What goes on the device.
    pub image_bytes: u64,
    /// What there is room for.
    pub image_bytes_max: u64,
    /// RAM that its variables take.
    pub data_bytes: u64,
    /// RAM that there is.
    pub data_bytes_max: u64,
}

/// A program that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The artifact (ELF or Intel HEX), kept under its hash in the farm's artifact folder: it does not change.
    pub artifact: PathBuf,
    /// The artifact's hash.
    pub hash: ContentHash,
    /// How large it is.
    pub sizes: Sizes,
    /// How large it was when it was last built for this board, in the same folder; none where it was not, or where
    /// nothing had to be done.
    pub before: Option<Sizes>,
    /// Nothing had to be done.
    pub unchanged: bool,
    /// Files compiled.
    pub compiled: u32,
    /// Files taken from the cache.
    pub cached: u32,
}

/// To the compiler pool.
#[derive(Debug)]
pub enum CompilerMessage {
    /// From a session or a gateway: build this. The pool asks the installer for the toolchain. Answers when the
    /// artifact is on disk. Safe to send again: what was compiled is found by content.
    Build {
        /// What.
        wish: BuildWish,
        /// Who waits for it.
        urgency: Urgency,
        /// Steps of the build, for those who watch. Diagnostics are waited for, steps are not.
        progress: Option<mpsc::Sender<BuildEvent>>,
        /// Steps of installing the toolchain, likewise.
        install: Option<mpsc::Sender<farmhand_api::InstallEvent>>,
        /// The artifact, or what is wrong: class `Build`, `Configuration`, `Package` or `Infra`.
        reply: RpcReplyPort<Result<Built, Problem>>,
    },
    /// From a device: build this program for this machine. Safe to send again.
    BuildHostProgram {
        /// What.
        program: HostProgram,
        /// Steps of installing its packages.
        install: Option<mpsc::Sender<farmhand_api::InstallEvent>>,
        /// The program's path; it does not change.
        reply: RpcReplyPort<Result<PathBuf, Problem>>,
    },
    /// From the pool's own tasks: a build ended, and was answered. A cast.
    Ended,
    /// From the pool's own tasks: the cache is within its limit, as far as can be. A cast.
    Collected,
}
