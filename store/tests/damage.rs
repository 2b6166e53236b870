//! Damage to a copied store: flipped bits and cut tails. Nothing that a mark covers is lost; whatever else is lost is
//! named; a bystander of the damage is intact.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Numbers, copy, put};
use farmhand_store::{
    Durability::{Durable, Marked},
    OpenError, OpenReport, RecordKey, StoreError, StoreHandle,
};

const SUBJECT: u16 = 1;
const BYSTANDER: u16 = 2;
const OF_EACH: usize = 60;
const ROUNDS: usize = 3;

fn name(i: usize) -> String {
    format!("it/{i:03}")
}

fn body(i: usize, round: usize) -> String {
    format!("{i} in round {round} {}", "x".repeat(i * 37 % 900))
}

/// A store of marked subjects and unmarked bystanders, as a crash leaves it and as a clean end does.
struct Built {
    _folder: tempfile::TempDir,
    crashed: PathBuf,
    closed: PathBuf,
}

fn build() -> Built {
    let folder = tempfile::tempdir().unwrap();
    let (live, crashed) = (folder.path().join("live"), folder.path().join("crashed"));
    let (store, report) = StoreHandle::blocking_open(&live).unwrap();
    assert!(report.is_clean());
    for round in 0..ROUNDS {
        for i in 0..OF_EACH {
            store.blocking_put(put(SUBJECT, &name(i), &body(i, round), Marked)).unwrap();
            store.blocking_put(put(BYSTANDER, &name(i), &body(i, round), Durable)).unwrap();
        }
    }
    copy(&live, &crashed);
    store.blocking_close().unwrap();
    Built { crashed, closed: live, _folder: folder }
}

/// What became of a damaged store.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    clean: usize,
    reported: usize,
    put_back: usize,
}

fn is_lost(report: &OpenReport, key: &RecordKey) -> bool {
    let within = |range: &farmhand_store::LostRange| {
        range.after.as_ref().is_none_or(|after| after < key)
            && range.before.as_ref().is_none_or(|before| before > key)
    };
    report.damaged.iter().any(|d| d.key == *key) || report.lost.iter().any(within)
}

/// Opens a damaged store and holds it to its word.
fn judge(root: &Path, what: &str, tally: &mut Tally) {
    let (store, report) = match StoreHandle::blocking_open(root) {
        Ok(opened) => opened,
        Err(OpenError::Unreadable { .. }) => {
            tally.refused += 1;
            // As the message says.
            let restored = farmhand_store::restore(root).unwrap();
            assert!(restored.old.join("db").exists(), "{what}: the old one is kept");
            assert!(restored.report.went_back.is_some(), "{what}: {restored:?}");
            StoreHandle::blocking_open(root).unwrap()
        }
        Err(other) => panic!("{what}: {other}"),
    };
    let last = ROUNDS - 1;
    for i in 0..OF_EACH {
        let stored = store.blocking_get(SUBJECT, name(i).as_bytes());
        let stored = stored.unwrap_or_else(|why| panic!("{what}: {why} {report:?}"));
        let stored = stored.unwrap_or_else(|| panic!("{what}: subject {i} is gone: {report:?}"));
        assert_eq!(stored.body, body(i, last).as_bytes(), "{what}: subject {i}: {report:?}");

        let key = RecordKey::new(BYSTANDER, name(i));
        let named = report.went_back.is_some() || is_lost(&report, &key);
        match store.blocking_get(BYSTANDER, name(i).as_bytes()) {
            Ok(Some(stored)) if stored.body == body(i, last).as_bytes() => {}
            Ok(_) => assert!(named, "{what}: bystander {i} is silently lost: {report:?}"),
            Err(StoreError::Damaged { .. }) => assert!(named, "{what}: {report:?}"),
            Err(why) => panic!("{what}: bystander {i}: {why}"),
        }
        assert!(!report.rolled_back.contains(&key), "{what}: a bystander made unknown");
    }
    tally.put_back += report.rolled_back.len();
    if report.is_clean() {
        tally.clean += 1;
    } else {
        tally.reported += 1;
    }
    // It is a store like any other from here on.
    store.blocking_put(put(SUBJECT, "new", "new", Marked)).unwrap();
    assert!(store.blocking_check().unwrap().behind_marks.is_empty(), "{what}");
    store.blocking_close().unwrap();
    let (store, again) = StoreHandle::blocking_open(root).unwrap();
    assert_eq!(again.is_clean(), report.is_clean(), "{what}: told until it is settled: {again:?}");
    assert!(again.rolled_back == report.rolled_back, "{what}");
    store.blocking_settle().unwrap();
    store.blocking_close().unwrap();
    let (store, settled) = StoreHandle::blocking_open(root).unwrap();
    assert!(settled.is_clean(), "{what}: {settled:?}");
    store.blocking_close().unwrap();
}

fn each_copy(source: &Path, count: usize, mut hurt: impl FnMut(&Path, &mut Numbers) -> String) -> Tally {
    let mut numbers = Numbers(0x5EED);
    let mut tally = Tally::default();
    for _ in 0..count {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        copy(source, &root);
        let what = hurt(&root, &mut numbers);
        judge(&root, &what, &mut tally);
    }
    eprintln!("{tally:?}");
    tally
}

fn flip(file: &Path, numbers: &mut Numbers) -> String {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    let (at, bit) = (numbers.below(end), numbers.below(8));
    bytes[at] ^= 1 << bit;
    fs::write(file, bytes).unwrap();
    format!("bit {bit} of byte {at} in {}", file.file_name().unwrap().display())
}

