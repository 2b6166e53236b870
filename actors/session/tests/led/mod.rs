//! A session that a test leads by hand, through a world in which all goes well unless it says otherwise.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]

use std::collections::VecDeque;

use bytes::Bytes;
use farmhand_api::{EventBody, LogItem, Problem, Stamp};
use farmhand_messages::session::Outcome;
use farmhand_records::Epoch;
use farmhand_records::v1::{Goal, HandoffKind, Phase, Session as Record, Verdict};
use farmhand_session::{Act, Input, Now, Session};
use farmhand_store::Durability;

use crate::world::{self, Device};

/// A session that is led by hand.
pub struct Led {
    pub session: Session,
    pub device: Device,
    pub acts: VecDeque<(u64, Act)>,
    pub events: Vec<EventBody>,
    pub saved: Vec<(Phase, Durability)>,
    pub now_ms: u64,
}

impl Led {
    pub fn new(record: Record) -> Self {
        Self::of(Session::new(record))
    }

    pub fn of(session: Session) -> Self {
        let (device, acts) = (Device::default(), VecDeque::new());
        let mut led = Self { session, device, acts, events: vec![], saved: vec![], now_ms: 0 };
        led.take(Input::Begin);
        led
    }

    pub fn repeatable() -> Self {
        Self::new(world::session(HandoffKind::Repeatable, Goal::Run))
    }

    pub fn take(&mut self, mut input: Input) {
        loop {
            let fx = self.session.step(Now { mono_ms: self.now_ms, unix_ms: 1 + self.now_ms }, input);
            self.events.extend(fx.tell);
            if let Some(persist) = fx.persist {
                self.saved.push((persist.record.phase, persist.durability));
                input = Input::Persisted;
                continue;
            }
            self.acts.extend(fx.act);
            return;
        }
    }

    pub fn gives(&mut self, outcome: Outcome) {
        let (step, _) = self.acts.pop_front().expect("something is under way");
        self.take(Input::Outcome { step, outcome: Box::new(outcome) });
    }

    /// Goes on, as all goes well, until an act is next for which `stop` is true.
    pub fn until(&mut self, stop: impl Fn(&Act) -> bool) -> Act {
        for _ in 0..100 {
            let Some((step, act)) = self.acts.front().cloned() else {
                self.tick(250);
                continue;
            };
            if stop(&act) {
                return act;
            }
            match &act {
                Act::Observe { .. } => self.gives(Outcome::Subscribed),
                Act::Handoff { attempt, epoch, .. } => {
                    self.device.start(*attempt, *epoch);
                    let evidence = farmhand_records::v1::Evidence::Complete("acknowledged".into());
                    self.gives(Outcome::HandedOff(Ok(evidence)));
                }
                Act::End => panic!("it has ended: {:?}", self.session.record().phase),
                act => {
                    let outcome = self.device.act(act, true);
                    self.acts.pop_front();
                    self.take(Input::Outcome { step, outcome: Box::new(outcome) });
                }
            }
        }
        panic!("it does not come to that");
    }

    pub fn observing(mut self) -> Self {
        self.until(|act| matches!(act, Act::Observe { .. }));
        self.gives(Outcome::Subscribed);
        self
    }

    pub fn tick(&mut self, ms: u64) {
        self.now_ms += ms;
        self.take(Input::Tick);
    }

    /// Time passes as it does: in ticks.
    pub fn passes(&mut self, ms: u64) {
        for _ in 0..ms / 250 {
            self.tick(250);
        }
    }

    /// Looks at the renewals as they come, until the time is up and the recorder is asked how far it is.
    pub fn until_time_is_up(&mut self) {
        while !matches!(self.acts.front(), Some((_, Act::Reach { .. }))) {
            assert!(self.now_ms < 60_000, "the time does not end");
            if self.acts.is_empty() {
                self.tick(250);
            } else {
                self.gives(Outcome::Renewed(Ok(())));
            }
        }
    }

    pub fn item(&mut self, item: LogItem) {
        let step = self.session.stream().expect("it reads");
        self.take(Input::Outcome { step, outcome: Box::new(Outcome::Output(item)) });
    }

    pub fn says(&mut self, text: &str, epoch: u64, mono_us: u64) {
        let (offset, bytes) = (self.device.offset, Bytes::copy_from_slice(text.as_bytes()));
        self.device.offset += text.len() as u64;
        let stamp = Stamp { mono_us, unix_us: 0 };
        self.item(LogItem::Chunk { offset, epoch: Epoch(epoch), stamp, bytes });
    }

    pub fn phase(&self) -> &Phase {
        &self.session.record().phase
    }

    pub fn ended(&self) -> (Verdict, Option<Problem>) {
        match self.phase() {
            Phase::Finished(verdict, problem) => (*verdict, problem.clone()),
            other => panic!("not ended: {other:?}"),
        }
    }

    pub fn code(&self) -> (Verdict, String) {
        let (verdict, problem) = self.ended();
        (verdict, problem.map(|problem| problem.code).unwrap_or_default())
    }

    /// The durability of the last record of a phase.
    pub fn saved(&self, wanted: impl Fn(&Phase) -> bool) -> Durability {
        self.saved.iter().rfind(|(phase, _)| wanted(phase)).unwrap().1
    }
}
