//! The stay in the loader, from a transfer to the handoff: its task holds the port and keeps the loader awake.

#[cfg(test)]
mod tests;

use std::time::Duration;

use farmhand_api::EpochCause;
use farmhand_records::Epoch;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use crate::driver::{Driver, Epochs, HandoffError, Transport};
use crate::evidence::Try;
use crate::state::Left;
use crate::virtual_uno::Counts;

/// Between two questions to the loader, which gives up after 1 s without one (optiboot, WATCHDOG_1S): three may be
/// late on a machine that is short of time.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long a loader is kept awake for a session that does not come. A session makes one record durable between
/// transfer and handoff, and the store answers within a minute.
const STAY_MAX: Duration = Duration::from_secs(120);
/// Why the program starts when nobody hands off.
const TIMEOUT: &str = "loader timeout";
/// Why a stay is known to have ended, where its loader was asked and said nothing.
const UNANSWERED: &str = "its loader did not answer any more: its own timeout starts the program";

/// What a stay is told. One at a time.
#[derive(Debug)]
pub(crate) enum StayCommand {
    /// Issue the handoff command.
    Leave { epoch: Epoch, done: oneshot::Sender<Left> },
    /// The lease is over: the loader is let go.
    LetGo { done: oneshot::Sender<StayEnd> },
}

/// How a stay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StayEnd {
    /// Why it ended, where nobody had asked for that.
    pub(crate) why: String,
    /// The epoch of the start that ended it, or follows.
    pub(crate) began: Option<Epoch>,
    /// The board's count of starts in it.
    pub(crate) starts: Option<u64>,
}

/// It ended, and no epoch began.
fn ended(why: &str) -> StayEnd {
    StayEnd { why: why.to_owned(), began: None, starts: None }
}

impl From<StayEnd> for Left {
    fn from(StayEnd { why, began, starts }: StayEnd) -> Self {
        Self::LoaderGone { why, began, starts }
    }
}

/// A device in its loader. Dropped, the port is given back and the loader left to itself.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) of: Try,
    way: Transport,
    driver: Box<dyn Driver>,
    epochs: Epochs,
    /// The board's counts in this stay.
    counts: Option<Counts>,
    console_baud: u32,
}

impl Stay {
    pub(super) fn new(
        of: Try,
        way: Transport,
        driver: Box<dyn Driver>,
        epochs: Epochs,
        counts: Option<Counts>,
        console_baud: u32,
    ) -> Self {
        Self { of, way, driver, epochs, counts, console_baud }
    }

    /// Keeps the loader awake until it is told otherwise, or does not answer. A closed channel ends it silently: a
    /// transfer follows, or the actor has ended.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<StayCommand>) -> StayEnd {
        let until = Instant::now() + STAY_MAX;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => return ended("a transfer followed"),
                    Some(StayCommand::Leave { epoch, done }) => {
                        let left = self.leave(epoch).await;
                        let _asker_gone = done.send(left);
                        return ended("it was left");
                    }
                    Some(StayCommand::LetGo { done }) => {
                        let end = self.let_go("it was let go", Vec::new()).await;
                        let _asker_gone = done.send(end.clone());
                        return end;
                    }
                },
                () = sleep(ASK_EVERY) => match self.driver.keep_awake(&mut self.way).await {
                    Ok(Ok(())) => {}
                    Ok(Err(heard)) => return self.gone(UNANSWERED, heard).await,
                    Err(error) => {
                        tracing::warn!(%error, "the port went away from a device in its loader");
                        return ended(&format!("its port: {error}"));
                    }
                },
                () = sleep_until(until) => {
                    let why = format!("nobody handed off within {} s, and it was let go", STAY_MAX.as_secs());
                    return self.let_go(&why, Vec::new()).await;
                }
            }
        }
    }

    /// **The handoff.** Nothing lies between the check that the loader is there and the command but the driver.
    async fn leave(&mut self, epoch: Epoch) -> Left {
        if let Some(noted) = self.counts {
            let now = self.way.reset.counts().await;
            if now.is_none_or(|now| now.starts != noted.starts) {
                let why = match now {
                    Some(now) => format!("the board started again meanwhile: {}", now.cause_since(&noted)),
                    None => "the board does not answer any more".into(),
                };
                return self.gone(&why, Vec::new()).await.into();
            }
        }
        match self.driver.handoff(&mut self.way).await {
            Ok(acknowledged) => {
                self.console_rate().await;
                let cause = EpochCause::Handoff(self.of.session);
                let begun = self.way.link.begin_epoch(epoch, cause, acknowledged.unread).await;
                if let Err(error) = &begun {
                    tracing::warn!(%error, "the port went away just after the handoff");
                }
                // The loader's watchdog resets the chip into the program (16 ms): one start more.
                let starts = self.counts.map(|counts| counts.starts + 1);
                Left::Acknowledged { said: acknowledged.said, starts, recorded: begun.is_ok() }
            }
            Err(HandoffError::LoaderGone { heard, why }) => self.gone(&why, heard).await.into(),
            Err(HandoffError::Ambiguous(why)) => {
                self.console_rate().await;
                Left::Ambiguous(why)
            }
        }
    }

    /// The loader has gone by itself: what was heard is the program's.
    async fn gone(&mut self, why: &str, heard: Vec<u8>) -> StayEnd {
        let end = self.let_go(why, heard).await;
        StayEnd { starts: self.way.reset.counts().await.map(|counts| counts.starts), ..end }
    }

    /// From here on what comes is the program's, whenever the loader starts it.
    async fn let_go(&mut self, why: &str, heard: Vec<u8>) -> StayEnd {
        let why = why.to_owned();
        self.console_rate().await;
        let starts = self.counts.map(|counts| counts.starts + 1);
        let Some(epoch) = self.epochs.take() else { return StayEnd { why, began: None, starts } };
        let begun = self.way.link.begin_epoch(epoch, EpochCause::Itself(TIMEOUT.into()), heard).await;
        StayEnd { why, began: begun.is_ok().then_some(epoch), starts }
    }

    async fn console_rate(&mut self) {
        if let Err(error) = self.way.link.baud(self.console_baud).await {
            tracing::warn!(%error, "the console's rate could not be set");
        }
    }
}
