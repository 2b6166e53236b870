//! The command line as a whole: exit codes that no other file tries, what machines read, and a newcomer's way.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use farmhand_tests::{Daemon, Desk, Home, Running, alpha, compile, copy_of_binary, said, until};
use rustix::process::Signal;
use tokio::process::Command;

const BOARD: &str = "arduino:avr:uno";
const UNO: &str = "[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n";

fn run(image: &Path, pattern: &str) -> Vec<String> {
    let expect = format!("--expect={pattern}");
    ["run", image.to_str().unwrap(), "--board", BOARD, &expect].map(Into::into).into()
}

fn json(words: Vec<String>) -> Vec<String> {
    words.into_iter().chain(["--message-format=json".into()]).collect()
}

/// A tree that includes what only a C library has.
#[tokio::test(flavor = "multi_thread")]
async fn install_brings_all_that_a_build_asks_for() {
    let desk = Desk::ready();
    desk.write("farmhand.toml", "board = \"qemu:mps2-an385\"\n");
    desk.write("main.c", "#include <string.h>\nint main(void) { return (int)strlen(\"\"); }\n");
    let packages = ["arm-gcc", "arm-picolibc"];
    let said = desk.run(["install"]).await;
    said.expect(0);
    assert!(packages.iter().all(|package| said.stdout.contains(package)), "{}", said.stdout);
    desk.write("main.c", "int main(void) { return 0; }\n");
    let said = desk.run(["install"]).await;
    said.expect(0);
    assert!(said.stdout.contains(packages[0]) && !said.stdout.contains(packages[1]), "{}", said.stdout);

    // What no environment asks for is installed for none; of several, what is meant, or all.
    let ini = "[platformio]\ndefault_envs = one, two\n[env:one]\nplatform = native\n[env:two]\nplatform = native\n\
        [env:board]\nplatform = atmelavr\nboard = uno\nframework = arduino\n";
    desk.write("of-ini/platformio.ini", ini);
    desk.write("of-ini/src/main.c", "int main(void) { return 0; }\n");
    let said = desk.run(["-d", "of-ini", "install"]).await;
    said.expect(0).mentions(&["no package is needed"]);
    assert!(said.stdout.is_empty(), "{}", said.stdout);
    let bundle = ["-d", "of-ini", "install", "--all", "--offline-bundle", "kit.tar"];
    let said = desk.run(bundle).await;
    said.expect(0).mentions(&["packed"]);
    assert!(said.stdout.contains("avr-gcc") && desk.work().join("kit.tar").exists(), "{}", said.stdout);
    desk.run(["install", "--all"]).await.expect(2).mentions(&["no environment", "--all"]);

    // Who builds by a command knows what it needs.
    desk.write(
        "farmhand.toml",
        "board = \"qemu:linux-x86_64\"\n[build]\ncommand = \"true\"\nartifact = \"a\"\n",
    );
    desk.run(["build", "--explain-libs"]).await.expect(2).mentions(&["own command"]);
    desk.write("farmhand.toml", "[package.one]\nsource = \"path\"\nkind = \"library\"\npath = \"nowhere\"\n");
    desk.run(["install"]).await.expect(2).mentions(&["F516", "nowhere", "[package.NAME]"]);
}

