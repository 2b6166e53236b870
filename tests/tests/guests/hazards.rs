//! What goes wrong with guests elsewhere when they are saved and restored, and does not here.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use farmhand_agent_messages::{Decoder, FromAgent, ToAgent, encode};
use farmhand_api::{GuestEnded, Request, SnapshotCommand};
use farmhand_tests::{Daemon, Home, OF_RESTORES, until};

use super::snapshots::{clones, create, restore};
use super::{VM, boot, command, device, end, home, run, sh};

/// Far behind any clock of now, in microseconds since 1970: in the year 2100.
const FAR: u64 = 4_102_444_800_000_000;

/// What a host said to an agent before that had acknowledged a restore, and whether it may.
#[derive(Debug, Default)]
struct Withheld {
    /// Restores that were told.
    told: AtomicBool,
    /// Something else was said but greetings.
    early: AtomicBool,
    /// Acknowledgements go through.
    open: AtomicBool,
}

/// Puts itself before the agent of the guest in this folder, whose farm is gone.
fn between(folder: &Path) -> Arc<Withheld> {
    let (socket, real) = (folder.join("agent"), folder.join("agent.real"));
    fs::rename(&socket, &real).unwrap();
    let (listener, withheld) = (UnixListener::bind(&socket).unwrap(), Arc::new(Withheld::default()));
    let all = Arc::clone(&withheld);
    // It ends with the test's process; what goes through it, with either end.
    thread::spawn(move || {
        for host in listener.incoming() {
            let (host, agent) = (host.unwrap(), UnixStream::connect(&real));
            // A guest that has ended.
            let Ok(agent) = agent else { continue };
            let (from_host, to_agent) = (host.try_clone().unwrap(), agent.try_clone().unwrap());
            let (heard, held) = (Arc::clone(&all), Arc::clone(&all));
            let mut decoder = Decoder::<ToAgent>::default();
            thread::spawn(move || {
                pass(from_host, to_agent, |mut rest| {
                    let all = rest.to_vec();
                    while let Some(message) = decoder.next(&mut rest) {
                        match message.unwrap() {
                            ToAgent::Hello { .. } => {}
                            ToAgent::Restored { .. } => heard.told.store(true, Ordering::SeqCst),
                            _ if heard.open.load(Ordering::SeqCst) => {}
                            _ => heard.early.store(true, Ordering::SeqCst),
                        }
                    }
                    all
                });
            });
            let mut decoder = Decoder::<FromAgent>::default();
            thread::spawn(move || {
                pass(agent, host, |mut rest| {
                    let mut all = Vec::new();
                    while let Some(message) = decoder.next(&mut rest) {
                        // What was for the farm before is torn.
                        let Ok(message) = message else { continue };
                        let is_one = matches!(message, FromAgent::Restored { .. });
                        if !is_one || held.open.load(Ordering::SeqCst) {
                            all.extend(encode(&message).unwrap());
                        }
                    }
                    all
                });
            });
        }
    });
    withheld
}

/// Passes on what this makes of each piece, until either end is gone.
fn pass(mut from: UnixStream, mut to: UnixStream, mut made: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut chunk = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if to.write_all(&made(&chunk[..read])).is_err() {
            break;
        }
    }
    for end in [from, to] {
        let _closed_already = end.shutdown(Shutdown::Both);
    }
}

/// What its folder says its life is called.
fn life(home: &Home) -> PathBuf {
    home.path().join("boards").join(VM).join("restored")
}

/// A guest is not there for anybody before its agent has acknowledged that it was restored, however long that takes. And a life
/// that a clock far ahead of this one has named does not outlive that clock: the next one is another all the same.
/// Seen red where the acknowledgement is not waited for, and without the life above the one that its agent knows.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_a_guest_that_has_not_acknowledged_its_restore_whatever_the_clock_says() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    create(&client, VM, "first").await;
    restore(&client, VM, "first").await;
    daemon.kill().await;
    // As if it had just been restored, by a farm whose clock was ahead.
    fs::write(life(&home), FAR.to_string()).unwrap();
    let withheld = between(&home.path().join("boards").join(VM));
    let (daemon, client) = Daemon::start(&home).await;
    let asked = client.clone();
    let asked = tokio::spawn(async move { sh(&asked, VM, "echo it is there").await });
    until("it is told", async || withheld.told.load(Ordering::SeqCst).then_some(())).await;
    // Told again, four times a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!asked.is_finished() && !withheld.early.load(Ordering::SeqCst));
    withheld.open.store(true, Ordering::SeqCst);
    assert_eq!(asked.await.unwrap(), "it is there\n");
    assert_eq!(fs::read_to_string(life(&home)).unwrap(), FAR.to_string());

    // Its agent names its life by that clock; who restores it has ours.
    let runs = client.stream(Request::Guest(command(VM, &["sleep", "1000"]))).await.unwrap();
    let sleeps = async || sh(&client, VM, "pidof sleep || echo none").await.trim() != "none";
    until("it runs", async || sleeps().await.then_some(())).await;
    create(&client, VM, "ahead").await;
    restore(&client, VM, "ahead").await;
    assert!(!sleeps().await, "what ran when it was saved is ended");
    assert_eq!(fs::read_to_string(life(&home)).unwrap(), (FAR + 1).to_string());
    drop(runs);
    end(&home, daemon, client).await;
}

