//! Linux guests as devices of a farm: booted, begun where one was healthy, told what to do, saved, cloned, killed.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "guests/accelerated.rs"]
mod accelerated;
#[path = "guests/commands.rs"]
mod commands;
#[path = "guests/hazards.rs"]
mod hazards;
#[path = "guests/jobs.rs"]
mod jobs;
#[path = "guests/left_behind.rs"]
mod left_behind;
#[path = "guests/snapshots.rs"]
mod snapshots;

use std::path::PathBuf;

use farmhand::transport::{Client, ClientError, Reply};
use farmhand_api::{Answer, GuestCommand, GuestEnded, Item, Problem, Request, SnapshotCommand};
use farmhand_records::DeviceName;
use farmhand_tests::{Daemon, Home, package, stop};

const BOARD: &str = "qemu:linux-x86_64";
/// The guest of the tests that need one.
const VM: &str = "vm";

/// A folder of a farm's with all that a guest is made of, which is fetched once a machine.
async fn home() -> Home {
    let home = Home::ready();
    for name in ["qemu-x86", "qemu-img", "linux-guest"] {
        package(&home, name).await;
    }
    home.configure(&format!("[[device]]\nname = {VM:?}\nboard = {BOARD:?}\ndriver = \"qemu\"\n"));
    home
}

fn device(name: &str) -> DeviceName {
    DeviceName::new(name).unwrap()
}

fn problem(error: ClientError) -> Problem {
    match error {
        ClientError::Problem(problem) => *problem,
        other => panic!("{other}"),
    }
}

async fn ask(client: &Client, command: GuestCommand) -> Result<Answer, Problem> {
    client.ask(Request::Guest(command)).await.map_err(problem)
}

async fn of_snapshot(client: &Client, command: SnapshotCommand) -> Result<Answer, Problem> {
    client.ask(Request::Snapshot(command)).await.map_err(problem)
}

async fn boot(client: &Client, name: &str) {
    let command = GuestCommand::Run { device: device(name), board: BOARD.into() };
    ask(client, command).await.unwrap();
}

/// What a command in a guest said, and how it ended.
#[derive(Debug, PartialEq)]
struct Ran {
    out: String,
    err: String,
    ended: GuestEnded,
}

fn command(name: &str, argv: &[&str]) -> GuestCommand {
    GuestCommand::Exec {
        device: device(name),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: Vec::new(),
        cwd: None,
        timeout_ms: None,
        input: Vec::new(),
    }
}

async fn run(client: &Client, command: GuestCommand) -> Result<Ran, Problem> {
    let mut replies = client.stream(Request::Guest(command)).await.map_err(problem)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match replies.next().await.map_err(problem)?.expect("an answer ends it") {
            Reply::Item(Item::Guest { err: false, bytes }) => out.extend(bytes),
            Reply::Item(Item::Guest { err: true, bytes }) => err.extend(bytes),
            Reply::Done(Answer::Ended(ended)) => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return Ok(Ran { out: text(out), err: text(err), ended });
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a shell in a guest says.
async fn sh(client: &Client, name: &str, script: &str) -> String {
    let ran = run(client, command(name, &["sh", "-c", script])).await.unwrap();
    assert_eq!((ran.err.as_str(), ran.ended), ("", GuestEnded::Exit(0)), "{script}: {}", ran.out);
    ran.out
}

/// When its kernel made a node: those that are made of one snapshot live by one boot. (Linux draws its own `boot_id` when that is
/// first read.)
const BOOTED_AT: &str = "stat -c %z /dev/vda";

/// Which boot of a kernel this guest lives by.
async fn boot_id(client: &Client, name: &str) -> String {
    sh(client, name, BOOTED_AT).await
}

async fn end(home: &Home, mut daemon: Daemon, client: Client) {
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    assert_eq!(home.machines(), [], "a machine outlives a farm that was stopped");
}

/// A file of a person's.
fn file(home: &Home, name: &str, content: &[u8]) -> PathBuf {
    let path = home.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}
