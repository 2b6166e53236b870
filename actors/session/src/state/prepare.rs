//! To the device: build, queue, lease, connect, transfer. Nothing here matters if it is done twice.

use farmhand_api::{EventBody, Goal, Problem, ProblemClass, Verdict};
use farmhand_messages::compiler::Built;
use farmhand_messages::device::{Connected, DeviceError, Transferred};
use farmhand_messages::scheduler::{LeaseLost, Standing};
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{Artifact, DeviceSelect, LeaseHeld, Phase, Source};
use farmhand_records::{Attempt, PlanHash};
use farmhand_store::Durability;

use super::{AGAIN_AFTER_MS, Act, Acting, Effects, Go, Now, RENEW_EVERY_MS, Session, TRIES_MAX};
use crate::problems;

impl Session {
    pub(super) fn built(&mut self, now: Now, built: Result<Built, Problem>, fx: &mut Effects) {
        let built = match built {
            Ok(built) => built,
            Err(problem) => return self.fail(now, problem, fx),
        };
        self.record.artifact = Some(Artifact {
            hash: built.hash,
            path: built.artifact.display().to_string(),
            image_bytes: built.sizes.image_bytes,
        });
        self.tries = 0;
        if self.record.job.goal == Goal::Build {
            return self.finish(now, Verdict::Passed, None, fx);
        }
        self.enter(Phase::Queued, fx);
        self.save(Durability::Durable, Go::Acquire, fx);
    }

    /// The program is not there any more: it is found by hash, or made again.
    pub(super) fn build_again(&mut self, _now: Now, fx: &mut Effects) {
        self.record.artifact = None;
        self.enter(Phase::Preparing, fx);
        self.save(Durability::Durable, Go::Build, fx);
    }

    pub(super) fn acquire(&mut self, now: Now, fx: &mut Effects) {
        let job = &self.record.job;
        let port = match &job.device {
            DeviceSelect::Port(port) => Some(port.clone()),
            DeviceSelect::Board | DeviceSelect::Named(_) => None,
        };
        // A session that had ended was settled by a person: it has given its device back, to be set aside.
        let settled = self.record.finished_unix_ms.is_some();
        let held = self.record.lease.as_ref().map(|lease| lease.device.clone());
        let (select, lift) = match held {
            // What was done, was done to this device and no other.
            Some(device) if settled => (DeviceSelect::Named(device.clone()), Some(device)),
            Some(device) if !self.is_before_intent() => (DeviceSelect::Named(device), None),
            _ => (job.device.clone(), None),
        };
        let act = Act::Acquire { board: job.board.clone(), port, select, lift, seen: self.standing };
        self.act(now, Acting::Acquire, act, fx);
    }

    pub(super) fn stands(&mut self, now: Now, standing: Result<Standing, Problem>, fx: &mut Effects) {
        if matches!(self.record.phase, Phase::Finished(..)) {
            // It ended meanwhile: what was granted, or stands in the queue, is given back.
            return self.go(now, Go::Release, fx);
        }
        match standing {
            Ok(Standing::Granted { device, token, virtual_ }) => {
                self.granted(now, LeaseHeld { device, token }, virtual_, fx);
            }
            Ok(Standing::Queued { place, behind }) => {
                self.standing = Some((place, behind));
                if self.is_before_intent() && self.record.phase != Phase::Queued {
                    self.record.lease =
                        self.record.lease.take().filter(|_| self.record.finished_unix_ms.is_some());
                    self.enter(Phase::Queued, fx);
                    return self.save(Durability::Durable, Go::Acquire, fx);
                }
                // Asked again at once: it is answered when it stands otherwise.
                self.acquire(now, fx);
            }
            Err(problem) if self.is_before_intent() => self.fail(now, problem, fx),
            Err(problem) => self.no_lease(now, problem, fx),
        }
    }

