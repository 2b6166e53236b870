//! Farms without devices, in this process.

use farmhand_messages::SchedulerMessage;
use farmhand_records::v1::{Lease, Schedule, TokenOf, Waiting};
use farmhand_records::{DeviceName, FencingToken};
use farmhand_runtime::ask;
use ractor::registry::where_is;
use tokio::time::{Instant, sleep};

use super::*;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn config(home: &std::path::Path) -> FarmConfig {
    FarmConfig { virtual_devices: false, ..FarmConfig::new(home) }
}

/// Looks until it holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_session_without_a_record_is_let_go_and_its_device_set_aside() {
    let home = tempfile::tempdir().unwrap();
    let device = DeviceName::new("uno-1").unwrap();
    let (store, _) = StoreHandle::open(Paths::new(home.path()).store()).await.unwrap();
    let (holder, waits, token) = (SessionId(7), SessionId(8), FencingToken(3));
    let waiting = Waiting { session: waits, board: "b".into(), select: farmhand_api::DeviceSelect::Board };
    let schedule = Schedule {
        leases: vec![Lease { device: device.clone(), session: holder, token, revoked: false }],
        queue: vec![waiting],
        tokens: vec![TokenOf { device: device.clone(), token, quarantine: None }],
    };
    save(&store, &schedule, Incarnation(1), Durability::Marked).await.unwrap();
    store.close().await.unwrap();

    let farm = Farm::start(config(home.path())).await.unwrap();
    let read = async || load::<Schedule>(&farm.store, &Schedule::default().key()).await.unwrap().unwrap();
    until("both are let go", async || {
        let now = read().await;
        now.leases.is_empty() && now.queue.is_empty()
    })
    .await;
    let quarantine = read().await.tokens[0].quarantine.clone().unwrap();
    assert_eq!(quarantine.session, Some(holder));
    assert!(quarantine.why.contains("cannot be read"), "{}", quarantine.why);
    let status = ask(farm.api.names().farm(), LONG, |reply| FarmMessage::Status { reply }).await.unwrap();
    let notes = status.status.store_notes;
    assert!(notes.iter().any(|note| note.contains("farmhand quarantine --lift uno-1")), "{notes:?}");
    assert_eq!(farm.stop(Duration::ZERO).await, FarmEnd::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_stop_that_is_under_way_is_answered_at_its_end() {
    let home = tempfile::tempdir().unwrap();
    let farm = Farm::start(config(home.path())).await.unwrap();
    let names = farm.api.names().clone();
    let stop = || ask_once(names.farm(), LONG, |reply| FarmMessage::Stop { drain: Duration::ZERO, reply });
    let ended = async {
        stop().await.unwrap();
        assert!(where_is(names.scheduler()).is_none(), "its actors run");
    };
    let other = async {
        stop().await.unwrap();
        assert!(where_is(names.scheduler()).is_none(), "its actors run");
    };
    tokio::join!(ended, other);
    let asked = ask(names.scheduler(), Duration::from_millis(1), |reply| SchedulerMessage::Leases { reply });
    assert!(asked.await.is_err());
    assert_eq!(farm.stop(Duration::ZERO).await, FarmEnd::Stopped, "a third time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_is_dropped_ends_and_then_another_has_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let farm = Farm::start(config(home.path())).await.unwrap();
    let names = farm.api.names().clone();
    drop(farm);
    let mut next = None;
    until("its folder can be had", async || {
        match Farm::start(config(home.path())).await {
            Ok(farm) => {
                assert!(where_is(names.scheduler()).is_none(), "actors of the farm that was dropped run");
                assert!(where_is(names.farm()).is_none());
                next = Some(farm);
            }
            Err(StartError::Held(_)) => {}
            Err(error) => panic!("{error}"),
        }
        next.is_some()
    })
    .await;
    assert_eq!(next.unwrap().stop(Duration::ZERO).await, FarmEnd::Stopped);
}
