//! The acts: what the machine decided, done. Each is a task that the actor's supervisor owns, with deadlines of its own,
//! and ends in an [`Outcome`].

mod bootloader;
mod machine;
mod open;
mod parts;
mod settle;
mod stay;
mod transfer;

use std::time::Duration;

use farmhand_api::{EpochCause, Problem};
use farmhand_messages::SerialMessage;
use farmhand_messages::device::DeviceConfig;
use farmhand_messages::serial::PortError;
use farmhand_records::{Epoch, FencingToken};
use farmhand_runtime::{AskError, Ctx, ask, ask_once};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::driver::Transport;
use crate::evidence::Try;
use crate::link::Link;
use crate::problems;
use crate::reset::ResetLine;
use crate::state::{ConsoleIs, Line, Outcome};
use crate::stk500v1::Stk500v1;
use crate::virtual_uno::{Board, Counts};

pub(crate) use bootloader::{BootloaderSettling, BootloaderStay, Put, Word, ask_for};
pub(crate) use machine::{
    Attend, Attended, FIRST_START, GuestFolder, Load, MachineSettling, MachineStay, Restore, Save,
};
pub(crate) use open::Opening;
pub(crate) use settle::Settling;
pub(crate) use stay::{Stay, StayCommand, StayEnd};
pub(crate) use transfer::Transfer;

/// For the serial actor to begin an epoch, or to lend: it writes to its segment at most.
const SERIAL_WITHIN: Duration = Duration::from_secs(10);
/// For a port that a task of ours has just dropped to be back.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to borrow it.
const LEND_AGAIN: Duration = Duration::from_millis(2);

/// What every act needs.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) ctx: Ctx,
    pub(crate) config: DeviceConfig,
    /// The driver, or why there is none: then only the console can be opened.
    pub(crate) driver: Result<Speaks, Box<Problem>>,
    /// The emulated machine, where this incarnation has made sure of one.
    pub(crate) machine: Option<farmhand_machine::Machine>,
}

/// What a device's bootloader speaks.
#[derive(Debug, Clone)]
pub(crate) enum Speaks {
    /// STK500v1, over its serial port.
    Stk500v1(Stk500v1),
    /// Fastboot, over a way of its own.
    Fastboot,
    /// QEMU's monitor.
    Machine(&'static farmhand_machine::Kind),
}

/// What an act gives: its outcome, and what the shell holds from then on.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The board, where the act made sure of one.
    pub(crate) board: Option<Board>,
    /// The board's counts, where they were read.
    pub(crate) counts: Option<Counts>,
    /// A stay in the loader that is to be kept awake.
    pub(crate) stay: Option<Stays>,
    /// The emulated machine, where the act made sure of one, with its news.
    pub(crate) loaded: Option<farmhand_machine::Loaded>,
}

/// A stay, in whichever loader.
#[derive(Debug)]
pub(crate) enum Stays {
    /// In one behind a serial port, which is kept awake.
    Loader(Box<Stay>),
    /// In one that speaks fastboot, and waits.
    Bootloader(Box<BootloaderStay>),
    /// In an emulated machine that is held at its first instruction.
    Machine(Box<MachineStay>),
}

impl Stays {
    /// For which try.
    pub(crate) fn of(&self) -> Try {
        match self {
            Self::Loader(stay) => stay.of,
            Self::Bootloader(stay) => stay.of,
            Self::Machine(stay) => stay.of,
        }
    }

    /// Stays until it is told otherwise, or cannot.
    pub(crate) async fn run(self, commands: mpsc::Receiver<StayCommand>) -> StayEnd {
        match self {
            Self::Loader(stay) => Box::pin(stay.run(commands)).await,
            Self::Bootloader(stay) => Box::pin(stay.run(commands)).await,
            Self::Machine(stay) => Box::pin(stay.run(commands)).await,
        }
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, board: None, counts: None, stay: None, loaded: None }
    }
}

/// Why a port was not lent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LendError {
    #[error("the serial actor {0}")]
    Ask(#[from] AskError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl Tools {
    /// The driver of a board behind a serial port.
    fn loader(&self) -> Result<Stk500v1, Box<Problem>> {
        match &self.driver {
            Ok(Speaks::Stk500v1(driver)) => Ok(driver.clone()),
            Ok(Speaks::Fastboot | Speaks::Machine(_)) => {
                let why = "it has no loader behind a serial port".to_owned();
                Err(Box::new(problems::out_of_order(&self.config.name, why)))
            }
            Err(problem) => Err(problem.clone()),
        }
    }

    fn serial(&self) -> String {
        self.ctx.names.serial(&self.config.name)
    }

    /// Borrows the port. One that a task of ours has just dropped is on its way back.
    async fn borrow(&self, token: FencingToken) -> Result<Link, LendError> {
        let until = Instant::now() + BACK_WITHIN;
        loop {
            let lend = |reply| SerialMessage::Lend { token, reply };
            match ask_once(&self.serial(), SERIAL_WITHIN, lend).await {
                Ok(Ok(port)) => return Ok(Link::new(port)),
                Ok(Err(PortError::Lent)) if Instant::now() < until => sleep(LEND_AGAIN).await,
                Ok(Err(error)) => return Err(error.into()),
                // We end next (rest_for_one), and whoever waits for us asks our successor. An answer would make of the
                // end of the port's owner a failure of the device.
                Err(error @ AskError::Ended) => {
                    sleep(SERIAL_WITHIN).await;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn way(&self, link: Link, board: Option<&Board>) -> Transport {
        let reset = board.map_or(ResetLine::Port, |board| ResetLine::Board(board.clone()));
        Transport { link, reset }
    }

    /// Has an epoch recorded that no driver begins.
    pub(crate) async fn begin_epoch(&self, epoch: Epoch, cause: EpochCause) -> Result<(), AskError> {
        let begin = |reply| SerialMessage::BeginEpoch { epoch, cause: cause.clone(), reply };
        ask(&self.serial(), SERIAL_WITHIN, begin).await
    }
}

/// A line, as the machine is told of it.
fn line(epoch: Epoch, counts: Option<&Counts>) -> Line {
    Line { epoch, starts: counts.map(|counts| counts.starts), console: ConsoleIs::Open }
}