/// An empty folder, an empty home: init, run, break the sketch, mend it, watch, kill, resume.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_way() {
    let desk = Desk::ready();
    std::fs::create_dir(desk.work().join("lamp")).unwrap();
    desk.run(["init", "lamp", "--board", BOARD]).await.expect(0);
    desk.run(["init", "lamp", "--board", BOARD])
        .await
        .expect(2)
        .mentions(&["farmhand.toml is there already", "--force"]);
    let first = desk.run(["run", "lamp"]).await;
    first.expect(0).mentions(&["build", "uno-sim (no board plugged in; virtual)", "flash", "| hello 3"]);
    assert!(first.stdout.starts_with("passed  s-1  uno-sim  matched \"hello 3\""), "{}", first.stdout);
    let second = desk.run(["run", "lamp"]).await;
    second.expect(0).mentions(&["unchanged", "skipped: uno-sim holds this image since s-1"]);

    desk.edit("lamp/lamp.ino", "delay(500);", "delay(500)");
    desk.run(["run", "lamp"]).await.expect(7).mentions(&["lamp.ino:"]);
    desk.edit("lamp/lamp.ino", "delay(500)", "delay(20);");
    desk.edit("lamp/lamp.ino", "hello", "hullo");
    let failed = desk.run(["run", "lamp", "--timeout", "2s"]).await;
    failed.expect(1).mentions(&[
        "error[F101]",
        "\"hello 3\" not seen within 2 s",
        "lamp/farmhand.toml:8:",
        "closest",
        "| hullo",
        "farmhand logs s-4",
    ]);
    assert!(failed.stdout.starts_with("failed  s-4  uno-sim"), "{}", failed.stdout);
    desk.edit("lamp/farmhand.toml", "hello 3", "hullo 3000$");
    desk.edit("lamp/farmhand.toml", "20s", "100s");

    // Watched, and killed: the farm is started again by whoever wants it, and the session goes on.
    let mut monitor =
        Running::start(&desk, "monitor", desk.farmhand(["monitor", "--project-dir", "lamp", "--no-input"]));
    monitor.prints("hullo ").await;
    let mut running = Running::start(&desk, "running", desk.farmhand(["run", "lamp"]));
    until("its program is watched", async || running.stderr().contains("| hullo 3").then_some(())).await;
    assert!(running.runs());
    running.signal(Signal::KILL);
    assert_eq!(running.ended().await.code, None);
    assert_eq!(desk.kill_farms(), 1);
    let resumed = desk.run(["resume", "--detach"]).await;
    resumed.expect(0);
    let left = desk.run(["sessions", "--json"]).await.expect(0).json();
    assert_eq!(left[0]["id"], "s-5", "{left}");
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert!(desk.run(["cancel", "s-5"]).await.expect(0).stdout.starts_with("cancelled  s-5"));
    let none = desk.run(["resume"]).await;
    none.expect(0).mentions(&["nothing was left unfinished"]);
    monitor.signal_group(Signal::INT);
    monitor.ended().await.expect(0);
    let logs = desk.run(["logs", "s-1"]).await;
    assert!(logs.expect(0).stdout.contains("hello 3\r\n"), "{}", logs.stdout);
}

/// What machines read: one document for a question, one a line for what goes on, the result last.
#[tokio::test(flavor = "multi_thread")]
async fn what_machines_read() {
    let desk = Desk::ready();
    let lines = desk.run(json(run(&alpha().path, "^alpha 3$"))).await.expect(0).json_lines();
    assert!(lines.iter().all(|line| line["v"] == 1 && line["event"].is_string()), "{lines:?}");
    let has = |event: &str| lines.iter().any(|line| line["event"] == event);
    for event in [
        "session.phase",
        "session.device",
        "flash.progress",
        "flash.done",
        "epoch",
        "console",
        "session.finished",
    ] {
        assert!(has(event), "no {event} in {lines:?}");
    }
    let result = lines.last().unwrap();
    assert_eq!(
        (&result["ok"], &result["code"], &result["verdict"]),
        (&true.into(), &0.into(), &"passed".into())
    );

    let devices = desk.run(["devices", "--json"]).await.expect(0).json();
    assert_eq!((&devices[0]["name"], &devices[0]["virtual"]), (&"uno-sim".into(), &true.into()));
    let sessions = desk.run(["sessions", "--all", "--json"]).await.expect(0).json();
    assert_eq!((&sessions[0]["id"], &sessions[0]["verdict"]), (&"s-1".into(), &"passed".into()));
    assert_eq!(desk.run(["sessions", "--json"]).await.expect(0).json(), serde_json::json!([]));
    let status = desk.run(["status", "--json"]).await.expect(0).json();
    assert_eq!((&status["running"], &status["sessions"]), (&true.into(), &0.into()));
    for words in [["config", "show", "--json"], ["logs", "s-1", "--json"], ["store", "check", "--json"]] {
        let said = desk.run(words).await;
        assert!(matches!(said.code, Some(0 | 6)), "{words:?}: {said:?}");
        for line in said.stdout.lines().filter(|line| !line.is_empty()) {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{words:?}: {line}");
        }
    }
    desk.stop().await;
    assert_eq!(desk.run(["status", "--json"]).await.expect(0).json()["running"], false);
}

