//! Each end of a session, and what a person is told of it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic as its tests may")]

mod led;
mod world;

use farmhand_api::{EventBody, LogFrom, LogItem, OnGap, ProblemClass, Settle, Stamp};
use farmhand_messages::device::{Connected, DeviceError, Since};
use farmhand_messages::scheduler::{LeaseLost, Standing};
use farmhand_messages::session::{Outcome, Written};
use farmhand_records::v1::{Goal, HandoffKind, Leave, PartitionStep, Phase, Source, Verdict};
use farmhand_records::{Attempt, Epoch, SessionId};
use farmhand_session::{Act, Input, Session, Trust};
use farmhand_store::Durability;
use world::{Device, problem};

use led::Led;

#[test]
fn what_must_not_be_forgotten_is_marked() {
    let mut led = Led::repeatable().observing();
    led.says("ok", 1, 0);
    led.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(led.ended(), (Verdict::Passed, None));
    assert_eq!(led.saved(|phase| *phase == Phase::HandoffIntended), Durability::Marked);
    assert_eq!(led.saved(|phase| matches!(phase, Phase::HandoffIssued(_))), Durability::Marked);
    assert_eq!(led.saved(|phase| matches!(phase, Phase::Finished(..))), Durability::Marked);
    let phases: Vec<_> = led.saved.iter().map(|(phase, _)| format!("{phase:?}")).collect();
    let order = [
        "Queued",
        "Leased",
        "Connecting",
        "Transferring",
        "HandoffIntended",
        "HandoffIssued",
        "Observing",
        "Finished",
    ];
    assert_eq!(phases.len(), order.len(), "{phases:?}");
    assert!(phases.iter().zip(order).all(|(phase, name)| phase.starts_with(name)), "{phases:?}");
    let finished = led.events.iter().find_map(|event| match event {
        EventBody::Finished { matched, .. } => matched.clone(),
        _ => None,
    });
    assert_eq!(finished.as_deref(), Some("ok"));
}

#[test]
fn a_build_needs_no_device() {
    let mut led = Led::new(world::session(HandoffKind::Repeatable, Goal::Build));
    led.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(led.ended(), (Verdict::Passed, None));
    assert_eq!(led.device.token, 0);
}

#[test]
fn a_compile_error_is_a_failure_of_the_build() {
    let mut led = Led::repeatable();
    led.gives(Outcome::Built(Err(problem(ProblemClass::Build, "F701"))));
    assert_eq!(led.code(), (Verdict::Failed, "F701".into()));
}

#[test]
fn no_device_is_not_tried_again() {
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.job.infra_retries = 3;
    let mut led = Led::new(record);
    led.until(|act| matches!(act, Act::Acquire { .. }));
    led.gives(Outcome::Standing(Err(problem(ProblemClass::NoDevice, "F201"))));
    assert_eq!(led.code(), (Verdict::Infra, "F201".into()));
}

#[test]
fn what_is_ours_is_tried_as_often_as_the_job_says() {
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.job.infra_retries = 2;
    let mut led = Led::new(record);
    for attempt in 1..=3 {
        led.until(|act| matches!(act, Act::Transfer { .. }));
        assert_eq!(led.session.record().attempt, Attempt(attempt));
        led.gives(Outcome::Transferred(Err(DeviceError::Failed(Box::new(problem(
            ProblemClass::Infra,
            "F233",
        ))))));
    }
    assert_eq!(led.code(), (Verdict::Infra, "F233".into()));
}

#[test]
fn a_queue_is_shown_as_people_say_it() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Acquire { .. }));
    led.gives(Outcome::Standing(Ok(Standing::Queued { place: 2, behind: Some(SessionId(9)) })));
    assert_eq!(led.session.view().detail, "2nd, behind s-9");
    led.tick(250);
    assert!(matches!(led.acts.front(), Some((_, Act::Acquire { .. }))), "it asks again by itself");
}

