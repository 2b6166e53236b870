//! Every plan of up to three crashes, at every persist and every effect, with the store losing none, one or two records at
//! each: around the real machine, and the real store over memory. The handoff is never issued twice.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as its tests may")]
#![allow(clippy::print_stdout, reason = "the table of runs is worth a look")]

mod world;

use std::collections::{BTreeMap, VecDeque};

use farmhand_api::Settle;
use farmhand_messages::device::DeviceError;
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{Evidence, Goal, HandoffKind, Phase, Session as Record, Verdict};
use farmhand_records::{Incarnation, Kind, Record as _};
use farmhand_runtime::put;
use farmhand_session::{Act, Input, Now, Session, Trust};
use farmhand_store::{Crash, Disk, Durability, Model};
use world::{Device, Handoff};

/// More ticks than any run takes.
const TICKS_MAX: u32 = 500;

/// How the subject is broken, to prove that the checker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    /// "Redo if not done": recovery takes an intent for nothing.
    ForgetIntent,
    /// Intents are durable, but have no mark.
    NoMarks,
    /// An intent is written after the handoff.
    IntentAfter,
}

#[derive(Debug, Clone, Copy)]
struct Config {
    kind: HandoffKind,
    goal: Goal,
    evidence: bool,
    lose: usize,
    crashes_max: usize,
    sabotage: Sabotage,
}

/// All runs of a config, accounted for.
#[derive(Debug, Default)]
struct Tally {
    runs: u32,
    /// Runs by how they ended.
    ends: BTreeMap<String, u32>,
    /// What the checker saw.
    violations: u32,
    first: Option<String>,
}

/// One incarnation, and what is to happen in it.
#[derive(Clone)]
struct Node {
    disk: Disk,
    device: Device,
    incarnation: u64,
    /// How the handoffs of this incarnation go; acknowledged beyond.
    handoffs: Vec<Handoff>,
    /// Boundaries before this one were forked at by another run.
    fork_from: usize,
    crashes: usize,
    plan: Vec<String>,
}

struct Run<'a> {
    config: Config,
    tally: &'a mut Tally,
    start: Node,
    store: Model,
    device: Device,
    boundaries: usize,
    handoffs: usize,
}

fn first(config: Config) -> Node {
    let (mut store, _) = Model::open(Disk::new()).unwrap();
    let record = world::session(config.kind, config.goal);
    store.put(put(&record, Incarnation(0), Durability::Durable)).unwrap();
    let disk = store.crash(Crash::default());
    let device = Device::default();
    Node { disk, device, incarnation: 1, handoffs: vec![], fork_from: 0, crashes: 0, plan: vec![] }
}

fn explore(config: Config, node: Node, tally: &mut Tally) {
    let (mut store, report) = Model::open(node.disk.clone()).unwrap();
    let key = world::session(config.kind, config.goal).key();
    let stored = store.get(Kind::Session.number(), &key).unwrap();
    let Some(stored) = stored else {
        // The store went back to before the session: nobody was told of it, and nothing was done.
        tally.end("never was");
        let nothing = node.device.effects.is_empty();
        return tally.check(nothing.then_some(()).ok_or("forgotten after its handoff".into()), &node);
    };
    let mut record = Record::decode(stored.version, &stored.body).unwrap();
    let behind = report.marks_missing
        || report.marks_damaged
        || report.rolled_back.iter().any(|at| at.kind == Kind::Session.number() && at.key == key);
    let trust = if behind { Trust::Behind } else { Trust::Exact };
    if config.sabotage == Sabotage::ForgetIntent && record.phase == Phase::HandoffIntended {
        record.phase = Phase::Transferring;
    }
    let session = if node.incarnation == 1 { Session::new(record) } else { Session::recover(record, trust) };
    let device = node.device.clone();
    Run { config, tally, start: node, store, device, boundaries: 0, handoffs: 0 }.run(session);
}

