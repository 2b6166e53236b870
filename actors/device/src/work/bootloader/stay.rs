//! The stay in the bootloader, from the last byte of the image to the handoff. Nothing is sent meanwhile: what was
//! downloaded waits in the device's memory.

use std::time::Duration;

use farmhand_api::EpochCause;
use farmhand_records::Epoch;
use farmhand_records::v1::Leave;
use farmhand_runtime::{Failpoint, failpoint};
use farmhand_wire::fastboot::RebootTarget;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::{StayCommand, StayEnd, Tools};
use super::put::leaving;
use super::tell::Tell;
use crate::evidence::Try;
use crate::fastboot::{Client, ClientError, Departure, HandoffError};
use crate::problems;
use crate::state::Left;

/// Between two looks whether it is still there: the kernel is asked, not the device.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long it is held for a session that does not come: it makes one record durable in between.
const STAY_MAX: Duration = Duration::from_secs(120);

/// A device in its bootloader, held. Dropped, its way is closed and it stays where it is.
#[derive(Debug)]
pub(crate) struct BootloaderStay {
    pub(crate) of: Try,
    client: Client,
    /// None: what was downloaded is booted.
    leave: Option<Leave>,
    tools: Tools,
    tell: Tell,
}

impl BootloaderStay {
    pub(super) fn new(of: Try, client: Client, leave: Option<Leave>, tools: Tools, tell: Tell) -> Self {
        Self { of, client, leave, tools, tell }
    }

    /// Holds it until it is told otherwise, or gone.
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
                        let _asker_gone = done.send(ended("it was let go"));
                        return ended("it was let go");
                    }
                },
                () = sleep(LOOK_EVERY) => if self.client.gone() {
                    return ended("it was unplugged");
                },
                () = sleep_until(until) => {
                    return ended(&format!("nobody handed off within {} s", STAY_MAX.as_secs()));
                }
            }
        }
    }

    /// **The handoff.** The epoch begins before the command leaves: what the device says first may be here before its
    /// answer is.
    async fn leave(&mut self, epoch: Epoch) -> Left {
        if self.client.gone() {
            return gone("it was unplugged");
        }
        let cause = EpochCause::Handoff(self.of.session);
        if let Err(error) = self.tools.begin_epoch(epoch, cause).await {
            return gone(&format!("its epoch could not be recorded: {error}"));
        }
        let said = match self.leave {
            None => self.boot().await,
            Some(leave) => self.depart(leave).await,
        };
        match said {
            Ok(said) => {
                failpoint(Failpoint::HandoffAfter);
                Left::Acknowledged { said, starts: None, recorded: true }
            }
            Err(left) => left,
        }
    }

    async fn boot(&mut self) -> Result<String, Left> {
        let name = self.tools.config.name.clone();
        let handoff = self.client.handoff().map_err(|error| gone(&error.to_string()))?;
        failpoint(Failpoint::HandoffBefore);
        match handoff.issue(&mut self.tell).await {
            Ok(said) => Ok(format!("boot: OKAY {}", said.value).trim_end().to_owned()),
            Err(HandoffError::NotSent(error)) => Err(gone(&error.to_string())),
            Err(HandoffError::Refused(error)) => {
                Err(Left::Refused(Box::new(problems::bootloader_failed(&name, &error))))
            }
            Err(HandoffError::Ambiguous(error)) => Err(Left::Ambiguous(error.to_string())),
        }
    }

    async fn depart(&mut self, leave: Leave) -> Result<String, Left> {
        let name = self.tools.config.name.clone();
        failpoint(Failpoint::HandoffBefore);
        let departed = match leave {
            Leave::Stay => return Ok(leaving(Some(leave)).into()),
            Leave::Reboot => self.client.reboot(RebootTarget::System, &mut self.tell).await,
            Leave::RebootBootloader => self.client.reboot(RebootTarget::Bootloader, &mut self.tell).await,
            Leave::Continue => self.client.resume_boot(&mut self.tell).await,
        };
        let command = leaving(Some(leave));
        match departed {
            Ok(Departure::Acknowledged) => Ok(format!("{command}: OKAY")),
            Ok(Departure::Vanished) => Ok(format!("{command}: it went without a word")),
            Err(error @ ClientError::Refused { .. }) => {
                Err(Left::Refused(Box::new(problems::bootloader_failed(&name, &error))))
            }
            Err(error) => Err(Left::Ambiguous(error.to_string())),
        }
    }
}

fn ended(why: &str) -> StayEnd {
    StayEnd { why: why.to_owned(), began: None, starts: None }
}

fn gone(why: &str) -> Left {
    Left::LoaderGone { why: why.to_owned(), began: None, starts: None }
}
