//! Machines from a snapshot: each of its own, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_runtime::{Failpoint, failpoint};
use tokio::task::JoinSet;

use super::description::told;
use super::hold::Mark;
use super::{
    Description, InUse, Part, Role, SnapshotError, SnapshotName, Snapshots, aside, stream, touch, verified,
};
use crate::kind::Kind;
use crate::machine::{Loaded, Machine, MachineError, Now, Program, has_room_for_a_socket};
use crate::process::{Beginning, Emulator, find, last_words};

/// In a machine's folder while it is being made of a snapshot: who adopts it then ends it, for it is no machine yet.
pub(crate) const RESTORING: &str = "restoring";
/// What a restored machine is in, in QEMU's words (QAPI `RunState`), until it is let go on.
const PAUSED: &str = "paused";
/// Machines that are made at once: each takes a processor for some tens of milliseconds.
const AT_ONCE: usize = 4;

/// Where a machine is to be, and what it is to be called: what makes it another one than its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its folder. No machine runs there.
    pub folder: PathBuf,
    /// Its name in lists of processes.
    pub called: String,
}

impl Snapshots {
    /// A machine as that one was, paused: [`Machine::go`] lets it go on. What is missing, damaged, or of another QEMU is refused
    /// before anything is made or started. It comes to its end, whoever waits for it; a machine that nobody waits for any more
    /// is there to be adopted.
    pub async fn restore(
        &self,
        name: &SnapshotName,
        place: &Place,
        emulator: &Emulator,
    ) -> Result<Loaded, SnapshotError> {
        let mut made = self.clones(name, std::slice::from_ref(place), emulator).await?;
        made.pop().ok_or_else(|| SnapshotError::Panicked("no machine was made".into()))
    }

    /// As [`Snapshots::restore`], as many as there are places, in their order: all of them, or none. The snapshot is read once to
    /// be verified.
    pub async fn clones(
        &self,
        name: &SnapshotName,
        places: &[Place],
        emulator: &Emulator,
    ) -> Result<Vec<Loaded>, SnapshotError> {
        for (at, Place { folder, called }) in places.iter().enumerate() {
            has_room_for_a_socket(folder)?;
            let taken = |other: &Place| other.folder == *folder || other.called == *called;
            if find(folder).is_some() || places[..at].iter().any(taken) {
                return Err(SnapshotError::Taken { folder: folder.clone(), called: called.clone() });
            }
        }
        let held = self.hold(name)?;
        let said = verified(held.clone()).await?;
        let kind = fits(&said, emulator).await?;
        failpoint(Failpoint::RestoreVerified);
        touch(&held);
        let one = Restoring { held, said, kind, emulator: emulator.clone() };
        let places = places.to_vec();
        let made = tokio::spawn(async move { one.all(places).await });
        made.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
    }
}

/// Whether this QEMU makes the machine that the snapshot is of, and which kind that is.
async fn fits(said: &Description, emulator: &Emulator) -> Result<&'static Kind, SnapshotError> {
    let other = |what, was: &str, is: &str| SnapshotError::Other {
        name: said.name.clone(),
        what,
        was: was.to_owned(),
        is: is.to_owned(),
    };
    let kind = Kind::named(&said.kind).ok_or_else(|| other("a machine", &said.kind, "not known"))?;
    if said.arguments != told(kind) {
        return Err(other("a machine", &said.arguments.join(" "), &told(kind).join(" ")));
    }
    let program = emulator.program.clone();
    let here = aside(move || Part::of(&program).map_err(SnapshotError::io(&program))).await?;
    if here != said.emulator {
        return Err(other("QEMU", &said.emulator.sha256, &here.sha256));
    }
    Ok(kind)
}

/// What the machines are made of.
#[derive(Debug, Clone)]
struct Restoring {
    held: InUse,
    said: Description,
    kind: &'static Kind,
    emulator: Emulator,
}

impl Restoring {
    async fn all(self, places: Vec<Place>) -> Result<Vec<Loaded>, SnapshotError> {
        let mut made: Vec<Option<Loaded>> = Vec::new();
        made.resize_with(places.len(), || None);
        let (mut result, mut rest) = (Ok(()), places.iter().cloned().enumerate());
        let mut at_work = JoinSet::new();
        loop {
            while at_work.len() < AT_ONCE
                && result.is_ok()
                && let Some((at, place)) = rest.next()
            {
                let one = self.clone();
                at_work.spawn(async move { (at, one.one(&place).await) });
            }
            let Some(done) = at_work.join_next().await else { break };
            let done = done.unwrap_or_else(|panic| (0, Err(SnapshotError::Panicked(panic.to_string()))));
            match done {
                (at, Ok(loaded)) => made[at] = Some(loaded),
                (_, Err(error)) => result = SnapshotError::both(result, Err(error)),
            }
        }
        if result.is_err() {
            // None, where it cannot be all.
            for loaded in made.into_iter().flatten() {
                let ended = loaded.machine.quit().await.map_err(SnapshotError::from);
                result = SnapshotError::both(result, ended);
            }
            return result.map(|()| Vec::new());
        }
        Ok(made.into_iter().flatten().collect())
    }

    async fn one(&self, place: &Place) -> Result<Loaded, SnapshotError> {
        let folder = &place.folder;
        fs::create_dir_all(folder).map_err(SnapshotError::io(folder))?;
        let mark = Mark::make(folder, RESTORING)?;
        // Another one may have been faster.
        if find(folder).is_some() {
            mark.remove()?;
            return Err(SnapshotError::Taken { folder: folder.clone(), called: place.called.clone() });
        }
        let made = self.start(place).await;
        let made = match made {
            Ok(made) => Ok(made),
            Err(error) => {
                // QEMU that does not take a memory ends, and says why.
                let ended = Machine::end_any(folder).await.map_err(SnapshotError::from);
                let told = match last_words(folder) {
                    words if words.is_empty() => Ok(()),
                    words => Err(SnapshotError::Memory(words)),
                };
                SnapshotError::both(SnapshotError::both(Err(self.held.tell(error)), told), ended)
            }
        };
        SnapshotError::both(made, mark.remove().map_err(SnapshotError::from)).inspect(|_| {
            failpoint(Failpoint::RestoreDone);
        })
    }

    async fn start(&self, place: &Place) -> Result<Loaded, SnapshotError> {
        let from = self.held.path();
        let files = self.said.files().map(|role| (role, from.join(role.file()))).collect();
        let program = Program { kind: self.kind, files, name: place.called.clone() };
        let lock = self.held.folder.try_clone().map_err(SnapshotError::io(&from))?;
        let loaded =
            Machine::start(&place.folder, &self.emulator, &program, Beginning::Memory, Some(lock)).await?;
        failpoint(Failpoint::RestoreStarted);
        let memory = from.join(Role::Memory.file());
        stream::load(&loaded.machine, &place.folder, &memory, self.said.memory()).await?;
        match loaded.machine.now().await? {
            Now::Stopped(state) if state == PAUSED => {}
            other => {
                return Err(MachineError::State { found: format!("{other:?}"), wanted: PAUSED }.into());
            }
        }
        failpoint(Failpoint::RestoreFilled);
        Ok(loaded)
    }
}

/// A machine whose owner died while it was being made of a snapshot is ended.
pub(crate) async fn end_half_restored(folder: &Path) -> Result<(), MachineError> {
    let Some(mark) = Mark::left(folder, RESTORING)? else { return Ok(()) };
    Machine::end_any(folder).await?;
    stream::remove(&folder.join(super::IN))?;
    mark.remove()
}
