//! `kill -9` at random, over and over, while four virtual Unos are at work: nothing is issued twice, nothing that was
//! acknowledged is lost, nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod torture;

use farmhand_api::Verdict;
use farmhand_tests::{Daemon, Dice, Home, Trigger, kills, remembered, stop, until};
use torture::{BOARDS, Feed, Ledger};

/// A farm is killed so long after its start at most, in microseconds: a session takes about a second.
const LIFE_US_MAX: u64 = 1_500_000;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_with_four_boards_at_work() {
    let kills = kills();
    let mut dice = Dice::seeded();
    let home = Home::ready();
    home.configure(&format!(
        "[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\ncount = {}\n",
        BOARDS.len()
    ));
    let mut feed = Feed::new(&home);
    let mut ledger = Ledger::default();
    for kill in 1..=kills {
        let (daemon, client) = Daemon::start(&home).await;
        let trigger = Trigger::roll(&mut dice, LIFE_US_MAX);
        let moment = trigger.wait(&client);
        tokio::select! {
            () = feed.run(&client) => panic!("the farm went before it was killed"),
            () = moment => {}
        }
        daemon.kill().await;
        drop(client);
        home.only_boards_are_left().await;
        ledger.look(kill, &home, &feed).await;
    }
    eprintln!("{kills} kills, {} of them with a handoff between intent and issued", ledger.between);
    assert!(ledger.between > 0, "no kill fell between intent and issued");

    // And now it is left alone.
    let (mut daemon, client) = Daemon::start(&home).await;
    feed.finish(&client).await;
    until("all have given their devices back", async || {
        (farmhand_tests::at_work(&client).await.unwrap() == 0).then_some(())
    })
    .await;
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    home.only_boards_are_left().await;
    ledger.look(kills + 1, &home, &feed).await;
    let after = remembered(&home).await;
    assert_eq!(after.leases(), &[], "a lease is held by the dead");
    assert!(after.schedule.queue.is_empty());
    let verdicts: Vec<_> = after.sessions.keys().map(|&id| (id, after.verdict(id))).collect();
    let of = |verdict| verdicts.iter().filter(|(_, found)| *found == Some(verdict)).count();
    let (passed, unknown) = (of(Verdict::Passed), of(Verdict::Unknown));
    eprintln!("{} sessions: {passed} passed, {unknown} unknown; {}", verdicts.len(), ledger.sum());
    assert_eq!(passed + unknown, verdicts.len(), "{verdicts:?}");

    // The boards leave by themselves.
    until("the boards leave", async || {
        home.boards().iter().all(|board| board.process().is_none()).then_some(())
    })
    .await;
}
