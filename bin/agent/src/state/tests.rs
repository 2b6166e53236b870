//! Whatever a host says, and however often it goes: once, in order, and never more than a window.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_agent_messages::Data;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn state() -> State {
    State::new([7; 16])
}

fn hear(state: &mut State, message: ToAgent) -> Vec<Effect> {
    state.step(Input::Heard(message))
}

/// All that is to be said, each given to the port.
fn said(state: &mut State) -> (Vec<FromAgent>, Vec<Effect>) {
    let (mut all, mut effects) = (Vec::new(), Vec::new());
    while let Some(message) = state.say() {
        all.push(message);
        effects.extend(state.step(Input::Said));
    }
    (all, effects)
}

fn greeted(nonce: u64) -> State {
    let mut state = state();
    hear(&mut state, ToAgent::Hello { version: 1, nonce });
    said(&mut state);
    state
}

fn run(id: u64) -> ToAgent {
    ToAgent::Run { id, command: Command::default() }
}

fn running(state: &mut State, id: u64) {
    hear(state, run(id));
    let (_, effects) = said(state);
    assert!(effects.contains(&Effect::Start { id, task: Task::Run(Command::default()) }), "{effects:?}");
}

fn output(state: &mut State, id: u64, bytes: &[u8]) {
    state.step(Input::Output { id, stream: Stream::Out, bytes: bytes.to_vec() });
}

fn piece(id: u64, at: u64, bytes: &[u8]) -> FromAgent {
    FromAgent::Output { id, stream: Stream::Out, at, bytes: Data(bytes.to_vec()) }
}

#[test]
fn nothing_is_said_to_nobody() {
    let mut state = state();
    hear(&mut state, run(1));
    assert_eq!(state.say(), None);
}

/// Seen red where an id that was had is taken again.
#[test]
fn acknowledged_then_executed_and_once() {
    let mut state = greeted(1);
    assert_eq!(hear(&mut state, run(5)), []);
    assert_eq!(state.say(), Some(FromAgent::Accepted { id: 5 }));
    assert_eq!(state.step(Input::Said).len(), 1);
    assert_eq!(hear(&mut state, run(5)), []);
    let (messages, effects) = said(&mut state);
    assert!(messages.contains(&FromAgent::Accepted { id: 5 }));
    assert_eq!(effects, []);
    state.step(Input::Finished { id: 5, how: How::Exit(0) });
    hear(&mut state, run(5));
    assert_eq!(said(&mut state).1, []);
    hear(&mut state, ToAgent::Taken { id: 5 });
    hear(&mut state, run(5));
    assert_eq!(said(&mut state), (vec![FromAgent::Refused { id: 5, why: Refusal::Old }], vec![]));
}

#[test]
fn a_signal_that_overtakes_the_news_of_the_writing_is_not_lost() {
    let mut state = greeted(1);
    hear(&mut state, run(5));
    state.say();
    let effects = hear(&mut state, ToAgent::Signal { id: 5, number: 9 });
    assert!(matches!(
        effects[..],
        [Effect::Start { id: 5, .. }, Effect::Order { id: 5, order: Order::Signal(9) }]
    ));
    assert_eq!(state.step(Input::Said), []);
}

#[test]
fn what_was_not_acknowledged_when_its_host_went_is_not_executed() {
    let mut state = greeted(1);
    hear(&mut state, run(5));
    state.say();
    hear(&mut state, ToAgent::Hello { version: 1, nonce: 2 });
    assert_eq!(state.step(Input::Said), []);
    let (messages, effects) = said(&mut state);
    let [FromAgent::Hello { nonce: 2, greeting, .. }] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((greeting.highest, &greeting.commands[..], &effects[..]), (5, &[][..], &[][..]));
}

