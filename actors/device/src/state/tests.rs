//! The machine in a world that carries out what it says, loses answers, and crashes at every boundary.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_records::v1::Identity;
use farmhand_records::{Attempt, ContentHash, PlanHash, SessionId};
use proptest::prelude::*;

use super::*;

const IMAGE: ContentHash = ContentHash([7; 32]);

fn a_try(session: u64, attempt: u32) -> Try {
    Try { session: SessionId(session), attempt: Attempt(attempt), plan: PlanHash([1; 32]) }
}

fn name() -> DeviceName {
    DeviceName::new("uno-1").unwrap()
}

fn problem() -> Box<farmhand_api::Problem> {
    Box::new(problems::busy(&name(), 1))
}

/// How the world treats an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// It goes well.
    Good,
    /// It fails, and is known to have failed.
    Bad,
    /// It may have been done, and nobody is told.
    Lost,
}

/// The device, the disk, and what an onlooker writes down.
struct World {
    machine: Machine,
    disk: Option<Device>,
    virtual_: bool,
    /// The board's own counts.
    starts: u64,
    handoffs: u64,
    in_loader: bool,
    /// What the serial actor records.
    recording: Epoch,
    /// Handoff commands that left the host, by try.
    issued: BTreeMap<(u64, u32), u32>,
    begun: Vec<Epoch>,
    next_id: AskId,
    answers: BTreeMap<AskId, Answer>,
    asked: BTreeSet<AskId>,
    /// What is to be done, not done yet.
    persist: Option<Persist>,
    act: Option<Act>,
    /// The epoch that the stay begins where nobody hands off.
    stay_epoch: Option<Epoch>,
}

impl World {
    fn new(virtual_: bool) -> Self {
        Self {
            machine: Machine::new(&name(), None, virtual_, 115_200),
            disk: None,
            virtual_,
            starts: 1,
            handoffs: 0,
            in_loader: false,
            recording: Epoch(0),
            issued: BTreeMap::new(),
            begun: Vec::new(),
            next_id: 0,
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            persist: None,
            act: None,
            stay_epoch: None,
        }
    }

    fn counts(&self) -> Option<u64> {
        self.virtual_.then_some(self.starts)
    }

    fn step(&mut self, input: Input) {
        let Effects { persist, act, answers, reopen: _ } = self.machine.step(input);
        assert!(persist.is_none() || act.is_none(), "one thing at a time");
        if let Some(persist) = persist {
            assert!(self.persist.is_none() && self.act.is_none(), "one thing at a time");
            self.persist = Some(persist);
        }
        if let Some((_, act)) = act {
            assert!(self.persist.is_none() && self.act.is_none(), "one thing at a time");
            self.check(&act);
            self.act = Some(act);
        }
        for (id, answer) in answers {
            assert!(self.answers.insert(id, answer).is_none(), "{id} was answered twice");
        }
    }

    /// What an act relies on is on disk before it.
    fn check(&self, act: &Act) {
        let durable = self.disk.as_ref().map_or(Epoch(0), |record| record.epoch);
        let token = self.disk.as_ref().map_or(FencingToken(0), |record| record.token);
        let epochs = match act {
            Act::Open { fresh, .. } => fresh.clone(),
            Act::Transfer { epochs, .. } | Act::Settle { epochs, .. } => epochs.clone(),
            Act::Leave { epoch, .. } | Act::Begin { epoch, .. } => vec![*epoch],
            Act::Count | Act::LetGo => vec![],
        };
        assert!(epochs.iter().all(|epoch| *epoch <= durable), "{act:?} before its epochs are durable");
        assert!(epochs.iter().all(|epoch| *epoch > self.recording), "{act:?} would begin an old epoch");
        if let Act::Transfer { .. } | Act::Leave { .. } = act {
            assert_eq!(token, self.machine.record().token, "{act:?} before its token is durable");
        }
        if let Act::Transfer { holds: false, .. } = act {
            let holding = self.disk.as_ref().and_then(|record| record.holding.clone());
            assert_eq!(holding, None, "overwritten, while the record says that it is there");
        }
    }

