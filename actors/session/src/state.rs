//! One run's decisions. Pure: it owns no handle, reads no clock, awaits nothing.
//!
//! A step gives a record to write *or* one thing to do, never both: what must be durable first is written, and only
//! [`Input::Persisted`] leads to the act behind it. The phases are the record's ([`Phase`]); what is beside it here is
//! forgotten with the actor, and had again on recovery.

mod evidence;
mod finish;
mod handoff;
mod inputs;
mod observe;
mod prepare;

use farmhand_api::{EventBody, SessionView};
use farmhand_messages::scheduler::QueuePlace;
use farmhand_messages::session::Outcome;
use farmhand_records::Attempt;
use farmhand_records::v1::{self, LeaseHeld, Phase};
use farmhand_store::Durability;

pub use inputs::{Act, Effects, Input, Now, Persist, Trust};
use inputs::{Acting, Go};

use crate::expect::Expect;
use crate::problems;
use crate::view::{phase_name, standing, view};

/// A lease is renewed so often: a third of the 30 s that the scheduler grants.
const RENEW_EVERY_MS: u64 = 10_000;
/// Between two tries of something that failed and may be tried again.
const AGAIN_AFTER_MS: u64 = 1000;
/// So often is something tried again that changes nothing: asking for evidence, connecting, confirming.
const TRIES_MAX: u32 = 3;
/// So many attempts in a row may come to nothing before it is a fault of ours.
const VOID_ATTEMPTS_MAX: u32 = 3;
/// Where the store went back, attempts may have been used of which nothing is known. A session makes a handful.
const ATTEMPTS_SKIPPED: u32 = 16;
/// An ended session that was woken waits so long for what it was woken for: longer than a gateway waits for an answer.
const LINGER_MS: u64 = 10_000;

/// One session.
#[derive(Debug)]
pub struct Session {
    /// As it is, or is being, written.
    record: v1::Session,
    /// It is being written; this follows.
    saving: Option<Go>,
    /// What was set going, and its step's number.
    acting: Option<(u64, Acting)>,
    /// An outcome of it that came while the record was being written.
    held: Option<Box<Outcome>>,
    /// The step of the stream of output that is read.
    stream: Option<u64>,
    /// The step of the renewal that is under way.
    renewing: Option<u64>,
    /// This follows, at this time of the monotonic clock in milliseconds.
    wait: Option<(u64, Go)>,
    steps: u64,
    /// When the act began that is under way.
    acted_ms: u64,
    /// The store went back: a handoff may have been issued of which the record says nothing.
    doubt: bool,
    /// The lease was granted, or confirmed, to this incarnation, and is not known to be lost.
    leased: bool,
    renew_at_ms: u64,
    /// The device was connected by this incarnation.
    connected: bool,
    /// Tries of what is being tried.
    tries: u32,
    /// Attempts in a row that came to nothing.
    voids: u32,
    standing: Option<QueuePlace>,
    expect: Option<Expect>,
    observing: observe::Place,
    /// Cancelled while the record was being written.
    cancel_wanted: bool,
    /// It had ended before this incarnation began.
    woken: bool,
    ended: bool,
    drained: bool,
}

impl Session {
    /// A session that was just made.
    #[must_use]
    pub fn new(record: v1::Session) -> Self {
        Self {
            record,
            saving: None,
            acting: None,
            held: None,
            stream: None,
            renewing: None,
            wait: None,
            steps: 0,
            acted_ms: 0,
            doubt: false,
            leased: false,
            renew_at_ms: 0,
            connected: false,
            tries: 0,
            voids: 0,
            standing: None,
            expect: None,
            observing: observe::Place::default(),
            cancel_wanted: false,
            woken: false,
            ended: false,
            drained: false,
        }
    }

    /// From its record: after a crash of anything.
    #[must_use]
    pub fn recover(record: v1::Session, trust: Trust) -> Self {
        let builds_only = record.job.goal == v1::Goal::Build;
        let finished = matches!(record.phase, Phase::Finished(..));
        let doubt = trust == Trust::Behind && !builds_only && !finished;
        Self { doubt, woken: finished, ..Self::new(record) }
    }

    /// What is on disk, or about to be.
    #[must_use]
    pub fn record(&self) -> &v1::Session {
        &self.record
    }

