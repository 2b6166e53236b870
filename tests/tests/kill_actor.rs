//! Kill an actor anywhere: one hook makes any handler panic, at any message. It is restarted from its snapshot with a
//! new incarnation, the session ends right, and the session beside it never notices.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand::transport::{Client, Reply};
use farmhand::{Chaos, ChaosRole, DeviceEntry, FarmConfig};
use farmhand_api::{EpochCause, Event, EventBody, Item, Request, Verdict};
use farmhand_records::DeviceName;
use farmhand_tests::{
    Followed, Home, Image, InProcess, UNO, alpha, beta, devices, epochs_of, follow, or_hang, repeatable,
    submit, until,
};
use tokio::sync::watch;

/// The devices, one a session.
const DEVICES: [&str; 2] = ["uno-1", "uno-2"];
/// More messages than any actor handles in these sessions: to come here is a hook that strikes for ever.
const MESSAGES_MAX: u32 = 1000;

fn config(home: &Home, chaos: &Chaos) -> FarmConfig {
    let entry = |name: &str| DeviceEntry {
        name: DeviceName::new(name).unwrap(),
        board: UNO.into(),
        driver: farmhand::VIRTUAL_UNO.into(),
        matching: farmhand::Match::default(),
        count: None,
        allow: Vec::new(),
        console: None,
    };
    let devices = DEVICES.into_iter().map(entry).collect();
    FarmConfig { devices, chaos: chaos.clone(), ..FarmConfig::new(home.path()) }
}

/// Panics at the first message of `role` from the sessions' start on, at the second, and so on, each in a farm of its
/// own on the same boards, until the sessions end before it comes to that.
async fn strike_everywhere(role: ChaosRole) {
    let home = Home::ready();
    let mut strikes = 0;
    for nth in step_through() {
        // Another image each time, so that there is something to write.
        let (one, other) = if nth % 2 == 0 { (alpha(), beta()) } else { (beta(), alpha()) };
        let before = DEVICES.map(|device| home.board(device).counters().leaves);
        let chaos = Chaos::armable();
        let farm = InProcess::start(config(&home, &chaos)).await;
        let client = farm.client().await;
        let mut told = watch(&client).await;
        chaos.arm(role, nth);
        let (first, second) =
            tokio::join!(whole(&client, one, DEVICES[0]), whole(&client, other, DEVICES[1]));
        let struck = !chaos.is_armed(role);
        // Not by what follows, when nobody watches any more.
        chaos.arm(role, 0);
        for (at, followed) in [&first, &second].into_iter().enumerate() {
            let (view, device) = (&followed.view, DEVICES[at]);
            let what = format!("{role:?} struck at message {nth}: {}", view.id);
            assert_eq!(view.verdict, Some(Verdict::Passed), "{what}: {:?}", view.problem);
            let leaves = home.board(device).counters().leaves - before[at];
            assert!(
                leaves >= 1 && leaves <= u64::from(view.attempt),
                "{what}: {leaves} in {} attempts",
                view.attempt
            );
            let epochs = epochs_of(&client, device).await.unwrap();
            let owned = epochs.get(&view.epoch.unwrap());
            assert_eq!(owned, Some(&EpochCause::Handoff(view.id)), "{what}");
        }
        if struck {
            strikes += 1;
            restarted(&mut told, role, nth, [&first, &second]).await;
        }
        free(&client).await;
        let more = restarts(&told.borrow()).len();
        assert!(
            more <= names(role).len(),
            "{role:?} struck at message {nth}: {:?}",
            restarts(&told.borrow())
        );
        farm.stop().await;
        if !struck {
            eprintln!("{role:?}: struck {strikes} times, up to its message {nth}");
            assert!(strikes > 0, "nobody ever spoke to {role:?}");
            return;
        }
    }
    panic!("{role:?} was struck {strikes} times, and never not");
}

/// All of the first, where a session is made and handed off, and every seventh of the many that follow: chunks and ticks.
fn step_through() -> impl Iterator<Item = u32> {
    (1..=40).chain((41..MESSAGES_MAX).step_by(7))
}