impl Run<'_> {
    /// A point at which the farm may die. What the plan has not yet is explored from here.
    fn boundary(&mut self, what: &str) {
        self.boundaries += 1;
        if self.boundaries <= self.start.fork_from || self.start.crashes == self.config.crashes_max {
            return;
        }
        let mut disk = self.store.disk().clone();
        disk.crash(Crash { lose_records: self.config.lose, cut_marks_bytes: 0 });
        let mut device = self.device.clone();
        device.farm_dies();
        let mut plan = self.start.plan.clone();
        plan.push(what.to_owned());
        let node = Node {
            disk,
            device,
            incarnation: self.start.incarnation + 1,
            handoffs: vec![],
            fork_from: 0,
            crashes: self.start.crashes + 1,
            plan,
        };
        explore(self.config, node, self.tally);
    }

    /// The device's actor may die at a handoff: that is explored from this incarnation's start, which goes the same way
    /// up to here.
    fn device_may_die(&mut self) {
        if self.start.crashes == self.config.crashes_max || self.handoffs < self.start.handoffs.len() {
            return;
        }
        for dies in [Handoff::DiesBefore, Handoff::DiesAfter] {
            let mut node = self.start.clone();
            node.handoffs.resize(self.handoffs, Handoff::Acknowledged);
            node.handoffs.push(dies);
            node.fork_from = self.boundaries;
            node.crashes += 1;
            node.plan.push(format!("the device's actor: {dies:?}"));
            explore(self.config, node, self.tally);
        }
    }

    fn run(mut self, mut session: Session) {
        self.go(&mut session, VecDeque::from([Input::Begin]));
        let end = check(self.config, session.record(), &self.device);
        self.tally.end(&describe(session.record()));
        let sound = end.is_ok();
        self.tally.check(end, &self.start);
        if sound
            && matches!(&session.record().phase, Phase::Finished(Verdict::Unknown, Some(problem)) if problem.code == "F301")
        {
            self.settle(&session);
        }
    }

    /// As the shell does it, until the session has ended.
    fn go(&mut self, session: &mut Session, mut inputs: VecDeque<Input>) {
        let mut ticks = 0;
        let mut persisted = false;
        while !session.is_ended() {
            let input = inputs.pop_front().unwrap_or_else(|| {
                ticks += 1;
                Input::Tick
            });
            if ticks > TICKS_MAX {
                let why = format!("does not end: {:?}", session.record());
                return self.tally.check(Err(why), &self.start);
            }
            let now = Now { mono_ms: u64::from(ticks) * 250, unix_ms: 1000 };
            let fx = session.step(now, input);
            assert!(fx.persist.is_none() || fx.act.is_none(), "one at a time");
            if let Some(persist) = fx.persist {
                let late = self.config.sabotage == Sabotage::IntentAfter
                    && persist.record.phase == Phase::HandoffIntended;
                if !late {
                    self.boundary(&format!("before {:?}", persist.record.phase));
                    self.persist(&persist.record, persist.durability);
                    self.boundary(&format!("after {:?}", persist.record.phase));
                }
                persisted = true;
                inputs.push_front(Input::Persisted);
            } else if let Some((step, act)) = fx.act {
                if !std::mem::take(&mut persisted) {
                    self.boundary(&format!("before {act:?}"));
                }
                for outcome in self.act(&act, session.record()) {
                    inputs.push_back(Input::Outcome { step, outcome: Box::new(outcome) });
                }
                self.boundary(&format!("after {act:?}"));
            } else {
                persisted = false;
            }
        }
    }

    /// A person looks at the device, and says what is so.
    fn settle(mut self, session: &Session) {
        let booted = self.device.total() > 0;
        let settle = if booted { Settle::Booted } else { Settle::NotBooted };
        let mut session = Session::recover(session.record().clone(), Trust::Exact);
        self.start.plan.push(format!("{settle:?}"));
        self.go(&mut session, VecDeque::from([Input::Begin, Input::Settle(settle)]));
        let end = check(self.config, session.record(), &self.device);
        self.tally.end(&format!("settled, {settle:?}: {}", describe(session.record())));
        self.tally.check(end, &self.start);
    }

    fn persist(&mut self, record: &Record, durability: Durability) {
        let durability = match (self.config.sabotage, durability) {
            (Sabotage::NoMarks, Durability::Marked) => Durability::Durable,
            (_, durability) => durability,
        };
        self.store.put(put(record, Incarnation(self.start.incarnation), durability)).unwrap();
    }

    fn act(&mut self, act: &Act, record: &Record) -> Vec<Outcome> {
        match act {
            Act::End => vec![],
            Act::Observe { from, .. } => {
                self.device.speak();
                let items = self.device.read(*from).into_iter().map(Outcome::Output);
                std::iter::once(Outcome::Subscribed).chain(items).collect()
            }
            Act::Handoff { attempt, epoch, plan, .. } => {
                if self.config.sabotage == Sabotage::None {
                    let stored = self.store.get(Kind::Session.number(), &record.key()).unwrap().unwrap();
                    let durable = Record::decode(stored.version, &stored.body).unwrap();
                    assert_eq!(durable.phase, Phase::HandoffIntended, "issued without an intent");
                    assert_eq!((durable.attempt, durable.epoch), (*attempt, Some(*epoch)));
                    assert_eq!(durable.plan, Some(*plan));
                }
                self.device_may_die();
                let how = self.start.handoffs.get(self.handoffs).copied().unwrap_or(Handoff::Acknowledged);
                self.handoffs += 1;
                let ambiguous = DeviceError::Ambiguous("the device's actor ended".into());
                if how == Handoff::DiesBefore {
                    self.device.loader = None;
                    return vec![Outcome::HandedOff(Err(ambiguous))];
                }
                if !self.device.would_start(*attempt) {
                    return vec![Device::not_in_loader()];
                }
                self.device.start(*attempt, *epoch);
                self.boundary("the handoff came through, and nobody knows");
                if self.config.sabotage == Sabotage::IntentAfter {
                    self.persist(record, Durability::Marked);
                }
                vec![Outcome::HandedOff(match how {
                    Handoff::DiesAfter => Err(ambiguous),
                    _ => Ok(Evidence::Complete("acknowledged".into())),
                })]
            }
            act => vec![self.device.act(act, self.config.evidence)],
        }
    }
}

