//! A full disk, for real: a limit on the size of files in a child (`ulimit -f`, EFBIG), with its signal ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use common::put;
use farmhand_store::{
    Durability::{Durable, Marked},
    StoreError, StoreHandle,
};

const FOLDER: &str = "FARMHAND_STORE_TEST_FOLDER";
const KIND: u16 = 9;

/// Writes until the disk is full and says how far it came. Does nothing as a test of its own.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = match StoreHandle::blocking_open(folder) {
        Ok((store, _)) => store,
        Err(why) => return println!("\nopen {why}"),
    };
    if std::env::var_os("MARKED").is_some() { marked(&store) } else { durable(&store) }
}

fn full_name(answer: Result<farmhand_store::Seq, StoreError>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(StoreError::Full { path }) => Some(path.file_name().unwrap().display().to_string()),
        Err(other) => panic!("{other}"),
    }
}

fn durable(store: &StoreHandle) {
    let one = |n: usize| put(KIND, &format!("n/{n}"), &format!("{n} {}", "f".repeat(3000)), Durable);
    let (n, at) = (0..).find_map(|n| Some((n, full_name(store.blocking_put(one(n)))?))).unwrap();
    println!("\nfull {n} {at}");
    println!("\nread {}", store.blocking_get(KIND, b"n/0").is_ok());
}

/// One group that is longer than the marks may get.
fn marked(store: &StoreHandle) {
    store.blocking_put(put(KIND, "n/0", "0 small", Marked)).unwrap();
    let large = |n| put(KIND, &format!("n/{n}"), &format!("{n} {}", "f".repeat(60_000)), Marked);
    let at = full_name(store.blocking_put_all((1..20).map(large).collect())).unwrap();
    println!("\nfull 3 {at}");
    let none = store.blocking_get(KIND, b"n/1").unwrap().is_none();
    println!("\nread {}", none && store.blocking_get(KIND, b"n/0").unwrap().is_some());
    // What is small still fits, marked or not.
    store.blocking_put(put(KIND, "n/1", "1 small", Durable)).unwrap();
    store.blocking_put(put(KIND, "n/2", "2 small", Marked)).unwrap();
}

/// What a child says that may write files of at most so many KiB.
fn run(folder: &Path, kib: u32, marked: bool) -> Vec<String> {
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" child --exact --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder)
        .stderr(Stdio::inherit());
    if marked {
        command.env("MARKED", "1");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said.lines()
        .map(str::to_owned)
        .filter(|line| ["full ", "read ", "open "].iter().any(|w| line.starts_with(w)))
        .collect()
}

fn written(folder: &Path) -> usize {
    let (store, report) = StoreHandle::blocking_open(folder).unwrap();
    let list = store.blocking_list(KIND).unwrap();
    for (key, stored) in &list {
        let n = String::from_utf8(key[2..].to_vec()).unwrap();
        assert!(stored.as_ref().unwrap().body.starts_with(format!("{n} ").as_bytes()));
    }
    assert!(store.blocking_check().unwrap().is_sound(), "{report:?}");
    store.blocking_put(put(KIND, "n/0", "0 there is room again", Marked)).unwrap();
    list.len()
}

fn count(said: &str) -> usize {
    said.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The marks reach the limit: the group is refused whole, and the store goes on.
#[test]
fn full_at_the_marks() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), 700, true);
    assert!(said[0].ends_with(" marks"), "{said:?}");
    assert_eq!(said[1], "read true");
    // What was refused was not written; what was acknowledged is there.
    assert_eq!(written(folder.path()), count(&said[0]));
}

/// The database cannot be written half: the store stops, by name, and what was acknowledged is there.
#[test]
fn full_at_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), 2048, false);
    assert!(said[0].starts_with("full "), "{said:?}");
    assert_eq!(said[1], "read false", "it has stopped");
    assert!(written(folder.path()) >= count(&said[0]));
}

/// No room to begin with is a typed refusal, and no harm.
#[test]
fn full_at_opening() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), 4, false);
    assert!(said[0].starts_with("open disk full at "), "{said:?}");
    assert_eq!(written(folder.path()), 0);
}