#[test]
fn a_restore_ends_what_runs_and_is_acknowledged_behind_the_ends() {
    let mut state = greeted(1);
    running(&mut state, 1);
    running(&mut state, 2);
    hear(&mut state, run(3));
    let effects = hear(&mut state, ToAgent::Restored { epoch: 4 });
    hear(&mut state, run(6));
    let abort = |id| Effect::Order { id, order: Order::Abort };
    assert_eq!(effects, [abort(1), abort(2)]);
    let how = How::Aborted { epoch: 4 };
    let ended = |id| FromAgent::Ended { id, how: how.clone() };
    assert_eq!(said(&mut state), (vec![FromAgent::Accepted { id: 3 }, ended(3)], vec![]));
    state.step(Input::Finished { id: 2, how: How::Signal(9) });
    assert_eq!(said(&mut state).0, [ended(2)]);
    hear(&mut state, ToAgent::Restored { epoch: 4 });
    assert_eq!(said(&mut state).0, []);
    assert_eq!(state.step(Input::Finished { id: 1, how: How::Exit(0) }), [Effect::Sweep { now_us: 4 }]);
    assert_eq!(said(&mut state).0, [ended(1)]);
    // What came behind it begins behind it: it would be swept too.
    assert_eq!(state.step(Input::Swept), []);
    let (messages, effects) = said(&mut state);
    assert_eq!(messages[0], FromAgent::Accepted { id: 6 });
    assert!(messages.contains(&FromAgent::Restored { epoch: 4 }), "{messages:?}");
    assert!(matches!(effects[..], [Effect::Start { id: 6, .. }]), "{effects:?}");
}