fn describe(record: &Record) -> String {
    match &record.phase {
        Phase::Finished(Verdict::Passed, _) if record.attempt.0 > 1 => "passed, in a later attempt".into(),
        Phase::Finished(verdict, problem) => {
            let code = problem.as_ref().map_or("", |problem| problem.code.as_str());
            format!("{verdict:?} {code}").trim_end().to_lowercase()
        }
        phase => format!("{phase:?}"),
    }
}

/// What must be true of every run, and that its end says what was done.
fn check(config: Config, record: &Record, device: &Device) -> Result<(), String> {
    let demand =
        |ok: bool, what: &str| ok.then_some(()).ok_or_else(|| format!("{what}: {record:?} {device:?}"));
    demand(device.effects.values().all(|&times| times <= 1), "two handoffs in one attempt")?;
    let once = config.kind == HandoffKind::Once;
    demand(!once || device.total() <= 1, "two handoffs of a once-only job")?;
    demand(device.effects.keys().all(|attempt| *attempt <= record.attempt), "an attempt that nobody knows")?;
    demand(!device.leased, "a lease of an ended session")?;
    let Phase::Finished(verdict, problem) = &record.phase else {
        return demand(false, "not finished");
    };
    let code = problem.as_ref().map(|problem| problem.code.as_str());
    demand(device.quarantined == (code == Some("F301")), "set aside for no reason, or not for one")?;
    match (verdict, code) {
        (Verdict::Passed, None) => {
            demand(device.effects.get(&record.attempt) == Some(&1), "passed without a handoff")?;
            let said = device.recording.iter().any(
                |item| matches!(item, farmhand_api::LogItem::Chunk { epoch, .. } if Some(*epoch) == record.epoch),
            );
            demand(config.goal == Goal::Flash || said, "passed by bytes that are not its own")
        }
        (Verdict::Unknown, Some("F301")) => {
            demand(once, "not repeated, though it may be")?;
            // Truthful evidence leaves a doubt only where the store lost the way to an intent.
            demand(!config.evidence, "evidence was had, and nothing proven")
        }
        (Verdict::Unknown, Some("F304")) => {
            demand(once, "a gap ends only what may not be repeated")?;
            demand(device.gaps > 0 && device.total() == 1, "a gap where there is none")
        }
        other => demand(false, &format!("an end that nothing explains: {other:?}")),
    }
}

impl Tally {
    fn end(&mut self, how: &str) {
        self.runs += 1;
        *self.ends.entry(how.to_owned()).or_default() += 1;
    }