    /// The number of the stream of output that is read.
    #[must_use]
    pub fn stream(&self) -> Option<u64> {
        self.stream
    }

    /// It has ended, and holds nothing.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Nothing is due however much time passes: it waits for a device, and is told when there is one.
    #[must_use]
    pub fn is_still(&self) -> bool {
        let asks = matches!(self.acting, Some((_, Acting::Acquire)));
        asks && !self.leased && self.stream.is_none() && self.wait.is_none() && self.renewing.is_none()
    }

    /// As people see it.
    #[must_use]
    pub fn view(&self) -> SessionView {
        let mut view = view(&self.record);
        if let (Phase::Queued, Some((place, behind))) = (&self.record.phase, self.standing) {
            view.detail = standing(place, behind);
        }
        view
    }

    /// One step. Total: every phase answers every input, if only by ignoring it with a reason.
    pub fn step(&mut self, now: Now, input: Input) -> Effects {
        let mut fx = Effects::default();
        match input {
            _ if self.drained || self.ended => fx.ignored = Some("it has ended here"),
            Input::Persisted => self.persisted(now, &mut fx),
            Input::Outcome { step, outcome } => self.outcome(now, step, outcome, &mut fx),
            Input::Drain => self.drain(&mut fx),
            Input::Begin if self.steps == 0 && self.saving.is_none() => self.begin(now, &mut fx),
            Input::Begin => fx.ignored = Some("it has begun"),
            Input::Cancel if self.saving.is_some() => self.cancel_wanted = true,
            Input::Settle(_) if self.saving.is_some() => {
                fx.refuse = Some(problems::nothing_to_settle(self.record.id, "it is busy; ask again"));
            }
            Input::Tick if self.saving.is_some() => fx.ignored = Some("a record is being written"),
            Input::Tick => self.tick(now, &mut fx),
            Input::Cancel => self.cancel(now, &mut fx),
            Input::Settle(settle) => self.settle(settle, &mut fx),
        }
        debug_assert!(fx.persist.is_none() || fx.act.is_none(), "what is done waits for what is written");
        fx
    }

    /// Begins, or goes on from the checkpoint.
    fn begin(&mut self, now: Now, fx: &mut Effects) {
        self.observing.last_ms = now.mono_ms;
        self.renew_at_ms = now.mono_ms;
        if let Phase::Finished(..) = self.record.phase {
            return self.go(now, Go::Release, fx);
        }
        fx.tell.push(EventBody::Phase(phase_name(&self.record.phase)));
        if let Err(problem) = Expect::new(&self.record.job, &self.record.observed) {
            return self.fail(now, problem, fx);
        }
        match &self.record.phase {
            Phase::Transferring if self.is_stopping() => self.go(now, Go::Stop, fx),
            // Nothing of it is in doubt any more, and nothing more is done for it.
            _ if self.record.cancel && !self.doubt && self.is_before_intent() => {
                self.finish_cancelled(now, fx)
            }
            Phase::Preparing => self.go(now, Go::Build, fx),
            // The same session gets the same lease. What is behind it is redone within the same attempt.
            Phase::Queued | Phase::Leased | Phase::Connecting | Phase::Transferring => {
                self.go(now, Go::Acquire, fx)
            }
            Phase::HandoffIntended => {
                fx.tell.push(EventBody::Note(self.interrupted()));
                self.go(now, Go::Acquire, fx);
            }
            // Issued: never again.
            Phase::HandoffIssued(_) | Phase::Observing => self.handed_off(now, fx),
            Phase::Finished(..) => {}
        }
    }

    /// The checkpoint is written; nothing more is done.
    fn drain(&mut self, fx: &mut Effects) {
        if self.saving.is_none() && !matches!(self.record.phase, Phase::Finished(..)) {
            let record = Box::new(self.record.clone());
            fx.persist = Some(Persist { record, durability: Durability::Durable });
        }
        self.drained = true;
    }

    /// Enters a phase.
    fn enter(&mut self, phase: Phase, fx: &mut Effects) {
        self.record.phase = phase;
        fx.tell.push(EventBody::Phase(phase_name(&self.record.phase)));
    }

    /// The record is written; only then `go`.
    fn save(&mut self, durability: Durability, go: Go, fx: &mut Effects) {
        debug_assert!(self.saving.is_none() && fx.act.is_none(), "one thing at a time");
        self.saving = Some(go);
        fx.persist = Some(Persist { record: Box::new(self.record.clone()), durability });
    }

