//! The lease, and the queue for it: lost, renewed, given anew.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as its tests may")]

mod led;
mod world;

use farmhand_api::{LogFrom, LogItem, ProblemClass, Stamp};
use farmhand_messages::device::DeviceError;
use farmhand_messages::scheduler::{LeaseLost, Standing};
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{Goal, HandoffKind, Phase, Verdict};
use farmhand_records::{Attempt, Epoch, SessionId};
use farmhand_session::{Act, Input, Session, Trust};
use world::problem;

use led::Led;

#[test]
fn a_lease_that_is_lost_before_the_intent_queues_again() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.tick(60_000);
    let (step, renew) = led.acts.pop_back().unwrap();
    assert!(matches!(renew, Act::Renew { .. }), "{renew:?}");
    let outcome = Box::new(Outcome::Renewed(Err(LeaseLost::Fenced)));
    led.take(Input::Outcome { step, outcome });
    assert_eq!(*led.phase(), Phase::Queued);
    led.gives(Outcome::Transferred(Err(DeviceError::Fenced)));
    assert_eq!(*led.phase(), Phase::Queued, "what came late changes nothing");
}

/// The lease is lost while the output is read: the scheduler says so at the next renewal.
fn lease_lost(led: &mut Led) {
    led.tick(60_000);
    let (step, renew) = led.acts.pop_back().unwrap();
    assert!(matches!(renew, Act::Renew { .. }), "{renew:?}");
    led.take(Input::Outcome { step, outcome: Box::new(Outcome::Renewed(Err(LeaseLost::Unknown))) });
}

#[test]
fn a_newer_lease_in_the_middle_of_an_observation_is_shown_to_the_device_first() {
    let mut led = Led::repeatable().observing();
    led.says("o", 1, 0);
    lease_lost(&mut led);
    led.device.leased = false;
    led.until(|act| matches!(act, Act::Acquire { .. }));
    let older = led.session.record().lease.clone().unwrap().token;
    let outcome = led.device.act(&led.acts[0].1.clone(), true);
    led.gives(outcome);
    let Some((_, Act::Connect { lease })) = led.acts.front() else { panic!("{:?}", led.acts) };
    assert!(lease.token > older, "{lease:?}");
    let act = led.until(|act| matches!(act, Act::Observe { .. }));
    assert!(matches!(act, Act::Observe { from: LogFrom::Offset(1), .. }), "{act:?}");
    led.gives(Outcome::Subscribed);
    led.says("k", 1, 0);
    led.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(led.ended(), (Verdict::Passed, None));
}

#[test]
fn what_was_all_seen_is_confirmed_again_under_whichever_lease() {
    for newer in [false, true] {
        let mut led = Led::repeatable().observing();
        led.says("ok", 1, 0);
        led.until(|act| matches!(act, Act::Confirm { .. }));
        led.gives(Outcome::Confirmed(Err(DeviceError::Fenced)));
        led.device.leased = !newer;
        if newer {
            let act = led.until(|act| matches!(act, Act::Connect { .. } | Act::Reach { .. }));
            assert!(matches!(act, Act::Connect { .. }), "{act:?}");
        }
        let asked = led.until(|act| matches!(act, Act::Confirm { .. } | Act::Reach { .. }));
        assert!(matches!(asked, Act::Confirm { .. }), "at once, and not when its time is up: {asked:?}");
        led.until(|act| matches!(act, Act::Release { .. }));
        assert_eq!(led.ended(), (Verdict::Passed, None));
    }
}

#[test]
fn a_device_that_went_away_is_waited_for_and_one_that_was_never_there_is_not() {
    let absent =
        || Outcome::Connected(Err(DeviceError::NotBegun(Box::new(problem(ProblemClass::NoDevice, "F223")))));
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Connect { .. }));
    led.gives(absent());
    assert_eq!(led.code(), (Verdict::Infra, "F223".into()));
    let mut led = Led::repeatable().observing();
    led.item(LogItem::Gap { offset: 0, stamp: Stamp::default(), why: "the port vanished".into() });
    for _ in 0..3 {
        led.until(|act| matches!(act, Act::Connect { .. }));
        led.gives(absent());
    }
    led.until(|act| matches!(act, Act::Observe { .. }));
    assert_eq!(led.session.record().attempt, Attempt(2));
}

