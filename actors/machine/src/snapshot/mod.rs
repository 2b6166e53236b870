//! Machines, kept as they were at a moment, and made again from that.
//!
//! | file | what it is |
//! |---|---|
//! | `description.rs` | what a snapshot says of itself, and whether its files are what it says |
//! | `save.rs` | the operation: paused, saved, let go on whatever failed, published |
//! | `load.rs` | a machine from a snapshot: refused before anything starts, or paused and whole |
//! | `stream.rs` | a machine's memory on its way out of QEMU and into it |
//! | `error.rs` | what can be wrong |
//!
//! A snapshot is a folder of its own, below a folder of them: its description, the machine's memory, the program that was
//! loaded. It is made under another name and gets its own by one rename: there is a whole one or none.

mod description;
mod error;
mod load;
mod save;
mod stream;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use description::{Description, MadeBy, Part, SnapshotName};
pub use error::SnapshotError;
pub use save::Saved;
pub(crate) use save::go_on_after_a_crash;

/// In front of the name of one that is being made.
const UNFINISHED: &str = ".new-";
const DESCRIPTION: &str = "description.json";
const MEMORY: &str = "memory";
const PROGRAM: &str = "program";

/// A folder of snapshots. One process writes to it.
#[derive(Debug, Clone)]
pub struct Snapshots {
    folder: PathBuf,
}

/// One of a folder of snapshots.
#[derive(Debug)]
pub struct Listed {
    /// Its folder's name.
    pub name: String,
    /// What it says of itself, or what is wrong with that.
    pub description: Result<Description, SnapshotError>,
}

impl Snapshots {
    /// Those in this folder, which is made where it is not there. What a predecessor left half done is removed.
    pub fn open(folder: &Path) -> Result<Self, SnapshotError> {
        let all = Self { folder: folder.to_owned() };
        fs::create_dir_all(folder).map_err(SnapshotError::io(folder))?;
        for entry in fs::read_dir(folder).map_err(SnapshotError::io(folder))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path()).map_err(SnapshotError::io(&entry.path()))?;
            }
        }
        Ok(all)
    }

    /// All of them, by name. Their files are not read.
    pub fn list(&self) -> Result<Vec<Listed>, SnapshotError> {
        let entries = fs::read_dir(&self.folder).map_err(SnapshotError::io(&self.folder))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names
            .into_iter()
            .map(|name| {
                let description = SnapshotName::new(&name).and_then(|name| self.describe(&name));
                Listed { name, description }
            })
            .collect())
    }

    /// What it says of itself.
    pub fn describe(&self, name: &SnapshotName) -> Result<Description, SnapshotError> {
        Description::read(&self.of(name), name)
    }

    /// Whether its files are what it says: all of them are read.
    pub async fn verify(&self, name: &SnapshotName) -> Result<Description, SnapshotError> {
        let (folder, name) = (self.of(name), name.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let description = Description::read(&folder, &name)?;
            description.verify(&folder)?;
            Ok(description)
        });
        verified.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
    }

    /// Removes it: it is gone as a whole, whenever this is killed.
    pub fn delete(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        let (folder, going) = (self.of(name), self.unfinished(name));
        fs::rename(&folder, &going).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SnapshotError::NoSuch(name.clone()),
            _ => SnapshotError::io(&folder)(error),
        })?;
        fs::remove_dir_all(&going).map_err(SnapshotError::io(&going))
    }

    fn of(&self, name: &SnapshotName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn unfinished(&self, name: &SnapshotName) -> PathBuf {
        self.folder.join(format!("{UNFINISHED}{name}"))
    }
}
