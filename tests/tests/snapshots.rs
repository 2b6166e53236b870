//! Snapshots of the machines of a farm, through its API: saved, and made again, by whoever asks.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand::transport::{Client, ClientError};
use farmhand_api::{
    Answer, DeviceState, Epoch, EpochCause, Job, Problem, Request, SnapshotCommand, SnapshotView, Verdict,
};
use farmhand_records::DeviceName;
use farmhand_tests::{
    Daemon, Home, Image, at_work, devices, epochs_of, flash_once, follow, letter_program, package, run_once,
    stop, submit, until,
};

const DEVICE: &str = "rv";
const BOARD: &str = "qemu:riscv32-virt";

fn name() -> DeviceName {
    DeviceName::new(DEVICE).unwrap()
}

async fn home() -> Home {
    let home = Home::ready();
    package(&home, "qemu-misc").await;
    home.configure(&entry(DEVICE, BOARD));
    home
}

fn entry(device: &str, board: &str) -> String {
    format!("[[device]]\nname = {device:?}\nboard = {board:?}\ndriver = \"qemu\"\n")
}

/// Everything that its programs ever said.
fn said(home: &Home) -> String {
    said_by(home, DEVICE)
}

fn said_by(home: &Home, device: &str) -> String {
    std::fs::read_to_string(home.path().join("boards").join(device).join("console")).unwrap_or_default()
}

async fn press(client: &Client, home: &Home) -> char {
    press_on(client, home, DEVICE).await
}

async fn press_on(client: &Client, home: &Home, device: &str) -> char {
    let before = said_by(home, device).len();
    let write = Request::Write { device: DeviceName::new(device).unwrap(), bytes: "x".into(), take: false };
    assert!(matches!(client.ask(write).await.unwrap(), Answer::Done));
    until("it answers the key", async || said_by(home, device)[before..].chars().next()).await
}

async fn ask(client: &Client, command: SnapshotCommand) -> Result<Answer, Problem> {
    client.ask(Request::Snapshot(command)).await.map_err(|error| match error {
        ClientError::Problem(problem) => *problem,
        other => panic!("{other}"),
    })
}

async fn create(client: &Client, name: &str, replace: bool) -> Result<SnapshotView, Problem> {
    let command = SnapshotCommand::Create { device: self::name(), name: name.into(), replace };
    match ask(client, command).await? {
        Answer::Snapshots(mut made) => Ok(made.remove(0)),
        other => panic!("{other:?}"),
    }
}

async fn restore(client: &Client, name: &str) -> Result<Answer, Problem> {
    ask(client, SnapshotCommand::Restore { device: self::name(), name: name.into() }).await
}

fn job(home: &Home) -> Job {
    let program = Image { word: "nothing", path: letter_program(home.path()) };
    Job { board: BOARD.into(), ..flash_once(&program, Some(DEVICE)) }
}

/// Has it run the program that answers each key with the next letter.
async fn runs(client: &Client, home: &Home, key: &str) {
    let id = submit(client, key, &job(home)).await.unwrap();
    let view = follow(client, id).await.unwrap().view;
    assert_eq!(view.verdict, Some(Verdict::Passed), "{:?}", view.problem);
    let at_rest = async || (at_work(client).await.unwrap() == 0).then_some(());
    until("its device is given back", at_rest).await;
}

async fn last_epoch(client: &Client) -> (Epoch, EpochCause) {
    epochs_of(client, DEVICE).await.unwrap().pop_last().unwrap()
}

async fn end_of(home: &Home, mut daemon: Daemon, client: Client) {
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    assert_eq!(home.machines(), [], "a machine outlives a farm that was stopped");
}

