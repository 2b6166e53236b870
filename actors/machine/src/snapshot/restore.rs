//! Machines from a snapshot: each of its own, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use farmhand_runtime::{Failpoint, failpoint};
use tokio::task::JoinSet;

use super::description::told;
use super::hold::Mark;
use super::seen::{Looked, Seen, Stamp};
use super::{Description, InUse, Part, Role, SnapshotError, SnapshotName, Snapshots, aside, stream, touch};
use crate::kind::Kind;
use crate::machine::{Loaded, Machine, MachineError, Now, Program, has_room_for_a_socket};
use crate::process::{self, Beginning, Emulator, find, last_words};

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
        free(std::slice::from_ref(place))?;
        self.verified(name).await?.machine(place, emulator).await
    }

    /// The snapshot, once all of its files are what it says: those are read that were not found right before, or were written
    /// since.
    pub async fn verified(&self, name: &SnapshotName) -> Result<Verified, SnapshotError> {
        let held = self.hold(name)?;
        let all_of_it = held.clone();
        let read = move || {
            let folder = all_of_it.path();
            let said = Description::read(&folder, &all_of_it.name)?;
            let mut seen = Seen::of(&folder);
            let stamps = said.verify(&folder, &seen)?;
            seen.note(&folder, stamps.iter().map(|(role, looked)| (role.file().to_owned(), *looked)));
            Ok((said, stamps))
        };
        let (said, stamps) = aside(read).await.map_err(|error| held.tell(error))?;
        Ok(Verified { held, said, stamps })
    }

    /// As [`Snapshots::restore`], as many as there are places, in their order: all of them, or none. The snapshot is read once to
    /// be verified.
    pub async fn clones(
        &self,
        name: &SnapshotName,
        places: &[Place],
        emulator: &Emulator,
    ) -> Result<Vec<Loaded>, SnapshotError> {
        free(places)?;
        self.verified(name).await?.machines(places, emulator).await
    }
}

/// Whether a machine can be in each of these places.
fn free(places: &[Place]) -> Result<(), SnapshotError> {
    for (at, Place { folder, called }) in places.iter().enumerate() {
        has_room_for_a_socket(folder)?;
        let taken = |other: &Place| other.folder == *folder || other.called == *called;
        if find(folder).is_some() || places[..at].iter().any(taken) {
            return Err(SnapshotError::Taken { folder: folder.clone(), called: called.clone() });
        }
    }
    Ok(())
}

/// A snapshot whose files are what it says. It is in use for as long as this lives.
#[derive(Debug, Clone)]
pub struct Verified {
    held: InUse,
    said: Description,
    /// The files', from before they were read.
    stamps: BTreeMap<Role, Looked>,
}

impl Verified {
    /// What it says.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.said
    }

    /// Whether this QEMU makes the machine that the snapshot is of, and which kind that is.
    pub async fn fits(&self, emulator: &Emulator) -> Result<&'static Kind, SnapshotError> {
        let other = |what, was: &str, is: &str| SnapshotError::Other {
            name: self.said.name.clone(),
            what,
            was: was.to_owned(),
            is: is.to_owned(),
        };
        let said = &self.said;
        let kind = Kind::named(&said.kind).ok_or_else(|| other("a machine", &said.kind, "not known"))?;
        if said.arguments != told(kind) {
            return Err(other("a machine", &said.arguments.join(" "), &told(kind).join(" ")));
        }
        let (program, wanted, held) = (emulator.program.clone(), said.emulator.clone(), self.held.clone());
        let read = move || {
            let (folder, called) = (held.path(), program.display().to_string());
            let (mut seen, before) = (Seen::of(&folder), Looked::at(&program));
            let before = before.map_err(SnapshotError::io(&program))?;
            if seen.has(&called, before.stamp) {
                return Ok(wanted);
            }
            let here = Part::of(&program).map_err(SnapshotError::io(&program))?;
            if here == wanted {
                seen.note(&folder, [(called, before)]);
            }
            Ok(here)
        };
        let here = aside(read).await?;
        if here != self.said.emulator {
            return Err(other("QEMU", &self.said.emulator.sha256, &here.sha256));
        }
        Ok(kind)
    }

    /// See [`Snapshots::restore`].
    pub async fn machine(self, place: &Place, emulator: &Emulator) -> Result<Loaded, SnapshotError> {
        let mut made = self.machines(std::slice::from_ref(place), emulator).await?;
        made.pop().ok_or_else(|| SnapshotError::Panicked("no machine was made".into()))
    }

    /// See [`Snapshots::clones`].
    pub async fn machines(self, places: &[Place], emulator: &Emulator) -> Result<Vec<Loaded>, SnapshotError> {
        free(places)?;
        let kind = self.fits(emulator).await?;
        failpoint(Failpoint::RestoreVerified);
        touch(&self.held);
        // Before there is a task that nobody may wait for: who ends machines waits for it by that.
        let marked = marked(places)?;
        let one = Restoring { of: self, kind, emulator: emulator.clone() };
        let made = tokio::spawn(async move { one.all(marked).await });
        made.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
    }
}

