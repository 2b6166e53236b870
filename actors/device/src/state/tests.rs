//! The machine in a world that carries out what it says, loses answers, and crashes at every boundary.

mod emulated;
mod plans;
mod stops;
mod world;

use std::collections::BTreeMap;

use farmhand_records::v1::Holding;

use super::*;
use farmhand_records::{Attempt, ContentHash, PlanHash, SessionId};
use world::{Luck, World};

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
fn a_stay_is_of_one_try_and_no_other_is_handed_off_from_it() {
    for virtual_ in [false, true] {
        let (of, other) = (a_try(1, 1), a_try(1, 2));
        let (mut world, epoch) = in_loader(virtual_, of);
        let refused = world.answer(1, Wish::Handoff { of: other, epoch });
        assert!(matches!(refused, Answer::HandedOff(Err(DeviceError::Ambiguous(_)))), "{refused:?}");
        assert!(world.issued.is_empty(), "{:?}", world.issued);
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
        Answer::HandedOff(Err(DeviceError::LoaderTimedOut { why: "it gave up".into() }))
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
    let by_itself = Answer::Confirmed(Ok(Some(Since::Itself("the watchdog".into()))));
    assert_eq!(world.answer(1, Wish::Confirm { epoch }), by_itself);
    assert!(world.recording > epoch);
    // It stays the device's own doing, however often it is asked, and until somebody else ends what runs.
    let again = world.answer(1, Wish::Confirm { epoch });
    assert!(matches!(again, Answer::Confirmed(Ok(Some(Since::Itself(_))))), "{again:?}");
    // The same start, seen by the one who watches.
    let newest = world.recording;
    world.step(Input::Ask { id: None, token: None, wish: Wish::Note { starts: 4, cause: "w".into() } });
    world.settle();
    assert_eq!(world.recording, newest);
}

#[test]
fn a_handoff_whose_epoch_is_not_recorded_has_the_port_looked_at() {
    for recorded in [true, false] {
        let of = a_try(1, 1);
        let (mut world, epoch) = in_loader(true, of);
        let older = world.recording;
        let id = world.ask(1, Wish::Handoff { of, epoch });
        assert!(matches!(world.act.take(), Some(Act::Leave { .. })));
        world.starts += 1;
        let starts = world.counts();
        world.reopens = 0;
        let left = Left::Acknowledged { said: "ok".into(), starts, recorded };
        world.step(Input::Ended(Box::new(Outcome::Left(left))));
        world.settle();
        assert!(handed_off(&world.answers[&id]), "it was done all the same");
        assert_eq!(world.reopens, u32::from(!recorded));
        world.step(Input::Ask { id: None, token: None, wish: Wish::Reopen });
        let known = Some((epoch, starts));
        let looks = matches!(&world.act, Some(Act::Open { known: found, .. }) if *found == known);
        assert_eq!(looks, !recorded, "{:?}", world.act);
        if !recorded {
            // The older epoch is not known to go on: another begins, and the owner of the right one hears of it.
            world.settle();
            assert!(world.recording > epoch && older < epoch);
            assert!(gone(&world.answer(1, Wish::Confirm { epoch })));
        }
    }
}

/// Whether the answer says that the epoch ended, and not by the device's own doing.
fn gone(answer: &Answer) -> bool {
    matches!(answer, Answer::Confirmed(Ok(Some(Since::Gone(_)))))
}

#[test]
fn an_epoch_that_we_ended_or_lost_is_no_start_by_itself() {
    for virtual_ in [false, true] {
        let of = a_try(1, 1);
        // The farm was dead, and the board was started anew or its port was opened.
        let (mut world, epoch) = in_loader(virtual_, of);
        world.answer(1, Wish::Handoff { of, epoch });
        world.crash(false);
        world.starts = 0;
        world.begin(Epoch(50));
        world.disk.as_mut().unwrap().epoch = Epoch(50);
        world.crash(false);
        let answer = world.answer(1, Wish::Confirm { epoch });
        assert!(gone(&answer), "opened: {answer:?}");
        // What the device does by itself behind that is no news of the epoch that was ended before.
        if virtual_ {
            world.starts += 1;
            assert!(matches!(
                world.answer(1, Wish::Confirm { epoch: world.recording }),
                Answer::Confirmed(Ok(Some(Since::Itself(_))))
            ));
            let answer = world.answer(1, Wish::Confirm { epoch });
            assert!(gone(&answer), "opened, then by itself: {answer:?}");
        }
        // Reset into the loader, for the next attempt.
        let (mut world, epoch) = in_loader(virtual_, of);
        world.answer(1, Wish::Handoff { of, epoch });
        world.transfer(1, a_try(1, 2));
        assert!(gone(&world.answer(1, Wish::Confirm { epoch })), "in the loader");
    }
    // The board ended, or another answers in its place.
    let of = a_try(1, 1);
    let (mut world, epoch) = in_loader(true, of);
    world.answer(1, Wish::Handoff { of, epoch });
    let id = world.ask(1, Wish::Confirm { epoch });
    world.go(Luck::Lost);
    assert!(gone(&world.answers[&id]), "{:?}", world.answers[&id]);
    let (mut world, epoch) = in_loader(true, of);
    world.answer(1, Wish::Handoff { of, epoch });
    world.starts = 1;
    assert!(gone(&world.answer(1, Wish::Confirm { epoch })), "another board");
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
