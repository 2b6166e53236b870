//! Output of the owned epoch. Bytes of any other earn nothing.

use farmhand_api::{EpochCause, LogFrom, LogItem, OnGap, Verdict};
use farmhand_messages::device::{DeviceError, Since};
use farmhand_messages::session::Outcome;
use farmhand_records::Epoch;
use farmhand_records::v1::{HandoffKind, Phase};
use farmhand_store::Durability;

use super::{Act, Acting, Effects, Go, Now, Session, TRIES_MAX};
use crate::expect::{Expect, Judged, WINDOW_BYTES};
use crate::problems;

/// A tick counts for no more: whoever was stopped or asleep for longer did not observe.
const TICK_COUNTS_MS_MAX: u64 = 250;
/// Once the time is up, what was recorded until then is read for so long; a stream that does not bring it is a fault of ours.
const REACH_MS: u64 = 10_000;
/// What was observed is written so often; a restart goes on from there.
const SAVE_EVERY_MS: u64 = 2000;
/// After a restart, what was recorded meanwhile is read before the time can run out.
const REPLAY_MS: u64 = 1000;

/// Where the observation is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// The last tick.
    pub(super) last_ms: u64,
    saved_ms: u64,
    /// The epoch that the stream is in, once it is known.
    epoch: Option<Epoch>,
    /// What lies before this offset was judged by a predecessor.
    judged: u64,
    /// Something came since the last tick.
    heard: bool,
    /// The stream was begun: time counts.
    subscribed: bool,
    /// Streams in a row that were not.
    unanswered: u32,
    /// The stream has brought all before this offset.
    read: u64,
    /// The recorder was there when the time was up: up to this offset is judged before that is said.
    reach: Option<u64>,
    /// So long it was read up to there.
    behind_ms: u64,
    /// Silence was judged, too.
    quiet: bool,
    /// The owned epoch was ended from outside: what the device does by itself behind that says nothing of it.
    gone: bool,
}

impl Session {
    /// Reads the output, from where it was judged.
    pub(super) fn watch(&mut self, now: Now, fx: &mut Effects) {
        let Some(epoch) = self.record.epoch else {
            return self.finish(now, Verdict::Unknown, Some(problems::epoch_lost(&self.record)), fx);
        };
        let expect = match self.expect.take() {
            Some(expect) => expect,
            None => match Expect::new(&self.record.job, &self.record.observed) {
                Ok(expect) => {
                    let observed = &mut self.record.observed;
                    let most = self.record.job.timeout_ms.saturating_sub(REPLAY_MS);
                    observed.elapsed_ms = observed.elapsed_ms.min(most);
                    self.observing.judged = observed.offset;
                    (self.observing.reach, self.observing.behind_ms, self.observing.read) = (None, 0, 0);
                    expect
                }
                Err(problem) => return self.fail(now, problem, fx),
            },
        };
        let settled = expect.is_settled();
        let (from, in_epoch) = match (expect.next_offset(), self.record.observed.offset) {
            (Some(next), _) => (LogFrom::Offset(next), Some(epoch)),
            (None, 0) => (LogFrom::Epoch(epoch), Some(epoch)),
            (None, offset) => (LogFrom::Offset(offset.saturating_sub(WINDOW_BYTES as u64)), None),
        };
        self.observing.epoch = in_epoch;
        self.observing.subscribed = false;
        // What is read again from here has nothing missing before it.
        if let LogFrom::Offset(offset) = from {
            self.observing.read = self.observing.read.max(offset);
        }
        (self.observing.last_ms, self.observing.quiet, self.observing.gone) = (now.mono_ms, false, false);
        self.expect = Some(expect);
        if settled {
            return self.go(now, Go::Confirm, fx);
        }
        self.steps += 1;
        self.stream = Some(self.steps);
        fx.act = Some((self.steps, Act::Observe { device: self.lease().device, from }));
    }

