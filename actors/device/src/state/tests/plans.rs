//! Whatever happens, in any order; and every plan of two mishaps in one flash.

use proptest::prelude::*;

use super::world::{Luck, World};
use super::*;

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
            Some(Answer::HandedOff(Err(DeviceError::LoaderTimedOut { .. } | DeviceError::NotBegun(_)))) => {
                continue;
            }
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
