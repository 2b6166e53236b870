//! The port is opened, and behind it there is a board.

use std::path::Path;
use std::time::Duration;

use farmhand_api::{EpochCause, EventBody, Problem};
use farmhand_messages::device::Attachment;
use farmhand_messages::serial::{OpenPortError, Opened, PortSpec};
use farmhand_messages::{DirectoryMessage, SerialMessage};
use farmhand_records::Epoch;
use farmhand_runtime::{ask, ask_once};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{Ended, Tools, line};
use crate::problems;
use crate::state::{Outcome, Unopened};
use crate::virtual_uno::{self, Board, Counts};

/// For the serial actor to open a port: it may wait for udev, and writes to its segment.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// For a board to see that its line is open: it looks every 20 ms at most (uno.c, `WAKE_PARKED_US`).
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// For the directory to say where something is: from memory.
pub(super) const WHERE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// To open a port.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) baud: u32,
    /// The epoch that was last known to run, and the board's count of starts in it.
    pub(crate) known: Option<(Epoch, Option<u64>)>,
    /// Two epochs that may be begun.
    pub(crate) fresh: [Epoch; 2],
    /// It vanished, and nobody has asked where it is now.
    pub(crate) again: bool,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
}

impl Opening {
    /// Does it: from [`crate::state::Act::Open`].
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let board = match &tools.config.attachment {
            // Another device may have got its name meanwhile.
            Attachment::Port(path) if self.again && !tools.is_still_at(path).await => {
                let missing = OpenPortError::Missing { path: path.clone() };
                return not_opened(Box::new(problems::not_opened(&tools.config.name, &missing)), false);
            }
            Attachment::Port(_) => None,
            Attachment::Fastboot(way) => return self.console(&tools, way).await,
            Attachment::Machine(_) => return self.console_of_machine(&tools).await,
            Attachment::VirtualUno => match tools.board(self.progress.as_ref()).await {
                Ok(board) => Some(board),
                Err(problem) => return not_opened(problem, false),
            },
        };
        self.with(&tools, board).await
    }

    /// With a board that is there, or a port.
    pub(super) async fn with(self, tools: &Tools, board: Option<Board>) -> Ended {
        let before = match &board {
            None => None,
            Some(board) => match board.counts().await {
                Ok(counts) => Some(counts),
                Err(error) => return not_opened(tools.no_board(&error), false),
            },
        };
        let known = self.known.filter(|(_, starts)| goes_on(*starts, before.as_ref()));
        let path = match (&tools.config.attachment, &board) {
            (Attachment::Port(path), _) => path.clone(),
            (Attachment::VirtualUno, Some(board)) => board.line(),
            (Attachment::VirtualUno | Attachment::Fastboot(_) | Attachment::Machine(_), _) => {
                unreachable!("a virtual device is opened with its board")
            }
        };
        let spec = PortSpec { path, baud: self.baud, apart: false };
        // Where the last epoch is known to have ended, `current` is one that was never recorded.
        let [reset_epoch, spare] = self.fresh;
        let current = known.map_or(reset_epoch, |(epoch, _)| epoch);
        let open = |reply| SerialMessage::Open { spec: spec.clone(), current, reset_epoch, reply };
        let opened = match ask(&tools.serial(), OPEN_WITHIN, open).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                return not_opened(Box::new(problems::not_opened(&tools.config.name, &error)), false);
            }
            Err(error) => {
                let problem = problems::no_answer(&tools.config.name, "its serial actor", &error.to_string());
                return not_opened(Box::new(problem), true);
            }
        };
        match self.started_meanwhile(tools, board.as_ref(), before, opened, spare).await {
            Ok((epoch, counts)) => {
                let mut line = line(epoch, counts.as_ref());
                // A start that is still to come is of the same epoch.
                line.starts =
                    line.starts.max(known.filter(|known| known.0 == epoch).and_then(|known| known.1));
                let outcome = Outcome::Opened(Ok(line));
                Ended { board, counts, ..outcome.into() }
            }
            Err(problem) => not_opened(problem, true),
        }
    }

    /// The epoch that runs now, and the counts in it. A board that started since the last epoch was known, or while it was
    /// opened, is in a new one, whatever the port's own flags say.
    async fn started_meanwhile(
        &self,
        tools: &Tools,
        board: Option<&Board>,
        before: Option<Counts>,
        opened: Opened,
        spare: Epoch,
    ) -> Result<(Epoch, Option<Counts>), Box<Problem>> {
        let counts = match board {
            Some(board) => Some(seen_open(board).await.map_err(|error| tools.no_board(&error))?),
            None => None,
        };
        let Some(cause) = begins(self.known, opened, before.zip(counts)) else {
            return Ok((opened.epoch, counts));
        };
        tools.begin_epoch(spare, cause).await.map_err(|error| {
            Box::new(problems::no_answer(&tools.config.name, "its serial actor", &error.to_string()))
        })?;
        Ok((spare, counts))
    }
}