/// 2: what cannot be meant. No farm is started for it.
#[tokio::test(flavor = "multi_thread")]
async fn usage() {
    let desk = Desk::new(Home::empty());
    desk.run(["fly"]).await.expect(2);
    desk.run(["run", "--nonsense"]).await.expect(2).mentions(&["--nonsense"]);
    desk.run(["run", "nowhere"]).await.expect(2).mentions(&["error[F018]", "nowhere"]);
    let machine =
        desk.run(["run", "nowhere", "--message-format=json"]).await.expect(2).json_lines().pop().unwrap();
    assert_eq!((&machine["code"], &machine["problem"]["class"]), (&2.into(), &"usage".into()));
    assert!(desk.run(["--help"]).await.expect(0).stdout.contains("130 cancelled"));
    assert_eq!(desk.kill_farms(), 0);
}

/// 5: a folder that may not be used. Root may use any, and becomes somebody else for it.
#[tokio::test(flavor = "multi_thread")]
async fn permission() {
    const NOBODY: u32 = 65_534;
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    std::fs::DirBuilder::new().mode(0o500).create(&home).unwrap();
    // Where others may look, and the program too: it may lie where only its owner may.
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy_of_binary("farmhand", place.path());
    let _its_daemon = copy_of_binary("farmhandd", place.path());
    let mut command = Command::new(program);
    command.args(["run", "--home"]).arg(&home).arg(alpha_copy(place.path())).args(["--board", BOARD]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", place.path()).current_dir(place.path());
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    said(command).await.expect(5).mentions(&["error[F", home.to_str().unwrap()]);
}

fn alpha_copy(to: &Path) -> std::path::PathBuf {
    let copy = to.join("alpha.elf");
    std::fs::copy(&alpha().path, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
    copy
}

/// 9: a handoff that must not be done twice, and of which nobody knows; then a person has looked.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_settled() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let mut daemon = Daemon::spawn(&desk, Some("handoff-after"));
    daemon.ready(&desk).await.unwrap();
    let once = json(run(&alpha().path, "^alpha 3$")).into_iter().chain(["--once".into()]);
    let unknown = desk.run(once).await.expect(9).json_lines().pop().unwrap();
    daemon.ended().await;
    assert_eq!((&unknown["verdict"], &unknown["problem"]["class"]), (&"unknown".into(), &"unknown".into()));
    assert_eq!(unknown["problem"]["code"], "F301");
    let help = unknown["problem"]["help"].to_string();
    assert!(
        help.contains("farmhand resume s-1 --booted") && help.contains("farmhand resume s-1 --not-booted"),
        "{help}"
    );
    assert_eq!(desk.board("uno").counters().leaves, 1);

    // Set aside: the next one is told so, and nothing is done.
    desk.run(run(&alpha().path, "^alpha 3$"))
        .await
        .expect(6)
        .mentions(&["uno is quarantined", "farmhand resume"]);
    assert_eq!(desk.board("uno").counters().leaves, 1);
    desk.run(["resume", "s-1", "--booted"]).await;
    desk.run(run(&alpha().path, "^alpha 3$")).await.expect(0);
}

/// 130: Ctrl-C before the handoff cancels; after it, it leaves, and the session goes on.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted() {
    let desk = Desk::ready();
    desk.configure(UNO);
    let large = compile(&desk, "chatter.c", "large", &["WORD=\"large\"", "PAGES=200"]).await;
    let mut before = Running::start(&desk, "before", desk.farmhand(json(run(&large, "^large 9$"))));
    before.prints("\"stage\":\"write\"").await;
    before.signal_group(Signal::INT);
    let before = before.ended().await;
    assert_eq!(before.expect(130).json_lines().pop().unwrap()["verdict"], "cancelled");
    assert_eq!(desk.board("uno").counters().leaves, 0);

    let mut after = Running::start(&desk, "after", desk.farmhand(json(run(&alpha().path, "^alpha 400$"))));
    after.prints("\"phase\":\"observing\"").await;
    after.signal_group(Signal::INT);
    let after = after.ended().await;
    after.expect(130).mentions(&["detached: s-2 was handed off and goes on", "farmhand attach s-2"]);
    let last = after.json_lines().pop().unwrap();
    assert_eq!((&last["event"], &last["session"]), (&"result".into(), &"s-2".into()), "{last}");
    assert_eq!(
        (&last["detached"], &last["handed_off"], &last["ok"]),
        (&true.into(), &true.into(), &false.into())
    );
    let attached = desk.run(["attach", "s-2"]).await;
    attached.expect(0);
    assert!(attached.stdout.starts_with("passed  s-2  uno"), "{}", attached.stdout);
    assert_eq!(desk.board("uno").counters().leaves, 1);
}
