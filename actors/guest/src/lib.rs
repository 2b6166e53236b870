//! What a Linux guest is made of: a kernel, a file system that it unpacks into memory, and a disk. From packages, without root,
//! and the same bytes from the same packages.
//!
//! | file | what it is |
//! |---|---|
//! | `cpio.rs` | the archive that a kernel unpacks |
//! | `modules.rs` | a kernel's modules, in the order in which they load |
//! | `image.rs` | all of a guest, made once for each set of packages |
//! | `init.sh` | its first process: hardware, file systems, then busybox's `init` with the agent |

mod cpio;
mod image;
mod modules;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use cpio::Cpio;
pub use image::{GuestImage, Parts};
pub use modules::Modules;

/// Why there is no guest.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestError {
    /// A package has it not.
    #[error("there is no {what} in {}", .package.display())]
    Missing {
        /// What.
        what: String,
        /// Where it was looked for.
        package: PathBuf,
    },
    /// The kernel has it not.
    #[error("the kernel has no module {0}")]
    Module(String),
    /// The program that makes disks.
    #[error("{} makes no disk: {why}", .program.display())]
    Disk {
        /// It.
        program: PathBuf,
        /// Its words.
        why: String,
    },
    /// This farmhand has no agent for guests.
    #[error("this farmhand was built without an agent for Linux guests: it runs on Linux only")]
    NoAgent,
    /// A file.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl GuestError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }
}
