//! A Linux guest that is saved in the middle of something: of what it says on its console, of what it is told there, of commands.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use farmhand_agent_link::{AgentLink, How};
use farmhand_machine::Machine;
use farmhand_tests::{LONG, or_hang, until};

use super::console;
use super::guest::{agent_of, linked, sh, shell};
use super::shelf::{Shelf, letter};
use super::snapshot_hazards::sha256;

/// Of one guest, each in the middle.
const SAVES: usize = 4;

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("console")).unwrap_or_default()
}

/// A person at its console: Enter, and then words. QEMU looks once a second whether somebody is there.
async fn types(machine: &Machine, words: &'static str) -> fs::File {
    let mut line = console(machine).await.into_std().await;
    let typed = tokio::task::spawn_blocking(move || line.write_all(words.as_bytes()).map(|()| line));
    or_hang("it is typed", typed).await.unwrap().unwrap()
}

/// Its bytes go on behind those that were said when it was saved, none twice and none missing; and its console answers. Elsewhere
/// each such console was dead; QEMU saves the state of the line, and no guard of ours has a part in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_saved_in_the_middle_of_a_line_says_the_rest_of_it() {
    const FLOOD: &str = "exec >/dev/console; i=0; while :; do i=$((i + 1)); echo tick $i; done";
    /// Bytes of a clone that are looked for in what its source said: no two places are like each other.
    const ENOUGH: usize = 400;
    let mut shelf = Shelf::of_guests().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let flood = linked(&source).await.run(shell(FLOOD)).await.unwrap();
    let says_more = async |folder: &Path| {
        let len = said(folder).len();
        until("it says more", async || (said(folder).len() > len + ENOUGH).then_some(())).await;
    };
    for nth in 0..SAVES {
        says_more(&folder).await;
        let (of, before) = (format!("flood-{nth}"), said(&folder).len());
        shelf.save(&source, &of).await.unwrap();
        let after = said(&folder).len();
        says_more(&folder).await;
        let place = shelf.place();
        let again = shelf.again_in(&place, &of).await.unwrap();
        says_more(&place.folder).await;
        let (there, here) = (said(&folder), said(&place.folder));
        let at = there.find(&here[..ENOUGH]).unwrap_or_else(|| panic!("{:?}", &here[..ENOUGH]));
        assert!((before..=after).contains(&at), "it goes on at {at}, and was saved from {before} to {after}");
        // What ran is ended, and it is there for others.
        linked(&again).await.restored(1, LONG).await.unwrap();
        letter(&again, "b").await;
        let _line = types(&again, "\recho he''re\r").await;
        until("its console answers", async || said(&place.folder).contains("here\r\n").then_some(())).await;
        again.quit().await.unwrap();
    }
    drop(flood);
    shelf.source_runs_on(&source, "b").await;
}

