//! What people try first to break it: the list at the end of the design of the command line.
//!
//! The first, Ctrl-C to a monitor in the middle of a transfer, is in `serial.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use farmhand::transport::Client;
use farmhand_api::{Answer, PhaseName, Request, SessionId, Verdict};
use farmhand_tests::{
    BareUno, BoardControl, Daemon, Desk, Home, Running, alpha, avrdude, beta, compile, entry, epochs_of,
    follow, hex, run_once, sessions, submit, until,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tokio::process::Command;

const BOARD: &str = "arduino:avr:uno";
const UNO: &str = "[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n";
/// Optiboot's section begins here (boards.txt, `upload.maximum_size`).
const BOOT: usize = 32_768 - 512;

fn words(verb: &str, image: &Path, device: &str) -> [String; 7] {
    [verb, image.to_str().unwrap(), "--board", BOARD, "--device", device, "--message-format=json"]
        .map(Into::into)
}

/// Runs an image on a device, and waits for its words.
fn expecting(image: &Path, device: &str, pattern: &str) -> Vec<String> {
    words("run", image, device).into_iter().chain([format!("--expect={pattern}")]).collect()
}

fn dump(board: &BoardControl, folder: &Path) -> Vec<u8> {
    let to = folder.join("dump.bin");
    board.dump(&to);
    fs::read(to).unwrap()
}

/// What an image is in flash: as a board has it that nothing else was done to.
async fn as_written(desk: &Desk, image: &Path) -> Vec<u8> {
    let board = BareUno::start(desk, &desk.work().join("reference"), None).await;
    let hex = hex(desk, image).await;
    farmhand_tests::avrdude_uploads(desk, &board.line(), &hex).await.expect(0);
    let flash = dump(&board.control(), desk.work());
    board.leave().await;
    flash[..BOOT].to_vec()
}

/// The farm is killed while it writes, and started again at once by three who want it: one of them is the farm, the
/// write is done over by one writer, and the command that was killed under goes on to its verdict.
#[tokio::test(flavor = "multi_thread")]
async fn a_farm_killed_while_it_writes_and_started_again_at_once() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let image = compile(&desk, "chatter.c", "large", &["WORD=\"large\"", "PAGES=200"]).await;
    let expected = as_written(&desk, &image).await;
    let pages = expected.chunks(128).filter(|page| page.iter().any(|byte| *byte != 0xff)).count() as u64;

    let mut run = Running::start(&desk, "run", desk.farmhand(expecting(&image, "uno", "^large 20$")));
    run.prints("\"stage\":\"write\"").await;
    let board = desk.board("uno");
    until("some pages are written", async || (board.counters().page_writes > 20).then_some(())).await;
    assert_eq!(desk.kill_farms(), 1);
    let before = board.counters();
    assert!(before.page_writes < pages, "it was in the middle: {before:?}");
    let (one, two) = tokio::join!(desk.run(["status", "--json"]), desk.run(["sessions"]));
    one.expect(0);
    two.expect(0);
    let ended = run.ended().await;
    let result = ended.expect(0).json_lines().pop().unwrap();
    assert_eq!((&result["verdict"], &result["session"]), (&Value::from("passed"), &Value::from("s-1")));

    let counted = board.counters();
    assert_eq!(counted.leaves, 1, "one accepted leave-programming: {counted:?}");
    // One writer after the kill, that wrote what was not there yet or all of it again, and nothing else.
    assert!(
        counted.page_writes - before.page_writes <= pages + 1,
        "{before:?}, then {counted:?}, of {pages} pages"
    );
    assert_eq!(dump(&board, desk.work())[..BOOT], expected);
    assert_eq!(desk.kill_farms(), 1, "one farm");
}

