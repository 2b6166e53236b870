//! The commit code over memory: fencing, groups, faults, and every crash against a reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;

use common::put;
use farmhand_store::{
    BODY_BYTES_MAX, Crash, Disk, Durability,
    Durability::{Durable, Marked, Progress},
    GROUP_RECORDS_MAX, KEY_BYTES_MAX, KIND_MAX, Model, OpenReport, Put, RecordKey, Seq, StoreError,
};
use proptest::prelude::*;

fn open(disk: Disk) -> (Model, OpenReport) {
    Model::open(disk).unwrap()
}

fn fresh() -> Model {
    let (model, report) = open(Disk::new());
    assert!(report.is_clean() && report.next_seq == Seq(1));
    model
}

fn body(model: &mut Model, kind: u16, key: &str) -> Option<String> {
    model.get(kind, key.as_bytes()).unwrap().map(|stored| String::from_utf8(stored.body).unwrap())
}

fn lose(n: usize) -> Crash {
    Crash { lose_records: n, ..Crash::default() }
}

#[test]
fn a_record_comes_back_as_it_was_put() {
    let mut model = fresh();
    let record = Put { version: 7, incarnation: 3, ..put(1, "a", "one", Durable) };
    let seq = model.put(record).unwrap();
    let stored = model.get(1, b"a").unwrap().unwrap();
    assert_eq!((stored.version, stored.incarnation, stored.seq, &stored.body[..]), (7, 3, seq, &b"one"[..]));
    assert_eq!(model.get(2, b"a").unwrap(), None, "a kind of its own");
    model.put(put(2, "a", "another kind", Durable)).unwrap();
    model.put(put(1, "b", "", Durable)).unwrap();
    let list = model.list(1).unwrap();
    assert_eq!(list.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    model.remove(1, b"a", Durable).unwrap();
    model.remove(1, b"never there", Durable).unwrap();
    assert_eq!(body(&mut model, 1, "a"), None);
    assert!(model.check().unwrap().is_sound());
}

#[test]
fn numbers_grow_across_openings() {
    let mut model = fresh();
    let last = (0..5).map(|i| model.put(put(1, "a", &i.to_string(), Marked)).unwrap()).max().unwrap();
    let (mut model, report) = open(model.crash(lose(3)));
    assert!(report.next_seq > last, "a number is never used twice");
    assert!(model.put(put(1, "b", "", Progress)).unwrap() > last);
}

#[test]
fn a_zombie_writes_nothing() {
    let mut model = fresh();
    let by = |incarnation, body| Put { incarnation, ..put(1, "a", body, Durable) };
    model.put(by(2, "successor")).unwrap();
    let stale = StoreError::Stale { key: RecordKey::new(1, *b"a"), stored: 2, offered: 1 };
    assert_eq!(model.put(by(1, "zombie")), Err(stale.clone()));
    assert_eq!(model.put(by(2, "again")).map(|_| ()), Ok(()), "its own incarnation may");
    // Within one group, and a group of which one is stale, as well.
    let answers = model.group(vec![vec![by(4, "new")], vec![by(3, "zombie")]]);
    assert!(answers[0].is_ok() && matches!(answers[1], Err(StoreError::Stale { stored: 4, .. })));
    let both = vec![put(1, "b", "bystander", Durable), by(1, "zombie")];
    assert!(matches!(model.put_all(both), Err(StoreError::Stale { .. })));
    assert_eq!(body(&mut model, 1, "b"), None, "all or nothing");
    let (mut model, _) = open(model.crash(Crash::default()));
    assert!(matches!(model.put(by(3, "zombie")), Err(StoreError::Stale { stored: 4, .. })));
}

#[test]
fn what_is_over_a_limit_is_refused() {
    let mut model = fresh();
    let refused = |answer: Result<Seq, StoreError>| match answer {
        Err(StoreError::TooLarge { what, found, max }) if found == max + 1 => what,
        other => panic!("{other:?}"),
    };
    let large = |n: usize| "x".repeat(n);
    assert_eq!(refused(model.put(put(1, "a", &large(BODY_BYTES_MAX + 1), Durable))), "bytes of a body");
    assert_eq!(refused(model.put(put(1, &large(KEY_BYTES_MAX + 1), "", Durable))), "bytes of a key");
    let many = vec![put(1, "a", "", Durable); GROUP_RECORDS_MAX + 1];
    assert_eq!(refused(model.put_all(many)), "records of a group");
    assert_eq!(
        model.put(put(KIND_MAX + 1, "a", "", Durable)),
        Err(StoreError::ReservedKind { kind: KIND_MAX + 1 })
    );
    assert!(model.remove(KIND_MAX + 1, b"a", Durable).is_err());
    model.put(put(KIND_MAX, &large(KEY_BYTES_MAX), &large(BODY_BYTES_MAX), Marked)).unwrap();
    model.put_all(vec![]).unwrap();
}

#[test]
fn a_mark_wins_over_a_table_that_went_back() {
    let mut model = fresh();
    model.put(put(1, "subject", "prepared", Durable)).unwrap();
    model.put(put(1, "bystander", "done", Marked)).unwrap();
    model.put(put(1, "subject", "intended", Marked)).unwrap();
    let (mut model, report) = open(model.crash(lose(1)));
    assert_eq!(report.rolled_back, [RecordKey::new(1, *b"subject")], "the bystander is not made unknown");
    assert!(report.went_back.is_some());
    assert_eq!(body(&mut model, 1, "subject").unwrap(), "intended");
    assert_eq!(body(&mut model, 1, "bystander").unwrap(), "done");

    // A second crash before anybody acted on it does not make it forgotten.
    let (mut model, report) = open(model.crash(Crash::default()));
    assert_eq!(report.rolled_back, [RecordKey::new(1, *b"subject")]);
    model.settle().unwrap();
    let (_, report) = open(model.crash(Crash::default()));
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_newer_unmarked_record_is_not_undone_by_its_mark() {
    let mut model = fresh();
    model.put(put(1, "a", "intended", Marked)).unwrap();
    model.put(put(1, "a", "observing", Durable)).unwrap();
    let (mut model, report) = open(model.crash(Crash::default()));
    assert!(report.is_clean());
    assert_eq!(body(&mut model, 1, "a").unwrap(), "observing");
}

#[test]
fn what_was_removed_stays_removed() {
    let mut model = fresh();
    model.put(put(1, "a", "issued", Marked)).unwrap();
    model.remove(1, b"a", Progress).unwrap();
    // Neither its mark nor a table that went back bring it to life.
    for lost in 0..3 {
        let disk = model.crash(lose(lost));
        let (reopened, report) = open(disk);
        model = reopened;
        assert_eq!(body(&mut model, 1, "a"), None, "after losing {lost}");
        assert!(report.rolled_back.is_empty());
    }
    // Through a compaction as well.
    for i in 0..200 {
        model.put(put(1, "other", &format!("{i} {}", "x".repeat(100)), Marked)).unwrap();
    }
    let (mut model, _) = open(model.crash(lose(50)));
    assert_eq!(body(&mut model, 1, "a"), None);
    // In one group with the mark that it removes.
    model.put(put(1, "b", "1", Marked)).unwrap();
    model.remove(1, b"b", Durable).unwrap();
    let (mut model, _) = open(model.crash(lose(1)));
    assert_eq!(body(&mut model, 1, "b"), None);
}

#[test]
fn marks_are_compacted_and_lose_nothing() {
    let mut model = fresh();
    for i in 0..500 {
        model.put(put(1, &format!("k{}", i % 7), &format!("{i} {}", "x".repeat(50)), Marked)).unwrap();
    }
    let check = model.check().unwrap();
    assert_eq!((check.marks, check.is_sound()), (7, true));
    let (mut model, report) = open(model.crash(lose(20)));
    assert_eq!(report.rolled_back.len(), 7);
    for k in 0..7 {
        let last = (0..500).rev().find(|i| i % 7 == k).unwrap();
        assert!(body(&mut model, 1, &format!("k{k}")).unwrap().starts_with(&format!("{last} ")));
    }
}

#[test]
fn a_group_rides_on_one_sync_of_each() {
    let mut model = fresh();
    let before = model.disk().syncs();
    let group = (0..64).map(|i| vec![put(1, &i.to_string(), "", Marked)]).collect();
    assert!(model.group(group).iter().all(Result::is_ok));
    assert_eq!(model.disk().syncs() - before, 2, "the marks and the table");
    model.put(put(1, "a", "", Durable)).unwrap();
    assert_eq!(model.disk().syncs() - before, 3, "the table");
    model.put(put(1, "a", "", Progress)).unwrap();
    assert_eq!(model.disk().syncs() - before, 3, "nothing");
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    for k in [1, 2] {
        let mut model = fresh();
        model.put(put(1, "a", "before", Marked)).unwrap();
        model.disk().fail_sync_at(k);
        let answers = model.group(vec![
            vec![put(1, "a", "after", Marked)],
            vec![put(1, "b", "after", Durable)],
            vec![put(1, "c", "after", Progress)],
        ]);
        assert!(matches!(answers[0], Err(StoreError::SyncFailed { .. })), "{answers:?}");
        assert!(matches!(answers[1], Err(StoreError::SyncFailed { .. })), "{answers:?}");
        // Applied before the table's sync, and never promised more.
        assert_eq!(answers[2].is_ok(), k == 2);
        let syncs = model.disk().syncs();
        for durability in [Marked, Durable, Progress] {
            assert!(matches!(model.put(put(1, "d", "", durability)), Err(StoreError::Poisoned { .. })));
        }
        assert!(matches!(model.get(1, b"a"), Err(StoreError::Poisoned { .. })));
        assert!(matches!(model.list(1), Err(StoreError::Poisoned { .. })));
        assert!(matches!(model.remove(1, b"a", Marked), Err(StoreError::Poisoned { .. })));
        assert!(model.settle().is_err() && model.check().is_err());
        assert_eq!(model.disk().syncs(), syncs);
        let (mut model, _) = open(model.crash(lose(1)));
        assert!(["before", "after"].contains(&body(&mut model, 1, "a").unwrap().as_str()));
    }
}

#[test]
fn marks_that_do_not_fit_leave_a_store_that_goes_on() {
    for written in [0, 10, 90, 10_000] {
        let mut model = fresh();
        model.put(put(1, "a", "before", Marked)).unwrap();
        model.disk().full_at_append(1, written);
        let answers =
            model.group(vec![vec![put(1, "a", "refused", Marked)], vec![put(1, "b", "unmarked", Durable)]]);
        assert!(
            matches!(&answers[0], Err(StoreError::Full { path }) if path.ends_with("marks")),
            "{answers:?}"
        );
        assert!(answers[1].is_ok());
        assert_eq!(body(&mut model, 1, "a").unwrap(), "before");
        // What was refused is not found after a crash, though all of it had been written.
        let (mut model, report) = open(model.crash(Crash::default()));
        assert!(report.is_clean() && report.marks_torn.is_none(), "{written}: {report:?}");
        assert_eq!(body(&mut model, 1, "a").unwrap(), "before");
        model.put(put(1, "a", "room again", Marked)).unwrap();
        let (mut model, report) = open(model.crash(lose(1)));
        assert_eq!(body(&mut model, 1, "a").unwrap(), "room again", "{report:?}");
    }
}

#[test]
fn a_full_disk_is_noticed_before_anything_is_written() {
    let mut model = fresh();
    model.put(put(1, "a", "before", Marked)).unwrap();
    model.disk().set_room(Some(1000));
    for durability in [Marked, Durable, Progress] {
        assert!(matches!(model.put(put(1, "a", "refused", durability)), Err(StoreError::Full { .. })));
    }
    assert_eq!(body(&mut model, 1, "a").unwrap(), "before");
    model.put(put(1, "a", "refused", Durable)).unwrap_err();
    model.remove(1, b"a", Durable).unwrap();
    model.disk().heal();
    model.put(put(1, "a", "after", Marked)).unwrap();
}

#[test]
fn a_table_that_cannot_be_written_stops_the_store() {
    let mut model = fresh();
    model.put(put(1, "a", "before", Marked)).unwrap();
    model.disk().full_at_apply(1);
    assert!(matches!(model.put(put(1, "a", "after", Marked)), Err(StoreError::Full { .. })));
    assert!(matches!(model.put(put(1, "a", "", Progress)), Err(StoreError::Poisoned { .. })));
    // It was not answered, and its mark is there: it may be found, and is named.
    let (mut model, report) = open(model.crash(Crash::default()));
    assert_eq!(body(&mut model, 1, "a").unwrap(), "after");
    assert_eq!(report.rolled_back.len(), 1);
}

#[test]
fn a_damaged_record_is_set_aside_and_named() {
    let mut model = fresh();
    model.put(put(1, "marked", "intended", Marked)).unwrap();
    model.put(put(1, "hurt", "plain", Durable)).unwrap();
    model.put(put(1, "sound", "plain", Durable)).unwrap();
    let mut disk = model.crash(Crash::default());
    for key in ["marked", "hurt"] {
        assert!(disk.flip_record_bit(&RecordKey::new(1, key), 20, 3));
    }
    let (mut model, report) = open(disk);
    let damaged: Vec<_> = report.damaged.iter().map(|d| (d.key.to_string(), d.restored)).collect();
    assert_eq!(damaged, [("kind 1 key hurt".to_owned(), false), ("kind 1 key marked".to_owned(), true)]);
    assert_eq!(report.rolled_back, [RecordKey::new(1, *b"marked")]);
    assert_eq!(body(&mut model, 1, "marked").unwrap(), "intended");
    assert_eq!(body(&mut model, 1, "sound").unwrap(), "plain");
    assert!(matches!(model.get(1, b"hurt"), Err(StoreError::Damaged { .. })), "never as if it had not been");
    assert_eq!(model.check().unwrap().set_aside, 2);
    model.put(put(1, "hurt", "anew", Durable)).unwrap();
    model.remove(1, b"marked", Durable).unwrap();
    assert_eq!(body(&mut model, 1, "hurt").unwrap(), "anew");
    assert_eq!(model.check().unwrap().set_aside, 0);
}

#[test]
fn missing_and_cut_marks_are_told() {
    let mut model = fresh();
    model.put(put(1, "a", "intended", Marked)).unwrap();
    let mut disk = model.crash(Crash::default());
    let mut cut = disk.clone();
    disk.remove_marks();
    assert!(open(disk).1.marks_missing);
    cut.crash(Crash { cut_marks_bytes: 3, ..Crash::default() });
    assert!(open(cut.clone()).1.marks_damaged, "it had been answered");
    assert!(cut.flip_marks_bit(10, 1));
    assert!(open(cut).1.marks_damaged);
}

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, u64, Durability),
    Both(u8, u8, Durability),
    Remove(u8),
    Crash(usize),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let durability = || prop::sample::select(vec![Progress, Durable, Marked]);
    prop_oneof![
        6 => (0..5u8, 0..3u64, durability()).prop_map(|(key, incarnation, d)| Step::Put(key, incarnation, d)),
        2 => (0..5u8, 0..5u8, durability()).prop_map(|(a, b, d)| Step::Both(a, b, d)),
        1 => (0..5u8).prop_map(Step::Remove),
        2 => (0..4usize).prop_map(Step::Crash),
        1 => Just(Step::Settle),
    ]
}

