//! Who has a device: first come, first served; past a farm that stood still; over a stop; and one farm a folder.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand::transport::Client;
use farmhand_api::{EventBody, Job, PhaseName, Request, SessionId, SessionView, Verdict};
use farmhand_records::{DeviceName, FencingToken};
use farmhand_runtime::mono_us;
use farmhand_tests::{
    Daemon, Home, alpha, at_work, beta, flash_once, follow, remembered, repeatable, session, stop, submit,
    until,
};
use rustix::process::Signal;

const DEVICE: &str = "uno-sim";
/// What a lease runs for unless it is renewed (`scheduler/state.rs`), and a second more, in microseconds.
const PAST_A_LEASE_US: u64 = 31_000_000;
/// `Busy`, of the published table of exit codes.
const BUSY: i32 = 6;

/// Goes on until it is let: the word that it waits for never comes.
fn endless() -> Job {
    Job { expect: vec!["never said".into()], ..repeatable(alpha(), None) }
}

async fn reaches(client: &Client, id: SessionId, phase: PhaseName) -> SessionView {
    until("a session comes so far", async || {
        let view = session(client, id).await.unwrap();
        assert_ne!(view.phase, PhaseName::Finished, "{view:?}");
        (view.phase == phase).then_some(view)
    })
    .await
}

/// Whether it has to do with its device.
fn at_device(phase: PhaseName) -> bool {
    !matches!(phase, PhaseName::Preparing | PhaseName::Queued | PhaseName::Leased)
}

fn passed(view: &SessionView) {
    assert_eq!(view.verdict, Some(Verdict::Passed), "{}: {:?}", view.id, view.problem);
}

/// The newest token of the device.
async fn token(home: &Home) -> FencingToken {
    let device = DeviceName::new(DEVICE).unwrap();
    let remembered = remembered(home).await;
    remembered.schedule.tokens.iter().find(|token| token.device == device).unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn first_come_first_served() {
    let home = Home::ready();
    let (mut daemon, client) = Daemon::start(&home).await;
    let first = submit(&client, "first", &endless()).await.unwrap();
    reaches(&client, first, PhaseName::Observing).await;
    let mut waiting = Vec::new();
    for (at, key) in ["second", "third", "fourth"].into_iter().enumerate() {
        let image = if at % 2 == 0 { beta() } else { alpha() };
        let id = submit(&client, key, &repeatable(image, None)).await.unwrap();
        reaches(&client, id, PhaseName::Queued).await;
        // It is queued when its place is durable, not when it says that it wants one.
        let place = until("it is told its place", async || {
            let view = session(&client, id).await.unwrap();
            (!view.detail.is_empty()).then_some(view.detail)
        });
        let behind = waiting.last().copied().unwrap_or(first);
        let place = place.await;
        assert!(
            place.starts_with(&(at + 1).to_string()) && place.ends_with(&format!("behind {behind}")),
            "{place}"
        );
        waiting.push(id);
    }
    client.ask(Request::Cancel(first)).await.unwrap();
    assert_eq!(follow(&client, first).await.unwrap().view.verdict, Some(Verdict::Cancelled));
    let mut granted = Vec::new();
    for &id in &waiting {
        let followed = follow(&client, id).await.unwrap();
        passed(&followed.view);
        let grant =
            followed.events.iter().find(|event| event.body == EventBody::Phase(PhaseName::Leased)).unwrap();
        let end =
            followed.events.iter().find(|event| matches!(event.body, EventBody::Finished { .. })).unwrap();
        granted.push((grant.seq, end.seq));
    }
    for pair in granted.windows(2) {
        assert!(pair[0].1 < pair[1].0, "the next has it only when the last has ended: {granted:?}");
    }
    until("all have given it back", async || (at_work(&client).await.unwrap() == 0).then_some(())).await;
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    assert_eq!(token(&home).await, FencingToken(4), "each grant has a token of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_stood_still_past_a_lease_hands_nothing_off_twice() {
    let home = Home::ready();
    let (mut daemon, client) = Daemon::start(&home).await;
    let holder = submit(&client, "holder", &repeatable(alpha(), None)).await.unwrap();
    // It is stopped in the middle of everything that the first has to do with its device.
    until("the first is at its device", async || {
        let view = session(&client, holder).await.unwrap();
        at_device(view.phase).then_some(())
    })
    .await;
    let next = submit(&client, "next", &repeatable(beta(), None)).await.unwrap();
    let last = submit(&client, "last", &flash_once(alpha(), None)).await.unwrap();
    daemon.signal(Signal::STOP);
    let since = mono_us();
    // A clock that ran on while nobody in the farm did: that is what is tried here.
    until("a lease has run out", async || (mono_us() > since + PAST_A_LEASE_US).then_some(())).await;
    daemon.signal(Signal::CONT);
    let mut attempts = 0;
    for id in [holder, next, last] {
        let view = follow(&client, id).await.unwrap().view;
        passed(&view);
        attempts += u64::from(view.attempt);
    }
    let counted = home.board(DEVICE).counters();
    assert!((3..=attempts).contains(&counted.leaves), "{counted:?} in {attempts} attempts");
    until("all have given it back", async || (at_work(&client).await.unwrap() == 0).then_some(())).await;
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    assert_eq!(remembered(&home).await.leases(), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_ends_soon_and_leaves_the_rest_for_the_next_start() {
    let home = Home::ready();
    let (mut daemon, client) = Daemon::start(&home).await;
    let short = submit(&client, "short", &repeatable(alpha(), None)).await.unwrap();
    reaches(&client, short, PhaseName::Transferring).await;
    let waiting = submit(&client, "waiting", &repeatable(beta(), None)).await.unwrap();
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().await.success(), "a stop is no failure");
    let between = remembered(&home).await;
    assert_eq!(between.verdict(short), Some(Verdict::Passed), "what ends soon is waited for");
    assert_eq!(between.verdict(waiting), None, "nothing is granted by a farm that stops");

    let (mut daemon, client) = Daemon::start(&home).await;
    passed(&follow(&client, waiting).await.unwrap().view);
    // One that does not end soon is stopped as well, and goes on.
    let long = submit(&client, "long", &Job { timeout_ms: 2000, ..endless() }).await.unwrap();
    reaches(&client, long, PhaseName::Observing).await;
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    let between = remembered(&home).await;
    assert_eq!(between.verdict(long), None);
    assert_eq!(between.leases().len(), 1, "it keeps its device meanwhile");

    let (mut daemon, client) = Daemon::start(&home).await;
    let ended = follow(&client, long).await.unwrap().view;
    assert_eq!(ended.verdict, Some(Verdict::Failed), "what it waits for never comes: {:?}", ended.problem);
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_farm_in_a_folder_names_the_first() {
    let home = Home::ready();
    let (mut daemon, client) = Daemon::start(&home).await;
    let mut second = Daemon::spawn(&home, None);
    assert_eq!(second.ended().await.code(), Some(BUSY));
    let words = std::fs::read_to_string(home.words()).unwrap();
    let named = format!("farmhandd (pid {})", daemon.pid());
    assert!(words.contains(&named), "it names {named}: {words}");
    // The first goes on.
    let id = submit(&client, "key", &flash_once(alpha(), None)).await.unwrap();
    passed(&follow(&client, id).await.unwrap().view);
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
}
