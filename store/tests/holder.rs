//! A second opener, in this process and in another, is told who holds the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use common::put;
use farmhand_store::{Durability::Durable, OpenError, StoreHandle};

const FOLDER: &str = "FARMHAND_STORE_TEST_FOLDER";

/// Holds a store until its input ends. Does nothing as a test of its own.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (_store, _) = StoreHandle::blocking_open(folder).unwrap();
    println!("\nheld");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lines().for_each(drop);
}

fn holder_of(root: &std::path::Path) -> farmhand_store::Holding {
    match StoreHandle::blocking_open(root) {
        Err(OpenError::Held { path, holder }) => {
            assert_eq!(path, root);
            holder.expect("it can be told")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = StoreHandle::blocking_open(folder.path()).unwrap();
    let holder = holder_of(folder.path());
    assert_eq!(holder.pid, std::process::id());
    store.blocking_put(put(1, "a", "still ours", Durable)).unwrap();
    store.blocking_close().unwrap();
    let (again, _) = StoreHandle::blocking_open(folder.path()).unwrap();
    assert_eq!(again.blocking_get(1, b"a").unwrap().unwrap().body, b"still ours");
}

#[test]
fn in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    let holder = holder_of(folder.path());
    assert_eq!(holder.pid, child.id());
    assert!(!holder.name.is_empty());
    let said = StoreHandle::blocking_open(folder.path()).unwrap_err().to_string();
    assert!(said.contains(&format!("(pid {})", child.id())), "{said}");

    // Without its signature, the system still knows.
    std::fs::write(folder.path().join("holder"), "").unwrap();
    assert_eq!(holder_of(folder.path()).pid, child.id());

    // It is just ending: whoever comes waits for it.
    let root = folder.path().to_owned();
    let opener = std::thread::spawn(move || StoreHandle::blocking_open(root).map(|_| ()));
    drop(child.stdin.take());
    opener.join().unwrap().unwrap();
    child.wait().unwrap();
}

/// The signature of a dead process names nobody.
#[test]
fn a_dead_holder_holds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("holder"), "1 12345 long gone\n").unwrap();
    let (_store, report) = StoreHandle::blocking_open(folder.path()).unwrap();
    assert!(report.is_clean());
}