    fn begin(&mut self, epoch: Epoch) {
        assert!(epoch > self.recording, "epoch {epoch} began after {}", self.recording);
        self.recording = epoch;
        self.begun.push(epoch);
    }

    fn ask(&mut self, token: u64, wish: Wish) -> AskId {
        self.next_id += 1;
        self.asked.insert(self.next_id);
        // Waiting commands of an older lease are refused, whenever they came.
        let fenced = FencingToken(token) < self.machine.record().token;
        let before = self.act.clone();
        self.step(Input::Ask { id: Some(self.next_id), token: Some(FencingToken(token)), wish });
        if fenced {
            assert_eq!(self.act, before, "an older lease's command did something");
        }
        self.next_id
    }

    /// Lets one thing happen that is under way.
    fn go(&mut self, luck: Luck) -> bool {
        if let Some(persist) = self.persist.take() {
            if luck == Luck::Bad {
                self.step(Input::Unsaved("the disk is full".into()));
            } else {
                self.disk = Some(*persist.record);
                self.step(Input::Persisted);
            }
            return true;
        }
        let Some(act) = self.act.take() else { return false };
        let outcome = self.carry_out(act, luck);
        self.step(Input::Ended(Box::new(outcome)));
        true
    }

    fn carry_out(&mut self, act: Act, luck: Luck) -> Outcome {
        match act {
            Act::Open { known, fresh, .. } => {
                if luck == Luck::Bad {
                    return Outcome::Opened(Err(Unopened { problem: problem(), perhaps: false }));
                }
                let proven = known.is_some_and(|(epoch, starts)| {
                    epoch == self.recording && (!self.virtual_ || starts == Some(self.starts))
                });
                if !proven {
                    self.begin(fresh[0]);
                }
                if luck == Luck::Lost {
                    return Outcome::Opened(Err(Unopened { problem: problem(), perhaps: true }));
                }
                Outcome::Opened(Ok(Line { epoch: self.recording, starts: self.counts() }))
            }
            Act::Transfer { epochs, .. } => {
                if luck == Luck::Bad {
                    let spoiled = Spoiled { problem: problem(), began: None, starts: None, touched: false };
                    return Outcome::Transferred(Err(spoiled));
                }
                self.begin(epochs[0]);
                self.starts += 1;
                self.in_loader = true;
                let (epoch, starts) = (epochs[0], self.counts());
                if luck == Luck::Lost {
                    let spoiled = Spoiled { problem: problem(), began: Some(epoch), starts, touched: true };
                    return Outcome::Transferred(Err(spoiled));
                }
                self.stay_epoch = Some(epochs[1]);
                let identity = Identity { signature: vec![1], loader: "l".into() };
                let handoffs = self.virtual_.then_some(self.handoffs);
                let (image_bytes, written_bytes) = (1, 1);
                Outcome::Transferred(Ok(OnDevice {
                    image_bytes,
                    written_bytes,
                    identity,
                    epoch,
                    starts,
                    handoffs,
                }))
            }
            Act::Leave { of, epoch } => {
                if luck == Luck::Bad {
                    return Outcome::Left(Left::LoaderGone { began: None, starts: self.counts() });
                }
                *self.issued.entry((of.session.0, of.attempt.0)).or_default() += 1;
                self.in_loader = false;
                self.handoffs += 1;
                self.starts += 1;
                if luck == Luck::Lost {
                    return Outcome::Left(Left::Ambiguous("no answer".into()));
                }
                self.begin(epoch);
                Outcome::Left(Left::Acknowledged { said: "ok".into(), starts: self.counts() })
            }
            Act::Settle { noted, epochs, .. } => {
                assert!(self.virtual_, "a board that does not count is not asked");
                let same = noted.starts == Some(self.starts) && noted.handoffs == Some(self.handoffs);
                let stays = same && self.in_loader && luck == Luck::Good;
                let evidence = if stays {
                    Evidence::NotStarted("same stay".into())
                } else {
                    Evidence::Unknown("it may have been".into())
                };
                let line = (luck != Luck::Bad).then(|| {
                    self.begin(epochs[0]);
                    Line { epoch: epochs[0], starts: self.counts() }
                });
                if stays {
                    self.stay_epoch = Some(epochs[2]);
                }
                Outcome::Settled { evidence, line, stays }
            }
            Act::Count => match luck {
                Luck::Good => Outcome::Counted(Ok((self.starts, "the watchdog".into()))),
                Luck::Bad => Outcome::Counted(Err(problem())),
                Luck::Lost => Outcome::BoardGone,
            },
            Act::Begin { epoch, .. } => {
                self.begin(epoch);
                Outcome::Begun
            }
            Act::LetGo => {
                let began = self.stay_epoch.filter(|_| luck == Luck::Good);
                if let Some(epoch) = began {
                    self.begin(epoch);
                }
                Outcome::LetGo { began, starts: self.counts().map(|starts| starts + 1) }
            }
        }
    }

