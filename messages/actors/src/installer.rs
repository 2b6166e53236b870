//! To the package installer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use farmhand_api::{InstallEvent, InstalledView, Problem};
use ractor::RpcReplyPort;
use tokio::sync::mpsc;

use crate::packages::PackageSpec;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PackageWish {
    /// One of the packages that farmhand describes, by name: `avr-gcc`, `arduino-avr`, `simavr`, ...
    Named(String),
    /// A file or folder on this machine, with the SHA-256 it must have (files only).
    Local {
        /// Where it is.
        path: PathBuf,
        /// What it must be.
        sha256: Option<[u8; 32]>,
    },
    /// One that a project declares.
    Declared(Box<PackageSpec>),
    /// The one of farmhand's own that offers this: `cc:avr`, `core:arduino:avr`, `libc:picolibc:arm-none-eabi`.
    Offering(String),
}

/// A package that is installed and will stay as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The folder that holds it: for archives of Debian, what they would unpack to `/`.
    pub prefix: PathBuf,
    /// The SHA-256 over what it was made of: the same content, the same hash.
    pub hash: [u8; 32],
    /// What a program from it needs in its environment: `LD_LIBRARY_PATH`.
    pub environment: BTreeMap<String, String>,
    /// Nothing had to be done.
    pub already: bool,
    /// The archives it was made of: name, version, bytes.
    pub archives: Vec<(String, String, u64)>,
}

/// To the package installer.
#[derive(Debug)]
pub enum InstallerMessage {
    /// From a session, the compiler pool, a device or a gateway: have this installed. Answers when its completion
    /// record is on disk. Safe to send again, and by many at once: there is one installation of one thing at a
    /// time, in this process and across processes, and all who ask wait for it.
    Install {
        /// What.
        wish: PackageWish,
        /// Steps, for those who watch; a full channel loses steps, never the answer.
        progress: Option<mpsc::Sender<InstallEvent>>,
        /// The package, or what is wrong: class `Package`, `Usage` or `Infra`.
        reply: RpcReplyPort<Result<Installed, Problem>>,
    },
    /// From a gateway: what is installed. Safe.
    List {
        /// All with a completion record.
        reply: RpcReplyPort<Vec<InstalledView>>,
    },
    /// From the installer's own tasks: an installation goes on. A cast; ten a second at most.
    Stepped {
        /// Of what.
        wish: PackageWish,
        /// How far it is.
        event: InstallEvent,
    },
    /// From the installer's own tasks: an installation ended. A cast.
    Ended {
        /// Of what.
        wish: PackageWish,
        /// How.
        outcome: Box<Result<Installed, Problem>>,
    },
    /// From the installer's own task at its start: what processes that died had left is swept. A cast.
    Reconciled {
        /// Or why it could not be.
        outcome: Result<(), Problem>,
    },
}