    fn granted(&mut self, now: Now, lease: LeaseHeld, virtual_: bool, fx: &mut Effects) {
        self.standing = None;
        self.leased = true;
        self.renew_at_ms = now.mono_ms + RENEW_EVERY_MS;
        let held = self.record.lease.replace(lease.clone());
        if held.as_ref().is_none_or(|held| held.token != lease.token) {
            // The device has not seen this one: it knows nobody to open its port for. Its output is read on from where
            // it was judged, once it does.
            (self.connected, self.stream) = (false, None);
        }
        let changed = held.as_ref() != Some(&lease) || self.record.finished_unix_ms.take().is_some();
        if held.is_none_or(|held| held.device != lease.device) {
            let board = self.record.job.board.clone();
            fx.tell.push(EventBody::Device { board, virtual_ });
        }
        let go = match self.record.phase {
            Phase::HandoffIntended => Go::Evidence,
            // Under the same lease: what was refused meanwhile is asked again.
            Phase::HandoffIssued(_) | Phase::Observing if self.stream.is_some() => match &self.expect {
                Some(expect) if expect.is_settled() => Go::Confirm,
                _ => Go::Nothing,
            },
            Phase::HandoffIssued(_) | Phase::Observing => Go::HandedOff,
            _ => {
                self.enter(Phase::Leased, fx);
                return self.save(Durability::Durable, Go::Plan, fx);
            }
        };
        if changed {
            return self.save(Durability::Marked, go, fx);
        }
        self.go(now, go, fx);
    }

    /// The device of a handoff that was issued, or may have been, is not to be had.
    fn no_lease(&mut self, now: Now, problem: Problem, fx: &mut Effects) {
        self.tries += 1;
        if self.tries <= TRIES_MAX {
            return self.later(now, AGAIN_AFTER_MS, Go::Acquire);
        }
        self.tries = 0;
        match self.record.phase {
            Phase::HandoffIntended => self.cannot_tell(now, &problem.message, Some(problem.clone()), fx),
            _ => self.finish(now, Verdict::Infra, Some(problem), fx),
        }
    }

    pub(super) fn planned(&mut self, now: Now, plan: Result<PlanHash, Problem>, fx: &mut Effects) {
        match plan {
            Ok(plan) => {
                self.tries = 0;
                self.record.plan = Some(plan);
                if self.doubt {
                    return self.go(now, Go::Evidence, fx);
                }
                self.connect(fx);
            }
            Err(problem) if problem.class == ProblemClass::Infra && self.tries < TRIES_MAX => {
                self.tries += 1;
                self.build_again(now, fx);
            }
            Err(problem) => self.fail(now, problem, fx),
        }
    }

    /// To the device, within the current attempt, or the first.
    pub(super) fn connect(&mut self, fx: &mut Effects) {
        self.record.attempt = self.record.attempt.max(Attempt(1));
        self.enter(Phase::Connecting, fx);
        self.save(Durability::Durable, Go::Connect, fx);
    }

    pub(super) fn is_connected(&mut self, now: Now, done: Result<Connected, DeviceError>, fx: &mut Effects) {
        match done {
            Ok(connected)
                if !connected.console && self.record.job.goal == Goal::Run && self.is_before_intent() =>
            {
                let problem = problems::no_console(&self.device());
                self.fail(now, problem, fx);
            }
            Ok(_) => {
                self.connected = true;
                self.tries = 0;
                if !self.is_before_intent() {
                    return self.handed_off(now, fx);
                }
                self.enter(Phase::Transferring, fx);
                self.save(Durability::Durable, Go::Transfer, fx);
            }
            Err(error) => self.refused(now, error, Go::Connect, fx),
        }
    }

    pub(super) fn transferred(&mut self, now: Now, done: Result<Transferred, DeviceError>, fx: &mut Effects) {
        match done {
            Ok(done) => {
                self.tries = 0;
                let elapsed_ms = now.mono_ms.saturating_sub(self.acted_ms);
                match &self.record.job.build.source {
                    Source::Boot(_) => {
                        fx.tell.push(EventBody::Staged { bytes: done.image_bytes, elapsed_ms });
                    }
                    // Each was told of.
                    Source::Partitions(..) => {}
                    _ => fx.tell.push(EventBody::Flashed {
                        image_bytes: done.image_bytes,
                        written_bytes: done.written_bytes,
                        since: done.since,
                        elapsed_ms,
                    }),
                }
                self.go(now, Go::Reserve, fx);
            }
            // A step that may not be repeated may have been done: before the handoff, and as little to be guessed.
            Err(DeviceError::Ambiguous(why)) => {
                self.tries = 0;
                let problem = problems::lost(&self.device(), &why);
                self.cannot_tell(now, &why, Some(problem), fx);
            }
            Err(error) => self.refused(now, error, Go::Transfer, fx),
        }
    }

