//! Whether the system's own virtualisation runs a guest here. That a device is there and QEMU takes it proves nothing: there are
//! systems on which it opens, and what runs on it stands still. So a guest is booted, and has to answer.
//!
//! What came of it holds for this boot of the system, this kernel and this QEMU; a later look at the file costs nothing.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use farmhand_agent_link::AgentLink;
use farmhand_api::{EventBody, Problem};
use farmhand_machine::{Emulator, Machine, MachineError, Program};
use farmhand_runtime::boot_id;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::super::Tools;
use crate::problems;

/// What has to be there, and be ours to open.
const KVM: &str = "/dev/kvm";
/// For a guest to answer: emulated it takes three seconds, and less than one where this works.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// For one greeting, and between two of them.
const GREETED_WITHIN: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);
/// For how long one that said nothing is not asked again.
const SILENT_FOR: Duration = Duration::from_secs(60 * 60);
/// Among what guests are made of.
const NOTED: &str = "kvm";

/// Why no guest runs by it.
#[derive(Debug, Error)]
enum Not {
    #[error("{KVM}: {0}")]
    Kvm(#[from] std::io::Error),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("a guest that was booted by it said nothing within {} s", ANSWERS_WITHIN.as_secs())]
    Silent,
    #[error("QEMU ended")]
    Ended,
}

/// What came of it: the system's boot and the QEMU that it is of, and why not; nothing, where a guest has answered.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    of: String,
    why_not: Option<String>,
}

impl Noted {
    fn read(path: &Path, of: &str) -> Option<Self> {
        let noted_at = fs::metadata(path).and_then(|noted| noted.modified()).ok()?;
        let text = fs::read_to_string(path).ok()?;
        let why_not = text.strip_prefix(of)?.strip_prefix('\n')?;
        let why_not = (!why_not.is_empty()).then(|| why_not.to_owned());
        // A machine that does much else may have kept it from answering.
        let is_old = noted_at.elapsed().is_ok_and(|age| age > SILENT_FOR);
        (why_not.is_none() || !is_old).then(|| Self { of: of.to_owned(), why_not })
    }

    fn text(&self) -> String {
        format!("{}\n{}", self.of, self.why_not.as_deref().unwrap_or_default())
    }
}

impl Tools {
    /// An error where no guest has answered here that is accelerated. The machine of this device may be ended by it.
    pub(super) async fn accelerates(
        &self,
        emulator: &Emulator,
        program: &Program,
        progress: Option<&mpsc::Sender<EventBody>>,
    ) -> Result<(), Box<Problem>> {
        let path = self.ctx.paths.guests().join(NOTED);
        let of = format!("{} {}", boot_id(), emulator.program.display());
        let noted = match Noted::read(&path, &of) {
            Some(noted) => noted,
            None => {
                if let Some(progress) = progress {
                    let text = "looking whether KVM runs a guest here".to_owned();
                    let _nobody_watches = progress.try_send(EventBody::Note(text));
                }
                let (emulator, program) = (emulator.clone(), program.clone());
                let (folder, name) = (self.ctx.paths.board(&self.config.name), self.config.name.clone());
                // To its end, whoever waits for it: what it has begun is nobody else's.
                let probed = tokio::spawn(async move {
                    let probed = probe(&folder, &emulator, &program).await;
                    let noted = Noted { of, why_not: probed.as_ref().err().map(ToString::to_string) };
                    // What was not there may be the next time.
                    if matches!(probed, Ok(()) | Err(Not::Silent)) {
                        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
                        // Where it cannot be noted it is looked again.
                        let _full = written.and_then(|()| fs::write(&path, noted.text()));
                    }
                    noted
                });
                probed
                    .await
                    .map_err(|panic| Box::new(problems::not_accelerated(&name, &panic.to_string())))?
            }
        };
        match noted.why_not {
            None => Ok(()),
            Some(why) => Err(Box::new(problems::not_accelerated(&self.config.name, &why))),
        }
    }
}

/// In the folder of the device's own machine: whatever becomes of us, who looks after that one ends this one.
async fn probe(folder: &Path, emulator: &Emulator, program: &Program) -> Result<(), Not> {
    File::options().read(true).write(true).open(KVM)?;
    let machine = Machine::load(folder, emulator, program).await?.machine;
    let answered = async {
        machine.go().await.map_err(MachineError::from)?;
        let until = Instant::now() + ANSWERS_WITHIN;
        while Instant::now() < until {
            if AgentLink::connect(&Machine::agent(folder), GREETED_WITHIN).await.is_ok() {
                return Ok(());
            }
            if !machine.process().is_alive() {
                return Err(Not::Ended);
            }
            sleep(AGAIN).await;
        }
        Err(Not::Silent)
    };
    let answered = answered.await;
    // This one, and no other that has its place by now; one that stands still may answer no monitor either.
    answered.and(machine.end().await.map_err(Not::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_of_one_boot_and_one_qemu() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NOTED);
        for why_not in [None, Some("it said nothing".to_owned())] {
            let noted = Noted { of: "boot /qemu".into(), why_not };
            fs::write(&path, noted.text()).unwrap();
            assert_eq!(Noted::read(&path, "boot /qemu"), Some(noted));
            assert_eq!(Noted::read(&path, "boot /qemu-2"), None);
            assert_eq!(Noted::read(&path, "boot /qem"), None);
        }
    }
}