#[test]
fn not_seen_in_time_shows_what_came_closest() {
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.id = SessionId(3);
    record.job.expect = vec!["blink 3".into()];
    let mut led = Led::new(record).observing();
    let cause = farmhand_api::EpochCause::Handoff(SessionId(3));
    led.item(LogItem::EpochBegan { offset: 0, epoch: Epoch(1), stamp: Stamp::default(), cause });
    led.says("blink 1\r\n", 1, 1_000_000);
    led.says("blimk 3\r\n", 1, 18_200_000);
    led.passes(1000);
    assert_eq!(led.session.view().detail, "1/20 s");
    led.until_time_is_up();
    assert!(led.session.record().observed.elapsed_ms >= 20_000);
    led.gives(Outcome::Reached(led.device.offset));
    assert_eq!(*led.phase(), Phase::Observing);
    led.tick(250);
    let (verdict, problem) = led.ended();
    let problem = problem.unwrap();
    assert_eq!((verdict, problem.code.as_str()), (Verdict::Failed, "F101"));
    assert_eq!(problem.message, r#""blink 3" not seen within 20 s"#);
    assert_eq!(problem.detail, ["closest, +18.2 s, epoch 1: | blimk 3"]);
    assert_eq!(problem.help, ["farmhand logs s-3"]);
    assert_eq!(problem.place.map(|place| (place.line, place.column)), Some((5, 11)));
}

#[test]
fn a_machine_that_slept_did_not_observe() {
    let mut led = Led::repeatable().observing();
    led.tick(3_600_000);
    assert_eq!(*led.phase(), Phase::Observing);
    assert!(led.session.record().observed.elapsed_ms <= 250);
}

#[test]
fn time_counts_only_once_the_output_is_read() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Observe { .. }));
    led.tick(250);
    assert_eq!(led.session.record().observed.elapsed_ms, 0);
    led.take(Input::Outcome { step: led.session.stream().unwrap(), outcome: Box::new(Outcome::Subscribed) });
    led.tick(250);
    assert_eq!(led.session.record().observed.elapsed_ms, 250);
}

#[test]
fn what_was_recorded_in_time_is_judged_before_the_time_is_up() {
    // It waits in the port, or in a mailbox, while the farm is stopped.
    let mut led = Led::repeatable().observing();
    led.until_time_is_up();
    led.gives(Outcome::Reached(2));
    led.passes(2000);
    assert_eq!(*led.phase(), Phase::Observing, "the stream is not so far");
    led.says("ok", 1, 0);
    led.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(led.ended(), (Verdict::Passed, None));
    // It does not come, or the recorder cannot be asked: a fault of ours.
    let mut led = Led::repeatable().observing();
    led.until_time_is_up();
    led.gives(Outcome::Reached(2));
    for _ in 0..41 {
        led.tick(250);
        led.acts.retain(|(_, act)| !matches!(act, Act::Renew { .. }));
    }
    assert_eq!(led.code(), (Verdict::Infra, "F307".into()));
    let mut led = Led::repeatable().observing();
    led.until_time_is_up();
    led.gives(Outcome::Lost("no answer in time".into()));
    assert_eq!(led.code(), (Verdict::Infra, "F307".into()));
}

#[test]
fn a_recorder_that_gives_nothing_is_a_fault_of_ours() {
    let mut led = Led::repeatable();
    for _ in 0..4 {
        led.until(|act| matches!(act, Act::Observe { .. }));
        led.gives(Outcome::OutputEnded);
    }
    assert_eq!(led.code(), (Verdict::Infra, "F307".into()));
}

#[test]
fn what_must_not_be_seen_is_a_failure() {
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.job.fail_on = vec!["panic".into()];
    let mut led = Led::new(record).observing();
    led.says("kernel panic\r\nok\r\n", 1, 0);
    assert_eq!(led.code(), (Verdict::Failed, "F103".into()));
}

#[test]
fn other_epochs_earn_nothing() {
    let mut led = Led::repeatable().observing();
    led.says("ok", 0, 0);
    assert_eq!(*led.phase(), Phase::Observing);
    let cause = farmhand_api::EpochCause::Itself("watchdog".into());
    led.item(LogItem::EpochBegan { offset: 2, epoch: Epoch(2), stamp: Stamp::default(), cause });
    assert_eq!(led.code(), (Verdict::Failed, "F102".into()));
}