    /// Everything that is under way comes to its end.
    fn settle(&mut self) {
        while self.go(Luck::Good) {}
    }

    /// The actor ends, whatever is under way; an act may have been done.
    fn crash(&mut self, done: bool) {
        if let Some(persist) = self.persist.take()
            && done
        {
            self.disk = Some(*persist.record);
        }
        if let Some(act) = self.act.take()
            && done
        {
            self.carry_out(act, Luck::Good);
        }
        self.machine = Machine::new(&name(), self.disk.clone(), self.virtual_, 115_200);
        // Whoever asked hears that it ended.
        self.asked.retain(|id| self.answers.contains_key(id));
    }

    /// The loader gives up by itself, and the stay's task sees it.
    fn time_out(&mut self) {
        let Some(of) = self.machine.stay else { return };
        if self.act.is_some() || !self.in_loader {
            return;
        }
        self.in_loader = false;
        self.starts += 1;
        let Some(epoch) = self.stay_epoch else { return };
        self.begin(epoch);
        let starts = self.counts();
        self.step(Input::StayEnded { of, began: Some(epoch), starts });
    }

    fn answer(&mut self, token: u64, wish: Wish) -> Answer {
        let id = self.ask(token, wish);
        self.settle();
        self.answers[&id].clone()
    }

    fn transfer(&mut self, token: u64, of: Try) -> Answer {
        self.answer(token, Wish::Transfer { of, artifact: IMAGE, baud: 9600 })
    }

