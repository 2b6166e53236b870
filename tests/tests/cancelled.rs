//! A build that is cancelled: whoever types Ctrl-C has his processors back.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farmhand_runtime::process_start;
use farmhand_tests::{Desk, Running, until};
use rustix::process::Signal;

const ROUNDS: usize = 12;
/// A compiler whose work another program does, for longer than anybody waits.
const COMPILER: &str = r#"#!/bin/sh
case " $* " in
*" -c "*) sleep 3600 & wait ;;
*) exec "/usr/bin/${0##*/}" "$@" ;;
esac
"#;

/// Programs that work in a project.
fn at_work(project: &Path) -> Vec<PathBuf> {
    let works_there = |process: &PathBuf| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == project);
    let is_compiler =
        |process: &PathBuf| fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "sleep");
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(is_compiler).filter(works_there).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_compiler() {
    let desk = Desk::ready();
    desk.write("p/platformio.ini", "[env:long]\nplatform = native\n");
    for file in 0..40 {
        desk.write(&format!("p/src/f{file}.cpp"), &format!("int f{file};\n"));
    }
    for name in ["gcc", "g++"] {
        let path = desk.write(&format!("compilers/{name}"), COMPILER);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let project = desk.work().join("p").canonicalize().unwrap();
    let path = format!("{}:{}", desk.work().join("compilers").display(), std::env::var("PATH").unwrap());
    for round in 0..ROUNDS {
        let verb = ["build", "compile-many"][round % 2];
        let mut command = desk.farmhand([verb, "p", "-j16", "--json"]);
        command.env("PATH", &path);
        let build = Running::start(&desk, "build", command);
        // Among the first, so that others are about to be started.
        until("it compiles", async || (at_work(&project).len() > round % 2).then_some(())).await;
        build.signal([Signal::INT, Signal::TERM, Signal::HUP][round % 3]);
        let ended = build.ended().await;
        let last = ended.expect(130).json_lines().pop().expect("a program is told, too");
        assert_eq!((&last["event"], &last["code"]), (&"result".into(), &130.into()), "{last}");
        until("its compilers have ended", async || at_work(&project).is_empty().then_some(())).await;
    }
}

/// Writes its artifact in two steps, and waits in between.
const SLOW: &str = "echo $$ >> pids
cp /bin/true out.tmp
cat in.txt >> out.tmp
cp out.tmp out.elf
touch begun
while [ ! -e go ]; do sleep 0.02; done
cat in.txt >> out.elf
";

/// The kernel ends a command with farmhand, and not what the command has started: that would write beside the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_build_left_is_ended_before_the_next_begins() {
    let desk = Desk::ready();
    let inputs = "inputs = [\"in.txt\", \"slow.sh\"]\n";
    // What has a session of its own is in no group of ours.
    for (name, command, inputs) in [("told", "sh", inputs), ("untold", "setsid sh", "")] {
        let settings = format!(
            "board = \"native\"\n[build]\ncommand = \"{command} ./slow.sh; true\"\nartifact = \"out.elf\"\n{inputs}"
        );
        desk.write(&format!("{name}/farmhand.toml"), &settings);
        desk.write(&format!("{name}/in.txt"), "once\n");
        desk.write(&format!("{name}/slow.sh"), SLOW);
        let project = desk.work().join(name).canonicalize().unwrap();
        let begun = project.join("begun");
        let started = async || {
            let build = Running::start(&desk, "build", desk.farmhand(["build", name]));
            until("its command is in the middle", async || begun.exists().then_some(())).await;
            fs::remove_file(&begun).unwrap();
            build
        };
        let killed = async || {
            let build = started().await;
            build.signal(Signal::KILL);
            build.ended().await;
            let pids = fs::read_to_string(project.join("pids")).unwrap();
            let pid = pids.lines().last().unwrap().parse().unwrap();
            assert!(process_start(pid).is_some(), "{name}: nothing was left");
            pid
        };
        let left = killed().await;
        let next = started().await;
        assert_eq!(process_start(left), None, "{name}: two are at work");
        fs::write(project.join("go"), "").unwrap();
        next.ended().await.expect(0);
        let mut expected = fs::read("/bin/true").unwrap();
        expected.extend_from_slice(b"once\nonce\n");
        assert!(
            fs::read(project.join("out.elf")).unwrap() == expected,
            "{name}: two commands have written it"
        );

        // What is forgotten of it cannot be ended any more.
        fs::remove_file(project.join("go")).unwrap();
        desk.write(&format!("{name}/in.txt"), "twice\n");
        let left = killed().await;
        desk.run(["clean", name]).await.expect(0);
        assert_eq!(process_start(left), None, "{name}: it was cleaned");
    }
}