/// The source has all of it. A clone has what had come to it, whole up to some byte; what is torn there ends with the next line's
/// end, and what is told it then is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_saved_in_the_middle_of_what_it_is_told_has_all_of_it_and_its_clones_a_beginning() {
    /// Nobody reads the console: nothing is echoed.
    const TAKES: &str = "\rstty -echo; echo re''ady; cat > /run/typed\r";
    let mut shelf = Shelf::of_guests().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let mut line = types(&source, TAKES).await;
    until("it takes what is typed", async || said(&folder).contains("ready").then_some(())).await;
    let (over, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (stopped, ended) = (Arc::clone(&stop), Arc::clone(&over));
    let typist = tokio::task::spawn_blocking(move || {
        let mut typed = String::new();
        while !stopped.load(Ordering::SeqCst) {
            let words = format!("{:06} {}\n", typed.len(), "x".repeat(90));
            line.write_all(words.as_bytes()).unwrap();
            typed.push_str(&words);
        }
        ended.store(true, Ordering::SeqCst);
        (typed, line)
    });
    let link = linked(&source).await;
    let lines =
        async |link: &AgentLink| sh(link, "wc -l < /run/typed").await.trim().parse::<usize>().unwrap();
    for nth in 0..SAVES {
        let before = lines(&link).await;
        until("it is told more", async || (lines(&link).await > before + 5).then_some(())).await;
        shelf.save(&source, &format!("told-{nth}")).await.unwrap();
    }
    assert!(!over.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    let (typed, _line) = or_hang("the typist ends", typist).await.unwrap();
    until("it has all of it", async || (lines(&link).await == typed.lines().count()).then_some(())).await;
    assert!(sh(&link, "cat /run/typed").await == typed, "and as it was typed");
    drop(link);
    for nth in 0..SAVES {
        let place = shelf.place();
        let again = shelf.again_in(&place, &format!("told-{nth}")).await.unwrap();
        let link = linked(&again).await;
        let _line = types(&again, "\nwhole\n").await;
        let has = async || {
            let has = sh(&link, "cat /run/typed").await;
            Some(has.strip_suffix("\nwhole\n")?.to_owned())
        };
        let has = until("it has what it was told since", has).await;
        assert!(typed.starts_with(&has) && has.len() < typed.len(), "{} bytes of it", has.len());
        again.quit().await.unwrap();
    }
    shelf.source_runs_on(&source, "b").await;
}

/// Ten at once, each its own answer.
async fn ten_answer_at_once(link: &AgentLink) {
    let asked: Vec<_> = (0..10)
        .map(|nth| {
            let link = link.clone();
            tokio::spawn(async move { (sh(&link, &format!("echo own-{nth}")).await, format!("own-{nth}\n")) })
        })
        .collect();
    for asked in asked {
        let (said, wanted) = asked.await.unwrap();
        assert_eq!(said, wanted);
    }
}

/// Commands whose input and output are on their way. In the source not a byte is lost; a clone knows of them, ends them when it is
/// told that it was restored, however often, and does what it is asked next.
/// Seen red where the agent does not abort what ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_saved_in_the_middle_of_commands_goes_on_with_them_and_its_clones_end_them() {
    let mut shelf = Shelf::of_guests().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let link = linked(&source).await;
    let mut cat = link.run(shell("echo $$ > /run/cat; exec cat")).await.unwrap();
    let (id, controls) = (cat.id(), cat.controls());
    let (stop, stopped) = mpsc::channel::<()>();
    let fed = tokio::spawn(async move {
        let mut all = Vec::new();
        while stopped.try_recv().is_err() {
            let words = format!("{:09}\n", all.len()).repeat(1000);
            controls.input(words.clone().into()).await.unwrap();
            all.extend(words.bytes());
        }
        controls.input_end().await.unwrap();
        all
    });
    let heard = tokio::spawn(async move {
        let came = cat.collect(usize::MAX).await;
        came.map(|(out, _, how)| (out, how))
    });
    for nth in 0..SAVES {
        sh(&link, "true").await;
        shelf.save(&source, &format!("busy-{nth}")).await.unwrap();
    }
    stop.send(()).unwrap();
    let all = or_hang("all is said", fed).await.unwrap();
    let (out, how) = or_hang("it ends", heard).await.unwrap().unwrap();
    assert_eq!(how, How::Exit(0), "it is no clone, and nobody takes it for one");
    assert!(out == all, "{} bytes of {} came back", out.len(), all.len());
    drop(link);
    for nth in 0..SAVES {
        let place = shelf.place();
        let again = shelf.again_in(&place, &format!("busy-{nth}")).await.unwrap();
        let agent = agent_of(&again).unwrap();
        let (link, greeting) = AgentLink::connect(&agent, LONG).await.unwrap();
        assert!(greeting.commands.contains(&id) && greeting.epoch == 0, "{greeting:?}");
        for _ in 0..2 {
            link.restored(1, LONG).await.unwrap();
            ten_answer_at_once(&link).await;
        }
        assert_eq!(
            sh(&link, "kill -0 $(cat /run/cat) 2>/dev/null || echo it has ended").await,
            "it has ended\n"
        );
        let health = link.health(LONG).await.unwrap();
        assert!(health.repeated_restores >= 1 && health.bad_frames <= 1, "{health:?}");
        drop(link);
        letter(&again, "b").await;
        again.quit().await.unwrap();
    }
    shelf.source_runs_on(&source, "b").await;
}

/// Whoever opens a console and reads nothing of it stops that alone: the guest's commands, its monitor and its saves go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_that_nobody_reads_stops_nothing_else() {
    let mut shelf = Shelf::of_guests().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let _deaf = console(&source).await;
    let link = linked(&source).await;
    let flood = link.run(shell("exec cat /dev/zero >/dev/console")).await.unwrap();
    // Until the terminal is full, or QEMU lets go what nobody reads.
    let mut len = 0;
    let full = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = std::mem::replace(&mut len, fs::metadata(folder.join("console")).unwrap().len());
        (len == before || len > 1 << 20).then_some(())
    };
    until("it has said what goes in", full).await;
    ten_answer_at_once(&link).await;
    shelf.save(&source, "one").await.unwrap();
    ten_answer_at_once(&link).await;
    drop((flood, link));
    shelf.source_runs_on(&source, "b").await;
    let place = shelf.place();
    let again = shelf.again_in(&place, "one").await.unwrap();
    let link = linked(&again).await;
    link.restored(1, LONG).await.unwrap();
    ten_answer_at_once(&link).await;
}

/// Nothing is told to a guest that is saved, and nothing is asked of it: it has no part in that.
/// Seen red where the socket that the memory came by stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_changes_nothing_of_its_source() {
    let shelf = Shelf::of_guests().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let state = async || {
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let content = if entry.file_type().unwrap().is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            files.push((entry.file_name(), sha256(&content)));
        }
        files.sort();
        let (link, greeting) = AgentLink::connect(&agent_of(&source).unwrap(), LONG).await.unwrap();
        let health = link.health(LONG).await.unwrap();
        (files, greeting, (health.commands, health.bad_frames, health.repeated_restores), source.now().await)
    };
    let before = state().await;
    shelf.save(&source, "one").await.unwrap();
    assert_eq!(state().await, before);
    shelf.source_runs_on(&source, "b").await;
}
