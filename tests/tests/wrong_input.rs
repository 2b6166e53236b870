//! What people get wrong, and what machines do: each has its own words and exit code, and the next run works.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::process::Stdio;

use farmhand_api::{Problem, ProblemClass};
use farmhand_installer::PackageWish;
use farmhand_tests::{BareUno, Desk, Home, Running, Said, alpha, entry, said, until};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use tokio::process::Command;

const BOARD: &str = "arduino:avr:uno";

/// Runs the image that counts, on a device.
fn run_on(device: &str) -> [String; 7] {
    ["run", alpha().path.to_str().unwrap(), "--board", BOARD, "--expect=^alpha 3$", "--device", device]
        .map(Into::into)
}

#[track_caller]
fn passed(said: &Said) {
    said.expect(0);
    assert!(said.stdout.starts_with("passed  s-"), "{}", said.stdout);
}

/// A port that is not there, and a name that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_is_not_there() {
    let desk = Desk::ready();
    let nowhere = desk.work().join("uno/tty");
    desk.configure(&entry("uno-left", &nowhere));
    desk.run(run_on("uno-left")).await.expect(4).mentions(&[
        "error[F202]",
        "uno-left is not plugged in",
        "farmhand devices",
    ]);
    desk.run(run_on("uno-lfet")).await.expect(4).mentions(&[
        "error[F201]",
        "no device is called uno-lfet",
        "did you mean uno-left?",
    ]);
    let port = ["run", alpha().path.to_str().unwrap(), "--board", BOARD, "--port", "/dev/ttyACM-none"];
    desk.run(port).await.expect(4).mentions(&["error[F2", "/dev/ttyACM-none"]);
    desk.run(["monitor", "uno-left"]).await.expect(4).mentions(&["uno-left"]);

    // Plugged in, while the farm runs.
    let board = BareUno::start(&desk, nowhere.parent().unwrap(), None).await;
    until("the farm sees it", async || {
        let devices = desk.run(["devices", "--json"]).await.json();
        let of = devices.as_array().unwrap().iter().find(|device| device["name"] == "uno-left").cloned();
        (of.unwrap()["state"] != "absent").then_some(())
    })
    .await;
    passed(&desk.run(run_on("uno-left")).await);
    assert_eq!(board.control().counters().leaves, 1);
}

/// A board whose loader says nothing, or nonsense.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_does_not_answer() {
    let desk = Desk::ready();
    passed(&desk.run(run_on("uno-sim")).await);
    let board = desk.board("uno-sim");
    let before = board.counters();
    for fault in ["silent", "garbage"] {
        board.ask(&format!("fault {fault}")).unwrap();
        let failed = desk.run(run_on("uno-sim")).await;
        failed.expect(8).mentions(&[
            "error[F231]",
            "does not answer in its loader",
            "press its reset button",
        ]);
        assert!(failed.stdout.starts_with("infra  s-"), "{}", failed.stdout);
        board.ask("fault none").unwrap();
    }
    let after = board.counters();
    assert_eq!((after.page_writes, after.leaves), (before.page_writes, before.leaves), "nothing was done");
    passed(&desk.run(run_on("uno-sim")).await);
}

/// Another chip on the port: refused before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_with_another_signature() {
    let desk = Desk::ready();
    let folder = desk.work().join("port");
    let other = BareUno::start(&desk, &folder, Some("1e9514")).await;
    desk.configure(&other.entry("uno-1"));
    let refused = desk.run(run_on("uno-1")).await;
    refused.expect(4).mentions(&["error[F232]", "uno-1", "1e 95 14", "1e 95 0f", "nothing was written"]);
    let counted = other.control().counters();
    assert_eq!((counted.page_writes, counted.leaves, counted.app_starts), (0, 0, 0), "{counted:?}");

    other.leave().await;
    let right = BareUno::start(&desk, &folder, None).await;
    passed(&desk.run(run_on("uno-1")).await);
    assert_eq!(right.control().counters().leaves, 1);
}

/// A sketch that does not compile, as the compiler says it; nobody's board is touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_sketch_that_does_not_compile() {
    let desk = Desk::ready();
    desk.blink("lamp");
    desk.edit("lamp/lamp.ino", "count++;", "cuont++;");
    let failed = desk.run(["run", "lamp"]).await;
    failed.expect(7).mentions(&["lamp.ino:12:3: error: 'cuont' was not declared", "error[F406]"]);
    assert!(failed.stdout.starts_with("failed  s-"), "{}", failed.stdout);
    desk.run(["build", "lamp"]).await.expect(7).mentions(&["lamp.ino:12:3: error:"]);
    let machine = desk.run(["run", "lamp", "--message-format", "json"]).await;
    let result = machine.expect(7).json_lines().pop().unwrap();
    assert_eq!(
        (&result["code"], &result["ok"], &result["problem"]["class"]),
        (&7.into(), &false.into(), &"build".into())
    );
    assert!(desk.boards().is_empty(), "no board was started");

    desk.edit("lamp/lamp.ino", "cuont++;", "count++;");
    passed(&desk.run(["run", "lamp"]).await);
}

