//! Verdicts, cancel, and giving the device back.

use farmhand_api::{EventBody, Problem, ProblemClass, Verdict};
use farmhand_messages::device::DeviceError;
use farmhand_messages::session::Written;
use farmhand_records::v1::{HandoffKind, Phase};
use farmhand_store::Durability;

use super::{AGAIN_AFTER_MS, Act, Acting, Effects, Go, LINGER_MS, Now, Session, TRIES_MAX};
use crate::problems;

impl Session {
    /// Something is wrong. What is ours is tried again, as often as the job says.
    pub(super) fn fail(&mut self, now: Now, problem: Problem, fx: &mut Effects) {
        let verdict = match problem.class {
            ProblemClass::Firmware | ProblemClass::Build => Verdict::Failed,
            ProblemClass::Cancelled => Verdict::Cancelled,
            ProblemClass::Unknown => Verdict::Unknown,
            ProblemClass::Infra
                if self.record.infra_failures < self.record.job.infra_retries
                    && (self.is_before_intent() || self.record.handoff == HandoffKind::Repeatable) =>
            {
                self.record.infra_failures += 1;
                return self.retry(now, &problem, fx);
            }
            _ => Verdict::Infra,
        };
        self.finish(now, verdict, Some(problem), fx);
    }

    fn retry(&mut self, now: Now, problem: &Problem, fx: &mut Effects) {
        let (failures, retries) = (self.record.infra_failures, self.record.job.infra_retries);
        let why = format!("{}; tried again, {failures} of {retries}", problem.message);
        self.tries = 0;
        let go = match self.record.phase {
            Phase::Preparing => Go::Build,
            Phase::Queued | Phase::Leased => Go::Acquire,
            // In doubt the device is asked before anything else is done to it.
            _ if self.doubt => Go::Acquire,
            _ => {
                match self.record.handoff {
                    HandoffKind::Repeatable => self.begin_attempt(&why, fx),
                    // It was not handed off: the attempt is the same. Of what is once a newer one is a person's word.
                    HandoffKind::Once => self.attempt_again(&why, fx),
                }
                // Not at once: what was wrong may pass.
                let go = self.saving.replace(Go::Nothing).unwrap_or(Go::Acquire);
                return self.later(now, AGAIN_AFTER_MS, go);
            }
        };
        fx.tell.push(EventBody::Note(why));
        self.later(now, AGAIN_AFTER_MS, go);
        self.save(Durability::Durable, Go::Nothing, fx);
    }

    /// The verdict, durable before the device is given back. Marked where a handoff may have been issued.
    pub(super) fn finish(&mut self, now: Now, verdict: Verdict, problem: Option<Problem>, fx: &mut Effects) {
        let matched = self.record.observed.matched.checked_sub(1);
        let matched = matched.and_then(|at| self.record.job.expect.get(at as usize)).cloned();
        // A grant that is under way is waited for: it would come behind the release.
        let acquiring = matches!(self.acting, Some((_, Acting::Acquire)));
        let waits = acquiring && self.is_before_intent();
        if !acquiring {
            self.acting = None;
        }
        (self.held, self.stream, self.wait, self.expect) = (None, None, None, None);
        self.record.finished_unix_ms = Some(now.unix_ms);
        fx.tell.retain(|body| !matches!(body, EventBody::Phase(_)));
        self.enter(Phase::Finished(verdict, problem.clone()), fx);
        fx.tell.push(EventBody::Finished {
            verdict,
            problem: problem.map(Box::new),
            matched: matched.filter(|_| verdict == Verdict::Passed),
            elapsed_ms: now.unix_ms.saturating_sub(self.record.created_unix_ms),
        });
        let marked = self.record.attempt.0 > 0;
        let durability = if marked { Durability::Marked } else { Durability::Durable };
        let go = match acquiring {
            // Whoever waits for it is answered now, and not when it would have been its turn.
            true if waits => Go::Withdraw,
            true => Go::Nothing,
            false => Go::Release,
        };
        self.save(durability, go, fx);
    }

    pub(super) fn finish_cancelled(&mut self, now: Now, fx: &mut Effects) {
        let handed_off = matches!(self.record.phase, Phase::HandoffIssued(_) | Phase::Observing);
        let problem = problems::cancelled(&self.record, handed_off);
        self.finish(now, Verdict::Cancelled, Some(problem), fx);
    }

