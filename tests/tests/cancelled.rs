//! A build that is cancelled: whoever types Ctrl-C has his processors back.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
