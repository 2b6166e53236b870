//! `kill -9` at random, over and over, while four phones are booted and written: nothing is issued twice, nothing that was
//! acknowledged is lost, nothing is left behind.
//!
//! `FARMHAND_TEST_KILLS`, `FARMHAND_TEST_SEED`; what a farm said is shown where the test fails.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "phone_torture/feed.rs"]
mod feed;
#[path = "phone_torture/ledger.rs"]
mod ledger;

use farmhand_api::Verdict;
use farmhand_sim::fastboot::{PartitionSpec, PhoneOptions};
use farmhand_tests::{Daemon, Dice, Home, Over, TestPhone, Trigger, at_work, kills, remembered, stop, until};

use feed::{Feed, MOST};
use ledger::Ledger;

/// A farm is killed so long after its start at most, in microseconds: a session takes about a tenth of a second.
const LIFE_US_MAX: u64 = 600_000;
const PHONES: [(&str, Over); 4] =
    [("phone-1", Over::Tcp), ("phone-2", Over::Udp), ("phone-3", Over::Tcp), ("phone-4", Over::Udp)];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_with_four_phones_at_work() {
    let kills = kills();
    let mut dice = Dice::seeded();
    let home = Home::empty();
    let mut phones = Vec::new();
    let mut entries = String::new();
    for (name, over) in PHONES {
        let options = PhoneOptions {
            serial: name.into(),
            max_download: MOST,
            slots: 0,
            partitions: ["misc", "userdata", "system"].map(|name| PartitionSpec::new(name, 1 << 20)).to_vec(),
            ..PhoneOptions::default()
        };
        let phone = TestPhone::start(name, over, options).await;
        entries.push_str(&phone.entry("allow = [\"boot\", \"flash\", \"erase\"]"));
        phones.push(phone);
    }
    home.configure(&entries);
    let mut feed = Feed::new(&home, phones);
    let mut ledger = Ledger::default();
    for kill in 1..=kills {
        let (daemon, client) = Daemon::start(&home).await;
        feed.another_farm();
        let trigger = Trigger::roll(&mut dice, LIFE_US_MAX);
        tokio::select! {
            () = feed.run(&client) => panic!("the farm went before it was killed"),
            () = trigger.wait(&client) => {}
        }
        daemon.kill().await;
        drop(client);
        home.only_boards_are_left().await;
        ledger.look(kill, &home, &feed).await;
    }
    eprintln!(
        "{kills} kills, {} of them with a handoff between intent and issued, {} with a step of a write begun",
        ledger.between, ledger.step_open
    );
    assert!(ledger.between > 0, "no kill fell between intent and issued");
    assert!(ledger.step_open > 0, "no kill fell into a write");

    // And now it is left alone.
    let (mut daemon, client) = Daemon::start(&home).await;
    feed.another_farm();
    feed.finish(&client).await;
    until("all have given their devices back", async || (at_work(&client).await.unwrap() == 0).then_some(()))
        .await;
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    home.only_boards_are_left().await;
    ledger.look(kills + 1, &home, &feed).await;
    let after = remembered(&home).await;
    assert_eq!(after.leases(), &[], "a lease is held by the dead");
    assert!(after.schedule.queue.is_empty());
    let verdicts: Vec<_> = after.sessions.keys().map(|&id| (id, after.verdict(id))).collect();
    let passed = verdicts.iter().filter(|(_, found)| *found == Some(Verdict::Passed)).count();
    eprintln!("{} sessions, {passed} passed; {}", verdicts.len(), feed.sum().await);
    assert_eq!(passed, verdicts.len(), "{verdicts:?}");
    assert_eq!(verdicts.len(), feed.wishes.len(), "one wish, one session");
}
