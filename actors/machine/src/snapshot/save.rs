//! A machine that runs is saved: asked, paused, saved, let go on whatever failed, and only then published.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_runtime::{Failpoint, failpoint, unix_ms};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::task::JoinSet;

use super::description::Origin;
use super::resume::while_paused;
use super::{
    DESCRIPTION, Description, Key, MadeBy, Part, Role, SnapshotError, SnapshotName, Snapshots, aside,
    remove_unused, stream, sync_folder,
};
use crate::kind::Kind;
use crate::machine::{Machine, Now};
use crate::process;

/// Bytes beside memory and program: the devices' state, and the description.
const BESIDE: u64 = 1 << 20;

/// What the snapshot is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A person wants it, under this name.
    User {
        /// That.
        name: SnapshotName,
        /// Whether it takes the place of one that has the name.
        replace: bool,
    },
    /// farmhand wants it, so as not to do the same again. Its name is of what went into the machine: one there is enough.
    Cache,
}

/// What is saved, and of what.
#[derive(Debug, Clone)]
pub struct Saved {
    /// What for.
    pub wanted: Wanted,
    /// The machine's folder.
    pub folder: PathBuf,
    /// The machine's kind.
    pub kind: &'static Kind,
    /// What it is called.
    pub called: String,
    /// For what is in flight to be answered; see [`Machine::in_flight`].
    pub drained_within: Duration,
}

impl Snapshots {
    /// Saves a machine that runs, and lets it go on: asked, paused, saved, let go on, described, synced, published by one rename.
    ///
    /// Once begun it comes to its end, whoever waits for it: what failed is told, the first first. The machine runs then, or has
    /// been ended and its error is among what is told; it is never paused. Killed at any point, it leaves the old snapshot or the
    /// new one, and a machine that [`Machine::adopt`] lets go on. A runtime that is shut down kills it just so.
    pub async fn save(&self, machine: &Machine, what: Saved) -> Result<Description, SnapshotError> {
        let (all, machine) = (self.clone(), machine.clone());
        let done = tokio::spawn(async move { all.save_to_the_end(&machine, what).await });
        done.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
    }

    async fn save_to_the_end(&self, machine: &Machine, what: Saved) -> Result<Description, SnapshotError> {
        let Some(_alone) = machine.drained(what.drained_within).await else {
            return Err(SnapshotError::InFlight { within: what.drained_within });
        };
        let origin = origin(machine, &what).await?;
        let (name, replace) = match &what.wanted {
            Wanted::User { name, replace } => (name.clone(), *replace),
            Wanted::Cache => (Key::of(what.kind, &origin.emulator, &origin.files).name(), false),
        };
        if !replace && self.of(&name).exists() {
            return Err(SnapshotError::Exists(name));
        }
        match machine.now().await? {
            Now::Runs => {}
            Now::Held => return Err(SnapshotError::NotRunning("held at its first instruction".into())),
            Now::Stopped(state) => return Err(SnapshotError::NotRunning(state)),
        }
        self.has_room(&what, &origin)?;
        failpoint(Failpoint::SaveChecked);
        let (making, lock) = self.fresh(&name)?;
        let made = self.make(machine, &what, &name, origin, &making, lock).await;
        // What is half made; or, once it is published, the one that was replaced, if any.
        let removed = remove_unused(&making);
        if made.is_ok()
            && let Err(error) = &removed
        {
            // There is what was wanted. The next one who opens the snapshots tries again.
            tracing::warn!(snapshot = %name, %error, "the one that was replaced is not removed");
            return made;
        }
        SnapshotError::both(made, removed)
    }