    /// A device did not do what may be asked again.
    pub(super) fn refused(&mut self, now: Now, error: DeviceError, again: Go, fx: &mut Effects) {
        let problem = match error {
            DeviceError::Fenced => return self.lease_lost(now, fx),
            DeviceError::NotBegun(problem) | DeviceError::Failed(problem) => *problem,
            other => problems::lost(&self.device(), &other.to_string()),
        };
        // A device that was there before may be on its way back, perhaps to another port.
        let returns = again == Go::Connect && self.record.attempt > Attempt(1);
        let again_later = returns || !self.is_before_intent();
        self.tries += 1;
        if again_later && self.tries <= TRIES_MAX {
            return self.later(now, AGAIN_AFTER_MS, again);
        }
        self.tries = 0;
        self.fail(now, problem, fx);
    }

    /// Renews the lease in time, and gets back one that was lost.
    pub(super) fn keep_lease(&mut self, now: Now, fx: &mut Effects) {
        let finished = matches!(self.record.phase, Phase::Finished(..));
        if finished && !self.leased {
            return;
        }
        if !self.leased {
            let lost = !self.is_before_intent() && self.acting.is_none() && self.wait.is_none();
            if lost && self.record.lease.is_some() {
                self.go(now, Go::Acquire, fx);
            }
            return;
        }
        if let Some(lease) = &self.record.lease
            && self.renewing.is_none()
            && self.renew_at_ms <= now.mono_ms
        {
            // From the transfer on: no renewal takes back what the scheduler was told for the intent that follows. One that
            // has ended keeps its device until that has given up what it does, so that nobody is given it meanwhile.
            let intent =
                finished || matches!(self.record.phase, Phase::Transferring | Phase::HandoffIntended);
            self.steps += 1;
            self.renewing = Some(self.steps);
            self.renew_at_ms = now.mono_ms + RENEW_EVERY_MS;
            fx.act = Some((self.steps, Act::Renew { token: lease.token, intent }));
        }
    }

    pub(super) fn renewed(&mut self, now: Now, outcome: Outcome, fx: &mut Effects) {
        match outcome {
            Outcome::Renewed(Ok(())) => {}
            Outcome::Renewed(Err(LeaseLost::Fenced | LeaseLost::Unknown)) if self.saving.is_some() => {
                // Asked again, and told again.
                self.renew_at_ms = now.mono_ms;
            }
            Outcome::Renewed(Err(LeaseLost::Fenced | LeaseLost::Unknown)) => self.lease_lost(now, fx),
            _ => self.renew_at_ms = now.mono_ms + AGAIN_AFTER_MS,
        }
    }

    /// The device may be another's. Before the intent the session queues again; after it, the scheduler is asked for the
    /// same device, and what is under way is waited for.
    pub(super) fn lease_lost(&mut self, _now: Now, fx: &mut Effects) {
        if matches!(self.record.phase, Phase::Finished(..)) {
            fx.ignored = Some("it has ended");
            return;
        }
        self.leased = false;
        self.connected = false;
        if self.is_stopping() {
            // The device is asked all the same: it answers whoever asks it to end something.
            return;
        }
        if self.is_before_intent() && self.record.phase != Phase::Preparing {
            (self.acting, self.held, self.wait) = (None, None, None);
            self.record.lease = None;
            fx.tell.push(EventBody::Note("the lease was lost; it queues again".into()));
            self.enter(Phase::Queued, fx);
            self.save(Durability::Durable, Go::Acquire, fx);
        }
    }

    pub(super) fn device(&self) -> String {
        let lease = self.record.lease.as_ref();
        lease.map_or_else(|| self.record.job.board.clone(), |lease| lease.device.to_string())
    }
}