#[tokio::test]
async fn a_machine_is_made_what_it_was_and_says_so_in_an_epoch_of_its_own() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    assert_eq!(create(&client, "too-early", false).await.unwrap_err().code, "F281");
    runs(&client, &home, "one").await;
    for letter in ['a', 'b', 'c'] {
        assert_eq!(press(&client, &home).await, letter);
    }
    let made = create(&client, "at-d", false).await.unwrap();
    assert_eq!((made.name.as_str(), made.device.as_str(), made.cached), ("at-d", DEVICE, false));
    assert_eq!(press(&client, &home).await, 'd', "it goes on");
    assert_eq!(press(&client, &home).await, 'e');
    let (before, _) = last_epoch(&client).await;
    for _ in 0..2 {
        restore(&client, "at-d").await.unwrap();
        assert_eq!(press(&client, &home).await, 'd');
    }
    let (epoch, cause) = last_epoch(&client).await;
    assert!(epoch > before && cause == EpochCause::Restored("at-d".into()), "{epoch} {cause:?}");
    // What it was made of is not taken away from it.
    let delete = || SnapshotCommand::Delete { name: "at-d".into() };
    assert_eq!(ask(&client, delete()).await.unwrap_err().code, "F286");
    assert_eq!(create(&client, "at-d", false).await.unwrap_err().code, "F284");
    create(&client, "at-d", true).await.unwrap();
    runs(&client, &home, "two").await;
    assert_eq!(press(&client, &home).await, 'a', "loaded anew");
    restore(&client, "at-d").await.unwrap();
    assert_eq!(press(&client, &home).await, 'e', "the newer one");
    runs(&client, &home, "three").await;
    ask(&client, SnapshotCommand::Verify { name: "at-d".into() }).await.unwrap();
    ask(&client, delete()).await.unwrap();
    let Ok(Answer::Snapshots(left)) = ask(&client, SnapshotCommand::List).await else { panic!("no list") };
    assert_eq!(left, []);
    assert_eq!(restore(&client, "at-d").await.unwrap_err().code, "F285");
    assert_eq!(press(&client, &home).await, 'a', "it was left alone");
    end_of(&home, daemon, client).await;
}

/// Guards, each seen red without: the comparison of kinds, and `verify`, in front of the end of the machine that runs.
#[tokio::test]
async fn a_snapshot_that_is_damaged_or_of_another_machine_costs_nobody_the_one_that_runs() {
    let home = home().await;
    home.configure(&[entry(DEVICE, BOARD), entry("pc", "qemu:linux-x86_64")].concat());
    let (daemon, client) = Daemon::start(&home).await;
    runs(&client, &home, "one").await;
    create(&client, "ready", false).await.unwrap();
    let to_pc = SnapshotCommand::Restore { device: DeviceName::new("pc").unwrap(), name: "ready".into() };
    assert_eq!(ask(&client, to_pc).await.unwrap_err().code, "F282");
    let memory = home.path().join("snapshots/ready/memory");
    let mut bytes = std::fs::read(&memory).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&memory, bytes).unwrap();
    let machines = home.machines();
    assert_eq!(restore(&client, "ready").await.unwrap_err().code, "F287");
    assert_eq!(restore(&client, "no/such").await.unwrap_err().code, "F283");
    assert_eq!(home.machines(), machines);
    assert_eq!(press(&client, &home).await, 'a');
    end_of(&home, daemon, client).await;
}

/// Guards, either of which does: the lease's holder in the API's `of_device`, and `leased` in the device's state
/// (`state/tests/stops.rs`).
#[tokio::test]
async fn a_machine_that_a_session_has_is_left_to_it() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    runs(&client, &home, "one").await;
    create(&client, "ready", false).await.unwrap();
    let program = Image { word: "nothing", path: letter_program(home.path()) };
    let watched = run_once(&program, Some(DEVICE));
    let watched = Job { board: BOARD.into(), expect: vec!["^never$".into()], ..watched };
    let id = submit(&client, "watched", &watched).await.unwrap();
    let leased = async || {
        let all = devices(&client).await.unwrap();
        (all[0].state == DeviceState::Leased).then_some(())
    };
    until("it is leased", leased).await;
    assert_eq!(create(&client, "other", false).await.unwrap_err().code, "F246");
    assert_eq!(restore(&client, "ready").await.unwrap_err().code, "F246");
    client.ask(Request::Cancel(id)).await.unwrap();
    // A farm that stops before that leaves its session's machine to the next one.
    until("its device is given back", async || (at_work(&client).await.unwrap() == 0).then_some(())).await;
    end_of(&home, daemon, client).await;
}

