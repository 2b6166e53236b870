//! The console while others flash: every byte is in the recording and in every monitor, and no monitor harms anybody.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::{Path, PathBuf};

use farmhand_tests::{BoardControl, Desk, Running, Said, compile, until};
use rustix::process::Signal;

const UNO: &str = "[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n";

/// An image that talks all the time; with so many pages, its transfer takes seconds.
async fn chatter(desk: &Desk, word: &str, pages: u32) -> PathBuf {
    compile(desk, "chatter.c", word, &[&format!("WORD=\"{word}\""), &format!("PAGES={pages}")]).await
}

fn put<'a>(verb: &'a str, image: &'a Path) -> [&'a str; 7] {
    [verb, image.to_str().unwrap(), "--board", "arduino:avr:uno", "--device", "uno", "--message-format=json"]
}

/// Watches all of a device's recording, from its beginning, and on.
fn monitor(desk: &Desk, name: &str) -> Running {
    Running::start(desk, name, desk.farmhand(["monitor", "uno", "--from", "start", "--no-input"]))
}

/// What was recorded so far, to the byte.
async fn recorded(desk: &Desk) -> Vec<u8> {
    let said = desk.run(["logs", "uno"]).await;
    said.expect(0);
    said.stdout.into_bytes()
}

/// Waits until a monitor has shown as much as was recorded; then it is the same, to the byte.
async fn shows(monitor: &mut Running, recorded: &[u8]) {
    let shown = until("a monitor shows what was recorded", async || {
        let shown = monitor.stdout();
        (shown.len() >= recorded.len() || !monitor.runs()).then_some(shown)
    });
    let shown = shown.await;
    let differ = shown.iter().zip(recorded).position(|(shown, recorded)| shown != recorded);
    assert_eq!(differ, None, "the first byte that differs");
    assert!(
        shown.len() >= recorded.len(),
        "{} of {} bytes: {}",
        shown.len(),
        recorded.len(),
        monitor.stderr()
    );
}

/// The recording has the first start of `word` from its first byte on: as the program counts, none is missing.
#[track_caller]
fn counts_from_one(recorded: &[u8], word: &str) {
    let text = String::from_utf8_lossy(recorded);
    let from = text.rfind(&format!("{word} 1\n")).unwrap_or_else(|| panic!("no first line of {word}"));
    // The last line may be cut short.
    let lines: Vec<_> = text[from..].split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!(lines.len() > 20, "{lines:?}");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{word} {}\n", number + 1), "{word}, line {number}");
    }
}

fn lost(board: &BoardControl) -> String {
    let state = board.ask("state").unwrap();
    state.split(' ').find(|word| word.starts_with("lost=")).unwrap().to_owned()
}

/// `monitor` in one terminal, `flash` and then `run` in another.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_new_epoch_is_in_the_recording_and_in_the_monitor() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let first = chatter(&desk, "first", 3).await;
    let second = chatter(&desk, "second", 40).await;
    desk.run(put("flash", &first)).await.expect(0);
    let mut one = monitor(&desk, "one");
    one.prints("first 20\n").await;

    desk.run(put("flash", &second)).await.expect(0);
    one.prints("second 30\n").await;
    let after_flash = recorded(&desk).await;
    counts_from_one(&after_flash, "second");
    shows(&mut one, &after_flash).await;

    let third = chatter(&desk, "third", 3).await;
    let run = put("run", &third).into_iter().chain(["--expect", "^third 30$"]);
    desk.run(run).await.expect(0);
    let after_run = recorded(&desk).await;
    counts_from_one(&after_run, "third");
    assert_eq!(after_run[..after_flash.len()], after_flash);
    shows(&mut one, &after_run).await;
    assert_eq!(lost(&desk.board("uno")), "lost=0", "the board itself dropped nothing");
    assert!(one.stderr().contains("lent to a driver"), "{}", one.stderr());
    one.signal_group(Signal::INT);
    one.ended().await.expect(0);
}

/// The same recording, and its epochs: those that a handoff began say of which session.
fn epochs(monitor: &Said) -> Vec<&str> {
    let marks = monitor.stderr.lines().filter_map(|line| line.strip_prefix("--- epoch "));
    marks.filter_map(|mark| mark.split_once(": ")?.1.strip_suffix(" ---")).collect()
}

/// UX.md, the first thing that people try: no farm runs; `monitor`, then `flash` in another terminal, and Ctrl-C in the
/// first in the middle of the transfer.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_to_the_monitor_that_started_the_farm_harms_no_transfer() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let image = chatter(&desk, "ours", 200).await;
    assert_eq!(desk.farm_pid().await, None, "no farm runs");
    let monitor = monitor(&desk, "monitor");
    let farm = until("the monitor starts a farm", async || desk.farm_pid().await).await;

    let mut flash = Running::start(&desk, "flash", desk.farmhand(put("flash", &image)));
    flash.prints("\"stage\":\"write\"").await;
    monitor.signal_group(Signal::INT);
    let monitor = monitor.ended().await;
    monitor.expect(0);
    assert!(flash.runs(), "it was in the middle of its transfer");
    assert!(!epochs(&monitor).iter().any(|cause| cause.starts_with("handoff")), "{}", monitor.stderr);
    let flashed = flash.ended().await;
    flashed.expect(0);
    assert_eq!(flashed.json_lines().last().unwrap()["verdict"], "passed");
    assert_eq!(desk.farm_pid().await, Some(farm), "the farm is the one that the monitor started");
    let counted = desk.board("uno").counters();
    assert_eq!(counted.leaves, 1, "{counted:?}");
    // The image's bytes, and its pages once each: nothing was begun again.
    assert!((200..220).contains(&counted.page_writes), "{counted:?}");
    until("the program counts", async || {
        let recorded = recorded(&desk).await;
        String::from_utf8_lossy(&recorded).contains("ours 30\n").then_some(())
    })
    .await;
    counts_from_one(&recorded(&desk).await, "ours");
}

/// A monitor that is stopped (Ctrl-Z) while a board talks without end: a session passes, another monitor shows every
/// byte, and the stopped one goes on when it is let, with its loss said.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_monitor_slows_nobody() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let first = chatter(&desk, "first", 3).await;
    let second = chatter(&desk, "second", 3).await;
    desk.run(put("flash", &first)).await.expect(0);
    let mut stalled = monitor(&desk, "stalled");
    let mut other = monitor(&desk, "other");
    stalled.prints("first 20\n").await;
    other.prints("first 20\n").await;
    stalled.signal(Signal::STOP);

    let run = put("run", &second).into_iter().chain(["--expect", "^second 6000$"]);
    let session = desk.run(run).await;
    session.expect(0);
    let whole = recorded(&desk).await;
    counts_from_one(&whole, "second");
    shows(&mut other, &whole).await;
    let behind = stalled.stdout().len();
    assert!(behind < whole.len(), "it was stopped");
    assert_eq!(lost(&desk.board("uno")), "lost=0");

    stalled.signal(Signal::CONT);
    until("the stopped one shows what is new", async || {
        (stalled.stdout().len() > behind + 1000).then_some(())
    })
    .await;
    for monitor in [stalled, other] {
        monitor.signal_group(Signal::INT);
        let said = monitor.ended().await;
        said.expect(0);
        assert_eq!(said.stderr.matches("--- epoch").count(), epochs(&said).len());
    }
}
