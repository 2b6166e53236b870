//! The machine against whatever comes: outcomes in time, late, twice, of the wrong kind; crashes, cancels, settlements,
//! strange output. It never panics, attempts only grow, no attempt has two handoffs, and no verdict is earned by bytes of an
//! epoch that the session does not own.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as its tests may")]

mod world;

use std::collections::VecDeque;

use bytes::Bytes;
use farmhand_api::{EpochCause, LogItem, ProblemClass, Settle, Stamp};
use farmhand_messages::device::DeviceError;
use farmhand_messages::scheduler::LeaseLost;
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{Evidence, Goal, HandoffKind, Phase, Session as Record, Verdict};
use farmhand_records::{Attempt, Epoch};
use farmhand_session::{Act, Input, Now, Session, Trust};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use world::{Device, problem};

/// What happens next.
#[derive(Debug, Clone)]
enum Happens {
    /// The oldest act that is under way ends, well or in one of several other ways.
    Ends(u8),
    /// What an older act gave comes, again or late.
    Late(u8),
    Tick(u16),
    Cancel,
    /// A person says what is so.
    Settle,
    /// The farm dies, and comes back; perhaps with a store that went back.
    Crash {
        behind: bool,
    },
    /// Only the session's actor does.
    ActorDies,
    /// The program says its line, or something else.
    Says(bool),
    /// Output of an epoch that is not the session's, with what would be the verdict's words.
    Foreign {
        newer: bool,
    },
    /// The device starts by itself.
    Restarts,
    /// The lease is lost.
    LeaseLost,
    /// A stream item that is a mark.
    Mark(u8),
    Persisted,
    Begin,
}

#[derive(Debug, Clone)]
struct Setting {
    once: bool,
    evidence: bool,
    goal: Goal,
    retries: u32,
}

struct Anything;

impl ReferenceStateMachine for Anything {
    type State = Setting;
    type Transition = Happens;

    fn init_state() -> BoxedStrategy<Setting> {
        let goal = prop_oneof![8 => Just(Goal::Run), 2 => Just(Goal::Flash), 1 => Just(Goal::Build)];
        (any::<bool>(), any::<bool>(), goal, 0..2_u32)
            .prop_map(|(once, evidence, goal, retries)| Setting { once, evidence, goal, retries })
            .boxed()
    }

    fn transitions(_: &Setting) -> BoxedStrategy<Happens> {
        prop_oneof![
            30 => Just(Happens::Ends(0)),
            8 => any::<u8>().prop_map(Happens::Ends),
            4 => any::<u8>().prop_map(Happens::Late),
            6 => (1..3000_u16).prop_map(Happens::Tick),
            1 => Just(Happens::Cancel),
            2 => Just(Happens::Settle),
            3 => any::<bool>().prop_map(|behind| Happens::Crash { behind }),
            3 => Just(Happens::ActorDies),
            6 => any::<bool>().prop_map(Happens::Says),
            3 => any::<bool>().prop_map(|newer| Happens::Foreign { newer }),
            2 => Just(Happens::Restarts),
            2 => Just(Happens::LeaseLost),
            3 => any::<u8>().prop_map(Happens::Mark),
            1 => Just(Happens::Persisted),
            1 => Just(Happens::Begin),
        ]
        .boxed()
    }

    fn apply(state: Setting, _: &Happens) -> Setting {
        state
    }
}

struct Subject {
    setting: Setting,
    session: Session,
    /// What is on the disk.
    durable: Record,
    device: Device,
    /// Acts under way: their numbers, in order.
    acts: VecDeque<(u64, Act)>,
    older: Vec<u64>,
    mono_ms: u64,
    attempt: Attempt,
    finished: u32,
    /// The device heard a handoff, and refused it.
    refused: bool,
    /// A step before the handoff may have been done and must not be done twice; no person has said anything yet.
    doubted: bool,
    /// The program said its line while its epoch ran, and somebody recorded it.
    said: Vec<Epoch>,
}

impl Subject {
    /// As the shell does: to the end of an input.
    fn take(&mut self, mut input: Input) {
        let now = Now { mono_ms: self.mono_ms, unix_ms: 1000 };
        loop {
            let fx = self.session.step(now, input);
            assert!(fx.persist.is_none() || fx.act.is_none(), "one at a time");
            if let Some(persist) = fx.persist {
                self.durable = *persist.record;
                self.check();
                input = Input::Persisted;
                continue;
            }
            if let Some(act) = fx.act {
                self.acts.push_back(act);
            }
            return;
        }
    }

