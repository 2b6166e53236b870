//! How many jobs there are at once: of builds, and of what a project's own build command runs.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::Path;

use farmhand_compiler::{BuildWish, Urgency, build};
use farmhand_records::v1::Source;
use support::{Bench, sketch_wish, until, wish, write};

const HEX: &str = ":0400000001020304F2\\n:00000001FF\\n";
/// A job of make's that notes when it begins and ends.
const JOB: &str = "\t@echo + >> LOG; sleep 0.15; echo - >> LOG\n";

/// A project that is built with make, with six jobs, two of them in a make that make runs.
fn made(bench: &Bench, jobs: &Path) -> BuildWish {
    let folder = bench.root().join("made");
    let job = JOB.replace("LOG", &jobs.display().to_string());
    let deeper = "deeper:\n\t@+$(MAKE) --no-print-directory e f\n";
    let each: String = ["a", "b", "c", "d", "e", "f"].iter().map(|name| format!("{name}:\n{job}")).collect();
    write(
        &folder.join("Makefile"),
        &format!("all: a b c d deeper\n\t@printf '{HEX}' > out.hex\n{deeper}{each}"),
    );
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let source = Source::Command(text(&folder), "make all".into(), "out.hex".into());
    wish(source, folder.join(".farmhand/build"))
}

/// Jobs at once, at most, and how many there were.
fn at_once(jobs: &Path) -> (usize, usize) {
    let text = fs::read_to_string(jobs).unwrap();
    let (mut now, mut most, mut all) = (0, 0, 0);
    for line in text.lines() {
        if line == "+" {
            (now, all) = (now + 1, all + 1);
            most = most.max(now);
        } else {
            now -= 1;
        }
    }
    (most, all)
}

#[tokio::test]
async fn make_takes_the_workers_that_are_free_and_no_more() {
    for (workers, expect) in [(1, 1), (3, 3)] {
        let bench = Bench::new(workers);
        let jobs = bench.root().join("jobs");
        let built = bench.build(&made(&bench, &jobs)).await.unwrap();
        assert_eq!(built.sizes.image_bytes, 4);
        assert_eq!(at_once(&jobs), (expect, 6), "{workers} workers");
    }
    let bench = Bench::new(4);
    let jobs = bench.root().join("jobs");
    let mut two = made(&bench, &jobs);
    two.build.jobs = 2;
    bench.build(&two).await.unwrap();
    assert_eq!(at_once(&jobs), (2, 6), "and as many as were asked for");
}

#[tokio::test]
async fn make_and_a_build_of_ours_share_them() {
    let bench = Bench::new(2);
    let jobs = bench.root().join("jobs");
    let note = jobs.display().to_string();
    // Compilers of ours note themselves too.
    bench.tool("g++", &format!("echo + >> {note}; sleep 0.05; g++ \"$@\"; s=$?; echo - >> {note}; exit $s"));
    let (made, sketch) = (made(&bench, &jobs), sketch_wish(&bench.sketch("p")));
    let (one, two) = tokio::join!(bench.build(&made), bench.build(&sketch));
    one.unwrap();
    two.unwrap();
    let (most, all) = at_once(&jobs);
    assert!(all > 6 && most == 2, "{most} of {all}");
}

#[tokio::test]
async fn a_command_that_is_cancelled_ends_with_all_it_began_and_gives_its_workers_back() {
    let bench = Bench::new(3);
    let folder = bench.root().join("made");
    let pids = bench.root().join("pids");
    let job = format!("\t@echo $$$$ >> {}; sleep 600\n", pids.display());
    write(&folder.join("Makefile"), &format!("all: a b c\na:\n{job}b:\n{job}c:\n{job}"));
    let source = Source::Command(folder.to_str().unwrap().into(), "make all".into(), "out.hex".into());
    let wish = wish(source, folder.join(".farmhand/build"));
    let env = bench.env.clone();
    let building = tokio::spawn(async move { build(&env, &wish, None).await });
    let running = || fs::read_to_string(&pids).unwrap_or_default();
    until("three jobs run, each with a token", || running().lines().count() == 3).await;
    building.abort();
    for pid in running().lines() {
        let pid: u32 = pid.parse().unwrap();
        until("its jobs have ended", || farmhand_runtime::process_start(pid).is_none()).await;
    }
    // Three at once again: no token was lost with who held it.
    let jobs = bench.root().join("jobs");
    bench.build(&made(&bench, &jobs)).await.unwrap();
    assert_eq!(at_once(&jobs), (3, 6));
}

#[tokio::test]
async fn a_persons_build_goes_before_one_in_the_background() {
    let mut bench = Bench::new(1);
    let go = bench.root().join("go");
    for compiler in ["gcc", "g++"] {
        let waits = format!("while [ ! -e {} ]; do sleep 0.01; done", go.display());
        bench.tool(
            compiler,
            &format!("case \"$*\" in *-E*) ;; *\\ -c\\ *) {waits} ;; esac\nexec {compiler} \"$@\""),
        );
    }
    let (late, early) = (bench.sketch("late"), bench.sketch("early"));
    for (folder, name) in [(&late, "late"), (&early, "early")] {
        for file in ["a", "b", "c"] {
            write(&folder.join(format!("{name}_{file}.c")), &format!("int {name}_{file};\n"));
        }
    }
    let person = bench.env.clone();
    bench.env.pool = person.pool.for_builds(Urgency::Background);
    let background = bench.env.clone();
    let (first, second) = (sketch_wish(&late), sketch_wish(&early));
    let first = tokio::spawn(async move { build(&background, &first, None).await });
    until("the background has the only worker", || bench.log_path().exists()).await;
    let second = tokio::spawn(async move { build(&person, &second, None).await });
    // Four of each sketch and two of the core that both share, but for the one that runs.
    let waiting = bench.env.pool.waiting();
    until("all of both wait", || *waiting.borrow() == 9).await;
    write(&go, "");
    second.await.unwrap().unwrap();
    first.await.unwrap().unwrap();
    let log = bench.log();
    let at = |name: &str| {
        let places = log.iter().enumerate().filter(|(_, line)| line.contains(&format!("{name}_")));
        places.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (late, early) = (at("late"), at("early"));
    assert_eq!((early.len() >= 3, late.len() >= 3), (true, true), "{log:?}");
    // One of the background's may have run already; what waited with the person's waited for them.
    assert!(late.iter().filter(|&&at| at < early[2]).count() <= 1, "{log:?}");
}

#[tokio::test]
async fn many_sketches_compile_their_core_once_and_each_itself() {
    let bench = Bench::new(3);
    let mut wishes = Vec::new();
    for n in 0..12 {
        let folder = bench.sketch(&format!("p{n}"));
        write(
            &folder.join("blink.ino"),
            &format!("void setup() {{}}\nvoid loop() {{ ticks(); }}\nint own_{n};\n"),
        );
        write(&folder.join("other.cpp"), &format!("int other() {{ return {n}; }}\n"));
        wishes.push(sketch_wish(&folder));
    }
    support::let_a_tick_pass(&bench.root()).await;
    let mut builds = tokio::task::JoinSet::new();
    for wish in wishes {
        let env = bench.env.clone();
        builds.spawn(async move { build(&env, &wish, None).await.unwrap() });
    }
    let built = builds.join_all().await;
    assert_eq!(
        built.iter().map(|built| built.compiled).sum::<u32>(),
        2 + 12 * 2,
        "ticks.c and main.cpp once"
    );
    let log = bench.log();
    let core = log.iter().filter(|line| line.contains("/cores/toy/") && line.contains(" -c ")).count();
    assert_eq!(core, 2, "{log:?}");
}