/// While avrdude writes, farmhand does not: it names it. avrdude is killed, and the next run writes all of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_external_avrdude_that_writes_and_is_killed() {
    let desk = Desk::ready();
    let board = BareUno::start(&desk, &desk.work().join("board"), None).await;
    desk.configure(&board.entry("uno-1"));
    let large = compile(&desk, "chatter.c", "large", &["WORD=\"large\"", "PAGES=200"]).await;
    let large = hex(&desk, &large).await;
    let mut theirs = avrdude(&desk, &board.line(), &large)
        .await
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = theirs.id().unwrap();
    until("avrdude writes", async || (board.control().counters().page_writes > 5).then_some(())).await;
    // It stays in the middle, however long the other takes to be refused.
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
    let refused = desk.run(words("run", &alpha().path, "uno-1")).await;
    let result = refused.expect(6).json_lines().pop().unwrap();
    let message = result["problem"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("avrdude (pid {pid})")), "{message}");
    theirs.kill().await.unwrap();

    let before = board.control().counters();
    let run = desk.run(expecting(&alpha().path, "uno-1", "^alpha 3$")).await;
    run.expect(0);
    let after = board.control().counters();
    assert_eq!(after.leaves, before.leaves + 1, "{before:?}, {after:?}, {}", run.stdout);
    let flash = dump(&board.control(), desk.work());
    let expected = as_written(&desk, &{
        let copy = desk.work().join("alpha.elf");
        fs::copy(&alpha().path, &copy).unwrap();
        copy
    })
    .await;
    // Pages that the image does not have keep what avrdude wrote: a flash is of the image's own pages.
    let end = expected.iter().rposition(|byte| *byte != 0xff).unwrap();
    assert_eq!(flash[..end], expected[..end]);
}

/// Adapters without serial numbers are told by their ports, and so a swap is not seen by itself. What is there is: the
/// chip is asked for its signature, its flash is read.
#[tokio::test(flavor = "multi_thread")]
async fn two_adapters_without_serial_numbers_swapped_while_the_farm_was_down() {
    let desk = Desk::ready();
    let port = |name: &str| desk.work().join(name).join("tty");
    let place = |name: &str| desk.work().join(name);
    let start = async |name: &str, signature| BareUno::start(&desk, &place(name), signature).await;
    let (one, other, odd) =
        (start("one", None).await, start("other", None).await, start("odd", Some("1e9514")).await);
    // The ports: links that a swap exchanges.
    let link = |name: &str, to: &BareUno| {
        fs::create_dir_all(place(name)).unwrap();
        let _there_was_none = fs::remove_file(port(name));
        std::os::unix::fs::symlink(to.line(), port(name)).unwrap();
    };
    link("port-a", &one);
    link("port-b", &other);
    desk.configure(&format!("{}{}", entry("a", &port("port-a")), entry("b", &port("port-b"))));
    let run = async |device: &str, image: &'static farmhand_tests::Image| {
        desk.run(expecting(&image.path, device, &format!("^{} 3$", image.word))).await
    };
    run("a", alpha()).await.expect(0);
    run("b", beta()).await.expect(0);
    desk.stop().await;
    let (on_one, on_other) = (dump(&one.control(), desk.work()), dump(&other.control(), desk.work()));
    assert_ne!(on_one, on_other);

    // Another chip where `b` was: refused, not written.
    link("port-b", &odd);
    let refused = run("b", beta()).await;
    assert_eq!(refused.expect(4).json_lines().pop().unwrap()["problem"]["code"], "F232");
    assert_eq!(odd.control().counters().page_writes, 0);
    desk.stop().await;

    // The same chip: it is not known by that, but what it holds is not what `a` was left with, and that is found.
    link("port-a", &other);
    link("port-b", &one);
    rearm(&other).await;
    let noticed = run("a", alpha()).await;
    let lines = noticed.expect(0).json_lines();
    let flashed = lines.iter().find(|line| line["event"] == "flash.done").unwrap();
    assert!(
        flashed["written_bytes"].as_u64().unwrap() > 0,
        "what farmhand remembered of `a` was not believed"
    );
    assert_eq!(dump(&other.control(), desk.work())[..BOOT], on_one[..BOOT]);
}

/// Somebody has used the port in between, with another program: opening it resets the board, as with any terminal
/// program.
async fn rearm(board: &BareUno) {
    use rustix::fs::{Mode, OFlags};
    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(board.line(), flags, Mode::empty()).unwrap();
    let mut settings = tcgetattr(&opened).unwrap();
    settings.control_modes |= ControlModes::HUPCL;
    tcsetattr(&opened, OptionalActions::Now, &settings).unwrap();
    drop(opened);
    until("the board has seen that its line is closed", async || {
        let state = board.control().ask("state").unwrap();
        (state.contains("client=0") && state.contains("dtr=1")).then_some(())
    })
    .await;
}

