//! `kill -9` in the middle of writes: what was acknowledged is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use common::{Numbers, put};
use farmhand_store::{
    Durability::{Durable, Marked, Progress},
    OpenReport, StoreHandle,
};

const FOLDER: &str = "FARMHAND_STORE_TEST_FOLDER";
const WRITERS: u16 = 4;
const CYCLES: usize = 12;

/// Writes until it is killed, and says what was acknowledged. Does nothing as a test of its own.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (store, report) = StoreHandle::blocking_open(folder).unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            let first = report.next_seq.0;
            std::thread::spawn(move || write(&store, writer, first))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

/// One record overwritten, and a new one each time, in all durabilities; now and then two at once, and a removal.
fn write(store: &StoreHandle, writer: u16, first: u64) {
    for n in first.. {
        let durability = [Marked, Durable, Progress][(n % 3) as usize];
        let hot = put(writer, "hot", &n.to_string(), durability);
        let one = put(
            writer,
            &format!("n/{n}"),
            &format!("{n} {}", "z".repeat((n * 131 % 3000) as usize)),
            Durable,
        );
        let acknowledged = if n % 5 == 0 {
            store.blocking_put_all(vec![hot, one]).map(|_| ())
        } else {
            store.blocking_put(hot).and_then(|_| store.blocking_put(one)).map(|_| ())
        };
        acknowledged.unwrap();
        println!("\nack {writer} {n}");
        if n % 11 == 0 {
            store.blocking_remove(writer, format!("n/{n}").as_bytes(), Durable).unwrap();
            println!("\ngone {writer} {n}");
        }
        std::io::stdout().flush().unwrap();
    }
}

/// What the children said.
#[derive(Default)]
struct Heard {
    last: BTreeMap<u16, u64>,
    /// Of each record: whether it was acknowledged, and whether its removal was.
    all: BTreeMap<(u16, u64), bool>,
}

impl Heard {
    fn hear(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let [what @ ("ack" | "gone"), writer, n] = words[..] else { return false };
        let (writer, n) = (writer.parse().unwrap(), n.parse().unwrap());
        self.all.insert((writer, n), what == "gone");
        if what == "ack" {
            self.last.insert(writer, n);
        }
        true
    }

    fn check(&mut self, folder: &Path) {
        let (store, report) = StoreHandle::blocking_open(folder).unwrap();
        // A kill loses nothing. One between the marks and the table leaves a mark ahead that was never answered.
        let ahead = report.rolled_back.iter().all(|key| key.key == b"hot" || key.key.starts_with(b"n/"));
        assert!(ahead && OpenReport { rolled_back: vec![], ..report.clone() }.is_clean(), "{report:?}");
        for (&(writer, n), gone) in &mut self.all {
            let stored = store.blocking_get(writer, format!("n/{n}").as_bytes()).unwrap();
            match stored {
                Some(stored) => {
                    assert!(!*gone, "writer {writer}: {n} was removed and is there");
                    assert!(stored.body.starts_with(format!("{n} ").as_bytes()));
                }
                // The last one may have been removed before that could be said; from now on it is known.
                None => {
                    assert!(*gone || n % 11 == 0 && self.last[&writer] == n, "writer {writer}: {n} is lost");
                    *gone = true;
                }
            }
        }
        for (&writer, &last) in &self.last {
            let hot = store.blocking_get(writer, b"hot").unwrap().expect("it was acknowledged");
            let hot: u64 = String::from_utf8(hot.body).unwrap().parse().unwrap();
            // Behind a progress write nobody waits; a durable one follows in the same turn.
            assert!(hot >= last, "writer {writer}: {hot} is older than {last}");
        }
        assert!(store.blocking_check().unwrap().is_sound());
        store.blocking_settle().unwrap();
        store.blocking_close().unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives() {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(0xDEAD);
    let mut heard = Heard::default();
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first cycles die while they are still young.
        let mut left = 1 + numbers.below(if cycle < 4 { 20 } else { 400 });
        for line in &mut lines {
            left -= usize::from(heard.hear(&line.unwrap()));
            if left == 0 {
                break;
            }
        }
        child.kill().unwrap();
        // What it had said before it died counts as well; half a line does not.
        for line in lines.map_while(Result::ok) {
            heard.hear(&line);
        }
        child.wait().unwrap();
        heard.check(folder.path());
    }
    assert!(heard.all.len() > CYCLES);
}