    pub(super) fn streamed(&mut self, now: Now, outcome: Outcome, fx: &mut Effects) {
        match outcome {
            Outcome::Subscribed => (self.observing.subscribed, self.observing.unanswered) = (true, 0),
            Outcome::Output(item) if self.saving.is_none() => {
                let end = match &item {
                    LogItem::Chunk { offset, bytes, .. } => offset.saturating_add(bytes.len() as u64),
                    LogItem::Lost { dropped: false, .. } => 0,
                    LogItem::Lost { offset, bytes, .. } => offset.saturating_add(*bytes),
                    LogItem::EpochBegan { offset, .. }
                    | LogItem::Gap { offset, .. }
                    | LogItem::Lent { offset, .. }
                    | LogItem::Returned { offset, .. } => *offset,
                };
                let step = self.stream;
                self.output(now, item, fx);
                if self.stream == step {
                    self.observing.read = self.observing.read.max(end);
                }
            }
            Outcome::OutputEnded if !self.observing.subscribed && self.saving.is_none() => {
                self.stream = None;
                self.observing.unanswered += 1;
                if self.observing.unanswered > TRIES_MAX {
                    self.observing.unanswered = 0;
                    let why = "it gives nothing of what it records";
                    self.fail(now, problems::lost("the recorder", why), fx);
                }
            }
            // What cannot be judged now is read again; a stream that ended is had again.
            _ => {
                self.stream = None;
                fx.ignored = Some("the stream is read again");
            }
        }
    }

    fn output(&mut self, now: Now, item: LogItem, fx: &mut Effects) {
        let confirming = matches!(self.acting, Some((_, Acting::Confirm)));
        let (Phase::Observing, Some(owned), Some(expect)) =
            (&self.record.phase, self.record.epoch, self.expect.as_mut())
        else {
            fx.ignored = Some("nothing is observed");
            return;
        };
        let older = |place: &Place| place.epoch.is_some_and(|epoch| epoch < owned);
        match item {
            LogItem::Chunk { epoch, .. } | LogItem::EpochBegan { epoch, .. } if epoch < owned => {
                self.observing.epoch = Some(epoch);
                fx.ignored = Some("of an older epoch");
            }
            LogItem::Chunk { epoch, .. } if epoch > owned => {
                self.foreign(now, epoch, None, confirming, fx);
            }
            LogItem::EpochBegan { epoch, cause, .. } if epoch > owned => {
                self.foreign(now, epoch, Some(cause), confirming, fx);
            }
            LogItem::EpochBegan { stamp, .. } => {
                self.observing.epoch = Some(owned);
                expect.began(stamp.mono_us);
            }
            LogItem::Chunk { .. } if confirming => fx.ignored = Some("all was seen"),
            LogItem::Chunk { offset, .. } if expect.next_offset().is_some_and(|next| offset > next) => {
                self.stream = None;
                self.go(now, Go::Watch, fx);
            }
            LogItem::Chunk { offset, stamp, bytes, .. } => {
                self.observing.epoch = Some(owned);
                (self.observing.heard, self.observing.quiet) = (true, false);
                let judged = expect.push(offset, &bytes, stamp.mono_us);
                self.judged(now, judged, fx);
            }
            LogItem::Lent { .. } | LogItem::Returned { .. } => fx.ignored = Some("not output"),
            LogItem::Lost { dropped: false, .. } => {
                self.stream = None;
                self.go(now, Go::Watch, fx);
            }
            LogItem::Gap { .. } | LogItem::Lost { .. } if confirming || older(&self.observing) => {
                fx.ignored = Some("a gap where nothing is missed");
            }
            LogItem::Gap { offset, .. } if offset < self.observing.judged => {
                fx.ignored = Some("judged before");
            }
            LogItem::Lost { offset, bytes, .. } if offset.saturating_add(bytes) <= self.observing.judged => {
                fx.ignored = Some("judged before");
            }
            LogItem::Gap { why, .. } => self.gap(now, &why, fx),
            LogItem::Lost { bytes, .. } => {
                self.gap(now, &format!("{bytes} bytes could not be kept"), fx);
            }
        }
    }

    fn judged(&mut self, now: Now, judged: Judged, fx: &mut Effects) {
        if let Some(expect) = &self.expect {
            self.record.observed.matched = u32::try_from(expect.matched()).unwrap_or(u32::MAX);
            self.record.observed.offset = expect.offset();
        }
        match judged {
            Judged::GoOn => {}
            Judged::Advanced => self.save(Durability::Progress, Go::Nothing, fx),
            Judged::All => self.go(now, Go::Confirm, fx),
            Judged::Failed { pattern, line } => {
                let epoch = self.record.epoch.unwrap_or_default();
                let problem = problems::seen(&self.record, &pattern, &line, epoch);
                self.finish(now, Verdict::Failed, Some(problem), fx);
            }
        }
    }

    /// Another epoch began: what comes is not ours any more.
    fn foreign(
        &mut self,
        now: Now,
        epoch: Epoch,
        cause: Option<EpochCause>,
        confirming: bool,
        fx: &mut Effects,
    ) {
        match cause {
            Some(EpochCause::Itself(cause)) if !self.doubt && !self.observing.gone => {
                let problem = problems::restarted(&self.record, &cause);
                self.finish(now, Verdict::Failed, Some(problem), fx);
            }
            _ if confirming => {
                self.observing.gone = true;
                fx.ignored = Some("the device is asked what runs");
            }
            // Not the firmware's doing.
            Some(EpochCause::Returned) => self.gap(now, "the device went away, and came back", fx),
            Some(EpochCause::Opened) => {
                self.gap(now, "its port was opened anew, which may have reset it", fx)
            }
            _ => self.gap(now, &format!("epoch {epoch} began"), fx),
        }
    }