/// Copies what is the farm's: the boards are devices, and stay as they are. Packages stay too.
fn keep(home: &Home, to: &Path) {
    for name in KEPT {
        let from = home.path().join(name);
        if from.exists() {
            copy(&from, &to.join(name));
        }
    }
}

const KEPT: [&str; 3] = ["store", "serial", "artifacts"];

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn put_back(home: &Home, from: &Path) {
    for name in KEPT {
        let _there_was_none = fs::remove_dir_all(home.path().join(name));
        if from.join(name).exists() {
            copy(&from.join(name), &home.path().join(name));
        }
    }
}

/// A copy from between intent and issue is put back after the handoff was done: the device's own count tells, and it is
/// not done again.
#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_home_put_back_does_not_hand_off_again() {
    let home = Home::ready();
    home.configure(UNO);
    let yesterday = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::spawn(&home, Some("intent-after-persist"));
    let client = daemon.ready(&home).await.unwrap();
    let id = submit(&client, "once", &run_once(alpha(), Some("uno"))).await.unwrap();
    daemon.ended().await;
    keep(&home, yesterday.path());
    let board = home.board("uno");
    assert_eq!(board.counters().leaves, 0, "it was intended, and not issued");

    let (daemon, client) = Daemon::start(&home).await;
    let first = follow(&client, id).await.unwrap();
    let settled = first.view.verdict;
    daemon.kill().await;
    let done = board.counters().leaves;
    // Whether the loader still waited when it was asked: then it was done, once; otherwise it was not.
    match settled {
        Some(Verdict::Passed) => assert_eq!(done, 1),
        Some(Verdict::Unknown) => assert_eq!(done, 0),
        other => panic!("{other:?}: {:?}", first.view.problem),
    }

    put_back(&home, yesterday.path());
    let (daemon, client) = Daemon::start(&home).await;
    let again = follow(&client, id).await.unwrap();
    assert_eq!(again.view.verdict, Some(Verdict::Unknown), "{:?}", again.view.problem);
    assert!(again.view.problem.is_some(), "it says what to look at");
    assert_eq!(board.counters().leaves, done, "never again");
    daemon.kill().await;
}

/// A copy from before the session knows nothing of it, and no device can tell it: as the README says. The farm works, its
/// numbers begin again where they were, and nothing is done by itself.
#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_home_put_back_from_before_a_session_has_forgotten_it() {
    let home = Home::ready();
    home.configure(UNO);
    let yesterday = tempfile::tempdir().unwrap();
    let (daemon, client) = Daemon::start(&home).await;
    let before = submit(&client, "before", &run_once(alpha(), Some("uno"))).await.unwrap();
    assert_eq!(follow(&client, before).await.unwrap().view.verdict, Some(Verdict::Passed));
    daemon.kill().await;
    keep(&home, yesterday.path());

    let (daemon, client) = Daemon::start(&home).await;
    let after = submit(&client, "after", &run_once(beta(), Some("uno"))).await.unwrap();
    assert_eq!(follow(&client, after).await.unwrap().view.verdict, Some(Verdict::Passed));
    daemon.kill().await;
    let board = home.board("uno");
    assert_eq!(board.counters().leaves, 2);

    put_back(&home, yesterday.path());
    let (daemon, client) = Daemon::start(&home).await;
    let known: Vec<_> = sessions(&client).await.unwrap().into_iter().map(|view| view.id).collect();
    assert_eq!(known, [before], "{after} is not known any more");
    assert_eq!(board.counters().leaves, 2, "a start hands nothing off");
    // What it remembers of the device is stale, and not believed: the image is read back, found to be another, written.
    let next = submit(&client, "next", &run_once(alpha(), Some("uno"))).await.unwrap();
    let ended = follow(&client, next).await.unwrap();
    assert_eq!(ended.view.verdict, Some(Verdict::Passed), "{:?}", ended.view.problem);
    assert_eq!(board.counters().leaves, 3);
    // The recording has no epoch twice.
    epochs_of(&client, "uno").await.unwrap();
    daemon.kill().await;
}

/// A farm for whose files there may be a limit later, which is a full disk to whoever writes (`EFBIG`).
fn farm_with_limits(desk: &Desk) -> Command {
    desk.farmhandd("trap '' XFSZ; exec \"$0\" \"$@\"")
}

fn recording(desk: &Desk) -> u64 {
    let files = fs::read_dir(desk.path().join("serial/uno")).into_iter().flatten().flatten();
    files.map(|file| file.metadata().unwrap().len()).max().unwrap_or(0)
}

