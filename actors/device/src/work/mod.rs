//! The acts: what the machine decided, done. Each is a task that the actor's supervisor owns, with deadlines of its own,
//! and ends in an [`Outcome`].

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
use tokio::time::{Instant, sleep};

use crate::driver::Transport;
use crate::link::Link;
use crate::reset::ResetLine;
use crate::state::{Line, Outcome};
use crate::stk500v1::Stk500v1;
use crate::virtual_uno::{Board, Counts};

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
    pub(crate) driver: Result<Stk500v1, Box<Problem>>,
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
    pub(crate) stay: Option<Stay>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, board: None, counts: None, stay: None }
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
    Line { epoch, starts: counts.map(|counts| counts.starts) }
}