    /// We were dead while the device ran, or it was taken from us: what it said is not known.
    fn gap(&mut self, now: Now, why: &str, fx: &mut Effects) {
        let repeat = self.record.handoff == HandoffKind::Repeatable && self.record.job.on_gap == OnGap::Reset;
        if repeat && self.voids < super::VOID_ATTEMPTS_MAX {
            return self.new_attempt(now, &format!("a gap in the recording: {why}"), fx);
        }
        let problem = problems::gap(&self.record, why);
        self.finish(now, Verdict::Unknown, Some(problem), fx);
    }

    /// Time that was observed counts, whatever else is done with this tick.
    pub(super) fn count_time(&mut self, now: Now) {
        let passed = now.mono_ms.saturating_sub(self.observing.last_ms).min(TICK_COUNTS_MS_MAX);
        self.observing.last_ms = now.mono_ms;
        let observes = self.stream.is_some() && self.observing.subscribed && self.acting.is_none();
        if self.record.phase == Phase::Observing && observes {
            match self.observing.reach {
                None => self.record.observed.elapsed_ms += passed,
                Some(_) => self.observing.behind_ms += passed,
            }
        }
    }

    /// What is due for the time that was observed.
    pub(super) fn time_passes(&mut self, now: Now, fx: &mut Effects) {
        if self.record.phase != Phase::Observing || self.expect.is_none() || self.acting.is_some() {
            return;
        }
        if self.stream.is_none() {
            if self.wait.is_none() {
                self.go(now, Go::Watch, fx);
            }
            return;
        }
        let elapsed_ms = self.record.observed.elapsed_ms;
        let late = elapsed_ms >= self.record.job.timeout_ms;
        if late && self.observing.reach.is_none() {
            // What came in time may still wait in the port, or on its way to us.
            return self.go(now, Go::Reach, fx);
        }
        let late = late && self.observing.reach.is_some_and(|reach| self.observing.read >= reach);
        let heard = std::mem::take(&mut self.observing.heard);
        if (!heard || late)
            && !std::mem::replace(&mut self.observing.quiet, true)
            && let Some(expect) = &mut self.expect
        {
            let judged = expect.quiet();
            self.judged(now, judged, fx);
        }
        if !fx.is_idle() {
            return;
        }
        if late {
            return self.out_of_time(now, fx);
        }
        if self.observing.behind_ms >= REACH_MS {
            let why = "what it recorded within the time did not come";
            return self.fail(now, problems::lost("the recorder", why), fx);
        }
        if elapsed_ms.saturating_sub(self.observing.saved_ms) >= SAVE_EVERY_MS {
            self.observing.saved_ms = elapsed_ms;
            self.save(Durability::Progress, Go::Nothing, fx);
        }
    }

    /// The recorder was so far when the time was up.
    pub(super) fn reached(&mut self, offset: u64) {
        (self.observing.reach, self.observing.behind_ms) = (Some(offset), 0);
    }

    fn out_of_time(&mut self, now: Now, fx: &mut Effects) {
        let Some(expect) = &mut self.expect else { return };
        let closest = expect.closest();
        let Some(wanted) = expect.wanted() else {
            // Nothing was expected, and nothing forbidden came.
            return self.go(now, Go::Confirm, fx);
        };
        let epoch = self.record.epoch.unwrap_or_default();
        let problem = problems::not_seen(&self.record, wanted, closest, epoch);
        self.finish(now, Verdict::Failed, Some(problem), fx);
    }

    pub(super) fn confirmed(
        &mut self,
        now: Now,
        confirmed: Result<Option<Since>, DeviceError>,
        fx: &mut Effects,
    ) {
        match confirmed {
            Ok(None) => self.finish(now, Verdict::Passed, None, fx),
            // Ours, or nobody's: what was seen cannot be confirmed any more.
            Ok(Some(Since::Gone(why))) => self.gap(now, &why, fx),
            Ok(Some(Since::Itself(cause))) => {
                let problem = problems::restarted(&self.record, &cause);
                self.finish(now, Verdict::Failed, Some(problem), fx);
            }
            Err(error) => self.refused(now, error, Go::Confirm, fx),
        }
    }
}
