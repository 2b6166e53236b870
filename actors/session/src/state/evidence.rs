//! How an ambiguous handoff is settled: by the device, or by a person. Never by a silent retry.

use farmhand_api::{EventBody, Problem, Settle, Verdict};
use farmhand_messages::device::DeviceError;
use farmhand_records::Attempt;
use farmhand_records::v1::{Evidence, Goal, HandoffKind, Phase, Source};
use farmhand_store::Durability;

use super::{AGAIN_AFTER_MS, Act, Acting, Effects, Go, Now, Session, TRIES_MAX, VOID_ATTEMPTS_MAX};
use crate::problems;

impl Session {
    pub(super) fn ask_for_evidence(&mut self, now: Now, fx: &mut Effects) {
        if !self.leased {
            return self.go(now, Go::Acquire, fx);
        }
        let Some(plan) = self.record.plan else {
            return self.cannot_tell(now, "the record names no plan", None, fx);
        };
        let attempt = self.record.attempt.max(Attempt(1));
        self.act(now, Acting::Evidence, Act::Evidence { lease: self.lease(), attempt, plan }, fx);
    }

    pub(super) fn evidence_taken(
        &mut self,
        now: Now,
        taken: Result<Evidence, DeviceError>,
        fx: &mut Effects,
    ) {
        match taken {
            Ok(evidence) => self.judge_evidence(now, evidence, fx),
            Err(DeviceError::Fenced) => {
                self.leased = false;
                self.no_evidence(now, "the lease had gone to another", fx);
            }
            Err(DeviceError::NotBegun(problem) | DeviceError::Failed(problem)) => {
                self.no_evidence(now, &problem.message, fx);
            }
            Err(error) => self.no_evidence(now, &error.to_string(), fx),
        }
    }

    /// The device could not be asked: again, a few times.
    pub(super) fn no_evidence(&mut self, now: Now, why: &str, fx: &mut Effects) {
        self.tries += 1;
        if self.tries <= TRIES_MAX {
            return self.later(now, AGAIN_AFTER_MS, Go::Evidence);
        }
        self.tries = 0;
        self.cannot_tell(now, why, None, fx);
    }

    pub(super) fn judge_evidence(&mut self, now: Now, evidence: Evidence, fx: &mut Effects) {
        self.tries = 0;
        match evidence {
            Evidence::Complete(why) => {
                fx.tell.push(EventBody::Note(format!("it was handed off: {why}")));
                // An epoch in the record of a phase before the intent is an older attempt's.
                if self.doubt && self.is_before_intent() {
                    return self.done_unknown_to_us(now, &why, fx);
                }
                self.doubt = false;
                self.issued(Evidence::Complete(why), fx);
            }
            Evidence::NotStarted(why) => {
                fx.tell.push(EventBody::Note(format!("it was not handed off: {why}")));
                self.doubt = false;
                if self.record.cancel {
                    return self.finish_cancelled(now, fx);
                }
                self.same_attempt(now, &why, fx);
            }
            Evidence::PartialRedoable(why) => {
                if self.record.cancel {
                    return self.finish_cancelled(now, fx);
                }
                self.new_attempt(now, &format!("begun, and safe to do again: {why}"), fx);
            }
            Evidence::Unknown(why) => self.cannot_tell(now, &why, None, fx),
        }
    }

    /// Proven not to have begun: it may be issued, in the same attempt, after the way to it is made again. Marked, for it
    /// leaves an intent behind.
    fn same_attempt(&mut self, now: Now, why: &str, fx: &mut Effects) {
        self.voids += 1;
        if self.voids > VOID_ATTEMPTS_MAX {
            let problem = problems::gave_up(&self.record, self.voids, why);
            return self.finish(now, Verdict::Infra, Some(problem), fx);
        }
        self.record.attempt = self.record.attempt.max(Attempt(1));
        self.record.epoch = None;
        self.enter(Phase::Connecting, fx);
        self.save(Durability::Marked, Go::Connect, fx);
    }

