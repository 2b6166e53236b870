//! A machine is started with a program in it, and held.

use std::path::Path;

use farmhand_api::{EventBody, Problem};
use farmhand_machine::{Elf, Emulator, Kind, Loaded, Machine, Program};
use farmhand_messages::SerialMessage;
use farmhand_messages::device::{KeptFile, Payload};
use farmhand_messages::installer::Installed;
use farmhand_records::Epoch;
use farmhand_records::v1::{GuestStart, Identity};
use farmhand_runtime::{Failpoint, ask, failpoint};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{Ended, SERIAL_WITHIN, Stays, Tools};
use super::{GuestFolder, MachineStay};
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
        let file = match (&self.payload, self.kind.is_linux()) {
            (Payload::Program { file, .. }, false) | (Payload::Guest { file, .. }, true) => file,
            _ => {
                let why = "it takes programs, and neither boots images nor has partitions".to_owned();
                return untouched(Box::new(problems::out_of_order(&tools.config.name, why)));
            }
        };
        if let Err(problem) = self.is_for_it(&tools, file).await {
            return untouched(problem);
        }
        let begins = self.begins_with(&tools, file);
        let (emulator, program) = match self.stop.run_until_cancelled(begins).await {
            Some(Ok(begins)) => begins,
            Some(Err(problem)) => return untouched(problem),
            None => return untouched(Box::new(problems::stopped(&tools.config.name))),
        };
        let loaded = match self.machine(&tools, file, &emulator, &program).await {
            Ok(loaded) => loaded,
            Err(problem) => {
                let spoiled = Spoiled { touched: true, ..Spoiled::untouched(*problem) };
                return Outcome::Transferred(Err(spoiled)).into();
            }
        };
        failpoint(Failpoint::BoardStarted);
        self.hold(tools, loaded, file).await
    }

    async fn begins_with(&self, tools: &Tools, file: &KeptFile) -> Result<(Emulator, Program), Box<Problem>> {
        if self.kind.is_linux() {
            return tools.guest(self.kind, self.progress.as_ref()).await;
        }
        let emulator = tools.emulator(self.kind, self.progress.as_ref()).await?;
        Ok((emulator, Program::elf(self.kind, file.path.clone(), tools.config.name.to_string())))
    }

    /// The machine, held; of a guest with all that it is to do in its folder.
    async fn machine(
        &self,
        tools: &Tools,
        file: &KeptFile,
        emulator: &Emulator,
        program: &Program,
    ) -> Result<Loaded, Box<Problem>> {
        let folder = tools.ctx.paths.board(&tools.config.name);
        let load = async || {
            Machine::load(&folder, emulator, program).await.map_err(|error| tools.no_machine(&error))
        };
        let guest = GuestFolder::of(tools);
        let Payload::Guest { start, .. } = &self.payload else {
            let loaded = load().await?;
            return match guest.clear() {
                Ok(()) => Ok(loaded),
                Err(error) => Err(tools.not_noted(loaded, &error).await),
            };
        };
        let healthy = match start {
            GuestStart::Healthy => tools.healthy(emulator, program, self.progress.as_ref()).await,
            GuestStart::Boot => None,
        };
        let was_restored = healthy.is_some();
        let loaded = match healthy {
            Some(loaded) => loaded,
            None => load().await?,
        };
        let noted = guest.clear().and_then(|()| guest.set_job(&file.path)).and_then(|()| match start {
            GuestStart::Boot => Ok(()),
            GuestStart::Healthy if was_restored => guest.set_restored(),
            GuestStart::Healthy => guest.set_keep(),
        });
        match noted {
            Ok(()) => Ok(loaded),
            Err(error) => Err(tools.not_noted(loaded, &error).await),
        }
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
            Found::Elf(elf) if elf == self.kind.elf => Ok(()),
            Found::Elf(elf) => other(&format!("for another processor ({elf}, and not {})", self.kind.elf)),
            Found::Script if self.kind.is_linux() => Ok(()),
            Found::Script | Found::Other if self.kind.is_linux() => {
                other("neither an ELF file nor a script that says what runs it (#!/bin/sh)")
            }
            Found::Script | Found::Other => other("no ELF file"),
        }
    }
}

/// What a file is, by its first bytes.
enum Found {
    Elf(Elf),
    /// Its first line says what runs it.
    Script,
    Other,
}

async fn head(path: &Path) -> std::io::Result<Found> {
    let mut head = Vec::new();
    tokio::fs::File::open(path).await?.take(ELF_HEAD as u64).read_to_end(&mut head).await?;
    Ok(match head.as_slice() {
        // EI_CLASS 1 and 2 are 32 bits and 64; EI_DATA 1 is little-endian, 2 big.
        [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2), .., first, second]
            if head.len() == ELF_HEAD =>
        {
            let machine = [*first, *second];
            let machine = if *data == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
            Found::Elf(Elf { bits: 32 * class, machine })
        }
        [b'#', b'!', ..] => Found::Script,
        _ => Found::Other,
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
        let firmware = ["qemu", "seabios"].map(|folder| prefix.join("usr/share").join(folder)).to_vec();
        Ok(Emulator { program: prefix.join("usr/bin").join(kind.program), environment, firmware })
    }
}
