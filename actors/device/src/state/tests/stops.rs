//! A transfer ends with its lease, and a person's word with the person.

use super::world::{Luck, World};
use super::*;

fn transfer(of: Try) -> Wish {
    Wish::Transfer { of, artifact: IMAGE, baud: 9600 }
}

/// Connected under token 1, and a transfer under way; with its question.
fn transferring(virtual_: bool) -> (World, AskId) {
    let mut world = World::new(virtual_);
    assert!(matches!(world.answer(1, Wish::Connect { baud: 9600 }), Answer::Connected(Ok(_))));
    let id = world.ask(1, transfer(a_try(1, 1)));
    while !matches!(world.act, Some(Act::Transfer { .. })) {
        assert!(world.go(Luck::Good), "it comes to the transfer");
    }
    (world, id)
}

fn word(world: &mut World) -> AskId {
    world.next_id += 1;
    world.asked.insert(world.next_id);
    world.step(Input::Ask { id: Some(world.next_id), token: None, wish: Wish::Word });
    world.next_id
}

#[test]
fn a_transfer_ends_when_its_session_gives_the_device_back_and_only_then_is_that_answered() {
    for virtual_ in [false, true] {
        let (mut world, asked) = transferring(virtual_);
        let back = world.ask(1, Wish::Disconnect);
        assert!(world.stopped, "it is to end at once");
        assert!(!world.answers.contains_key(&back), "it has not ended yet");
        assert!(world.go(Luck::Good));
        assert_eq!(world.answers[&asked], Answer::Transferred(Err(DeviceError::Fenced)));
        assert_eq!(world.answers[&back], Answer::Disconnected);
        assert!(!world.machine.leased && world.act.is_none());
        assert!(matches!(world.answer(2, Wish::Connect { baud: 9600 }), Answer::Connected(Ok(_))));
        assert!(matches!(world.transfer(2, a_try(2, 1)), Answer::Transferred(Ok(_))));
    }
}

#[test]
fn a_transfer_ends_when_a_newer_lease_comes_and_not_for_an_older_one() {
    for wish in [Wish::Connect { baud: 9600 }, Wish::Reserve, Wish::Disconnect, transfer(a_try(2, 1))] {
        let (mut world, asked) = transferring(true);
        let newer = world.ask(2, wish.clone());
        assert!(world.stopped, "{wish:?}");
        assert!(!world.answers.contains_key(&newer));
        world.settle();
        assert_eq!(world.answers[&asked], Answer::Transferred(Err(DeviceError::Fenced)), "{wish:?}");
        assert!(world.answers.contains_key(&newer), "{wish:?}");
    }
    let mut world = World::new(true);
    world.answer(2, Wish::Connect { baud: 9600 });
    let asked = world.ask(2, transfer(a_try(2, 1)));
    world.go(Luck::Good);
    for wish in [Wish::Disconnect, Wish::Connect { baud: 1 }, Wish::Reserve] {
        world.ask(1, wish);
    }
    world.ask(2, Wish::Reserve);
    assert!(!world.stopped && matches!(world.act, Some(Act::Transfer { .. })), "{:?}", world.act);
    world.settle();
    assert!(matches!(world.answers[&asked], Answer::Transferred(Ok(_))));
}

/// A step that may not be repeated may have been done: that it was ended for another does not make it known.
#[test]
fn what_is_in_doubt_stays_in_doubt_when_it_is_ended() {
    let (mut world, asked) = transferring(true);
    world.ask(2, Wish::Connect { baud: 9600 });
    world.act = None;
    let spoiled = Spoiled { touched: true, ambiguous: true, ..Spoiled::untouched(*problem()) };
    world.step(Input::Ended(Box::new(Outcome::Transferred(Err(spoiled)))));
    let answer = &world.answers[&asked];
    assert!(matches!(answer, Answer::Transferred(Err(DeviceError::Ambiguous(_)))), "{answer:?}");
}

