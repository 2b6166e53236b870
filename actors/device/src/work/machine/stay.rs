//! A machine that is held at its first instruction, from its start to the handoff.

use std::time::Duration;

use farmhand_api::EpochCause;
use farmhand_machine::{Machine, MonitorError};
use farmhand_records::Epoch;
use farmhand_runtime::{Failpoint, failpoint};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::{StayCommand, StayEnd, Tools};
use super::{FIRST_START, GuestFolder};
use crate::evidence::Try;
use crate::problems;
use crate::state::{Left, Unopened};

/// Between two looks whether it is still there: the kernel is asked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long it is held for a session that does not come: it makes one record durable in between.
const STAY_MAX: Duration = Duration::from_secs(120);

/// A machine, held.
#[derive(Debug)]
pub(crate) struct MachineStay {
    pub(crate) of: Try,
    pub(super) machine: Machine,
    pub(super) baud: u32,
    pub(super) tools: Tools,
}

impl MachineStay {
    /// Holds it until it is told otherwise, or gone.
    pub(crate) async fn run(self, mut commands: mpsc::Receiver<StayCommand>) -> StayEnd {
        let until = Instant::now() + STAY_MAX;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => return ended("a transfer followed"),
                    Some(StayCommand::Leave { epoch, done }) => {
                        let left = self.leave(epoch).await;
                        if let Left::Refused(_) = &left {
                            // Nobody would let it go any more.
                            let _asker_gone = done.send(left);
                            return self.quit("its handoff was refused").await;
                        }
                        let _asker_gone = done.send(left);
                        return ended("it was left");
                    }
                    Some(StayCommand::LetGo { done }) => {
                        let end = self.quit("it was let go").await;
                        let _asker_gone = done.send(ended("it was let go"));
                        return end;
                    }
                },
                () = sleep(LOOK_EVERY) => if !self.machine.process().is_alive() {
                    return ended("QEMU has ended");
                },
                () = sleep_until(until) => {
                    let why = format!("nobody handed off within {} s", STAY_MAX.as_secs());
                    return self.quit(&why).await;
                }
            }
        }
    }

    /// A machine that never ran is of no use to anybody.
    async fn quit(&self, why: &str) -> StayEnd {
        if let Err(error) = self.machine.clone().quit().await {
            tracing::warn!(device = %self.tools.config.name, %error, "an emulated machine did not end");
        }
        ended(why)
    }

    /// **The handoff.** The console is open and its epoch begun before the command leaves.
    async fn leave(&self, epoch: Epoch) -> Left {
        if !self.machine.process().is_alive() {
            return gone("QEMU has ended");
        }
        let open = self.tools.open_console(self.machine.console(), self.baud, epoch, epoch);
        if let Err(Unopened { problem, .. }) = open.await {
            return gone(&problem.message);
        }
        let guest = GuestFolder::of(&self.tools);
        if let Err(error) = guest.let_go() {
            return gone(&format!("{}: {error}", guest.path().display()));
        }
        let cause = EpochCause::Handoff(self.of.session);
        if let Err(error) = self.tools.begin_epoch(epoch, cause).await {
            return gone(&format!("its epoch could not be recorded: {error}"));
        }
        failpoint(Failpoint::HandoffBefore);
        match self.machine.go().await {
            Ok(()) => {
                failpoint(Failpoint::HandoffAfter);
                Left::Acknowledged { said: "cont: it runs".into(), starts: Some(FIRST_START), recorded: true }
            }
            Err(error @ (MonitorError::Failed { .. } | MonitorError::NotAsked(_) | MonitorError::Saving)) => {
                let folder = self.tools.ctx.paths.board(&self.tools.config.name);
                Left::Refused(Box::new(problems::no_machine(&self.tools.config.name, &folder, &error.into())))
            }
            Err(error) => Left::Ambiguous(error.to_string()),
        }
    }
}

fn ended(why: &str) -> StayEnd {
    StayEnd { why: why.to_owned(), began: None, starts: None }
}

fn gone(why: &str) -> Left {
    Left::LoaderGone { why: why.to_owned(), began: None, starts: None }
}