#[test]
fn a_restart_that_only_the_device_saw_is_no_pass() {
    let mut led = Led::repeatable().observing();
    led.says("ok", 1, 0);
    led.until(|act| matches!(act, Act::Confirm { .. }));
    led.gives(Outcome::Confirmed(Ok(Some(Since::Itself("watchdog".into())))));
    assert_eq!(led.code(), (Verdict::Failed, "F102".into()));
}

#[test]
fn an_epoch_that_ended_for_our_reasons_is_a_gap_and_no_failure() {
    let began = |epoch, cause| LogItem::EpochBegan { offset: 2, epoch, stamp: Stamp::default(), cause };
    for kind in [HandoffKind::Repeatable, HandoffKind::Once] {
        let mut led = Led::new(world::session(kind, Goal::Run)).observing();
        led.says("ok", 1, 0);
        led.until(|act| matches!(act, Act::Confirm { .. }));
        // All was recorded and is replayed: what came behind it is the device's to say.
        led.item(LogItem::Gap { offset: 2, stamp: Stamp::default(), why: "the farm was dead".into() });
        led.item(began(Epoch(2), farmhand_api::EpochCause::Opened));
        led.item(began(Epoch(3), farmhand_api::EpochCause::Itself("power".into())));
        assert_eq!(*led.phase(), Phase::Observing);
        led.gives(Outcome::Confirmed(Ok(Some(Since::Gone("the port was opened".into())))));
        if kind == HandoffKind::Once {
            assert_eq!(led.code(), (Verdict::Unknown, "F304".into()));
        } else {
            assert_eq!((led.phase(), led.session.record().attempt), (&Phase::Connecting, Attempt(2)));
        }
    }
}

#[test]
fn a_gap_means_what_the_job_says() {
    let gap = || LogItem::Gap { offset: 0, stamp: Stamp::default(), why: "closed".into() };
    let mut led = Led::repeatable().observing();
    led.item(gap());
    assert_eq!((led.phase(), led.session.record().attempt), (&Phase::Connecting, Attempt(2)));
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.job.on_gap = OnGap::Unknown;
    let mut led = Led::new(record).observing();
    led.item(gap());
    assert_eq!(led.code(), (Verdict::Unknown, "F304".into()));
    let act = led.until(|act| matches!(act, Act::Release { .. }));
    assert!(matches!(act, Act::Release { quarantine: None, .. }), "its state is known");
}

#[test]
fn an_intent_that_came_to_nothing_is_a_new_attempt_a_few_times() {
    for kind in [HandoffKind::Once, HandoffKind::Repeatable] {
        let mut led = Led::new(world::session(kind, Goal::Run));
        for attempt in 1..=4 {
            led.until(|act| matches!(act, Act::Handoff { .. }));
            assert_eq!(led.session.record().attempt, Attempt(attempt));
            led.gives(Outcome::HandedOff(Err(DeviceError::LoaderTimedOut { why: "it gave up".into() })));
        }
        assert_eq!(led.code(), (Verdict::Infra, "F308".into()));
    }
}

#[test]
fn once_is_not_repeated_without_proof() {
    let mut led = Led::new(world::session(HandoffKind::Once, Goal::Run));
    led.until(|act| matches!(act, Act::Handoff { .. }));
    led.gives(Outcome::Lost("no answer in time".into()));
    led.until(|act| matches!(act, Act::Evidence { .. }));
    led.gives(Outcome::Evidence(Ok(farmhand_records::v1::Evidence::Unknown("silence".into()))));
    let problem = led.ended().1.unwrap();
    assert_eq!(problem.message, "cannot prove whether uno-1 booted; not repeated");
    assert!(problem.help.contains(&"yes:  farmhand resume s-7 --booted".to_owned()), "{problem:?}");
    assert!(problem.help.contains(&"no:   farmhand resume s-7 --not-booted".to_owned()), "{problem:?}");
    let act = led.until(|act| matches!(act, Act::Release { .. }));
    let Act::Release { quarantine: Some(quarantine), .. } = act else { panic!("{act:?}") };
    assert_eq!(quarantine.session, Some(SessionId(7)));
}

