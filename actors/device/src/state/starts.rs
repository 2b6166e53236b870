//! Starts that nobody asked for: the device's own, each of them an epoch.

use farmhand_records::v1::{Evidence, HandoffDone};

use super::{Act, Answer, Asked, Effects, Machine, Nature, Persisting, Then};
use crate::evidence::Try;

/// A start that is told of, and has no epoch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    asked: Asked,
    starts: u64,
    cause: String,
}

impl Machine {
    /// Somebody who watches has counted a start.
    pub(super) fn started(&mut self, asked: Asked, starts: u64, cause: String, fx: &mut Effects) {
        match self.nature {
            // It is stopped until its epoch has begun: none of its starts is passed over.
            Nature::Machine => self.start_to_come = Some(Start { asked, starts, cause }),
            // In the loader the driver counts for itself; without a count there is nothing to compare.
            _ if self.open && self.stay.is_none() && self.is_news(starts) => {
                self.note(asked, starts, cause, fx)
            }
            _ => {}
        }
    }

    /// Begins the epoch of a machine that has reset itself, once there is a console to record it, and once it is on record that it
    /// was let go: a machine that is on its way to its next start looks like one that has never run.
    pub(super) fn begin_the_start(&mut self, fx: &mut Effects) {
        if !self.open || self.stay.is_some() || self.record.stay.is_some() {
            return;
        }
        if let Some(Start { asked, starts, cause }) = self.start_to_come.take()
            && self.is_news(starts)
        {
            self.note(asked, starts, cause, fx);
        }
    }

    fn is_news(&self, starts: u64) -> bool {
        self.starts().is_some_and(|known| starts > known)
    }

    pub(super) fn note(&mut self, asked: Asked, starts: u64, cause: String, fx: &mut Effects) {
        let epoch = self.take(1)[0];
        self.save_epochs(asked, Then::Act(Act::Begin { epoch, cause, starts }), fx);
    }

    /// QEMU says that the machine was let go for this try: from here on that is known without it, whatever its guest does next.
    /// False where that is of no machine, or is known.
    pub(super) fn was_let_go(&mut self, asked: &Asked, of: &Try, found: &Evidence, fx: &mut Effects) -> bool {
        let (Nature::Machine, Evidence::Complete(_), Some(running)) = (self.nature, found, &self.running)
        else {
            return false;
        };
        let Try { session, attempt, plan } = *of;
        let (epoch, starts) = (running.epoch, running.starts);
        self.record.handoff = Some(HandoffDone { session, attempt, plan, epoch, starts });
        self.record.stay = None;
        let reply = Answer::Evidence(Ok(found.clone()));
        self.save(asked.clone(), Persisting::Handoff, Then::Answer(reply), fx);
        true
    }
}