    fn persisted(&mut self, now: Now, fx: &mut Effects) {
        let Some(go) = self.saving.take() else {
            fx.ignored = Some("nothing was being written");
            return;
        };
        self.go(now, go, fx);
        if fx.is_idle() && self.cancel_wanted {
            self.cancel_wanted = false;
            self.cancel(now, fx);
        }
        if fx.is_idle()
            && let Some(outcome) = self.held.take()
            && let Some((_, acting)) = self.acting.take()
        {
            self.acted(now, acting, *outcome, fx);
        }
    }

    /// Does the next thing. What it does is durable already, or needs not be.
    fn go(&mut self, now: Now, go: Go, fx: &mut Effects) {
        let act = match go {
            Go::Nothing => return,
            Go::Build => (Acting::Build, Act::Build),
            Go::Acquire => return self.acquire(now, fx),
            Go::Plan => match (&self.record.artifact, &self.record.lease) {
                (Some(artifact), Some(lease)) => {
                    (Acting::Plan, Act::Plan { artifact: artifact.clone(), device: lease.device.clone() })
                }
                _ => return self.build_again(now, fx),
            },
            Go::Connect => (Acting::Connect, Act::Connect { lease: self.lease() }),
            Go::Transfer => match (&self.record.artifact, self.record.plan) {
                (Some(artifact), Some(plan)) => {
                    let (artifact, attempt) = (artifact.clone(), self.record.attempt);
                    (Acting::Transfer, Act::Transfer { lease: self.lease(), attempt, plan, artifact })
                }
                _ => return self.build_again(now, fx),
            },
            // Not beside a renewal: one that says that there is no intent may come behind ours, and take it back.
            Go::Reserve if self.renewing.is_some() => return self.later(now, 0, Go::Reserve),
            Go::Reserve => (Acting::Reserve, Act::Reserve { lease: self.lease() }),
            Go::Issue => return self.issue(now, fx),
            Go::Evidence => return self.ask_for_evidence(now, fx),
            Go::HandedOff => return self.handed_off(now, fx),
            Go::Watch => return self.watch(now, fx),
            Go::Reach => (Acting::Reach, Act::Reach { device: self.lease().device }),
            Go::Confirm => match self.record.epoch {
                Some(epoch) => (Acting::Confirm, Act::Confirm { lease: self.lease(), epoch }),
                None => {
                    return self.finish(
                        now,
                        v1::Verdict::Unknown,
                        Some(problems::epoch_lost(&self.record)),
                        fx,
                    );
                }
            },
            Go::Stop => (Acting::Stop, Act::Stop { lease: self.lease() }),
            Go::Release => return self.release(now, fx),
            Go::Withdraw => {
                self.steps += 1;
                fx.act = Some((self.steps, Act::Release { lease: None, quarantine: None }));
                return;
            }
            Go::End => {
                self.ended = true;
                fx.act = Some((self.steps, Act::End));
                return;
            }
        };
        self.act(now, act.0, act.1, fx);
    }

    fn act(&mut self, now: Now, acting: Acting, act: Act, fx: &mut Effects) {
        debug_assert!(fx.act.is_none() && fx.persist.is_none(), "a step has one effect");
        self.steps += 1;
        self.acting = Some((self.steps, acting));
        self.acted_ms = now.mono_ms;
        fx.act = Some((self.steps, act));
    }

    /// Not now, but soon.
    fn later(&mut self, now: Now, after_ms: u64, go: Go) {
        self.wait = Some((now.mono_ms + after_ms, go));
    }

    /// The lease; every act that needs one comes after its grant.
    fn lease(&self) -> LeaseHeld {
        self.record.lease.clone().expect("acts on a device come after a lease")
    }

    /// The phases before the intent: nothing was done to the device that matters.
    fn is_before_intent(&self) -> bool {
        matches!(
            self.record.phase,
            Phase::Preparing | Phase::Queued | Phase::Leased | Phase::Connecting | Phase::Transferring
        )
    }