#[test]
fn cancelled_before_the_intent_it_ends_at_once() {
    let stops: [fn(&Act) -> bool; 4] = [
        |act| matches!(act, Act::Build),
        |act| matches!(act, Act::Acquire { .. }),
        |act| matches!(act, Act::Plan { .. }),
        |act| matches!(act, Act::Connect { .. }),
    ];
    for stop in stops {
        let mut led = Led::repeatable();
        led.until(stop);
        led.take(Input::Cancel);
        assert_eq!(led.code(), (Verdict::Cancelled, "F130".into()));
        led.until(|act| matches!(act, Act::End));
        assert!(!led.device.leased, "a grant that came late is given back");
        assert_eq!(led.device.total(), 0);
    }
}

/// A transfer that is cancelled goes on for as long as its device does not say that it has ended it.
///
/// Guard: the arms of `Phase::Transferring` in `Session::cancel`.
#[test]
fn cancelled_in_a_transfer_the_device_ends_that_first() {
    let stops: [fn(&Act) -> bool; 2] =
        [|act| matches!(act, Act::Transfer { .. }), |act| matches!(act, Act::Reserve { .. })];
    for stop in stops {
        let mut led = Led::repeatable();
        led.until(stop);
        led.take(Input::Cancel);
        assert_eq!(*led.phase(), Phase::Transferring, "it has not ended yet");
        assert!(led.session.record().cancel, "and will not be begun anew");
        let (late, _) = led.acts.pop_front().unwrap();
        // What the device says to the transfer is of no use, and a second cancel changes nothing.
        let outcome = Box::new(Outcome::Transferred(Err(DeviceError::Fenced)));
        led.take(Input::Outcome { step: late, outcome });
        led.take(Input::Cancel);
        for _ in 0..3 {
            led.until(|act| matches!(act, Act::Stop { .. }));
            led.gives(Outcome::Lost("did not answer in time".into()));
            assert_eq!(*led.phase(), Phase::Transferring, "it may still be written to");
        }
        led.tick(60_000);
        // The device is asked again first, at this tick.
        led.tick(1);
        let renews = led.acts.iter().any(|(_, act)| matches!(act, Act::Renew { intent: true, .. }));
        assert!(renews, "nobody else is given it meanwhile: {:?}", led.acts);
        led.until(|act| matches!(act, Act::Stop { .. }));
        let written = Written { done: vec!["misc".into(), "boot".into()], begun: Some("userdata".into()) };
        led.gives(Outcome::Stopped(written));
        let (verdict, problem) = led.ended();
        let problem = problem.unwrap();
        assert_eq!((verdict, problem.code.as_str()), (Verdict::Cancelled, "F130"));
        assert!(problem.detail.iter().any(|line| line.ends_with("misc, boot")), "{problem:?}");
        assert!(problem.detail.iter().any(|line| line.contains("userdata was begun")), "{problem:?}");
        led.until(|act| matches!(act, Act::End));
        assert!(!led.device.leased);
        assert_eq!(led.device.total(), 0);
    }
}

/// Guard: `Session::begin` asks `is_stopping` first.
#[test]
fn a_transfer_that_was_cancelled_is_not_begun_again_after_a_crash() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.take(Input::Cancel);
    let durable = led.session.record().clone();
    let mut again = Led::of(Session::recover(durable, Trust::Exact));
    again.device = led.device.clone();
    let act = again.until(|act| matches!(act, Act::Stop { .. } | Act::Transfer { .. } | Act::Acquire { .. }));
    assert!(matches!(act, Act::Stop { .. }), "{act:?}");
    again.until(|act| matches!(act, Act::End));
    assert_eq!(again.code(), (Verdict::Cancelled, "F130".into()));
}