/// Seen red where only the last one is kept.
#[test]
fn each_who_asks_how_it_is_is_answered() {
    let mut state = greeted(1);
    for nonce in [7, 8, 7] {
        assert_eq!(hear(&mut state, ToAgent::Health { nonce }), [Effect::Measure { nonce }]);
        state.measured(nonce, Health::default());
    }
    let answered: Vec<_> = said(&mut state)
        .0
        .into_iter()
        .map(|message| match message {
            FromAgent::Health { nonce, .. } => nonce,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answered, [8, 7]);
}

/// Seen red where the epoch that is had counts as a new one.
#[test]
fn a_restore_that_was_had_is_acknowledged_and_an_older_one_is_not() {
    let mut state = greeted(1);
    assert_eq!(hear(&mut state, ToAgent::Restored { epoch: 4 }), [Effect::Sweep { now_us: 4 }]);
    state.step(Input::Swept);
    said(&mut state);
    running(&mut state, 9);
    assert_eq!(hear(&mut state, ToAgent::Restored { epoch: 4 }), []);
    assert_eq!(said(&mut state).0, [FromAgent::Restored { epoch: 4 }]);
    assert_eq!(hear(&mut state, ToAgent::Restored { epoch: 3 }), []);
    assert_eq!(said(&mut state).0, []);
    state.measured(1, Health::default());
    let (messages, _) = said(&mut state);
    let [FromAgent::Health { health, .. }] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((health.repeated_restores, health.ignored_restores, health.commands), (1, 1, 1));
}

#[test]
fn output_waits_for_who_resumes_it_and_begins_where_that_one_says() {
    let mut state = greeted(1);
    running(&mut state, 1);
    for bytes in [b"ab", b"cd", b"ef"] {
        output(&mut state, 1, bytes);
    }
    assert_eq!(said(&mut state).0.len(), 3);
    hear(&mut state, ToAgent::Credit { id: 1, upto: 2 });
    hear(&mut state, ToAgent::Hello { version: 1, nonce: 2 });
    state.step(Input::Finished { id: 1, how: How::Exit(3) });
    assert_eq!(said(&mut state).0.len(), 1, "a greeting");
    hear(&mut state, ToAgent::Resume { id: 1, from: 4 });
    let end = FromAgent::Ended { id: 1, how: How::Exit(3) };
    assert_eq!(said(&mut state).0, [FromAgent::Accepted { id: 1 }, piece(1, 4, b"ef"), end]);
    hear(&mut state, ToAgent::Resume { id: 8, from: 0 });
    assert_eq!(said(&mut state).0, [FromAgent::Refused { id: 8, why: Refusal::Old }]);
}

#[test]
fn one_who_is_given_up_is_killed_and_then_forgotten() {
    let mut state = greeted(1);
    running(&mut state, 1);
    output(&mut state, 1, b"x");
    assert_eq!(hear(&mut state, ToAgent::Taken { id: 1 }), [Effect::Order { id: 1, order: Order::Abort }]);
    output(&mut state, 1, b"y");
    state.step(Input::Finished { id: 1, how: How::Signal(9) });
    assert_eq!(said(&mut state).0, []);
    assert!(state.commands.is_empty());
}

#[test]
fn there_are_so_many_and_no_more() {
    let mut state = greeted(1);
    for id in 1..=COMMANDS_MAX as u64 {
        running(&mut state, id);
    }
    hear(&mut state, run(100));
    assert_eq!(said(&mut state).0, [FromAgent::Refused { id: 100, why: Refusal::Busy }]);
    state.step(Input::Finished { id: 1, how: How::Exit(0) });
    hear(&mut state, ToAgent::Taken { id: 1 });
    running(&mut state, 100);
}

#[test]
fn control_goes_before_data_and_each_command_has_its_turn() {
    let mut state = greeted(1);
    running(&mut state, 1);
    running(&mut state, 2);
    for id in [1, 1, 2, 2] {
        output(&mut state, id, b"x");
    }
    hear(&mut state, run(3));
    let (messages, _) = said(&mut state);
    let data = messages.iter().position(|message| matches!(message, FromAgent::Output { .. })).unwrap();
    let of = |message: &FromAgent| match message {
        FromAgent::Output { id, at, .. } => (*id, *at),
        other => panic!("{other:?}"),
    };
    assert!(messages[..data].contains(&FromAgent::Accepted { id: 3 }));
    assert_eq!(messages[data..].iter().map(of).collect::<Vec<_>>(), [(1, 0), (2, 0), (1, 1), (2, 1)]);
}

#[test]
fn refusals_that_nobody_reads_are_not_kept_without_end() {
    let mut state = greeted(1);
    running(&mut state, 1000);
    for id in 0..999 {
        hear(&mut state, run(id));
    }
    assert_eq!(state.refused.len(), REFUSED_MAX);
}

#[derive(Debug, Clone)]
enum Step {
    Hear(ToAgent),
    HostGone,
    /// The port takes so many messages.
    Say(usize),
    /// A command says so much, as far as it may.
    Output(usize, usize),
    Finish(usize),
    Swept,
}

fn steps() -> impl Strategy<Value = Step> {
    let id = || 1..12u64;
    let heard = prop_oneof![
        4 => id().prop_map(run),
        1 => (0..3u64).prop_map(|nonce| ToAgent::Hello { version: 1, nonce }),
        1 => (0..5u64).prop_map(|epoch| ToAgent::Restored { epoch }),
        2 => (id(), 0..400_000u64).prop_map(|(id, upto)| ToAgent::Credit { id, upto }),
        1 => (id(), 0..400_000u64).prop_map(|(id, from)| ToAgent::Resume { id, from }),
        1 => id().prop_map(|id| ToAgent::Taken { id }),
        1 => id().prop_map(|id| ToAgent::Signal { id, number: 9 }),
        1 => (id(), 0..9000usize).prop_map(|(id, len)| ToAgent::Input { id, bytes: Data(vec![1; len]) }),
        1 => any::<u64>().prop_map(|nonce| ToAgent::Health { nonce }),
    ];
    prop_oneof![
        10 => heard.prop_map(Step::Hear),
        1 => Just(Step::HostGone),
        6 => (0..8usize).prop_map(Step::Say),
        6 => (0..12usize, 0..16_385usize).prop_map(|(which, len)| Step::Output(which, len)),
        2 => (0..12usize).prop_map(Step::Finish),
        2 => Just(Step::Swept),
    ]
}

/// The world around the machine: what was begun, what is allowed, and what was promised.
#[derive(Default)]
struct World {
    started: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// Allowed, by the command that runs.
    running: BTreeMap<u64, usize>,
    sweeping: bool,
    epoch: u64,
}

impl World {
    fn act(&mut self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start { id, .. } => {
                    assert!(self.started.insert(id), "{id} is executed twice");
                    assert!(!self.sweeping, "{id} is begun while what was before a restore is ended");
                    assert!(self.acknowledged.contains(&id), "{id} is executed before it is acknowledged");
                    self.running.insert(id, WINDOW);
                }
                Effect::Order { id, order } => {
                    let Some(allowed) = self.running.get_mut(&id) else { panic!("{id} runs not: {order:?}") };
                    if let Order::Allow(more) = order {
                        *allowed += more;
                        assert!(*allowed <= WINDOW, "{id} has more than a window");
                    }
                }
                Effect::Measure { nonce } => state.measured(nonce, Health::default()),
                Effect::Sweep { .. } => {
                    assert!(!std::mem::replace(&mut self.sweeping, true), "twice at once")
                }
            }
        }
    }

    fn say(&mut self, state: &mut State) {
        let Some(message) = state.say() else { return };
        match message {
            FromAgent::Accepted { id } => {
                self.acknowledged.insert(id);
            }
            FromAgent::Ended { id, .. } => assert!(!self.running.contains_key(&id), "{id} still runs"),
            FromAgent::Restored { epoch } => {
                assert!(epoch >= self.epoch, "an older epoch is acknowledged");
                self.epoch = epoch;
            }
            FromAgent::Refused { .. } | FromAgent::Hello { .. } | FromAgent::Credit { .. } => {}
            FromAgent::Output { .. } | FromAgent::Health { .. } => {}
        }
        let effects = state.step(Input::Said);
        self.act(state, effects);
    }

    fn nth_running(&self, which: usize) -> Option<u64> {
        self.running.keys().nth(which % self.running.len().max(1)).copied()
    }
}