#[test]
fn an_actor_that_may_be_another_is_asked_to_connect_before_its_output_is_read() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Handoff { .. }));
    led.gives(Outcome::Lost("it ended".into()));
    led.until(|act| matches!(act, Act::Evidence { .. }));
    led.device.start(Attempt(1), Epoch(1));
    let act = led.until(|act| matches!(act, Act::Connect { .. } | Act::Observe { .. }));
    assert!(matches!(act, Act::Connect { .. }), "{act:?}");
}

#[test]
fn who_waits_in_the_queue_asks_with_how_it_stands_and_takes_no_time() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Acquire { .. }));
    let queued = |place| Outcome::Standing(Ok(Standing::Queued { place, behind: Some(SessionId(9)) }));
    for place in [2, 1] {
        led.gives(queued(place));
        let Some((_, Act::Acquire { seen, .. })) = led.acts.front() else { panic!("{:?}", led.acts) };
        assert_eq!(*seen, Some((place, Some(SessionId(9)))));
        assert!(led.session.is_still(), "no clock is needed for this");
    }
    // Cancelled, it goes at once, though what it asked for is not answered.
    led.take(Input::Cancel);
    assert!(matches!(led.acts[1].1, Act::Release { lease: None, .. }), "{:?}", led.acts);
    led.gives(queued(1));
    led.until(|act| matches!(act, Act::End));
}

#[test]
fn an_unresolved_handoff_is_said_with_the_renewal() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Handoff { .. }));
    led.tick(60_000);
    assert!(matches!(led.acts.back(), Some((_, Act::Renew { intent: true, .. }))));
}

#[test]
fn no_renewal_takes_back_an_intent_that_was_said() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Connect { .. }));
    led.tick(60_000);
    let (renewal, renew) = led.acts.pop_back().unwrap();
    assert!(matches!(renew, Act::Renew { intent: false, .. }), "{renew:?}");
    led.until(|act| matches!(act, Act::Transfer { .. }));
    let outcome = led.device.act(&led.acts[0].1.clone(), true);
    led.gives(outcome);
    for _ in 0..4 {
        led.tick(250);
        assert!(led.acts.is_empty(), "the renewal is waited for: {:?}", led.acts);
    }
    led.take(Input::Outcome { step: renewal, outcome: Box::new(Outcome::Renewed(Ok(()))) });
    led.tick(250);
    assert!(matches!(led.acts.front(), Some((_, Act::Reserve { .. }))));
    led.tick(60_000);
    assert!(matches!(led.acts.back(), Some((_, Act::Renew { intent: true, .. }))), "{:?}", led.acts);
}

/// The store went back behind an intent. Whatever goes wrong on the way, and whoever cancels, the device is asked before
/// anything is done to it.
#[test]
fn doubt_outlives_what_goes_wrong_before_the_device_is_asked() {
    for phase in [Phase::Queued, Phase::Leased, Phase::Connecting, Phase::Transferring] {
        let kinds = [HandoffKind::Once, HandoffKind::Repeatable];
        for (kind, cancelled) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let mut record = world::session(kind, Goal::Run);
            record.job.infra_retries = 1;
            let mut first = Led::new(record);
            first.until(|act| matches!(act, Act::Transfer { .. }));
            let mut record = first.session.record().clone();
            record.phase = phase.clone();
            let mut led = Led::of(Session::recover(record, Trust::Behind));
            led.device = first.device;
            led.until(|act| matches!(act, Act::Acquire { .. }));
            led.gives(Outcome::Standing(Err(problem(ProblemClass::Infra, "X"))));
            if cancelled {
                led.take(Input::Cancel);
            }
            let does = |act: &Act| {
                matches!(
                    act,
                    Act::Evidence { .. } | Act::Transfer { .. } | Act::Handoff { .. } | Act::Release { .. }
                )
            };
            let next = led.until(does);
            assert!(matches!(next, Act::Evidence { .. }), "{phase:?}, cancelled: {cancelled}: {next:?}");
        }
    }
}