    /// What came of the oldest act.
    fn ends(&mut self, how: u8) {
        let Some((step, act)) = self.acts.pop_front() else { return };
        self.older.push(step);
        let outcome = match (&act, how) {
            (Act::End, _) => return,
            (Act::Observe { from, .. }, 0) => {
                self.take(Input::Outcome { step, outcome: Box::new(Outcome::Subscribed) });
                for item in self.device.read(*from) {
                    let outcome = Box::new(Outcome::Output(item));
                    self.take(Input::Outcome { step, outcome });
                }
                return;
            }
            (Act::Observe { .. }, _) => Outcome::OutputEnded,
            (Act::Handoff { attempt, epoch, .. }, how) => {
                assert_eq!(self.durable.phase, Phase::HandoffIntended, "issued without an intent");
                assert!(!self.refused, "the device had refused it, and it is said again");
                assert!(!self.doubted, "a step may have been done, nobody has settled it, and it goes on");
                assert_eq!((self.durable.attempt, self.durable.epoch), (*attempt, Some(*epoch)));
                let refused = how % 8 == 6;
                let comes_through = how % 3 != 1 && !refused && self.device.would_start(*attempt);
                if comes_through {
                    self.device.start(*attempt, *epoch);
                }
                match how % 6 {
                    // Heard and refused: the truth.
                    _ if refused => {
                        self.refused = true;
                        let problem = Box::new(problem(ProblemClass::Infra, "F9"));
                        Outcome::HandedOff(Err(DeviceError::Failed(problem)))
                    }
                    0 | 3 if comes_through => {
                        Outcome::HandedOff(Ok(Evidence::Complete("acknowledged".into())))
                    }
                    // Nothing was sent: the truth.
                    1 => Outcome::HandedOff(Err(DeviceError::LoaderTimedOut { why: "it gave up".into() })),
                    4 => Outcome::HandedOff(Err(DeviceError::NotBegun(Box::new(problem(
                        ProblemClass::Infra,
                        "F9",
                    ))))),
                    5 => Outcome::Lost("no answer in time".into()),
                    _ => Outcome::HandedOff(Err(DeviceError::Ambiguous("it ended".into()))),
                }
            }
            (_, how) if how % 5 == 1 => Outcome::Lost("no answer in time".into()),
            (Act::Connect { .. }, how) if how % 5 == 2 => {
                Outcome::Connected(Err(DeviceError::Failed(Box::new(problem(ProblemClass::Infra, "F9")))))
            }
            (Act::Transfer { .. }, how) if how % 5 == 2 => Outcome::Transferred(Err(DeviceError::Fenced)),
            (Act::Transfer { .. }, how) if how % 5 == 4 => {
                let in_doubt = DeviceError::Ambiguous("a step may have been done".into());
                let outcome = Box::new(Outcome::Transferred(Err(in_doubt)));
                let before = self.durable.clone();
                self.take(Input::Outcome { step, outcome });
                // Nothing changes where it was not waited for any more.
                self.doubted |= self.setting.once && self.durable != before;
                return;
            }
            (Act::Confirm { .. }, how) if how % 5 == 2 => Outcome::Confirmed(Err(DeviceError::Fenced)),
            (act, how) if how % 5 == 3 && !matches!(act, Act::Release { .. }) => Outcome::Released,
            (act, _) => self.device.act(act, self.setting.evidence),
        };
        self.take(Input::Outcome { step, outcome: Box::new(outcome) });
    }

    fn stream(&mut self, item: LogItem) {
        if let Some(step) = self.session.stream() {
            self.take(Input::Outcome { step, outcome: Box::new(Outcome::Output(item)) });
        }
    }

    fn restart(&mut self, trust: Trust) {
        // What they give goes to an actor that is dead.
        self.acts.clear();
        self.older.clear();
        self.session = Session::recover(self.durable.clone(), trust);
        self.take(Input::Begin);
    }