/// The places, each marked as one where a machine is being made; or none is.
fn marked(places: &[Place]) -> Result<Vec<(Place, Mark)>, SnapshotError> {
    let mut all = Vec::new();
    for place in places {
        match mark(place) {
            Ok(mark) => all.push((place.clone(), mark)),
            Err(error) => {
                let unmarked = all.into_iter().map(|(_, mark)| mark.remove().map_err(SnapshotError::from));
                return unmarked.fold(Err(error), SnapshotError::both);
            }
        }
    }
    Ok(all)
}

fn mark(place: &Place) -> Result<Mark, SnapshotError> {
    let Place { folder, called } = place;
    fs::create_dir_all(folder).map_err(SnapshotError::io(folder))?;
    let mark = Mark::make(folder, RESTORING)?;
    // Another one may have been faster.
    if find(folder).is_some() {
        let taken = SnapshotError::Taken { folder: folder.clone(), called: called.clone() };
        return SnapshotError::both(Err(taken), mark.remove().map_err(SnapshotError::from));
    }
    Ok(mark)
}

/// What the machines are made of.
#[derive(Debug, Clone)]
struct Restoring {
    of: Verified,
    kind: &'static Kind,
    emulator: Emulator,
}

impl Restoring {
    async fn all(self, marked: Vec<(Place, Mark)>) -> Result<Vec<Loaded>, SnapshotError> {
        let mut made: Vec<Option<Loaded>> = Vec::new();
        made.resize_with(marked.len(), || None);
        let (mut result, mut rest) = (Ok(()), marked.into_iter().enumerate());
        let mut at_work = JoinSet::new();
        loop {
            while at_work.len() < AT_ONCE
                && result.is_ok()
                && let Some((at, (place, mark))) = rest.next()
            {
                let one = self.clone();
                at_work.spawn(async move { (at, one.one(&place, mark).await) });
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
            for (_, (_, mark)) in rest {
                result = SnapshotError::both(result, mark.remove().map_err(SnapshotError::from));
            }
            for loaded in made.into_iter().flatten() {
                let ended = loaded.machine.quit().await.map_err(SnapshotError::from);
                result = SnapshotError::both(result, ended);
            }
            return result.map(|()| Vec::new());
        }
        Ok(made.into_iter().flatten().collect())
    }

    async fn one(&self, place: &Place, mark: Mark) -> Result<Loaded, SnapshotError> {
        let folder = &place.folder;
        let made = self.start(place).await;
        let made = match made {
            Ok(made) => Ok(made),
            Err(error) => {
                // QEMU that does not take a memory ends, and says why.
                let ended = process::end_any(folder).await.map_err(SnapshotError::from);
                let told = match last_words(folder) {
                    words if words.is_empty() => Ok(()),
                    words => Err(SnapshotError::Memory(words)),
                };
                SnapshotError::both(SnapshotError::both(Err(self.of.held.tell(error)), told), ended)
            }
        };
        SnapshotError::both(made, mark.remove().map_err(SnapshotError::from)).inspect(|_| {
            failpoint(Failpoint::RestoreDone);
        })
    }

    async fn start(&self, place: &Place) -> Result<Loaded, SnapshotError> {
        let Verified { held, said, stamps } = &self.of;
        let from = held.path();
        let files = said.files().map(|role| (role, from.join(role.file()))).collect();
        let program = Program { kind: self.kind, files, name: place.called.clone() };
        let lock = held.folder.try_clone().map_err(SnapshotError::io(&from))?;
        let loaded =
            Machine::start(&place.folder, &self.emulator, &program, Beginning::Memory, Some(lock)).await?;
        failpoint(Failpoint::RestoreStarted);
        stream::load(&loaded.machine).await?;
        // What QEMU has read, and what it was given copies of, was another look at it than ours.
        for (role, before) in stamps {
            let path = from.join(role.file());
            if Stamp::of(&path).map_err(SnapshotError::io(&path))? != before.stamp {
                return Err(SnapshotError::Changed(path));
            }
        }
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

/// Whether a machine is being made there, or was when its owner died.
pub(crate) fn is_restoring(folder: &Path) -> bool {
    folder.join(RESTORING).exists()
}

/// A machine whose owner died while it was being made of a snapshot is ended.
pub(crate) async fn end_half_restored(folder: &Path) -> Result<(), MachineError> {
    let Some(mark) = Mark::left(folder, RESTORING)? else { return Ok(()) };
    process::end_any(folder).await?;
    mark.remove()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// At the start of a farm two ask for a machine whose restore was killed: one ends it, and the other is told that there is none.
    /// Seen red where `Machine::adopt` does not wait for who does it, and where a mark that is gone by then counts as somebody's.
    #[tokio::test]
    async fn who_asks_for_a_machine_that_another_ends_just_now_is_told_that_there_is_none() {
        let folder = std::env::temp_dir().join(format!("farmhand-adopt-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for ends_within in [Duration::from_millis(50), Duration::from_millis(600)] {
            let at_work = Mark::make(&folder, RESTORING).unwrap();
            let ends = std::thread::spawn(move || {
                std::thread::sleep(ends_within);
                at_work.remove()
            });
            assert!(Machine::adopt(&folder).await.unwrap().is_none());
            ends.join().unwrap().unwrap();
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