    fn reserve(&mut self, token: u64) -> Epoch {
        match self.answer(token, Wish::Reserve) {
            Answer::Reserved(Ok(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }
}

/// Connected, written, and an epoch reserved.
fn in_loader(virtual_: bool, of: Try) -> (World, Epoch) {
    let mut world = World::new(virtual_);
    assert!(matches!(world.answer(1, Wish::Connect { baud: 9600 }), Answer::Connected(Ok(_))));
    assert!(matches!(world.transfer(1, of), Answer::Transferred(Ok(_))));
    let epoch = world.reserve(1);
    (world, epoch)
}

fn handed_off(answer: &Answer) -> bool {
    matches!(answer, Answer::HandedOff(Ok(Evidence::Complete(_))))
}

#[test]
fn a_flash_from_connect_to_handoff() {
    for virtual_ in [false, true] {
        let of = a_try(1, 1);
        let (mut world, epoch) = in_loader(virtual_, of);
        assert!(handed_off(&world.answer(1, Wish::Handoff { of, epoch })));
        let record = world.disk.clone().unwrap();
        let done = record.handoff.unwrap();
        assert_eq!((done.epoch, done.starts), (epoch, virtual_.then_some(3)));
        assert_eq!(record.holding.unwrap(), Holding { image: IMAGE, since: SessionId(1) });
        assert_eq!(world.recording, epoch);
        assert_eq!(world.answer(1, Wish::Confirm { epoch }), Answer::Confirmed(Ok(None)));
    }
}

#[test]
fn asked_again_a_handoff_answers_what_is_known_and_is_not_issued() {
    let of = a_try(1, 1);
    let (mut world, epoch) = in_loader(true, of);
    let first = world.answer(1, Wish::Handoff { of, epoch });
    assert!(handed_off(&first) && handed_off(&world.answer(1, Wish::Handoff { of, epoch })));
    world.crash(false);
    assert!(handed_off(&world.answer(1, Wish::Handoff { of, epoch })));
    assert!(matches!(world.answer(1, Wish::Evidence { of }), Answer::Evidence(Ok(Evidence::Complete(_)))));
    assert_eq!(world.issued[&(1, 1)], 1);
    assert!(matches!(world.transfer(1, of), Answer::Transferred(Err(DeviceError::NotBegun(_)))));
}

#[test]
fn what_was_not_acknowledged_is_settled_before_anything_else() {
    let (of, next) = (a_try(1, 1), a_try(1, 2));
    let (mut world, epoch) = in_loader(true, of);
    let id = world.ask(1, Wish::Handoff { of, epoch });
    world.go(Luck::Lost);
    let ambiguous = Answer::HandedOff(Err(DeviceError::Ambiguous("no answer".into())));
    assert_eq!(world.answers[&id], ambiguous);
    assert_eq!(world.answer(1, Wish::Handoff { of, epoch }), ambiguous);
    assert!(matches!(world.transfer(1, next), Answer::Transferred(Err(DeviceError::NotBegun(_)))));
    assert!(matches!(world.answer(1, Wish::Evidence { of }), Answer::Evidence(Ok(Evidence::Unknown(_)))));
    assert!(matches!(world.transfer(1, next), Answer::Transferred(Ok(_))));
    let epoch = world.reserve(1);
    assert!(handed_off(&world.answer(1, Wish::Handoff { of: next, epoch })));
    assert_eq!(world.issued, BTreeMap::from([((1, 1), 1), ((1, 2), 1)]));
}

#[test]
fn a_loader_that_gave_up_begins_an_epoch_that_nobody_owns() {
    let of = a_try(1, 1);
    let (mut world, epoch) = in_loader(true, of);
    world.time_out();
    assert_eq!(
        world.answer(1, Wish::Handoff { of, epoch }),
        Answer::HandedOff(Err(DeviceError::LoaderTimedOut))
    );
    assert_eq!(world.issued, BTreeMap::new());
    assert!(world.recording < epoch);
    assert!(matches!(world.answer(1, Wish::Confirm { epoch }), Answer::Confirmed(Ok(Some(_)))));
}

#[test]
fn a_successor_does_not_issue_what_its_predecessor_may_have_issued() {
    for done in [false, true] {
        for virtual_ in [false, true] {
            let of = a_try(1, 1);
            let (mut world, epoch) = in_loader(virtual_, of);
            world.ask(1, Wish::Handoff { of, epoch });
            world.crash(done);
            let again = world.answer(1, Wish::Handoff { of, epoch });
            assert!(matches!(again, Answer::HandedOff(Err(DeviceError::Ambiguous(_)))), "{again:?}");
            let evidence = world.answer(1, Wish::Evidence { of });
            let not_started = matches!(evidence, Answer::Evidence(Ok(Evidence::NotStarted(_))));
            assert_eq!(not_started, virtual_ && !done, "{evidence:?}");
            if not_started {
                let epoch = world.reserve(1);
                assert!(handed_off(&world.answer(1, Wish::Handoff { of, epoch })));
            }
            assert!(world.issued.values().all(|times| *times == 1));
        }
    }
}

#[test]
fn an_older_lease_does_nothing() {
    let of = a_try(1, 1);
    let (mut world, epoch) = in_loader(true, of);
    assert!(matches!(world.answer(2, Wish::Reserve), Answer::Reserved(Ok(_))));
    world.crash(false);
    for wish in [
        Wish::Connect { baud: 1 },
        Wish::Transfer { of, artifact: IMAGE, baud: 1 },
        Wish::Reserve,
        Wish::Handoff { of, epoch },
        Wish::Evidence { of },
        Wish::Confirm { epoch },
    ] {
        assert_eq!(world.answer(1, wish.clone()), wish.refused(DeviceError::Fenced));
    }
    assert_eq!(world.answer(1, Wish::Disconnect), Answer::Disconnected);
    assert_eq!(world.issued, BTreeMap::new());
}

#[test]
fn an_epoch_of_before_the_transfer_is_refused() {
    let of = a_try(1, 1);
    let mut world = World::new(true);
    world.answer(1, Wish::Connect { baud: 9600 });
    let early = world.reserve(1);
    world.transfer(1, of);
    let refused = world.answer(1, Wish::Handoff { of, epoch: early });
    assert!(matches!(refused, Answer::HandedOff(Err(DeviceError::NotBegun(_)))));
    let refused = world.answer(1, Wish::Handoff { of, epoch: Epoch(999) });
    assert!(matches!(refused, Answer::HandedOff(Err(DeviceError::NotBegun(_)))));
}

#[test]
fn a_start_by_itself_is_a_new_epoch_and_told() {
    let of = a_try(1, 1);
    let (mut world, epoch) = in_loader(true, of);
    world.answer(1, Wish::Handoff { of, epoch });
    // What it counted at the handoff is no news.
    world.step(Input::Ask { id: None, token: None, wish: Wish::Note { starts: 3, cause: "w".into() } });
    world.settle();
    assert_eq!(world.recording, epoch);
    world.starts += 1;
    assert_eq!(world.answer(1, Wish::Confirm { epoch }), Answer::Confirmed(Ok(Some("the watchdog".into()))));
    assert!(world.recording > epoch);
    // The same start, seen by the one who watches.
    let newest = world.recording;
    world.step(Input::Ask { id: None, token: None, wish: Wish::Note { starts: 4, cause: "w".into() } });
    world.settle();
    assert_eq!(world.recording, newest);
}

#[test]
fn a_full_disk_stops_before_the_act() {
    let of = a_try(1, 1);
    let mut world = World::new(true);
    let id = world.ask(1, Wish::Connect { baud: 9600 });
    world.go(Luck::Bad);
    let Answer::Connected(Err(DeviceError::NotBegun(problem))) = &world.answers[&id] else { panic!() };
    assert_eq!(problem.code, "F242");
    assert_eq!(world.disk, None);
    assert!(matches!(world.answer(1, Wish::Connect { baud: 9600 }), Answer::Connected(Ok(_))));
    world.transfer(1, of);
    let epoch = world.reserve(1);
    let id = world.ask(1, Wish::Handoff { of, epoch });
    world.go(Luck::Good);
    world.go(Luck::Bad);
    assert!(matches!(world.answers[&id], Answer::HandedOff(Err(DeviceError::Ambiguous(_)))));
    // This incarnation knows.
    assert!(matches!(world.answer(1, Wish::Evidence { of }), Answer::Evidence(Ok(Evidence::Complete(_)))));
}

#[test]
fn more_than_the_queue_holds_is_refused_by_name() {
    let mut world = World::new(true);
    let ids: Vec<_> = (0..QUEUE_MAX + 2).map(|_| world.ask(1, Wish::Connect { baud: 9600 })).collect();
    let last = &world.answers[ids.last().unwrap()];
    assert!(matches!(last, Answer::Connected(Err(DeviceError::NotBegun(problem))) if problem.code == "F244"));
    world.settle();
    assert!(ids.iter().all(|id| world.answers.contains_key(id)));
}

/// What can happen, at any time.
#[derive(Debug, Clone)]
enum Event {
    Connect,
    Transfer(u32),
    Reserve,
    Handoff(u32),
    Evidence(u32),
    Confirm,
    Disconnect,
    Console,
    OlderLease(u32),
    NewerLease,
    Go(Luck),
    TimeOut,
    Starts,
    Vanish,
    Crash(bool),
}

struct Run {
    world: World,
    token: u64,
    reserved: Epoch,
}

impl Run {
    fn new(virtual_: bool) -> Self {
        Self { world: World::new(virtual_), token: 1, reserved: Epoch(0) }
    }

    fn apply(&mut self, event: &Event) {
        let world = &mut self.world;
        match event {
            Event::Connect => drop(world.ask(self.token, Wish::Connect { baud: 9600 })),
            Event::Transfer(n) => {
                let of = a_try(self.token, *n);
                world.ask(self.token, Wish::Transfer { of, artifact: IMAGE, baud: 9600 });
            }
            Event::Reserve => drop(world.ask(self.token, Wish::Reserve)),
            Event::Handoff(n) => {
                let of = a_try(self.token, *n);
                world.ask(self.token, Wish::Handoff { of, epoch: self.reserved });
            }
            Event::Evidence(n) => drop(world.ask(self.token, Wish::Evidence { of: a_try(self.token, *n) })),
            Event::Confirm => drop(world.ask(self.token, Wish::Confirm { epoch: self.reserved })),
            Event::Disconnect => drop(world.ask(self.token, Wish::Disconnect)),
            Event::Console => {
                world.next_id += 1;
                world.asked.insert(world.next_id);
                let (id, wish) = (Some(world.next_id), Wish::Console { baud: None });
                world.step(Input::Ask { id, token: None, wish });
            }
            Event::OlderLease(n) if self.token > 1 => {
                let of = a_try(self.token - 1, *n);
                world.ask(self.token - 1, Wish::Handoff { of, epoch: self.reserved });
            }
            Event::OlderLease(_) => {}
            Event::NewerLease => self.token += 1,
            Event::Go(luck) => drop(world.go(*luck)),
            Event::TimeOut => world.time_out(),
            Event::Starts => {
                // In the loader its driver sees to it.
                if world.machine.stay.is_none() && world.act.is_none() {
                    world.in_loader = false;
                    world.starts += 1;
                    let wish = Wish::Note { starts: world.starts, cause: "the watchdog".into() };
                    world.step(Input::Ask { id: None, token: None, wish });
                }
            }
            Event::Vanish => {
                world.stay_epoch = None;
                world.step(Input::Vanished);
            }
            Event::Crash(done) => world.crash(*done),
        }
        for answer in self.world.answers.values() {
            if let Answer::Reserved(Ok(epoch)) = answer {
                self.reserved = self.reserved.max(*epoch);
            }
        }
        // Once is the most that a try's command ever leaves the host, whatever crashes in between; each try is asked by
        // the same session again and again.
        let twice = self.world.issued.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "issued twice");
    }

    fn end(&mut self) {
        self.world.settle();
        let unanswered: Vec<_> =
            self.world.asked.iter().filter(|id| !self.world.answers.contains_key(id)).collect();
        assert!(unanswered.is_empty(), "not answered: {unanswered:?}");
    }
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![6 => Just(Luck::Good), 1 => Just(Luck::Bad), 1 => Just(Luck::Lost)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Connect),
        3 => (1_u32..3).prop_map(Event::Transfer),
        2 => Just(Event::Reserve),
        4 => (1_u32..3).prop_map(Event::Handoff),
        2 => (1_u32..3).prop_map(Event::Evidence),
        1 => Just(Event::Confirm),
        1 => Just(Event::Disconnect),
        1 => Just(Event::Console),
        1 => (1_u32..3).prop_map(Event::OlderLease),
        1 => Just(Event::NewerLease),
        16 => luck().prop_map(Event::Go),
        1 => Just(Event::TimeOut),
        1 => Just(Event::Starts),
        1 => Just(Event::Vanish),
        1 => any::<bool>().prop_map(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever happens: nothing is issued twice, nothing is done before its record is durable, epochs only grow,
    /// every question is answered once.
    #[test]
    fn whatever_happens(virtual_: bool, events in prop::collection::vec(event(), 0..60)) {
        let mut run = Run::new(virtual_);
        for event in &events {
            run.apply(event);
        }
        run.end();
    }
}

/// Every history of one flash with up to two crashes or failures, each at every boundary.
#[test]
fn every_plan_of_two_mishaps_in_a_flash() {
    let mut runs = 0;
    let mut handed_off_runs = 0;
    let mishaps = [
        Event::Crash(false),
        Event::Crash(true),
        Event::Go(Luck::Bad),
        Event::Go(Luck::Lost),
        Event::TimeOut,
        Event::Starts,
        Event::Vanish,
    ];
    for virtual_ in [false, true] {
        for first in 0..24 {
            for second in first..24 {
                for a in &mishaps {
                    for b in &mishaps {
                        runs += 1;
                        let plan = [(first, a), (second, b)];
                        handed_off_runs += u32::from(flash(virtual_, &plan));
                    }
                }
            }
        }
    }
    assert_eq!(runs, 2 * 300 * 49);
    // Most come to their end with a repeatable handoff: a mishap costs a new attempt.
    assert_eq!(handed_off_runs, runs);
}

/// One flash by a session that repeats: after a crash it asks for evidence, after `Unknown` it begins a new attempt.
fn flash(virtual_: bool, plan: &[(usize, &Event)]) -> bool {
    let mut run = Run::new(virtual_);
    let mut at = 0;
    let mut attempt = 1;
    // Until what was asked is answered, or forgotten in a crash.
    let mut ask = |run: &mut Run, wish: Wish| {
        let id = run.world.ask(1, wish);
        for _ in 0..40 {
            if run.world.answers.contains_key(&id) || !run.world.asked.contains(&id) {
                break;
            }
            for (_, mishap) in plan.iter().filter(|(when, _)| *when == at) {
                run.apply(mishap);
            }
            at += 1;
            run.apply(&Event::Go(Luck::Good));
        }
        run.world.answers.get(&id).cloned()
    };
    for _ in 0..12 {
        let of = a_try(1, attempt);
        if !matches!(ask(&mut run, Wish::Connect { baud: 9600 }), Some(Answer::Connected(Ok(_)))) {
            continue;
        }
        let wish = Wish::Transfer { of, artifact: IMAGE, baud: 9600 };
        if !matches!(ask(&mut run, wish), Some(Answer::Transferred(Ok(_)))) {
            continue;
        }
        let Some(Answer::Reserved(Ok(epoch))) = ask(&mut run, Wish::Reserve) else { continue };
        match ask(&mut run, Wish::Handoff { of, epoch }) {
            Some(Answer::HandedOff(Ok(Evidence::Complete(_)))) => {
                run.end();
                return true;
            }
            Some(Answer::HandedOff(Err(DeviceError::LoaderTimedOut | DeviceError::NotBegun(_)))) => continue,
            _ => {}
        }
        loop {
            match ask(&mut run, Wish::Evidence { of }) {
                Some(Answer::Evidence(Ok(Evidence::Complete(_)))) => {
                    run.end();
                    return true;
                }
                Some(Answer::Evidence(Ok(Evidence::NotStarted(_)))) => break,
                Some(Answer::Evidence(Ok(_))) => {
                    attempt += 1;
                    break;
                }
                _ => {}
            }
        }
    }
    panic!("{plan:?} never came to its end")
}