    /// Not wanted any more. Before the intent, and once the handoff is resolved, it ends at once; in between the handoff is
    /// resolved first. A transfer is ended first, too: who hears that it is cancelled can rely on it.
    pub(super) fn cancel(&mut self, now: Now, fx: &mut Effects) {
        match self.record.phase {
            Phase::Finished(..) => fx.ignored = Some("it has ended"),
            Phase::HandoffIntended if self.record.cancel => fx.ignored = Some("it is being cancelled"),
            Phase::HandoffIntended => {
                self.record.cancel = true;
                self.save(Durability::Marked, Go::Nothing, fx);
            }
            _ if self.doubt && self.record.cancel => fx.ignored = Some("it is being cancelled"),
            // A handoff may have been issued of which the record says nothing: it is resolved first.
            _ if self.doubt && self.is_before_intent() => {
                self.record.cancel = true;
                self.save(Durability::Marked, Go::Nothing, fx);
            }
            Phase::Transferring if self.record.cancel => fx.ignored = Some("it is being cancelled"),
            Phase::Transferring if self.record.lease.is_some() => {
                self.record.cancel = true;
                (self.acting, self.held, self.wait) = (None, None, None);
                self.save(Durability::Durable, Go::Stop, fx);
            }
            _ => {
                self.record.cancel = true;
                self.finish_cancelled(now, fx);
            }
        }
    }

    /// Cancelled in the middle of a transfer, of which the device is to end what it does.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.record.cancel
            && !self.doubt
            && self.record.phase == Phase::Transferring
            && self.record.lease.is_some()
    }

    /// The device has given up.
    pub(super) fn stopped(&mut self, now: Now, written: &Written, fx: &mut Effects) {
        let problem = problems::cancelled_in_transfer(&self.record, written);
        self.finish(now, Verdict::Cancelled, Some(problem), fx);
    }

    pub(super) fn release(&mut self, now: Now, fx: &mut Effects) {
        let ended = match &self.record.phase {
            Phase::Finished(_, problem) => problem.as_ref(),
            _ => None,
        };
        let quarantine = problems::quarantine(&self.record, ended);
        let act = Act::Release { lease: self.record.lease.clone(), quarantine };
        self.act(now, Acting::Release, act, fx);
    }

    pub(super) fn released(&mut self, now: Now, fx: &mut Effects) {
        self.leased = false;
        self.connected = false;
        match self.record.phase {
            // Somebody woke it for a reason, and is about to say which.
            Phase::Finished(..) if self.woken => self.later(now, LINGER_MS, Go::End),
            Phase::Finished(..) => self.go(now, Go::End, fx),
            // It was settled while it gave its device back.
            _ => self.go(now, Go::Acquire, fx),
        }
    }

    /// A task could not do what it was to do, and nobody knows how far it came.
    pub(super) fn lost(&mut self, now: Now, acting: Acting, why: &str, fx: &mut Effects) {
        let problem = |what: &str| problems::lost(what, why);
        let failed = |session: &Self| DeviceError::Failed(Box::new(problem(&session.device())));
        match acting {
            Acting::Build => self.fail(now, problem("the build"), fx),
            Acting::Plan => self.fail(now, problem("the plan"), fx),
            Acting::Acquire if matches!(self.record.phase, Phase::Finished(..)) => self.release(now, fx),
            Acting::Acquire if self.is_before_intent() => {
                self.tries += 1;
                if self.tries <= TRIES_MAX {
                    return self.later(now, AGAIN_AFTER_MS, Go::Acquire);
                }
                self.tries = 0;
                self.fail(now, problem("the scheduler"), fx);
            }
            Acting::Acquire => self.stands(now, Err(problem("the scheduler")), fx),
            Acting::Connect => self.refused(now, failed(self), Go::Connect, fx),
            Acting::Transfer => self.refused(now, failed(self), Go::Transfer, fx),
            Acting::Reserve => self.refused(now, failed(self), Go::Reserve, fx),
            // A timeout proves nothing.
            Acting::Handoff => self.ambiguous(now, why, fx),
            Acting::Evidence => self.no_evidence(now, why, fx),
            Acting::Reach => self.fail(now, problem("the recorder"), fx),
            Acting::Confirm => self.refused(now, failed(self), Go::Confirm, fx),
            // It may still be written to: nobody else is given it, and nobody told that it has ended.
            Acting::Stop => self.later(now, AGAIN_AFTER_MS, Go::Stop),
            Acting::Release => self.later(now, AGAIN_AFTER_MS, Go::Release),
        }
    }
}