/// Why another epoch begins than the one that `opened` goes on with, if one does. `known` ran last, with the board's count
/// of starts in it; `counts` are the board's before the opening and after it, where it counts.
fn begins(
    known: Option<(Epoch, Option<u64>)>,
    opened: Opened,
    counts: Option<(Counts, Counts)>,
) -> Option<EpochCause> {
    let (epoch, starts) = known?;
    if opened.epoch < epoch {
        // The port's owner ended before it had recorded this epoch, and its successor goes on with the port in the one
        // before: what came since is in the wrong one, which is a gap to whoever owns the right one.
        return Some(EpochCause::Opened);
    }
    let (before, now) = counts.filter(|(_, now)| epoch == opened.epoch && !goes_on(starts, Some(now)))?;
    // What an opening can do to a board is no doing of its firmware.
    let by_opening = !opened.already && now.by_watchdog == before.by_watchdog;
    Some(if by_opening {
        EpochCause::Opened
    } else {
        EpochCause::Itself(now.cause_since(&before).to_owned())
    })
}

/// Whether an epoch with this count of starts still runs: proven by the count, or, where the board does not count, for
/// the serial actor to judge.
fn goes_on(starts: Option<u64>, now: Option<&Counts>) -> bool {
    // One less: the start that a handoff leads to is still to come (optiboot's 16 ms).
    now.is_none_or(|now| starts == Some(now.starts) || starts == Some(now.starts + 1))
}

/// The counts after the board has seen that its line is open, which may have reset it.
async fn seen_open(board: &Board) -> Result<Counts, virtual_uno::ControlError> {
    let until = Instant::now() + SEEN_WITHIN;
    while !board.state().await?.is_open && Instant::now() < until {
        sleep(LOOK_AGAIN).await;
    }
    board.counts().await
}

pub(super) fn not_opened(problem: Box<Problem>, perhaps: bool) -> Ended {
    Outcome::Opened(Err(Unopened { problem, perhaps })).into()
}

impl Tools {
    /// Whether the directory sees this device at this port. One that is elsewhere is opened by whoever is told so.
    async fn is_still_at(&self, path: &Path) -> bool {
        let (directory, device) = (self.ctx.names.directory(), self.config.name.clone());
        let asked = ask_once(&directory, WHERE_WITHIN, |reply| DirectoryMessage::PortOf { device, reply });
        asked.await.is_ok_and(|port| port.as_deref() == Some(path))
    }

    fn no_board(&self, error: &dyn std::fmt::Display) -> Box<Problem> {
        let folder = self.ctx.paths.board(&self.config.name);
        Box::new(problems::no_board(&self.config.name, &folder, &error.to_string()))
    }

    /// The board: adopted, or made, started and adopted.
    async fn board(&self, progress: Option<&mpsc::Sender<EventBody>>) -> Result<Board, Box<Problem>> {
        let folder = self.ctx.paths.board(&self.config.name);
        let board = virtual_uno::ensure(&folder, &self.config.name, || self.parts(progress)).await;
        board.map_err(|error| match error {
            virtual_uno::BoardError::Parts(problem) => problem,
            error => self.no_board(&error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(by_reset: u64, by_watchdog: u64) -> Counts {
        let starts = 1 + by_reset + by_watchdog;
        Counts { starts, by_power: 1, by_reset, by_watchdog, handoffs: 1, program_starts: 1 }
    }

    fn opened(epoch: u64, already: bool) -> Opened {
        Opened { epoch: Epoch(epoch), may_have_reset: !already, already }
    }

    #[test]
    fn a_recording_that_goes_on_in_an_older_epoch_than_was_handed_off_is_a_gap() {
        let now = counts(1, 1);
        let known = Some((Epoch(9), Some(now.starts)));
        for counts in [None, Some((now, now))] {
            assert_eq!(begins(known, opened(7, true), counts), Some(EpochCause::Opened));
            assert_eq!(begins(known, opened(9, true), counts), None, "it was recorded");
            assert_eq!(begins(known, opened(10, false), counts), None, "another began with the opening");
            assert_eq!(begins(None, opened(7, true), counts), None, "nothing is known");
        }
    }

    #[test]
    fn only_what_the_opening_cannot_have_done_is_the_firmwares_doing() {
        let before = counts(1, 1);
        let known = Some((Epoch(9), Some(before.starts)));
        let begins = |already, now| begins(known, opened(9, already), Some((before, now)));
        assert_eq!(begins(false, counts(2, 1)), Some(EpochCause::Opened));
        let itself = |cause: &str| Some(EpochCause::Itself(cause.to_owned()));
        assert_eq!(begins(true, counts(2, 1)), itself("an external reset"));
        for already in [false, true] {
            assert_eq!(begins(already, counts(1, 2)), itself("the watchdog"));
            assert_eq!(begins(already, before), None);
        }
    }
}