/// The lease runs out while the device is asked to end it: it ends all the same, and does not queue again.
#[test]
fn a_lease_that_is_lost_while_a_transfer_is_ended_changes_nothing() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.take(Input::Cancel);
    led.tick(60_000);
    let (step, renew) = led.acts.pop_back().unwrap();
    assert!(matches!(renew, Act::Renew { .. }), "{renew:?}");
    led.take(Input::Outcome { step, outcome: Box::new(Outcome::Renewed(Err(LeaseLost::Fenced))) });
    assert_eq!(*led.phase(), Phase::Transferring);
    led.acts.pop_front();
    led.until(|act| matches!(act, Act::End));
    assert_eq!(led.code(), (Verdict::Cancelled, "F130".into()));
}

/// A session that has ended keeps its device until that has given up what it does.
///
/// Guard: `keep_lease` renews a lease that is not given back yet.
#[test]
fn a_device_that_does_not_give_up_is_kept_and_asked_again() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.gives(Outcome::Transferred(Err(DeviceError::Failed(Box::new(problem(ProblemClass::Infra, "F9"))))));
    led.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(led.code(), (Verdict::Infra, "F9".into()));
    for _ in 0..3 {
        led.tick(20_000);
        let (step, renew) = led.acts.pop_back().unwrap();
        assert!(matches!(renew, Act::Renew { intent: true, .. }), "{renew:?}");
        led.take(Input::Outcome { step, outcome: Box::new(Outcome::Renewed(Ok(()))) });
        led.gives(Outcome::Lost("did not answer in time".into()));
        led.passes(1000);
        assert!(matches!(led.acts.front(), Some((_, Act::Release { .. }))), "{:?}", led.acts);
    }
    led.until(|act| matches!(act, Act::End));
    assert!(!led.device.leased);
}

#[test]
fn cancelled_after_the_intent_the_handoff_is_resolved_first() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Handoff { .. }));
    led.take(Input::Cancel);
    assert_eq!(*led.phase(), Phase::HandoffIntended);
    assert!(led.session.record().cancel);
    led.until(|act| matches!(act, Act::Release { .. }));
    assert!(led.saved.iter().any(|(phase, _)| matches!(phase, Phase::HandoffIssued(_))));
    assert_eq!(led.code(), (Verdict::Cancelled, "F130".into()));
}

#[test]
fn a_restarted_actor_reads_on_from_where_it_judged() {
    let mut record = world::session(HandoffKind::Repeatable, Goal::Run);
    record.job.expect = vec!["one".into(), "two".into()];
    let mut led = Led::new(record).observing();
    led.device.offset = 1_000_000;
    led.says("..one..", 1, 0);
    let durable = led.session.record().clone();
    assert_eq!((durable.observed.matched, durable.observed.offset), (1, 1_000_005));
    let mut again = Led::of(Session::recover(durable, Trust::Exact));
    again.device = led.device.clone();
    let act = again.until(|act| matches!(act, Act::Observe { .. }));
    let window = farmhand_session::WINDOW_BYTES as u64;
    assert_eq!(act, Act::Observe { device: Device::name(), from: LogFrom::Offset(1_000_005 - window) });
    again.gives(Outcome::Subscribed);
    again.device.offset = 1_000_000;
    again.says("..one..", 1, 0);
    assert_eq!(*again.phase(), Phase::Observing, "the first is not matched twice");
    again.says("two", 1, 0);
    again.until(|act| matches!(act, Act::Release { .. }));
    assert_eq!(again.ended(), (Verdict::Passed, None));
}

#[test]
fn a_store_that_went_back_makes_every_phase_ambiguous() {
    let mut led = Led::new(world::session(HandoffKind::Once, Goal::Run));
    led.until(|act| matches!(act, Act::Transfer { .. }));
    let durable = led.session.record().clone();
    let mut again = Led::of(Session::recover(durable.clone(), Trust::Behind));
    again.until(|act| matches!(act, Act::Evidence { .. } | Act::Connect { .. }));
    assert!(
        matches!(again.acts.front(), Some((_, Act::Evidence { .. }))),
        "the device is asked before it is opened"
    );
    again.gives(Outcome::Evidence(Ok(farmhand_records::v1::Evidence::Unknown("silence".into()))));
    assert_eq!(again.code(), (Verdict::Unknown, "F301".into()));

    let mut repeatable = durable;
    repeatable.handoff = HandoffKind::Repeatable;
    let mut again = Led::of(Session::recover(repeatable, Trust::Behind));
    again.until(|act| matches!(act, Act::Evidence { .. }));
    again.gives(Outcome::Evidence(Ok(farmhand_records::v1::Evidence::Unknown("silence".into()))));
    assert!(again.session.record().attempt > Attempt(2), "numbers that may have been used are passed over");
    assert!(
        again
            .events
            .iter()
            .any(|event| matches!(event, EventBody::Note(text) if text.contains("cannot prove")))
    );
}