/// The points of saving and of restoring.
fn points(of: &str, at_least: usize) -> Vec<String> {
    let points: Vec<_> = farmhand_tests::listed().into_iter().filter(|point| point.starts_with(of)).collect();
    assert!(points.len() >= at_least, "{points:?}");
    points
}

/// A farm is killed at that point of what it is told; the next one.
async fn killed_at(home: &Home, point: &str, command: SnapshotCommand) -> (Daemon, Client) {
    let mut daemon = Daemon::spawn(home, Some(point));
    let client = daemon.ready(home).await.unwrap();
    // Whatever ran has ended with the farm before.
    runs(&client, home, point).await;
    press(&client, home).await;
    let _died = client.ask(Request::Snapshot(command)).await;
    daemon.ended().await;
    Daemon::start(home).await
}

/// What is to be there of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Machine {
    Runs,
    /// It was being made, or was ended with its farm.
    OrNone,
}

/// What is killed leaves a machine that runs, or none, and of what was there nothing is missing; the next one can be
/// loaded, saved and restored as ever.
async fn all_is_well(home: &Home, client: &Client, point: &str, its_machine: Machine) {
    // It is found when it is asked for, by whoever opens its console.
    let write = Request::Write { device: name(), bytes: "x".into(), take: false };
    let _none_may_be_there = client.ask(write).await;
    let goes_on = async || match home.machines().as_slice() {
        [] => (its_machine == Machine::OrNone).then_some(()),
        _ => said(home).ends_with(['b', 'c']).then_some(()),
    };
    until(point, goes_on).await;
    let Ok(Answer::Snapshots(all)) = ask(client, SnapshotCommand::List).await else { panic!("{point}") };
    assert!(all.iter().any(|view| view.name == "at-b"), "{point}: {all:?}");
    for SnapshotView { name, .. } in all {
        ask(client, SnapshotCommand::Verify { name }).await.unwrap();
    }
    let left = std::fs::read_dir(home.path().join("snapshots")).unwrap();
    let hidden = left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0, "{point}: what was half made is gone");
    restore(client, "at-b").await.unwrap();
    assert_eq!(press(client, home).await, 'b', "{point}");
}

async fn with_one_at_b(home: &Home) {
    let (daemon, client) = Daemon::start(home).await;
    runs(&client, home, "one").await;
    press(&client, home).await;
    create(&client, "at-b", false).await.unwrap();
    end_of(home, daemon, client).await;
}

#[tokio::test]
async fn a_farm_that_is_killed_in_a_restore_leaves_no_machine_that_stands_still() {
    let home = home().await;
    with_one_at_b(&home).await;
    for point in points("restore-", 4) {
        let command = SnapshotCommand::Restore { device: name(), name: "at-b".into() };
        let (daemon, client) = killed_at(&home, &point, command).await;
        all_is_well(&home, &client, &point, Machine::OrNone).await;
        end_of(&home, daemon, client).await;
    }
}

#[tokio::test]
async fn a_farm_that_is_killed_while_it_saves_leaves_the_old_one_or_the_new_one() {
    let home = home().await;
    with_one_at_b(&home).await;
    for point in points("save-", 9) {
        let command = SnapshotCommand::Create { device: name(), name: "at-b".into(), replace: true };
        let (daemon, client) = killed_at(&home, &point, command).await;
        all_is_well(&home, &client, &point, Machine::Runs).await;
        end_of(&home, daemon, client).await;
    }
}