fn cut(file: &Path, numbers: &mut Numbers) -> String {
    let bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    let keep = numbers.below(end);
    fs::write(file, &bytes[..keep]).unwrap();
    format!("{} cut to {keep} of {end}", file.file_name().unwrap().display())
}

#[test]
fn flips_in_the_database_after_a_crash() {
    let built = build();
    let tally = each_copy(&built.crashed, 40, |root, numbers| flip(&root.join("sled/db"), numbers));
    assert!(tally.reported + tally.refused > 0, "no flip did anything: {tally:?}");
}

#[test]
fn flips_in_the_database_after_a_clean_end() {
    let built = build();
    // Opened once more: sled has a snapshot now, and reads pages only when they are asked for.
    let (store, report) = StoreHandle::blocking_open(&built.closed).unwrap();
    assert!(report.is_clean());
    store.blocking_close().unwrap();
    let tally = each_copy(&built.closed, 40, |root, numbers| flip(&root.join("sled/db"), numbers));
    assert!(tally.reported + tally.refused > 0, "no flip did anything: {tally:?}");
}

#[test]
fn a_cut_database_is_put_back_from_its_marks() {
    let built = build();
    let tally = each_copy(&built.crashed, 20, |root, numbers| cut(&root.join("sled/db"), numbers));
    assert!(tally.put_back > OF_EACH, "{tally:?}");
}

#[test]
fn flips_in_the_marks() {
    let built = build();
    let tally = each_copy(&built.crashed, 30, |root, numbers| flip(&root.join("marks"), numbers));
    assert_eq!((tally.refused, tally.put_back), (0, 0), "the table has it all: {tally:?}");
    assert!(tally.reported > 20, "{tally:?}");
}

#[test]
fn cut_marks_are_noticed() {
    let built = build();
    let tally = each_copy(&built.crashed, 20, |root, numbers| cut(&root.join("marks"), numbers));
    assert_eq!((tally.reported, tally.put_back), (20, 0), "every byte had been answered: {tally:?}");
}

#[test]
fn missing_marks_are_noticed() {
    let built = build();
    fs::remove_file(built.crashed.join("marks")).unwrap();
    let (store, report) = StoreHandle::blocking_open(&built.crashed).unwrap();
    assert!(report.marks_missing && report.rolled_back.is_empty());
    store.blocking_close().unwrap();
    let (_store, again) = StoreHandle::blocking_open(&built.crashed).unwrap();
    assert!(again.marks_missing, "told until it is settled");
}

#[test]
fn another_stores_marks_are_not_ours() {
    let (ours, other) = (build(), build());
    fs::copy(other.crashed.join("marks"), ours.crashed.join("marks")).unwrap();
    let (_store, report) = StoreHandle::blocking_open(&ours.crashed).unwrap();
    assert!(report.marks_missing && report.rolled_back.is_empty(), "{report:?}");
    assert!(report.set_aside[0].exists());
}

#[test]
fn a_lost_database_is_put_back_from_its_marks() {
    let built = build();
    fs::remove_dir_all(built.crashed.join("sled")).unwrap();
    let (store, report) = StoreHandle::blocking_open(&built.crashed).unwrap();
    assert_eq!(report.rolled_back.len(), OF_EACH);
    assert!(report.went_back.is_some());
    assert_eq!(store.blocking_list(SUBJECT).unwrap().len(), OF_EACH);
    assert!(store.blocking_list(BYSTANDER).unwrap().is_empty());
}

#[test]
fn leftovers_are_swept_and_said() {
    let built = build();
    let left = built.crashed.join("sled/snap.00000000000FFFFF.generating");
    fs::write(&left, b"").unwrap();
    fs::write(built.crashed.join("marks.new"), b"half").unwrap();
    let (store, report) = StoreHandle::blocking_open(&built.crashed).unwrap();
    assert_eq!(report.swept, [built.crashed.join("marks.new"), left]);
    assert!(report.is_clean());
    assert_eq!(store.blocking_list(SUBJECT).unwrap().len(), OF_EACH);
}

/// sled puts a large page into a file of its own that it never syncs: ours never get so large.
#[test]
fn no_page_leaves_the_synced_file() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = StoreHandle::blocking_open(folder.path()).unwrap();
    let large = "y".repeat(farmhand_store::BODY_BYTES_MAX);
    for i in 0..40 {
        store.blocking_put(put(1, &name(i), &large, Durable)).unwrap();
    }
    for i in 0..40 {
        store.blocking_put(put(1, &name(i), &format!("{i}"), Durable)).unwrap();
    }
    assert_eq!(store.blocking_list(1).unwrap()[39].1.as_ref().unwrap().body, b"39");
    for i in 0..20 {
        store.blocking_put(put(1, &name(i), &large, Durable)).unwrap();
        store.blocking_remove(1, name(i + 20).as_bytes(), Durable).unwrap();
    }
    store.blocking_close().unwrap();
    assert_eq!(fs::read_dir(folder.path().join("sled/blobs")).unwrap().count(), 0);
    let (store, report) = StoreHandle::blocking_open(folder.path()).unwrap();
    assert!(report.is_clean());
    let list = store.blocking_list(1).unwrap();
    assert_eq!(list.len(), 20);
    assert!(list.iter().all(|(_, stored)| stored.as_ref().unwrap().body == large.as_bytes()));
}