    /// The snapshot, under its name when this is done.
    async fn make(
        &self,
        machine: &Machine,
        what: &Saved,
        name: &SnapshotName,
        origin: Origin,
        making: &Path,
        lock: File,
    ) -> Result<Description, SnapshotError> {
        for (role, said) in &origin.files {
            copy(what.folder.join(role.file()), making.join(role.file()), said.clone()).await?;
        }
        failpoint(Failpoint::SaveBegun);
        let taken = async {
            stream::out(machine, &what.folder, &making.join(Role::Memory.file())).await?;
            // While nothing writes to it: what is in memory of it and what is on it belong together.
            if has_disk(what.kind) {
                let (from, to) = (what.folder.join(Role::Disk.file()), making.join(Role::Disk.file()));
                // A file system that can share its blocks does.
                aside(move || fs::copy(&from, &to).map(drop).map_err(SnapshotError::io(&from))).await?;
            }
            failpoint(Failpoint::SaveTaken);
            Ok(())
        };
        while_paused(machine, &what.folder, taken).await?;
        failpoint(Failpoint::SaveUnmarked);
        let taken = [Role::Memory, Role::Disk].into_iter().filter(|role| match role {
            Role::Disk => has_disk(what.kind),
            _ => true,
        });
        let mut reads = JoinSet::new();
        for role in taken {
            let path = making.join(role.file());
            reads.spawn_blocking(move || {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.and_then(|()| Ok((role, Part::of(&path)?))).map_err(SnapshotError::io(&path))
            });
        }
        let mut saved = BTreeMap::new();
        while let Some(read) = reads.join_next().await {
            let read = read.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())));
            saved.extend([read?]);
        }
        let description = Description::new(name.clone(), origin, saved);
        let (all, said, making) = (self.clone(), description.clone(), making.to_owned());
        let replace = matches!(what.wanted, Wanted::User { replace: true, .. });
        aside(move || {
            write(&said, &making)?;
            sync_folder(&making)?;
            failpoint(Failpoint::SaveSynced);
            publish(&making, &all.of(&said.name), replace, &said.name)?;
            failpoint(Failpoint::SavePublished);
            // It is nobody's any more but theirs who use it.
            drop(lock);
            sync_folder(&all.folder)
        })
        .await?;
        Ok(description)
    }

    /// As much as it may take, before anything is paused. A disk that is full in the middle is an error all the same.
    fn has_room(&self, what: &Saved, origin: &Origin) -> Result<(), SnapshotError> {
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|error| SnapshotError::io(&self.folder)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let disk = what.folder.join(Role::Disk.file());
        let disk = if has_disk(what.kind) {
            fs::metadata(&disk).map_err(SnapshotError::io(&disk))?.len()
        } else {
            0
        };
        let files: u64 = origin.files.values().map(|part| part.len).sum();
        let needed = what.kind.memory_bytes + files + disk + BESIDE;
        if free < needed {
            return Err(SnapshotError::NoRoom { folder: self.folder.clone(), free, needed });
        }
        Ok(())
    }
}

fn has_disk(kind: &Kind) -> bool {
    kind.files().contains(&Role::Disk)
}

/// What the machine is made of, from the process itself: neither a folder nor a path is proof of who runs there.
async fn origin(machine: &Machine, what: &Saved) -> Result<Origin, SnapshotError> {
    let (process, version, what) = (machine.process(), machine.version(), what.clone());
    aside(move || {
        let other = |why: String| SnapshotError::Identity { folder: what.folder.clone(), why };
        if process::find(&what.folder) != Some(process) {
            return Err(other("its process is not the one that is asked".into()));
        }
        let exe = process::running_program(process);
        let emulator = Part::of(&exe).map_err(SnapshotError::io(&exe))?;
        let mut files = BTreeMap::new();
        // What is on its disk is what it has made of it.
        for role in what.kind.files().iter().copied().filter(|role| *role != Role::Disk) {
            let path = what.folder.join(role.file());
            files.insert(role, Part::of(&path).map_err(SnapshotError::io(&path))?);
        }
        let differs = process::differs(process, what.kind, &what.called);
        if let Some(why) = differs.map_err(|error| other(error.to_string()))? {
            return Err(other(why));
        }
        let made_by = match what.wanted {
            Wanted::User { .. } => MadeBy::User,
            Wanted::Cache => MadeBy::Cache,
        };
        Ok(Origin {
            made_by,
            made_unix_ms: unix_ms(),
            kind: what.kind,
            machine: what.called,
            emulator_version: version,
            emulator,
            files,
        })
    })
    .await
}

/// A copy that is what its source was when it was hashed.
async fn copy(from: PathBuf, to: PathBuf, said: Part) -> Result<(), SnapshotError> {
    aside(move || {
        // A file system that can share its blocks does.
        fs::copy(&from, &to).map_err(SnapshotError::io(&from))?;
        let synced = File::open(&to).and_then(|file| file.sync_all());
        synced.map_err(SnapshotError::io(&to))?;
        match Part::of(&to).map_err(SnapshotError::io(&to))? {
            found if found == said => Ok(()),
            _ => Err(SnapshotError::Changed(from)),
        }
    })
    .await
}

fn write(description: &Description, folder: &Path) -> Result<(), SnapshotError> {
    let path = folder.join(DESCRIPTION);
    let text =
        serde_json::to_vec_pretty(description).map_err(|error| SnapshotError::io(&path)(error.into()))?;
    fs::write(&path, text).and_then(|()| File::open(&path)?.sync_all()).map_err(SnapshotError::io(&path))
}

/// Gives it its name, and takes that from the one which has it, in one step.
fn publish(made: &Path, meant: &Path, replace: bool, name: &SnapshotName) -> Result<(), SnapshotError> {
    if replace {
        match renameat_with(CWD, made, CWD, meant, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::NOENT) => {}
            done => return done.map_err(|error| SnapshotError::io(meant)(error.into())),
        }
    }
    // Never over another: a snapshot's folder is not empty.
    fs::rename(made, meant).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
            SnapshotError::Exists(name.clone())
        }
        _ => SnapshotError::io(meant)(error),
    })
}