/// Keys and words that are misspelt: file, line and column, and the nearest.
#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_setting() {
    let desk = Desk::ready();
    desk.blink("lamp");
    desk.edit("lamp/farmhand.toml", "fail-on", "fial-on");
    let wrong = desk.run(["run", "lamp"]).await;
    wrong.expect(3).mentions(&[
        "error[F012]",
        "\"fial-on\" in [test]",
        "lamp/farmhand.toml:10:1",
        "did you mean fail-on?",
    ]);
    assert_eq!(wrong.stdout, "");
    let machine =
        desk.run(["run", "lamp", "--message-format", "json"]).await.expect(3).json_lines().pop().unwrap();
    assert_eq!(machine["problem"]["place"]["line"], 10);
    assert_eq!(desk.farm_pid().await, None, "no farm was needed to see it");
    desk.edit("lamp/farmhand.toml", "fial-on", "fail-on");

    desk.configure("[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtaul-uno\"\n");
    desk.run(["run", "lamp"]).await.expect(3).mentions(&["farm.toml:4:10", "did you mean virtual-uno?"]);
    desk.configure("[[device]]\nname = \"uno\"\nboard = \"arduino:avr:uno\"\ndriver = \"virtual-uno\"\n");
    passed(&desk.run(["run", "lamp"]).await);
}

/// A file that is not the one that was meant: through the library, which knows the hash.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_with_a_wrong_hash() {
    let home = Home::empty();
    let packages = home.paths().packages();
    let file = home.path().join("tool.tar");
    let mut archive = tar::Builder::new(fs::File::create(&file).unwrap());
    add(&mut archive, "bin/tool", b"#!/bin/sh\n");
    archive.into_inner().unwrap();
    let wish = |sha256| PackageWish::Local { path: file.clone(), sha256: Some(sha256) };
    let refused = farmhand_installer::install(&packages, &wish([7; 32]), |_| ()).await.unwrap_err();
    let told = Problem::from(&refused);
    assert_eq!(told.class, ProblemClass::Package);
    let said = format!("{} {:?}", told.message, told.detail);
    assert_eq!(hash_in(&said, |hash| *hash == [7; 32]), [7; 32]);
    // What it is, the error says; with that, it is installed.
    let right = hash_in(&said, |hash| *hash != [7; 32]);
    let installed = farmhand_installer::install(&packages, &wish(right), |_| ()).await.unwrap();
    assert_eq!(fs::read(installed.prefix.join("bin/tool")).unwrap(), b"#!/bin/sh\n");
}

/// A hash in a sentence.
#[track_caller]
fn hash_in(text: &str, is: impl Fn(&[u8; 32]) -> bool) -> [u8; 32] {
    let words = text.split(|letter: char| !letter.is_ascii_hexdigit()).filter(|word| word.len() == 64);
    let byte = |word: &str, at: usize| u8::from_str_radix(&word[2 * at..2 * at + 2], 16).unwrap();
    let mut hashes = words.map(|word| std::array::from_fn(|at| byte(word, at)));
    hashes.find(is).unwrap_or_else(|| panic!("no such hash in {text:?}"))
}

fn add(archive: &mut tar::Builder<fs::File>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    // As the name is: what the library refuses to write is what is to be refused.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append(&header, bytes).unwrap();
}

