//! A machine is started with a program in it, and held.

use std::path::Path;

use farmhand_api::{EventBody, Problem};
use farmhand_machine::{Emulator, Kind, Loaded, Machine, Program};
use farmhand_messages::SerialMessage;
use farmhand_messages::device::{KeptFile, Payload};
use farmhand_messages::installer::Installed;
use farmhand_records::Epoch;
use farmhand_records::v1::Identity;
use farmhand_runtime::{Failpoint, ask, failpoint};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{Ended, SERIAL_WITHIN, Stays, Tools};
use super::MachineStay;
use crate::evidence::Try;
use crate::problems;
use crate::state::{OnDevice, Outcome, Spoiled, Unopened};

/// Bytes of an ELF file up to its `e_machine` and with it (System V ABI, "ELF Header").
const ELF_HEAD: usize = 20;

/// To load a machine.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) of: Try,
    /// Durable, and not begun: for a console that was never recorded.
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) kind: &'static Kind,
    pub(crate) payload: Payload,
    pub(crate) baud: u32,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
    /// Cancelled once it is not wanted any more: the machine that is there is left alone then.
    pub(crate) stop: CancellationToken,
}

impl Load {
    /// Does it: from [`crate::state::Act::Transfer`].
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let untouched =
            |problem: Box<Problem>| Outcome::Transferred(Err(Spoiled::untouched(*problem))).into();
        let Payload::Program { file, .. } = &self.payload else {
            let why = "it takes programs, and neither boots images nor has partitions".to_owned();
            return untouched(Box::new(problems::out_of_order(&tools.config.name, why)));
        };
        if let Err(problem) = self.is_for_it(&tools, file).await {
            return untouched(problem);
        }
        let emulator = tools.emulator(self.kind, self.progress.as_ref());
        let emulator = match self.stop.run_until_cancelled(emulator).await {
            Some(Ok(emulator)) => emulator,
            Some(Err(problem)) => return untouched(problem),
            None => return untouched(Box::new(problems::stopped(&tools.config.name))),
        };
        let name = tools.config.name.to_string();
        let program = Program::elf(self.kind, file.path.clone(), name);
        let folder = tools.ctx.paths.board(&tools.config.name);
        let loaded = match Machine::load(&folder, &emulator, &program).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let problem = *tools.no_machine(&error);
                return Outcome::Transferred(Err(Spoiled { touched: true, ..Spoiled::untouched(problem) }))
                    .into();
            }
        };
        failpoint(Failpoint::BoardStarted);
        self.hold(tools, loaded, file).await
    }

    /// With a machine that is held: its console is open before it says anything.
    async fn hold(&self, tools: Tools, loaded: Loaded, file: &KeptFile) -> Ended {
        let machine = loaded.machine.clone();
        let began = match self.console(&tools, &machine).await {
            Ok(began) => began,
            Err(Unopened { problem, .. }) => {
                let spoiled = Spoiled { touched: true, ..Spoiled::untouched(*problem) };
                return Ended { loaded: Some(loaded), ..Outcome::Transferred(Err(spoiled)).into() };
            }
        };
        let loader = format!("QEMU {}, {}", machine.version(), self.kind.name);
        let done = OnDevice {
            image_bytes: file.bytes,
            written_bytes: file.bytes,
            identity: Identity { signature: Vec::new(), loader },
            epoch: began,
            starts: Some(0),
            handoffs: None,
        };
        let stay = MachineStay { of: self.of, machine, baud: self.baud, tools };
        let outcome = Outcome::Transferred(Ok(done));
        Ended { loaded: Some(loaded), stay: Some(Stays::Machine(Box::new(stay))), ..outcome.into() }
    }

    /// Opens it, and gives the epoch that this began, where there was none.
    async fn console(&self, tools: &Tools, machine: &Machine) -> Result<Option<Epoch>, Unopened> {
        let reset_epoch = *self.epochs.first().expect("a transfer is given epochs");
        let position = |reply| SerialMessage::Position { reply };
        let asked = ask(&tools.serial(), SERIAL_WITHIN, position).await;
        let (_, now) = asked.map_err(|error| {
            let problem = problems::no_answer(&tools.config.name, "its serial actor", &error.to_string());
            Unopened { problem: Box::new(problem), perhaps: false }
        })?;
        let opened = tools.open_console(machine.console(), self.baud, now, reset_epoch).await?;
        Ok((opened.epoch == reset_epoch).then_some(reset_epoch))
    }

    /// Whether the program is for its processor.
    async fn is_for_it(&self, tools: &Tools, file: &KeptFile) -> Result<(), Box<Problem>> {
        let name = &tools.config.name;
        let found =
            head(&file.path).await.map_err(|error| Box::new(problems::not_kept(name, &file.said, &error)))?;
        let other = |found: &str| Err(Box::new(problems::another_processor(name, self.kind, found)));
        match found {
            Some(machine) if machine == self.kind.elf => Ok(()),
            Some(machine) => other(&format!("for another processor (ELF machine {machine})")),
            None => other("no ELF file"),
        }
    }
}

/// `e_machine` of an ELF file; none where it is no such file.
async fn head(path: &Path) -> std::io::Result<Option<u16>> {
    let mut head = Vec::new();
    tokio::fs::File::open(path).await?.take(ELF_HEAD as u64).read_to_end(&mut head).await?;
    Ok(match head.as_slice() {
        [0x7f, b'E', b'L', b'F', _, 1, .., low, high] if head.len() == ELF_HEAD => {
            Some(u16::from_le_bytes([*low, *high]))
        }
        [0x7f, b'E', b'L', b'F', _, 2, .., high, low] if head.len() == ELF_HEAD => {
            Some(u16::from_be_bytes([*high, *low]))
        }
        _ => None,
    })
}

impl Tools {
    pub(super) async fn emulator(
        &self,
        kind: &'static Kind,
        progress: Option<&mpsc::Sender<EventBody>>,
    ) -> Result<Emulator, Box<Problem>> {
        let Installed { prefix, environment, .. } =
            self.told(progress, |install| self.installed(kind.package, install)).await?;
        let firmware = vec![prefix.join("usr/share/qemu")];
        Ok(Emulator { program: prefix.join("usr/bin").join(kind.program), environment, firmware })
    }
}
