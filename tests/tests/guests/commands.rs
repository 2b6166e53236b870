//! What a guest is told to do, by whoever asks.

use farmhand_api::{Answer, GuestCommand, GuestEnded, INPUT_LEN_MAX, Request};
use farmhand_tests::{Daemon, at_work};

use super::{BOOTED_AT, VM, ask, boot, boot_id, command, device, end, file, home, run, sh};

#[tokio::test]
async fn a_command_has_its_streams_its_environment_its_input_and_its_end() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    let problem = run(&client, command(VM, &["true"])).await.unwrap_err();
    assert_eq!(problem.code, "F297", "it does not run yet: {problem:?}");
    let bare = GuestCommand::Run { device: device("other"), board: "qemu:riscv32-virt".into() };
    assert_eq!(ask(&client, bare).await.unwrap_err().code, "F295");
    boot(&client, "other").await;
    boot(&client, VM).await;
    let ran = run(&client, command(VM, &["sh", "-c", "echo out; echo err >&2; exit 7"])).await.unwrap();
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.ended), ("out\n", "err\n", GuestEnded::Exit(7)));
    let GuestCommand::Exec { device, argv, .. } = command(VM, &["sh", "-c", "echo $A; pwd; cat"]) else {
        panic!()
    };
    let with_all = GuestCommand::Exec {
        device: device.clone(),
        argv,
        env: vec![("A".into(), "b c".into())],
        cwd: Some("/data".into()),
        timeout_ms: None,
        input: b"what is read".to_vec(),
    };
    assert_eq!(run(&client, with_all).await.unwrap().out, "b c\n/data\nwhat is read");
    let exec = |argv: &[&str], timeout_ms, input| GuestCommand::Exec {
        device: device.clone(),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: Vec::new(),
        cwd: None,
        timeout_ms,
        input,
    };
    let ended = async |command| run(&client, command).await.unwrap().ended;
    assert_eq!(ended(exec(&["sleep", "1000"], Some(50), Vec::new())).await, GuestEnded::TimedOut);
    assert_eq!(ended(exec(&["sh", "-c", "kill -USR1 $$"], None, Vec::new())).await, GuestEnded::Signal(10));
    let none = ended(exec(&["no-such-program"], None, Vec::new())).await;
    assert!(matches!(&none, GuestEnded::Not(why) if why.contains("no-such-program")), "{none:?}");
    let much = exec(&["wc", "-c"], None, vec![b'x'; INPUT_LEN_MAX]);
    assert_eq!(run(&client, much).await.unwrap().out.trim(), INPUT_LEN_MAX.to_string());
    let ignored = exec(&["true"], None, vec![b'x'; INPUT_LEN_MAX]);
    assert_eq!(ended(ignored).await, GuestEnded::Exit(0), "who reads nothing ends all the same");
    let long = run(&client, command(VM, &["sh", "-c", "seq 1 200000"])).await.unwrap();
    assert_eq!(long.out.lines().last(), Some("200000"));
    end(&home, daemon, client).await;
}

#[tokio::test]
async fn a_file_is_copied_whole_or_not_at_all() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let content: Vec<u8> =
        (0..3_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let (there, back) = (file(&home, "there.bin", &content), home.path().join("back.bin"));
    let text = |path: &std::path::Path| path.display().to_string();
    let put = |to: &str| GuestCommand::Put { device: device(VM), from: text(&there), to: to.into() };
    let get = |from: &str| GuestCommand::Get { device: device(VM), from: from.into(), to: text(&back) };
    let ended = async |command| match ask(&client, command).await.unwrap() {
        Answer::Ended(ended) => ended,
        other => panic!("{other:?}"),
    };
    assert_eq!(ended(put("/data/x.bin")).await, GuestEnded::Exit(0));
    assert_eq!(ended(get("/data/x.bin")).await, GuestEnded::Exit(0));
    assert!(std::fs::read(&back).unwrap() == content, "it came back another");
    assert!(matches!(ended(get("/data/none")).await, GuestEnded::Not(_)));
    assert!(std::fs::read(&back).unwrap() == content, "it was left as it was");
    assert!(matches!(ended(put("/no/folder/x")).await, GuestEnded::Not(_)));
    let nowhere = GuestCommand::Put { device: device(VM), from: "/nowhere/x".into(), to: "/data/y".into() };
    assert_eq!(ask(&client, nowhere).await.unwrap_err().code, "F267");
    assert_eq!(sh(&client, VM, "ls /data").await, "lost+found\nx.bin\n");
    end(&home, daemon, client).await;
}

#[tokio::test]
async fn who_goes_away_takes_the_command_along_and_who_stays_is_not_kept_waiting() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let other = daemon_client(&home).await;
    // Reads nothing of what is said without end; and one that says nothing.
    let flood = other.stream(Request::Guest(command(VM, &["yes"]))).await.unwrap();
    let quiet = other.stream(Request::Guest(command(VM, &["sleep", "1000"]))).await.unwrap();
    let runs =
        async || sh(&client, VM, "ps -o comm | grep -cE '^(yes|sleep)$' || true").await.trim().to_owned();
    farmhand_tests::until("both run", async || (runs().await == "2").then_some(())).await;
    drop((flood, quiet, other));
    farmhand_tests::until("both are ended", async || (runs().await == "0").then_some(())).await;
    end(&home, daemon, client).await;
}

async fn daemon_client(home: &farmhand_tests::Home) -> farmhand::transport::Client {
    farmhand::transport::Client::connect(home.path()).await.unwrap()
}

/// The farm dies, and the guest does not: it is adopted by the next, with what it was told to run told once.
#[tokio::test]
async fn a_guest_outlives_its_farm_and_is_adopted() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let (machines, before) = (home.machines(), boot_id(&client, VM).await);
    daemon.kill().await;
    let (daemon, client) = Daemon::start(&home).await;
    assert_eq!((boot_id(&client, VM).await, home.machines()), (before, machines));
    assert_eq!(at_work(&client).await.unwrap(), 0);
    end(&home, daemon, client).await;
}

/// The one that it is in now.
async fn epoch(client: &farmhand::transport::Client) -> u64 {
    let Ok(Answer::Devices(all)) = client.ask(Request::Devices).await else { panic!("devices") };
    all.into_iter().find(|view| view.name == Some(device(VM))).unwrap().epoch.unwrap().0
}

/// One reboot is one epoch, though the guest asks for it in more than one way, and its firmware once more. Guards: one end until
/// it goes on, and the firmware's own reset; it was 2 to 49 epochs without them.
#[tokio::test]
async fn a_guest_that_reboots_is_reached_again() {
    let home = home().await;
    let (daemon, client) = Daemon::start(&home).await;
    boot(&client, VM).await;
    let before = boot_id(&client, VM).await;
    let epoch = epoch(&client).await;
    sh(&client, VM, "echo kept > /data/kept; sync").await;
    let _cut_off = run(&client, command(VM, &["reboot", "-f"])).await;
    let another = async || {
        let ran = run(&client, command(VM, &["sh", "-c", BOOTED_AT])).await.ok()?;
        (ran.ended == GuestEnded::Exit(0) && ran.out != before).then_some(())
    };
    farmhand_tests::until("it has booted again", another).await;
    assert_eq!(sh(&client, VM, "cat /data/kept").await, "kept\n", "its disk is its own");
    assert_eq!(self::epoch(&client).await, epoch + 1, "it was reset more than once");
    end(&home, daemon, client).await;
}
