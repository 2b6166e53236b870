//! A build that is cancelled: whoever types Ctrl-C has his processors back.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_tests::{Desk, Running, until};
use rustix::process::Signal;

/// Takes a compiler minutes.
const LONG: &str = "constexpr long sum() { long s = 0; for (long i = 0; i < 2000000000; i++) s += i & 1; return s; }\n\
static_assert(sum() > 0);\n";
const INI: &str = "[env:long]\nplatform = native\nbuild_flags = -std=c++17 -fconstexpr-loop-limit=2147483647 \
-fconstexpr-ops-limit=2000000000000\n";

/// Compilers of any kind that work in a project.
fn compilers(project: &Path) -> Vec<PathBuf> {
    let works_there = |process: &PathBuf| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == project);
    let is_compiler = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| ["cc1plus", "g++"].contains(&name.trim()))
    };
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(is_compiler).filter(works_there).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_compiler() {
    let desk = Desk::ready();
    desk.write("p/platformio.ini", INI);
    for file in 0..6 {
        desk.write(&format!("p/src/f{file}.cpp"), &format!("// {file}\n{LONG}"));
    }
    desk.write("p/src/main.cpp", "int main() {}\n");
    let project = desk.work().join("p").canonicalize().unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::INT, Signal::HUP] {
        let build = Running::start(&desk, "build", desk.farmhand(["build", "p", "-j4"]));
        until("it compiles", async || (compilers(&project).len() >= 4).then_some(())).await;
        build.signal(signal);
        build.ended().await.expect(130);
        until("its compilers have ended", async || compilers(&project).is_empty().then_some(())).await;
    }
}