/// What is known of a key: all that was ever written, and the last that was marked.
#[derive(Default, Clone)]
struct Known {
    newest: Option<(u64, String)>,
    marked: Option<(u64, Option<String>)>,
    incarnation: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever crashes: a marked write is never older than its mark, nobody is named who did not go back, and what
    /// was not lost is as it was.
    #[test]
    fn no_crash_takes_back_a_mark(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = fresh();
        let mut known: BTreeMap<u8, Known> = BTreeMap::new();
        let mut last_seq = Seq(0);
        let mut told = std::collections::BTreeSet::new();
        for (n, step) in steps.into_iter().enumerate() {
            let text = format!("step {n}");
            match step {
                Step::Put(key, incarnation, durability) => {
                    let record = Put { incarnation, ..put(1, &key.to_string(), &text, durability) };
                    let entry = known.entry(key).or_default();
                    match model.put(record) {
                        Ok(seq) => {
                            prop_assert!(seq > last_seq);
                            prop_assert!(entry.newest.is_none() || incarnation >= entry.incarnation);
                            last_seq = seq;
                            entry.incarnation = incarnation;
                            entry.newest = Some((seq.0, text.clone()));
                            if durability == Marked {
                                entry.marked = Some((seq.0, Some(text)));
                            }
                        }
                        Err(StoreError::Stale { stored, offered, .. }) => {
                            prop_assert_eq!((stored, offered), (entry.incarnation, incarnation));
                            prop_assert!(offered < stored);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                Step::Both(a, b, durability) => {
                    let of = |key: u8| Put { incarnation: 9, ..put(1, &key.to_string(), &text, durability) };
                    last_seq = model.put_all(vec![of(a), of(b)]).unwrap();
                    for (key, seq) in [(a, last_seq.0 - 1), (b, last_seq.0)] {
                        let marked = (durability == Marked).then(|| (seq, Some(text.clone())));
                        let entry = known.entry(key).or_default();
                        entry.newest = Some((seq, text.clone()));
                        entry.incarnation = 9;
                        entry.marked = marked.or(entry.marked.take());
                    }
                }
                Step::Remove(key) => {
                    last_seq = last_seq.max(model.remove(1, key.to_string().as_bytes(), Durable).unwrap());
                    let entry = known.entry(key).or_default();
                    if entry.newest.take().is_some() && matches!(entry.marked, Some((_, Some(_)))) {
                        entry.marked = Some((last_seq.0, None));
                    }
                }
                Step::Settle => model.settle().unwrap(),
                Step::Crash(lost) => {
                    let (reopened, report) = open(model.crash(lose(lost)));
                    model = reopened;
                    prop_assert!(report.next_seq > last_seq || lost > 0);
                    for (key, entry) in &mut known {
                        let stored = model.get(1, key.to_string().as_bytes()).unwrap();
                        let now = stored.as_ref().map(|s| (s.seq.0, String::from_utf8(s.body.clone()).unwrap()));
                        if lost == 0 {
                            prop_assert_eq!(&now, &entry.newest);
                        }
                        if let Some((seq, marked)) = &entry.marked {
                            match (&now, marked) {
                                (Some((now, _)), _) => prop_assert!(now >= seq, "{key} went back behind its mark"),
                                (None, marked) => prop_assert!(marked.is_none(), "{key} lost its mark"),
                            }
                        }
                        // A table that went back may have forgotten that an earlier report was settled.
                        let named = report.rolled_back.contains(&RecordKey::new(1, key.to_string())) && told.insert(*key);
                        prop_assert!(!named || now.as_ref().map(|n| n.0) == entry.marked.as_ref().map(|m| m.0));
                        // What is there now is what counts from here on.
                        entry.incarnation = stored.map_or(0, |s| s.incarnation);
                        entry.newest = now;
                    }
                    last_seq = Seq(report.next_seq.0 - 1);
                }
            }
        }
        prop_assert!(model.check().unwrap().is_sound());
    }
}
