//! A machine from a snapshot: one of its own, in a folder of its own.

use std::path::Path;

use super::{MEMORY, PROGRAM, Part, SnapshotError, SnapshotName, Snapshots, stream};
use crate::kind::Kind;
use crate::machine::{Loaded, Machine, MachineError, Now, Program, has_room_for_a_socket};
use crate::process::{Beginning, Emulator, find, last_words};

/// What a restored machine is in, in QEMU's words (QAPI `RunState`), until it is let go on.
const PAUSED: &str = "paused";

impl Snapshots {
    /// A machine as that one was, paused: [`Machine::go`] lets it go on. What is missing, damaged, or of another QEMU is refused
    /// before anything starts.
    pub async fn restore(
        &self,
        name: &SnapshotName,
        folder: &Path,
        emulator: &Emulator,
        called: &str,
    ) -> Result<Loaded, SnapshotError> {
        let said = self.verify(name).await?;
        let other = |what, was: &str, is: &str| SnapshotError::Other {
            name: name.clone(),
            what,
            was: was.to_owned(),
            is: is.to_owned(),
        };
        let kind = Kind::named(&said.kind).ok_or_else(|| other("a machine", &said.kind, "not known"))?;
        let program = emulator.program.clone();
        let here =
            tokio::task::spawn_blocking(move || Part::of(&program).map_err(SnapshotError::io(&program)));
        let here = here.await.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))?;
        if here != said.emulator {
            return Err(other("QEMU", &said.emulator.sha256, &here.sha256));
        }
        has_room_for_a_socket(folder)?;
        if find(folder).is_some() {
            return Err(SnapshotError::NotRunning("there already".into()));
        }
        let image = self.of(name).join(PROGRAM);
        let program = Program { kind, image, name: called.to_owned() };
        let loaded = Machine::start(folder, emulator, &program, Beginning::Memory).await?;
        match self.fill(&loaded.machine, folder, name).await {
            Ok(()) => Ok(loaded),
            Err(error) => {
                // QEMU that does not take a memory ends, and says why.
                let ended = Machine::end_any(folder).await.map_err(SnapshotError::from);
                let why = match last_words(folder) {
                    words if words.is_empty() => error,
                    words => SnapshotError::And {
                        first: Box::new(error),
                        then: Box::new(SnapshotError::Memory(words)),
                    },
                };
                SnapshotError::both(Err(why), ended)
            }
        }
    }

    async fn fill(&self, machine: &Machine, folder: &Path, name: &SnapshotName) -> Result<(), SnapshotError> {
        stream::load(machine, folder, &self.of(name).join(MEMORY)).await?;
        match machine.now().await? {
            Now::Stopped(state) if state == PAUSED => Ok(()),
            other => Err(MachineError::State { found: format!("{other:?}"), wanted: PAUSED }.into()),
        }
    }
}