fn holds_no_more_than_windows(state: &State) {
    assert!(state.commands.len() <= COMMANDS_MAX);
    for entry in state.commands.values() {
        let kept: usize = entry.output.iter().map(|chunk| chunk_cost(chunk.bytes.len())).sum();
        assert!(kept <= WINDOW);
        assert!(entry.said <= entry.output.len());
        assert!(entry.input_open <= WINDOW);
    }
}

proptest! {
    /// Seen red where an id that was had is taken again.
    #[test]
    fn once_in_order_and_within_the_window(steps in vec(steps(), 1..200)) {
        let (mut state, mut world) = (state(), World::default());
        hear(&mut state, ToAgent::Hello { version: 1, nonce: 0 });
        for step in steps {
            let effects = match step {
                Step::Hear(message) => hear(&mut state, message),
                Step::HostGone => state.step(Input::HostGone),
                Step::Say(times) => {
                    (0..times).for_each(|_| world.say(&mut state));
                    Vec::new()
                }
                Step::Output(which, len) => match world.nth_running(which) {
                    Some(id) if world.running[&id] >= chunk_cost(len) && len > 0 => {
                        *world.running.get_mut(&id).unwrap() -= chunk_cost(len);
                        state.step(Input::Output { id, stream: Stream::Out, bytes: vec![1; len] })
                    }
                    _ => Vec::new(),
                },
                Step::Finish(which) => match world.nth_running(which) {
                    Some(id) => {
                        world.running.remove(&id);
                        state.step(Input::Finished { id, how: How::Exit(0) })
                    }
                    None => Vec::new(),
                },
                Step::Swept if std::mem::take(&mut world.sweeping) => state.step(Input::Swept),
                Step::Swept => Vec::new(),
            };
            world.act(&mut state, effects);
            holds_no_more_than_windows(&state);
        }
    }

    /// A host that reads on, is replaced now and then, and credits what it had: each byte once, in order.
    #[test]
    fn no_byte_is_missed_or_told_twice(
        pieces in vec(vec(any::<u8>(), 1..50), 1..60), goes_at in vec(0..60usize, 0..6),
    ) {
        let (mut state, mut had) = (greeted(0), Vec::new());
        running(&mut state, 1);
        for (number, bytes) in pieces.iter().enumerate() {
            output(&mut state, 1, bytes);
            let mut messages = said(&mut state).0;
            if goes_at.contains(&number) {
                // What was just said got lost with its host.
                hear(&mut state, ToAgent::Hello { version: 1, nonce: number as u64 + 1 });
                hear(&mut state, ToAgent::Resume { id: 1, from: had.len() as u64 });
                messages = said(&mut state).0;
            }
            for message in messages {
                if let FromAgent::Output { at, bytes, .. } = message {
                    prop_assert_eq!(at, had.len() as u64);
                    had.extend(bytes.0);
                }
            }
            if number % 3 == 0 {
                hear(&mut state, ToAgent::Credit { id: 1, upto: had.len() as u64 });
            }
        }
        prop_assert_eq!(had, pieces.concat());
    }
}