    fn outcome(&mut self, now: Now, step: u64, outcome: Box<Outcome>, fx: &mut Effects) {
        if self.renewing == Some(step) {
            self.renewing = None;
            return self.renewed(now, *outcome, fx);
        }
        if self.stream == Some(step) {
            return self.streamed(now, *outcome, fx);
        }
        match self.acting {
            Some((acting, _)) if acting != step => fx.ignored = Some("of an older step"),
            None => fx.ignored = Some("of an older step"),
            Some(_) if self.saving.is_some() => {
                self.held.get_or_insert(outcome);
            }
            Some((_, acting)) => {
                self.acting = None;
                self.acted(now, acting, *outcome, fx);
            }
        }
    }

    /// What was set going has ended.
    fn acted(&mut self, now: Now, acting: Acting, outcome: Outcome, fx: &mut Effects) {
        match (acting, outcome) {
            (Acting::Build, Outcome::Built(built)) => self.built(now, built, fx),
            (Acting::Acquire, Outcome::Standing(standing)) => self.stands(now, standing, fx),
            (Acting::Plan, Outcome::Planned(plan)) => self.planned(now, plan, fx),
            (Acting::Connect, Outcome::Connected(done)) => self.is_connected(now, done, fx),
            (Acting::Transfer, Outcome::Transferred(done)) => self.transferred(now, done, fx),
            (Acting::Reserve, Outcome::Reserved(epoch)) => self.reserved(now, epoch, fx),
            (Acting::Handoff, Outcome::HandedOff(done)) => self.answered(now, done, fx),
            (Acting::Evidence, Outcome::Evidence(evidence)) => self.evidence_taken(now, evidence, fx),
            (Acting::Reach, Outcome::Reached(offset)) => self.reached(offset),
            (Acting::Confirm, Outcome::Confirmed(confirmed)) => self.confirmed(now, confirmed, fx),
            (Acting::Stop, Outcome::Stopped(written)) => self.stopped(now, &written, fx),
            (Acting::Release, Outcome::Released) => self.released(now, fx),
            (acting, Outcome::Lost(why)) => self.lost(now, acting, &why, fx),
            (acting, _) => self.lost(now, acting, "a task gave what it cannot give", fx),
        }
    }

    /// Time passes. One thing at most is done at a time; what else is due comes with the next tick.
    fn tick(&mut self, now: Now, fx: &mut Effects) {
        self.count_time(now);
        if self.cancel_wanted {
            self.cancel_wanted = false;
            return self.cancel(now, fx);
        }
        if let Some((at_ms, go)) = self.wait
            && at_ms <= now.mono_ms
        {
            self.wait = None;
            self.go(now, go, fx);
        }
        if fx.is_idle() {
            self.keep_lease(now, fx);
        }
        if fx.is_idle() {
            self.time_passes(now, fx);
        }
    }

    /// A new attempt, in an epoch yet to be reserved: the only place where the number grows. Marked: what it leaves
    /// behind is settled, and must not be unsettled by a store that goes back.
    fn new_attempt(&mut self, now: Now, why: &str, fx: &mut Effects) {
        self.voids += 1;
        if self.voids > VOID_ATTEMPTS_MAX {
            let problem = problems::gave_up(&self.record, self.voids, why);
            return self.finish(now, v1::Verdict::Infra, Some(problem), fx);
        }
        self.begin_attempt(why, fx);
    }

    fn begin_attempt(&mut self, why: &str, fx: &mut Effects) {
        self.forget_unknown_attempts();
        self.record.attempt = self.record.attempt.next();
        self.attempt_again(why, fx);
    }

    /// The way to the device, from its beginning.
    fn attempt_again(&mut self, why: &str, fx: &mut Effects) {
        self.record.epoch = None;
        self.record.observed = v1::Observed::default();
        (self.acting, self.held, self.stream, self.expect, self.wait) = (None, None, None, None, None);
        self.tries = 0;
        fx.tell.push(EventBody::Note(format!("attempt {}: {why}", self.record.attempt)));
        self.enter(Phase::Connecting, fx);
        let go = if self.leased { Go::Connect } else { Go::Acquire };
        self.save(Durability::Marked, go, fx);
    }

    /// Where the store went back, numbers may have been used that nobody knows of: they are passed over.
    fn forget_unknown_attempts(&mut self) {
        if std::mem::take(&mut self.doubt) {
            self.record.attempt = Attempt(self.record.attempt.0 + ATTEMPTS_SKIPPED);
        }
    }
}