async fn clones(client: &Client, name: &str, count: u16) -> Result<Vec<String>, Problem> {
    match ask(client, SnapshotCommand::Clone { name: name.into(), count }).await? {
        Answer::Devices(made) => Ok(made.into_iter().map(|view| view.name.unwrap().to_string()).collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn clones_are_devices_of_their_own() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    runs(&client, &home, "one").await;
    press(&client, &home).await;
    create(&client, "at-b", false).await.unwrap();
    for (name, count, code) in [("at-b", 0, "F214"), ("at-b", 65, "F214"), ("other", 1, "F285")] {
        assert_eq!(clones(&client, name, count).await.unwrap_err().code, code);
    }
    assert_eq!(clones(&client, "at-b", 3).await.unwrap(), ["at-b-1", "at-b-2", "at-b-3"]);
    // Each goes on where the source was, by itself.
    for (device, letters) in [("at-b-1", "bcd"), ("at-b-2", "bc"), ("at-b-3", "b"), (DEVICE, "b")] {
        for letter in letters.chars() {
            assert_eq!(press_on(&client, &home, device).await, letter, "{device}");
        }
    }
    assert_eq!(clones(&client, "at-b", 1).await.unwrap(), ["at-b-4"]);
    let end = |device: &str| SnapshotCommand::End { device: DeviceName::new(device).unwrap() };
    for device in ["at-b-1", "at-b-2", "at-b-3", "at-b-4", DEVICE] {
        ask(&client, end(device)).await.unwrap();
    }
    assert_eq!(home.machines(), []);
    // One that has ended is a device all the same.
    runs(&client, &home, "two").await;
    restore(&client, "at-b").await.unwrap();
    assert_eq!(press(&client, &home).await, 'b');
    end_of(&home, daemon, client).await;
}

/// Guard: `Unmake`, and the end of those that were made.
#[tokio::test]
async fn where_one_clone_cannot_be_made_there_is_none() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    runs(&client, &home, "one").await;
    create(&client, "ready", false).await.unwrap();
    ask(&client, SnapshotCommand::End { device: name() }).await.unwrap();
    // What is in the way of the second one's folder.
    std::fs::write(home.path().join("boards").join("ready-2"), "a file").unwrap();
    clones(&client, "ready", 3).await.unwrap_err();
    assert_eq!(home.machines(), []);
    let names: Vec<_> = devices(&client).await.unwrap().into_iter().filter_map(|view| view.name).collect();
    assert_eq!(names, [name()]);
    end_of(&home, daemon, client).await;
}

/// Told to stop, and not killed: nothing of what it was about is left, and nothing is started behind its end.
/// Seen red where a machine that is being made is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_that_is_stopped_in_a_save_or_a_restore_leaves_nothing_behind() {
    /// For a farm that was told to stop to be at that.
    const STOPS: std::time::Duration = std::time::Duration::from_millis(300);
    let home = home().await;
    with_one_at_b(&home).await;
    for point in points("save-", 9).into_iter().chain(points("restore-", 4)) {
        let mut daemon = Daemon::spawn(&home, Some(&format!("{point}:1:wait")));
        let client = daemon.ready(&home).await.unwrap();
        runs(&client, &home, &format!("stopped at {point}")).await;
        press(&client, &home).await;
        let command = if point.starts_with("save-") {
            SnapshotCommand::Create { device: name(), name: "at-b".into(), replace: true }
        } else {
            SnapshotCommand::Restore { device: name(), name: "at-b".into() }
        };
        let asked = client.clone();
        let asked = tokio::spawn(async move { asked.ask(Request::Snapshot(command)).await });
        daemon.is_at(&home, &point).await;
        daemon.signal(rustix::process::Signal::TERM);
        tokio::time::sleep(STOPS).await;
        daemon.let_go();
        assert!(daemon.ended().await.success(), "{point}");
        drop((asked.await, client));
        assert_eq!(home.machines(), [], "{point}: a machine outlives a farm that was stopped");
        let (daemon, client) = Daemon::start(&home).await;
        all_is_well(&home, &client, &point, Machine::OrNone).await;
        for left in ["saving", "save", "restoring", "load"] {
            assert!(!home.path().join("boards").join(DEVICE).join(left).exists(), "{point}: {left} is left");
        }
        end_of(&home, daemon, client).await;
        let _words_of_its_point = std::fs::remove_file(home.words());
    }
}
