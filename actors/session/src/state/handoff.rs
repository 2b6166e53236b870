//! The heart. The handoff becomes durable in [`Session::intend`], and is issued in [`Session::issue`]. Between the two
//! there is one input, [`super::Input::Persisted`], and nothing else.

use farmhand_api::{EventBody, Goal, Verdict};
use farmhand_messages::device::DeviceError;
use farmhand_records::Epoch;
use farmhand_records::v1::{Evidence, Phase};
use farmhand_store::Durability;

use super::{Act, Acting, Effects, Go, Now, Session};
use crate::problems;

impl Session {
    pub(super) fn reserved(&mut self, now: Now, epoch: Result<Epoch, DeviceError>, fx: &mut Effects) {
        match epoch {
            Ok(epoch) => self.intend(epoch, fx),
            Err(error) => self.refused(now, error, Go::Reserve, fx),
        }
    }

    /// All is ready: the intent, with the attempt, the epoch and the plan, is written.
    fn intend(&mut self, epoch: Epoch, fx: &mut Effects) {
        self.record.epoch = Some(epoch);
        self.enter(Phase::HandoffIntended, fx);
        // Here the handoff becomes durable, on the disk twice ...
        self.save(Durability::Marked, Go::Issue, fx);
    }

    /// ... and here, and nowhere else, it is issued: the first thing that follows.
    pub(super) fn issue(&mut self, now: Now, fx: &mut Effects) {
        let (Some(plan), Some(epoch), Some(lease)) =
            (self.record.plan, self.record.epoch, self.record.lease.clone())
        else {
            return self.void(now, "the intent names no plan, epoch or lease", fx);
        };
        let attempt = self.record.attempt;
        self.act(now, Acting::Handoff, Act::Handoff { lease, attempt, plan, epoch }, fx);
    }

    /// The device answered the handoff.
    pub(super) fn answered(&mut self, now: Now, done: Result<Evidence, DeviceError>, fx: &mut Effects) {
        match done {
            Ok(evidence @ Evidence::Complete(_)) => self.issued(evidence, fx),
            Ok(evidence) => self.judge_evidence(now, evidence, fx),
            // Refused, or not begun: the intent is void.
            Err(DeviceError::Fenced) => {
                self.leased = false;
                self.void(now, "the lease had gone to another before the handoff", fx);
            }
            Err(DeviceError::NotBegun(problem)) => self.void(now, &problem.message, fx),
            // The device heard it and refused, in its own words: to say it again would change nothing.
            Err(DeviceError::Failed(problem)) => self.finish(now, Verdict::Infra, Some(*problem), fx),
            Err(error @ DeviceError::LoaderTimedOut { .. }) => self.void(now, &error.to_string(), fx),
            Err(error) => self.ambiguous(now, &error.to_string(), fx),
        }
    }

    /// The intent came to nothing, for certain.
    fn void(&mut self, now: Now, why: &str, fx: &mut Effects) {
        if self.record.cancel {
            return self.finish_cancelled(now, fx);
        }
        self.new_attempt(now, why, fx);
    }

    /// The handoff was issued, and that is written: it is never issued again.
    pub(super) fn issued(&mut self, evidence: Evidence, fx: &mut Effects) {
        self.voids = 0;
        self.tries = 0;
        self.enter(Phase::HandoffIssued(evidence), fx);
        self.save(Durability::Marked, Go::HandedOff, fx);
    }

    /// The handoff is done, and recorded. What follows is the job's.
    pub(super) fn handed_off(&mut self, now: Now, fx: &mut Effects) {
        if self.record.finished_unix_ms.is_some() {
            // A person has settled it: the device is not set aside any more, and is had again first.
            return self.go(now, Go::Acquire, fx);
        }
        if self.record.cancel {
            return self.finish_cancelled(now, fx);
        }
        if self.record.job.goal != Goal::Run {
            return self.finish(now, Verdict::Passed, None, fx);
        }
        if self.record.epoch.is_none() {
            let problem = problems::epoch_lost(&self.record);
            return self.finish(now, Verdict::Unknown, Some(problem), fx);
        }
        if !self.leased {
            return self.go(now, Go::Acquire, fx);
        }
        if !self.connected {
            return self.go(now, Go::Connect, fx);
        }
        if self.record.phase != Phase::Observing {
            self.enter(Phase::Observing, fx);
            return self.save(Durability::Durable, Go::Watch, fx);
        }
        self.go(now, Go::Watch, fx);
    }

    /// Nobody knows whether the handoff was done: the device is asked.
    pub(super) fn ambiguous(&mut self, now: Now, why: &str, fx: &mut Effects) {
        self.tries = 0;
        // The device's actor may be another by now, which has not looked at its port.
        self.connected = false;
        fx.tell.push(EventBody::Note(format!("{}: {why}", self.interrupted())));
        self.go(now, Go::Evidence, fx);
    }

    pub(super) fn interrupted(&self) -> String {
        let (id, device) = (self.record.id, self.device());
        format!("{id} was interrupted while handing off {device}; asking it")
    }
}