/// Archives that would write beside their folder: by a path, from the root, by a link.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_leaves_its_folder() {
    let desk = Desk::new(Home::empty());
    let hostile =
        [("up", "../../../../escaped"), ("root", "/escaped-from-farmhand"), ("within", "a/../../../escaped")];
    for (kind, name) in hostile {
        let mut archive =
            tar::Builder::new(fs::File::create(desk.work().join(format!("{kind}.tar"))).unwrap());
        add(&mut archive, "good", b"good");
        add(&mut archive, name, b"bad");
        archive.into_inner().unwrap();
    }
    let mut archive = tar::Builder::new(fs::File::create(desk.work().join("link.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    archive.append_link(&mut header, "out", desk.work()).unwrap();
    add(&mut archive, "out/escaped", b"bad");
    archive.into_inner().unwrap();

    for kind in ["up", "root", "within", "link"] {
        let refused = desk.run(["install", &format!("{kind}.tar")]).await;
        refused.expect(10).mentions(&["error[F5", &format!("{kind}.tar")]);
    }
    let escaped = |folder: &std::path::Path| folder.join("escaped").exists();
    assert!(!desk.path().ancestors().any(escaped) && !escaped(desk.work()), "something was written outside");
    assert!(!std::path::Path::new("/escaped-from-farmhand").exists());

    let mut archive = tar::Builder::new(fs::File::create(desk.work().join("good.tar")).unwrap());
    add(&mut archive, "good", b"good");
    archive.into_inner().unwrap();
    let installed = desk.run(["install", "good.tar", "--json"]).await;
    let path =
        installed.expect(0).json_lines().pop().unwrap()["installed"][0]["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(format!("{path}/good")).unwrap(), b"good");
}

/// Without a network nothing is fetched, which is said; what is installed works.
#[tokio::test(flavor = "multi_thread")]
async fn no_network() {
    let desk = Desk::new(Home::empty());
    desk.blink("lamp");
    // Nobody listens on the discard port; a list that is empty has nothing.
    let dead = desk.write("dead.list", "deb [trusted=yes] http://127.0.0.1:9/debian stable main\n");
    let none = desk.write("none.list", "");
    let with = |desk: &Desk, list: &std::path::Path| {
        let mut command = desk.farmhand(["run", desk.work().join("lamp").to_str().unwrap()]);
        command.env("FARMHAND_APT_SOURCES", list).current_dir(desk.work());
        command
    };
    let cut_off = said(with(&desk, &dead)).await;
    cut_off.expect(10).mentions(&[
        "error[F503]",
        "avr-gcc",
        "cannot be reached",
        "127.0.0.1:9",
        "check the network",
    ]);
    desk.stop().await;
    said(with(&desk, &none)).await.expect(10).mentions(&["error[F504]", "gcc-avr", "sources"]);
    desk.stop().await;

    let equipped = Desk::ready();
    equipped.blink("lamp");
    passed(&said(with(&equipped, &dead)).await);
}

/// A port that another process has open: named, with its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_holds() {
    let desk = Desk::ready();
    let board = BareUno::start(&desk, &desk.work().join("board"), None).await;
    desk.configure(&board.entry("uno-1"));
    // As a terminal program does; `cat` is one.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let port = rustix::fs::open(board.line(), flags, Mode::empty()).unwrap();
    let mut holder =
        Command::new("cat").stdin(port).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let named = format!("held by cat (pid {})", holder.id().unwrap());
    desk.run(run_on("uno-1")).await.expect(6).mentions(&["error[F221]", "uno-1", &named]);
    desk.run(["monitor", "uno-1"]).await.expect(6).mentions(&[&named]);
    assert_eq!(board.control().counters().page_writes, 0);
    holder.kill().await.unwrap();
    passed(&desk.run(run_on("uno-1")).await);
}

/// A limit on the size of files is a disk that is full, to whoever writes (`EFBIG`); no privilege is needed.
fn on_a_full_disk(desk: &Desk, blocks: u32, words: &[&str]) -> Command {
    let farmhand = desk.farmhand(words);
    let whole = farmhand.as_std();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""))
        .arg(whole.get_program());
    command.args(whole.get_args()).current_dir(desk.work());
    for (name, value) in whole.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The disk is full where the farm keeps its store, where a build keeps its objects; then there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    let desk = Desk::ready();
    desk.blink("lamp");
    let run = ["run", "lamp", "--in-process"];
    // In blocks of 512 bytes: less than the store's marks, then less than the core's archive.
    let no_store = said(on_a_full_disk(&desk, 400, &run)).await;
    no_store.expect(8).mentions(&["disk full at", "store"]);
    let no_object = said(on_a_full_disk(&desk, 1200, &run)).await;
    assert!(matches!(no_object.code, Some(7 | 8)), "{no_object:?}");
    no_object.mentions(&["No space left on device"]);
    passed(&desk.run(["run", "lamp"]).await);
    desk.stop().await;
    desk.run(["store", "check"]).await.expect(0);
}

/// Two at once in a folder that has nothing: one installs, builds and starts the board, the other waits for it, and
/// both are right.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_in_a_fresh_folder() {
    let desk = Desk::new(Home::empty());
    for name in ["left", "right"] {
        desk.blink(name);
    }
    desk.edit("right/right.ino", "\"blink \"", "\"flash \"");
    desk.edit("right/farmhand.toml", "blink 3", "flash 3");
    let start =
        |name: &str| Running::start(&desk, name, desk.farmhand(["run", name, "--message-format", "json"]));
    let (left, right) = (start("left"), start("right"));
    let (left, right) = tokio::join!(left.ended(), right.ended());
    let mut sessions = Vec::new();
    for said in [&left, &right] {
        let result = said.expect(0).json_lines().pop().unwrap();
        assert_eq!(
            (&result["verdict"], &result["device"]),
            (&Value::from("passed"), &Value::from("uno-sim"))
        );
        sessions.push(result["session"].as_str().unwrap().to_owned());
    }
    sessions.sort_unstable();
    assert_eq!(sessions, ["s-1", "s-2"]);
    assert_eq!(desk.kill_farms(), 1, "one farm");
    let counted = desk.board("uno-sim").counters();
    assert_eq!(counted.leaves, 2, "{counted:?}");
    for package in ["avr-gcc", "arduino-avr", "simavr"] {
        let folder = fs::read_dir(desk.paths().packages().join(package)).unwrap();
        let complete =
            folder.flatten().filter(|entry| entry.path().extension().is_some_and(|is| is == "complete"));
        assert_eq!(complete.count(), 1, "{package} is installed once");
    }
}
