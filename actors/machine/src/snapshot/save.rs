//! A machine that runs is saved: paused, saved, let go on whatever failed, and only then published.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use farmhand_runtime::unix_ms;
use farmhand_wire::qmp::Command;

use super::description::Origin;
use super::{
    DESCRIPTION, Description, MEMORY, MadeBy, PROGRAM, Part, SnapshotError, SnapshotName, Snapshots, stream,
};
use crate::machine::{Machine, MachineError, Now, Program};
use crate::process::Emulator;

/// In a machine's folder for as long as it may be paused by us: who adopts it then lets it go on.
const SAVING: &str = "saving";
/// Bytes beside memory and program: the devices' state, and the description.
const BESIDE: u64 = 1 << 20;

/// What is saved, and of what.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Its name.
    pub name: SnapshotName,
    /// Who wants it.
    pub made_by: MadeBy,
    /// The machine's folder.
    pub folder: PathBuf,
    /// What runs in it.
    pub program: Program,
    /// What emulates it.
    pub emulator: Emulator,
}

impl Snapshots {
    /// Saves a machine that runs, and lets it go on. Once begun it comes to its end, whoever waits for it: what failed is told,
    /// the first first, and the machine runs all the same, or its error is among what is told.
    pub async fn save(&self, machine: &Machine, what: Saved) -> Result<Description, SnapshotError> {
        let (all, machine) = (self.clone(), machine.clone());
        let done = tokio::spawn(async move { all.save_to_the_end(&machine, what).await });
        done.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
    }

    async fn save_to_the_end(&self, machine: &Machine, what: Saved) -> Result<Description, SnapshotError> {
        let (meant, making) = (self.of(&what.name), self.unfinished(&what.name));
        if meant.exists() {
            return Err(SnapshotError::Exists(what.name));
        }
        match machine.now().await? {
            Now::Runs => {}
            Now::Held => return Err(SnapshotError::NotRunning("held at its first instruction".into())),
            Now::Stopped(state) => return Err(SnapshotError::NotRunning(state)),
        }
        self.has_room(&what)?;
        fs::create_dir(&making).map_err(SnapshotError::io(&making))?;
        let made = self.make(machine, &what, &making).await;
        if made.is_err() {
            let removed = fs::remove_dir_all(&making).map_err(SnapshotError::io(&making));
            return SnapshotError::both(made, removed);
        }
        fs::rename(&making, &meant).map_err(SnapshotError::io(&meant))?;
        sync_folder(&self.folder)?;
        made
    }

    async fn make(
        &self,
        machine: &Machine,
        what: &Saved,
        making: &Path,
    ) -> Result<Description, SnapshotError> {
        let program = copy(&what.program.image, &making.join(PROGRAM))?;
        let emulator = Part::of(&what.emulator.program).map_err(SnapshotError::io(&what.emulator.program))?;
        let memory = paused(machine, &what.folder, &making.join(MEMORY)).await?;
        let origin = Origin {
            made_by: what.made_by,
            made_unix_ms: unix_ms(),
            kind: what.program.kind.name.to_owned(),
            machine: what.program.name.clone(),
            emulator_version: machine.version(),
            emulator,
        };
        let description = Description::new(what.name.clone(), origin, program, memory);
        let path = making.join(DESCRIPTION);
        let text = serde_json::to_vec_pretty(&description)
            .map_err(|error| SnapshotError::io(&path)(error.into()))?;
        fs::write(&path, text)
            .and_then(|()| File::open(&path)?.sync_all())
            .map_err(SnapshotError::io(&path))?;
        sync_folder(making)?;
        Ok(description)
    }

    /// As much as it may take, before anything is paused. A disk that is full in the middle is an error all the same.
    fn has_room(&self, what: &Saved) -> Result<(), SnapshotError> {
        let io = SnapshotError::io(&self.folder);
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| io(error.into()))?;
        let free = disk.f_bavail * disk.f_frsize;
        let image = &what.program.image;
        let program = fs::metadata(image).map_err(SnapshotError::io(image))?.len();
        let needed = what.program.kind.memory_bytes + program + BESIDE;
        if free < needed {
            return Err(SnapshotError::NoRoom { folder: self.folder.clone(), free, needed });
        }
        Ok(())
    }
}

/// Pauses the machine, takes its memory, and lets it go on.
async fn paused(machine: &Machine, folder: &Path, file: &Path) -> Result<Part, SnapshotError> {
    let mark = folder.join(SAVING);
    File::create(&mark).and_then(|mark| mark.sync_all()).map_err(SnapshotError::io(&mark))?;
    let taken = match machine.monitor().ask(Command::Stop).await {
        Ok(_) => stream::out(machine, folder, file).await,
        // It may have paused.
        Err(error) => Err(MachineError::from(error).into()),
    };
    SnapshotError::both(taken, go_on(machine, &mark).await.map_err(SnapshotError::from))
}

/// A machine that was being saved when its owner died goes on, as it would have.
pub(crate) async fn go_on_after_a_crash(machine: &Machine, folder: &Path) -> Result<(), MachineError> {
    let mark = folder.join(SAVING);
    if mark.exists() { go_on(machine, &mark).await } else { Ok(()) }
}

async fn go_on(machine: &Machine, mark: &Path) -> Result<(), MachineError> {
    // Nothing where none is under way.
    machine.monitor().ask(Command::MigrateCancel).await?;
    // Nothing where it runs; an answer alone proves nothing.
    machine.monitor().ask(Command::Cont).await?;
    match machine.now().await? {
        Now::Runs => {}
        other => return Err(MachineError::State { found: format!("{other:?}"), wanted: "running again" }),
    }
    match fs::remove_file(mark) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(MachineError::State { found: format!("running, but marked: {error}"), wanted: "unmarked" })
        }
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<Part, SnapshotError> {
    // A file system that can share its blocks does.
    fs::copy(from, to).map_err(SnapshotError::io(from))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(SnapshotError::io(to))?;
    Part::of(to).map_err(SnapshotError::io(to))
}

fn sync_folder(folder: &Path) -> Result<(), SnapshotError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(SnapshotError::io(folder))
}