/// A program that says PASS without an end of line and has the watchdog reset it, for ever; twenty who wait for its board
/// and give up; and no room for its recording.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_resets_in_a_loop_while_twenty_are_cancelled_and_the_disk_is_full() {
    const WAITING: usize = 20;
    // Beyond what the store's own files come to.
    const ROOM: u64 = 1 << 20;
    let desk = Desk::ready();
    desk.configure(&format!("{UNO}{}", UNO.replace("\"uno\"", "\"other\"")));
    let fast = compile(&desk, "chatter.c", "fast", &["WORD=\"fast\"", "PAGES=1", "DIVIDER=0"]).await;
    let pass = compile(&desk, "pass.c", "pass", &[]).await;
    let farm = Running::start(&desk, "farm", farm_with_limits(&desk));
    until("the farm listens", async || Client::connect(desk.path()).await.ok()).await;

    // A recording that is longer than anything else that the farm writes: then only it has no more room.
    desk.run(words("flash", &fast, "uno")).await.expect(0);
    until("the recording is long", async || (recording(&desk) > ROOM).then_some(())).await;
    let limit =
        |bytes| prlimit(Some(farm.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    limit(Some(ROOM));

    // One PASS is enough, though its line has no end.
    let one = desk.run(expecting(&pass, "uno", "PASS")).await;
    assert_eq!(one.expect(0).json_lines().pop().unwrap()["verdict"], "passed");

    // Two are not had in one start; those of starts that nobody asked for are nobody's.
    let two = expecting(&pass, "uno", "PASS").into_iter().chain(["--expect=PASS".into()]);
    let two = desk.run(two).await.expect(1).json_lines().pop().unwrap();
    assert_eq!(
        (&two["verdict"], &two["problem"]["code"]),
        (&Value::from("failed"), &Value::from("F102")),
        "{two}"
    );

    // It goes on and on; on the other board one observes, and twenty wait behind it.
    let (looping, other) = (desk.board("uno"), desk.board("other"));
    let observing =
        Running::start(&desk, "observing", desk.farmhand(expecting(&alpha().path, "other", "never")));
    let client = Client::connect(desk.path()).await.unwrap();
    until("one observes", async || {
        let known = sessions(&client).await.unwrap();
        known.iter().any(|view| view.phase == PhaseName::Observing).then_some(())
    })
    .await;
    let holder = sessions(&client).await.unwrap().last().unwrap().id;
    let before = looping.counters().watchdog_resets;
    let mut waiting: Vec<SessionId> = Vec::new();
    for number in 0..WAITING {
        let job = run_once(beta(), Some("other"));
        waiting.push(submit(&client, &format!("waiting {number}"), &job).await.unwrap());
    }
    for id in waiting.iter().chain([&holder]) {
        let cancelled = client.ask(Request::Cancel(*id)).await.unwrap();
        assert!(matches!(&cancelled, Answer::Session(view) if view.id == *id), "{cancelled:?}");
    }
    for id in &waiting {
        assert_eq!(follow(&client, *id).await.unwrap().view.verdict, Some(Verdict::Cancelled), "{id}");
    }
    let held = observing.ended().await.expect(130).json_lines().pop().unwrap();
    assert_eq!(held["verdict"], "cancelled", "{held}");
    assert_eq!(other.counters().leaves, 1, "none of those that were cancelled was handed off");
    assert_eq!(looping.counters().leaves, 3);
    until("it went on all the while", async || {
        (looping.counters().watchdog_resets > before + 20).then_some(())
    })
    .await;
    let devices = desk.run(["devices", "--json"]).await.expect(0).json();
    assert!(devices.as_array().unwrap().iter().all(|device| device["state"] == "free"), "{devices}");

    // Room again: it is recorded again. What the disk has not is said by the next farm, that remembers nothing of it.
    limit(None);
    desk.run(expecting(&alpha().path, "uno", "^alpha 3$")).await.expect(0);
    farm.signal(Signal::TERM);
    farm.ended().await.expect(0);
    let logs = desk.run(["logs", "uno"]).await;
    logs.expect(0).mentions(&["bytes were not recorded", "started by itself: the watchdog"]);
    assert!(logs.stdout.contains("alpha 3\n"));
    desk.stop().await;
    desk.run(["store", "check"]).await.expect(0);
}