    fn check(&mut self) {
        let record = &self.durable;
        assert!(record.attempt >= self.attempt, "attempts only grow");
        self.attempt = record.attempt;
        assert!(self.device.effects.values().all(|&times| times <= 1), "two handoffs: {:?}", self.device);
        if let Phase::Finished(verdict, _) = record.phase {
            self.finished += 1;
            if verdict == Verdict::Passed && record.job.goal == Goal::Run {
                let owned = record.epoch.expect("a verdict has an epoch");
                assert!(self.said.contains(&owned), "passed by bytes that are not its own: {record:?}");
            }
            if verdict == Verdict::Passed && record.job.goal == Goal::Flash {
                assert!(self.device.total() > 0, "passed without a handoff");
            }
        }
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Subject;
    type Reference = Anything;

    fn init_test(setting: &Setting) -> Subject {
        let kind = if setting.once { HandoffKind::Once } else { HandoffKind::Repeatable };
        let mut record = world::session(kind, setting.goal);
        record.job.infra_retries = setting.retries;
        record.job.expect = vec!["ok".into()];
        record.job.fail_on = vec!["panic".into()];
        let mut subject = Subject {
            setting: setting.clone(),
            session: Session::new(record.clone()),
            durable: record,
            device: Device::default(),
            acts: VecDeque::new(),
            older: vec![],
            mono_ms: 0,
            attempt: Attempt(0),
            finished: 0,
            refused: false,
            doubted: false,
            said: vec![],
        };
        subject.take(Input::Begin);
        subject
    }

    fn apply(mut subject: Subject, _: &Setting, happens: Happens) -> Subject {
        let stamp = Stamp::default();
        match happens {
            Happens::Ends(how) => subject.ends(how),
            Happens::Late(which) => {
                let step =
                    subject.older.get(usize::from(which) % subject.older.len().max(1)).copied().unwrap_or(99);
                let outcome = match which % 4 {
                    0 => Outcome::HandedOff(Ok(Evidence::Complete("late".into()))),
                    1 => Outcome::Evidence(Ok(Evidence::NotStarted("late".into()))),
                    2 => Outcome::Confirmed(Ok(None)),
                    _ => Outcome::Renewed(Err(LeaseLost::Unknown)),
                };
                subject.take(Input::Outcome { step, outcome: Box::new(outcome) });
            }
            Happens::Tick(ms) => {
                subject.mono_ms += u64::from(ms);
                subject.take(Input::Tick);
            }
            Happens::Cancel => subject.take(Input::Cancel),
            Happens::Settle => {
                subject.doubted = false;
                let owned = subject.durable.attempt;
                let booted = subject.device.effects.contains_key(&owned);
                subject.take(Input::Settle(if booted { Settle::Booted } else { Settle::NotBooted }));
            }
            Happens::Crash { behind } => {
                subject.device.farm_dies();
                subject.restart(if behind { Trust::Behind } else { Trust::Exact });
            }
            Happens::ActorDies => subject.restart(Trust::Exact),
            Happens::Says(line) => {
                if let Some(epoch) = subject.device.running {
                    let before = subject.device.recording.len();
                    subject.device.say(if line { "ok\r\n" } else { "o" });
                    if line {
                        subject.said.push(epoch);
                    }
                    let items = subject.device.recording[before..].to_vec();
                    for item in items {
                        subject.stream(item);
                    }
                }
            }
            Happens::Foreign { newer } => {
                let owned = subject.durable.epoch.unwrap_or_default().0;
                let epoch = Epoch(if newer { owned + 1 } else { owned.saturating_sub(1) });
                if Some(epoch) != subject.durable.epoch {
                    let (offset, bytes) = (subject.device.offset, Bytes::from_static(b"ok\r\nok\r\n"));
                    subject.stream(LogItem::Chunk { offset, epoch, stamp, bytes });
                }
            }
            Happens::Restarts => {
                if subject.device.running.is_some() {
                    subject.device.restart();
                    let item = subject.device.recording.last().cloned().expect("it began an epoch");
                    subject.stream(item);
                }
            }
            Happens::LeaseLost => {
                let renewal = subject.acts.iter().position(|(_, act)| matches!(act, Act::Renew { .. }));
                if let Some((step, _)) = renewal.and_then(|at| subject.acts.remove(at)) {
                    subject.device.leased = false;
                    let outcome = Box::new(Outcome::Renewed(Err(LeaseLost::Fenced)));
                    subject.take(Input::Outcome { step, outcome });
                }
            }
            Happens::Mark(which) => {
                let offset = subject.device.offset;
                let item = match which % 5 {
                    0 => LogItem::Gap { offset, stamp, why: "closed".into() },
                    1 => LogItem::Lost { offset, bytes: 9, dropped: false },
                    2 => LogItem::Lent { offset, stamp },
                    3 => LogItem::EpochBegan {
                        offset,
                        epoch: Epoch(subject.durable.epoch.unwrap_or_default().0 + 1),
                        stamp,
                        cause: EpochCause::Opened,
                    },
                    _ => LogItem::Returned { offset, stamp },
                };
                subject.stream(item);
            }
            Happens::Persisted => subject.take(Input::Persisted),
            Happens::Begin => subject.take(Input::Begin),
        }
        subject
    }

    fn check_invariants(subject: &Subject, setting: &Setting) {
        let effects = &subject.device.effects;
        assert!(effects.values().all(|&times| times <= 1), "two handoffs in one attempt: {effects:?}");
        assert!(!setting.once || subject.device.total() <= 1, "two handoffs of a once-only job: {effects:?}");
        let _shown = subject.session.view();
    }

    /// Left alone, every session ends.
    fn teardown(mut subject: Subject, _: Setting) {
        for _ in 0..2000 {
            if subject.session.is_ended() {
                break;
            }
            if subject.acts.is_empty() {
                subject.mono_ms += 250;
                subject.take(Input::Tick);
            }
            subject.ends(0);
        }
        assert!(subject.session.is_ended(), "does not end: {:?}", subject.session);
        assert!(matches!(subject.durable.phase, Phase::Finished(..)));
        assert!(!subject.device.leased, "a lease of an ended session: {:?}", subject.session);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes(sequential 1..120 => Machine);
}