/// Who waits for a command hears how it ended, or that its guest is another one now, and at once. A save is nothing to it.
/// Seen red where `Attend` does not tell a guest that it was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_in_a_guest_that_is_saved_and_its_end_is_told_where_that_is_restored() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let asked = |script: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { run(&client, command(VM, &["sh", "-c", script])).await })
    };
    let goes_on =
        asked("echo ran >> /data/ran; while [ ! -e /run/end ]; do sleep 0.1; done; echo to its end");
    let is_cut = asked("echo ran >> /data/ran; sleep 1000");
    let ran = async || sh(&client, VM, "cat /data/ran 2>/dev/null || true").await;
    until("both run", async || (ran().await == "ran\nran\n").then_some(())).await;
    // Whoever asks while it is saved waits for that, and is answered.
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, other) = (Arc::clone(&stop), client.clone());
    let asks = tokio::spawn(async move {
        let mut answers = 0;
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(sh(&other, VM, "echo here").await, "here\n");
            answers += 1;
        }
        answers
    });
    for nth in 1..=4 {
        create(&client, VM, &format!("busy-{nth}")).await;
    }
    stop.store(true, Ordering::SeqCst);
    assert!(asks.await.unwrap() > 0);
    sh(&client, VM, "touch /run/end").await;
    let ended = goes_on.await.unwrap().unwrap();
    assert_eq!((ended.out.as_str(), ended.ended), ("to its end\n", GuestEnded::Exit(0)));
    let made = clones(&client, "busy-4", 1).await;
    assert_eq!(sh(&client, &made[0], "cat /data/ran; pidof sleep || echo none").await, "ran\nran\nnone\n");
    assert!(!is_cut.is_finished());
    restore(&client, VM, "busy-4").await;
    let lost = is_cut.await.unwrap().unwrap_err();
    assert_eq!(lost.code, "F299", "{lost:?}");
    assert_eq!(
        sh(&client, VM, "cat /data/ran; pidof sleep || echo none").await,
        "ran\nran\nnone\n",
        "and it is not run again"
    );
    end(&home, daemon, client).await;
}

/// Whichever moment it was, there is a guest that answers and has ended what ran when it was saved, or there is none; and the next
/// one that is restored is well.
/// Seen red where `end_unless_let_go` lets one stand that was never let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_is_killed_while_it_restores_a_guest_leaves_one_that_is_well_or_none() {
    const ENDED: &str = "pidof sleep || echo none";
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let sleeps = client.stream(Request::Guest(command(VM, &["sleep", "1000"]))).await.unwrap();
    until("it runs", async || (sh(&client, VM, ENDED).await != "none\n").then_some(())).await;
    create(&client, VM, "ready").await;
    drop(sleeps);
    end(&home, daemon, client).await;
    for point in OF_RESTORES {
        let mut daemon = Daemon::spawn(&home, Some(point));
        let client = daemon.ready(&home).await.unwrap();
        let wish = SnapshotCommand::Restore { device: device(VM), name: "ready".into() };
        client.ask(Request::Snapshot(wish)).await.unwrap_err();
        daemon.ended().await;
        let (daemon, client) = Daemon::start(&home).await;
        match run(&client, command(VM, &["sh", "-c", ENDED])).await {
            Ok(ran) => assert_eq!(ran.out, "none\n", "{point}"),
            Err(none) => assert_eq!(none.code, "F297", "{point}: {none:?}"),
        }
        restore(&client, VM, "ready").await;
        assert_eq!(sh(&client, VM, ENDED).await, "none\n", "{point}");
        end(&home, daemon, client).await;
    }
}