    fn check(&mut self, checked: Result<(), String>, node: &Node) {
        if let Err(why) = checked {
            self.violations += 1;
            self.first.get_or_insert_with(|| format!("{why}\nafter {:#?}", node.plan));
        }
    }
}

fn all(kind: HandoffKind, goal: Goal, evidence: bool, lose: usize, sabotage: Sabotage) -> Tally {
    // A flash alone is the beginning of a run; what is broken shows with two.
    let crashes_max = if goal == Goal::Run && sabotage == Sabotage::None { 3 } else { 2 };
    let config = Config { kind, goal, evidence, lose, crashes_max, sabotage };
    let mut tally = Tally::default();
    explore(config, first(config), &mut tally);
    println!(
        "{kind:?} {goal:?}, evidence: {evidence}, lose {lose}, {sabotage:?}: {} runs, {} wrong, {:?}",
        tally.runs, tally.violations, tally.ends
    );
    tally
}

/// The table: by kind and evidence, with every loss.
fn sound(kind: HandoffKind, evidence: bool) -> BTreeMap<String, u32> {
    let mut ends = BTreeMap::<String, u32>::new();
    for goal in [Goal::Run, Goal::Flash] {
        for lose in 0..=2 {
            let tally = all(kind, goal, evidence, lose, Sabotage::None);
            assert_eq!(tally.violations, 0, "{}", tally.first.unwrap_or_default());
            assert_eq!(tally.runs, tally.ends.values().sum::<u32>(), "every run is accounted for");
            tally.ends.into_iter().for_each(|(end, runs)| *ends.entry(end).or_default() += runs);
        }
    }
    let runs: u32 = ends.values().sum();
    println!("{kind:?}, evidence: {evidence}: {runs} runs, {ends:?}");
    assert!(runs > 10_000, "{runs} runs");
    ends
}

fn kinds(ends: &BTreeMap<String, u32>) -> Vec<&str> {
    ends.keys().map(String::as_str).collect()
}

#[test]
fn once_without_evidence() {
    let ends = sound(HandoffKind::Once, false);
    let expected = [
        "never was",
        "passed",
        // A person said that it had not booted, and it was issued again: for the first time.
        "passed, in a later attempt",
        "settled, Booted: passed",
        "settled, Booted: passed, in a later attempt",
        "settled, Booted: unknown f304",
        "settled, NotBooted: passed, in a later attempt",
        "settled, NotBooted: unknown f301",
        "unknown f301",
        "unknown f304",
    ];
    assert_eq!(kinds(&ends), expected);
}

#[test]
fn once_with_evidence() {
    let ends = sound(HandoffKind::Once, true);
    assert_eq!(kinds(&ends), ["never was", "passed", "unknown f304"]);
}

#[test]
fn repeatable_without_evidence() {
    let ends = sound(HandoffKind::Repeatable, false);
    assert_eq!(kinds(&ends), ["never was", "passed", "passed, in a later attempt"]);
}

#[test]
fn repeatable_with_evidence() {
    let ends = sound(HandoffKind::Repeatable, true);
    assert_eq!(kinds(&ends), ["never was", "passed", "passed, in a later attempt"]);
}

/// The same checker, around what is broken on purpose: it must see it.
#[test]
fn what_is_broken_is_caught() {
    use HandoffKind::{Once, Repeatable};
    for kind in [Once, Repeatable] {
        let redone = all(kind, Goal::Run, true, 0, Sabotage::ForgetIntent);
        assert!(redone.violations > 20, "redo if not done: {redone:?}");
        assert!(redone.first.unwrap_or_default().starts_with("two handoffs in one attempt"));
        let late = all(kind, Goal::Run, true, 0, Sabotage::IntentAfter);
        assert!(late.violations > 20, "the intent after the handoff: {late:?}");
        // An intent without a mark is good enough until the store goes back.
        let kept = all(kind, Goal::Run, true, 0, Sabotage::NoMarks);
        assert_eq!(kept.violations, 0, "{:?}", kept.first);
        for lose in 1..=2 {
            let lost = all(kind, Goal::Run, true, lose, Sabotage::NoMarks);
            assert!(lost.violations > 20, "no mark, {lose} lost: {lost:?}");
        }
    }
}