#[test]
fn a_session_that_was_cancelled_in_doubt_ends_once_nothing_is_in_doubt() {
    let mut led = Led::new(world::session(HandoffKind::Repeatable, Goal::Run));
    led.until(|act| matches!(act, Act::Plan { .. }));
    let mut in_doubt = Led::of(Session::recover(led.session.record().clone(), Trust::Behind));
    in_doubt.take(Input::Cancel);
    let durable = in_doubt.session.record().clone();
    assert!(durable.cancel, "what is in doubt is resolved first");

    let mut again = Led::of(Session::recover(durable, Trust::Exact));
    let act = again.until(|act| matches!(act, Act::Release { .. } | Act::Acquire { .. }));
    assert!(matches!(act, Act::Release { .. }), "{act:?}");
    assert_eq!(again.code().0, Verdict::Cancelled);
}

#[test]
fn a_handoff_that_the_device_refused_is_not_said_again() {
    let mut led = Led::new(world::session(HandoffKind::Once, Goal::Run));
    led.until(|act| matches!(act, Act::Handoff { .. }));
    led.gives(Outcome::HandedOff(Err(DeviceError::Failed(Box::new(problem(ProblemClass::Infra, "F259"))))));
    led.until(|act| matches!(act, Act::End));
    assert_eq!(led.code(), (Verdict::Infra, "F259".into()), "in the device's own words");
    assert_eq!(led.session.record().attempt, Attempt(1));
}

#[test]
fn a_step_before_the_handoff_that_may_have_been_done_is_not_guessed_at() {
    let mut led = Led::new(world::session(HandoffKind::Once, Goal::Flash));
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.gives(Outcome::Transferred(Err(DeviceError::Ambiguous("userdata was begun".into()))));
    led.until(|act| matches!(act, Act::End));
    assert_eq!(led.code(), (Verdict::Unknown, "F301".into()));
}

#[test]
fn a_partition_that_may_have_been_written_is_written_again_at_a_persons_word_alone() {
    let mut record = world::session(HandoffKind::Once, Goal::Flash);
    let steps = vec![PartitionStep::Erase("userdata".into())];
    record.job.build.source = Source::Partitions(steps, Leave::Stay);
    let mut led = Led::new(record);
    led.until(|act| matches!(act, Act::Transfer { .. }));
    led.gives(Outcome::Transferred(Err(DeviceError::Ambiguous("userdata was begun".into()))));
    led.until(|act| matches!(act, Act::Release { .. }));
    let (_, problem) = led.ended();
    assert!(problem.unwrap().message.contains("a partition"));
    led.gives(Outcome::Released);
    let mut led = Led::of(Session::recover(led.session.record().clone(), Trust::Exact));
    led.take(Input::Settle(Settle::Booted));
    assert!(matches!(led.phase(), Phase::Finished(..)), "that would pass over the steps behind it");
    led.take(Input::Settle(Settle::NotBooted));
    let Act::Transfer { attempt, .. } = led.until(|act| matches!(act, Act::Transfer { .. })) else {
        panic!()
    };
    assert_eq!(attempt, Attempt(2), "so that the device knows that it was settled");
}

#[test]
fn what_is_expected_of_a_device_that_says_nothing_is_refused_before_anything_is_done() {
    let mut led = Led::repeatable();
    led.until(|act| matches!(act, Act::Connect { .. }));
    let (identity, epoch, holding) = (None, Epoch(1), None);
    let mute = Connected { identity, epoch, holding, virtual_: false, console: false };
    led.gives(Outcome::Connected(Ok(mute)));
    assert_eq!(led.ended().1.unwrap().code, "F132");
}