/// The device is given back at every boundary on the way to a transfer, and in it: behind the answer nothing is begun. The
/// world watches that with every step.
#[test]
fn given_back_at_any_time_nothing_is_written_behind_that() {
    for (virtual_, closed) in [(false, false), (false, true), (true, false), (true, true)] {
        for boundary in 0..8 {
            let mut world = World::new(virtual_);
            world.answer(1, Wish::Connect { baud: 9600 });
            if closed {
                // It is opened first, for the transfer.
                world.step(Input::Vanished);
            }
            let asked = world.ask(1, transfer(a_try(1, 1)));
            (0..boundary).for_each(|_| {
                let _acted = world.go(Luck::Good);
            });
            let ended = world.in_loader;
            let back = world.ask(1, Wish::Disconnect);
            world.settle();
            assert_eq!(world.answers[&back], Answer::Disconnected);
            let answer = &world.answers[&asked];
            let fenced = *answer == Answer::Transferred(Err(DeviceError::Fenced));
            assert_eq!(fenced, !ended, "{virtual_}, {closed}, {boundary}: {answer:?}");
            // What its session had asked for, and what comes only now.
            let late = world.transfer(1, a_try(1, 1));
            assert_eq!(late, Answer::Transferred(Err(DeviceError::Fenced)));
            // The same session again, as after a person has settled what it ended with.
            assert!(matches!(world.answer(1, Wish::Connect { baud: 9600 }), Answer::Connected(Ok(_))));
            assert!(matches!(world.transfer(1, a_try(1, 2)), Answer::Transferred(Ok(_))));
        }
    }
}

#[test]
fn however_many_wait_the_device_can_be_given_back() {
    let (mut world, _) = transferring(true);
    for _ in 0..=QUEUE_MAX {
        world.ask(1, Wish::Reserve);
    }
    let back = world.ask(1, Wish::Disconnect);
    assert!(world.stopped && !world.answers.contains_key(&back), "it is no refusal that is answered");
    world.settle();
    assert_eq!(world.answers[&back], Answer::Disconnected);
}

/// Guard: `Wish::Idle` is never turned away.
#[test]
fn however_many_words_wait_nobody_is_told_that_it_is_idle_before_they_are_said() {
    let mut world = World::new(true);
    let words: Vec<_> = (0..=QUEUE_MAX).map(|_| word(&mut world)).collect();
    world.next_id += 1;
    let idle = world.next_id;
    world.asked.insert(idle);
    world.step(Input::Ask { id: Some(idle), token: None, wish: Wish::Idle });
    assert!(!world.answers.contains_key(&idle), "they have not been said yet");
    world.settle();
    assert!(words.iter().chain([&idle]).all(|id| world.answers.contains_key(id)));
}

/// Guard: `leased` for `Wish::Word` and `Wish::Restore`.
#[test]
fn what_nobody_leased_is_not_done_to_what_a_session_has() {
    let (mut world, _) = transferring(true);
    let restore = |world: &mut World| {
        world.next_id += 1;
        let id = world.next_id;
        world.asked.insert(id);
        world.step(Input::Ask { id: Some(id), token: None, wish: Wish::Restore });
        world.settle();
        world.answers[&id].clone()
    };
    let waits = word(&mut world);
    let refused = |answer: &Answer| matches!(answer, Answer::Said(Err(DeviceError::NotBegun(_))));
    assert!(refused(&restore(&mut world)) && refused(&world.answers[&waits]));
    world.answer(1, Wish::Disconnect);
    // In an epoch that is durable before it.
    assert!(matches!(restore(&mut world), Answer::Said(Ok(_))));
}

#[test]
fn a_word_whose_asker_has_gone_is_ended_and_one_that_waits_is_never_said() {
    let mut world = World::new(true);
    let (said, waits, gone) = (word(&mut world), word(&mut world), word(&mut world));
    assert_eq!(world.act, Some(Act::Word));
    world.step(Input::AskerGone(gone));
    assert!(!world.stopped, "another is being said");
    world.step(Input::AskerGone(said));
    assert!(world.stopped);
    assert!(world.go(Luck::Good));
    assert!(!world.stopped && world.act == Some(Act::Word), "the next one is said");
    assert!(world.go(Luck::Good));
    assert!(matches!(world.answers[&waits], Answer::Said(Ok(_))));
    assert!(world.act.is_none() && !world.answers.contains_key(&gone), "the last one is not");
    // A session's command does not end so: what it did is asked for.
    let (mut world, asked) = transferring(true);
    world.step(Input::AskerGone(asked));
    assert!(!world.stopped);
}