/// A session from its wish to its end.
async fn whole(client: &Client, image: &Image, device: &str) -> Followed {
    let key = format!("{} on {device}", farmhand_runtime::mono_us());
    let id = submit(client, &key, &repeatable(image, Some(device))).await.unwrap();
    follow(client, id).await.unwrap()
}

/// Who is restarted when that actor panics.
fn names(role: ChaosRole) -> &'static [&'static str] {
    match role {
        ChaosRole::Session => &["session"],
        ChaosRole::Device => &["device"],
        // rest_for_one: the device's own actor follows its port's.
        ChaosRole::Serial => &["device", "serial"],
        ChaosRole::Installer => &["installer"],
        ChaosRole::Compiler => &["compiler"],
        ChaosRole::Scheduler => &["scheduler"],
        ChaosRole::Directory => &["directory"],
        ChaosRole::Events => &["events"],
    }
}

/// Somebody was restarted, for that reason and with a new incarnation; and whoever it was not was told of nothing.
async fn restarted(
    told: &mut watch::Receiver<Vec<Event>>,
    role: ChaosRole,
    nth: u32,
    sessions: [&Followed; 2],
) {
    // It is told once the actor is up again, which may be after the sessions' end.
    let all = |events: &Vec<Event>| restarts(events).len() >= names(role).len();
    let events = or_hang("the restart is told", told.wait_for(all)).await.unwrap().clone();
    let restarts = restarts(&events);
    let what = format!("{role:?} struck at message {nth}: {restarts:?}");
    let mut who: Vec<_> = restarts.iter().map(|restart| restart.actor.split(' ').next().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(who, names(role), "{what}");
    for restart in &restarts {
        assert!(restart.why.contains("chaos struck"), "{what}");
        assert!(restart.starts > 1, "{what}: the same incarnation");
    }
    // What is one device's or one session's is nothing to the other; what is everybody's costs a moment, no attempt.
    let struck = |followed: &&Followed| {
        let view = &followed.view;
        let own = [view.id.to_string(), view.device.as_ref().unwrap().to_string()];
        restarts.iter().any(|restart| own.iter().any(|own| restart.actor.ends_with(&format!(" {own}"))))
    };
    let of_one = matches!(role, ChaosRole::Session | ChaosRole::Device | ChaosRole::Serial);
    assert_eq!(sessions.iter().filter(|session| struck(session)).count(), usize::from(of_one), "{what}");
    for followed in sessions.into_iter().filter(|session| !struck(session)) {
        let id = followed.view.id;
        assert_eq!(followed.view.attempt, 1, "{what}: {id} had to try again");
        assert_eq!(followed.restarts(), 0, "{what}: {id} was told of it");
        let missed = followed.events.iter().any(|event| matches!(event.body, EventBody::Missed));
        assert!(!missed || role == ChaosRole::Events, "{what}: {id} missed events");
    }
}

#[derive(Debug)]
struct Restart {
    actor: String,
    why: String,
    /// Its starts since the farm's.
    starts: u64,
}

fn restarts(events: &[Event]) -> Vec<Restart> {
    let restart = |event: &Event| match &event.body {
        // The farm's own number is above the lowest 20 bits.
        EventBody::ActorRestarted { actor, incarnation, why } => {
            Some(Restart { actor: actor.clone(), why: why.clone(), starts: incarnation.0 & 0xf_ffff })
        }
        _ => None,
    };
    events.iter().filter_map(restart).collect()
}

/// All events of a farm, as they come.
async fn watch(client: &Client) -> watch::Receiver<Vec<Event>> {
    let mut replies = client.stream(Request::Events { after: None, session: None }).await.unwrap();
    let (all, seen) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Ok(Some(Reply::Item(Item::Event(event)))) = replies.next().await {
            all.send_modify(|events: &mut Vec<Event>| events.push(*event));
        }
    });
    seen
}

/// The devices are given back.
async fn free(client: &Client) {
    let free = async || {
        let devices = devices(client).await.unwrap();
        devices.iter().all(|device| device.holder.is_none()).then_some(())
    };
    until("the devices are free", free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Device).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_port_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Serial).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installer_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Installer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiler_pool_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Compiler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheduler_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_log_is_killed_at_any_message() {
    strike_everywhere(ChaosRole::Events).await;
}