    /// The store went back to before an intent, and the device says that it was issued: its epoch is not known.
    fn done_unknown_to_us(&mut self, now: Now, why: &str, fx: &mut Effects) {
        let repeat = self.record.handoff == HandoffKind::Repeatable;
        if self.record.cancel {
            return self.finish_cancelled(now, fx);
        }
        if repeat && self.record.job.goal == Goal::Run {
            return self.new_attempt(now, "it was handed off in an epoch that the store has lost", fx);
        }
        self.doubt = false;
        self.record.attempt = self.record.attempt.max(Attempt(1));
        self.record.epoch = None;
        self.issued(Evidence::Complete(why.to_owned()), fx);
    }

    /// Nothing can be proven. What may be repeated is, as a new attempt that says so; what may not ends here.
    /// `no_device`: there is none to repeat it on.
    pub(super) fn cannot_tell(&mut self, now: Now, why: &str, no_device: Option<Problem>, fx: &mut Effects) {
        match (self.record.handoff, no_device) {
            (HandoffKind::Once, _) => {
                if self.is_before_intent() {
                    // Whichever attempt it was, it is not one that the record knows.
                    self.forget_unknown_attempts();
                }
                self.record.attempt = self.record.attempt.max(Attempt(1));
                let problem = problems::unproven(&self.record, why);
                self.finish(now, Verdict::Unknown, Some(problem), fx);
            }
            (HandoffKind::Repeatable, _) if self.record.cancel => self.finish_cancelled(now, fx),
            (HandoffKind::Repeatable, Some(problem)) => self.finish(now, Verdict::Infra, Some(problem), fx),
            (HandoffKind::Repeatable, None) => {
                let why = format!("cannot prove whether it booted ({why}); it may be repeated");
                self.new_attempt(now, &why, fx);
            }
        }
    }

    /// A person has looked at the device.
    pub(super) fn settle(&mut self, settle: Settle, fx: &mut Effects) {
        let written =
            matches!(self.record.job.build.source, Source::Partitions(..)) && self.record.epoch.is_none();
        let refuse = match &self.record.phase {
            Phase::Finished(..) if written && settle == Settle::Booted => {
                Some("what may have been done is a partition, and others may follow it")
            }
            Phase::Finished(_, Some(problem)) if problem.code == problems::UNPROVEN => None,
            Phase::Finished(..) => Some("it did not end for want of proof"),
            Phase::HandoffIntended if matches!(self.acting, Some((_, Acting::Handoff))) => {
                Some("its handoff is under way")
            }
            Phase::HandoffIntended => None,
            _ => Some("nothing of it is ambiguous"),
        };
        if let Some(why) = refuse {
            fx.refuse = Some(problems::nothing_to_settle(self.record.id, why));
            return;
        }
        // Giving the device back, if that is under way, is waited for: it would otherwise come behind the new lease.
        let releasing = matches!(self.acting, Some((_, Acting::Release)));
        let go = if releasing { Go::Nothing } else { Go::Acquire };
        if !releasing {
            (self.acting, self.held) = (None, None);
        }
        self.record.cancel = false;
        (self.wait, self.woken, self.tries, self.voids) = (None, false, 0, 0);
        self.leased &= self.record.finished_unix_ms.is_none();
        match settle {
            Settle::Booted => {
                fx.tell.push(EventBody::Note("a person has seen that it booted".into()));
                self.enter(Phase::HandoffIssued(Evidence::Complete("a person has seen it".into())), fx);
                let go = if releasing { Go::Nothing } else { Go::HandedOff };
                self.save(Durability::Marked, go, fx);
            }
            Settle::NotBooted => {
                self.record.attempt = self.record.attempt.next();
                self.record.epoch = None;
                self.record.observed = farmhand_records::v1::Observed::default();
                let seen = match self.record.job.build.source {
                    Source::Partitions(..) => "a person has it written again",
                    _ => "a person has seen that it did not boot",
                };
                fx.tell.push(EventBody::Note(format!("attempt {}: {seen}", self.record.attempt)));
                self.enter(Phase::Connecting, fx);
                self.save(Durability::Marked, go, fx);
            }
        }
    }
}
