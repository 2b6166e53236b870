//! An export is the whole store as text, and a cut or changed one is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::fs;

use common::put;
use farmhand_store::{
    Durability::{Durable, Marked},
    ImportError, Put, StoreHandle, check_folder, import,
};

fn filled(root: &std::path::Path) -> StoreHandle {
    let (store, _) = StoreHandle::blocking_open(root).unwrap();
    store.blocking_put(Put { version: 4, incarnation: 5, ..put(1, "plain", "body", Durable) }).unwrap();
    store.blocking_put(put(2, "marked", "intended", Marked)).unwrap();
    store.blocking_put(put(2, "empty", "", Durable)).unwrap();
    store.blocking_put(put(3, "large", &"l".repeat(60_000), Marked)).unwrap();
    store.blocking_put(put(3, "gone", "x", Marked)).unwrap();
    store.blocking_remove(3, b"gone", Durable).unwrap();
    store
}

fn all(store: &StoreHandle) -> Vec<farmhand_store::Listed> {
    (1..4).flat_map(|kind| store.blocking_list(kind).unwrap()).collect()
}

#[test]
fn out_and_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, text, new) =
        (folder.path().join("ours"), folder.path().join("text"), folder.path().join("new"));
    let store = filled(&ours);
    let exported = store.blocking_export(&text).unwrap();
    assert_eq!((exported.records, exported.marks, exported.raw), (4, 3, 0));
    let imported = import(&text, &new).unwrap();
    assert_eq!((imported.records, imported.marks, imported.raw), (4, 3, 0));
    let (copy, report) = StoreHandle::blocking_open(&new).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(all(&copy), all(&store), "numbers and incarnations, too");
    let next = copy.blocking_put(put(1, "next", "", Durable)).unwrap();
    assert_eq!(next, store.blocking_put(put(1, "next", "", Durable)).unwrap());
    copy.blocking_close().unwrap();

    // Its marks are marks: without its table they bring back what they hold.
    fs::remove_dir_all(new.join("sled")).unwrap();
    let (copy, report) = StoreHandle::blocking_open(&new).unwrap();
    assert_eq!(report.rolled_back.len(), 2);
    assert_eq!(copy.blocking_get(2, b"marked").unwrap().unwrap().body, b"intended");
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, text) = (folder.path().join("ours"), folder.path().join("text"));
    let store = filled(&ours);
    store.blocking_export(&text).unwrap();
    assert_eq!(import(&text, &ours), Err(ImportError::Used { path: ours.clone() }));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    import(&text, &empty).unwrap();
}

#[test]
fn a_cut_or_changed_export_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, text, new) =
        (folder.path().join("ours"), folder.path().join("text"), folder.path().join("new"));
    filled(&ours).blocking_export(&text).unwrap();
    let whole = fs::read_to_string(&text).unwrap();
    let attempt = |content: &str| {
        fs::write(&text, content).unwrap();
        let refused = import(&text, &new).unwrap_err();
        assert!(!new.exists(), "nothing is left of it");
        refused
    };
    let lines: Vec<&str> = whole.lines().collect();
    let without = |skip: usize| {
        let kept = lines.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, l)| format!("{l}\n"));
        kept.collect::<String>()
    };
    assert!(matches!(attempt(&without(lines.len() - 1)), ImportError::Cut { .. }));
    assert!(matches!(attempt(&without(2)), ImportError::Cut { .. }));
    assert!(matches!(attempt(&without(0)), ImportError::NotOurs { .. }));
    assert!(matches!(attempt(""), ImportError::NotOurs { .. }));
    assert!(matches!(attempt("something else\n"), ImportError::NotOurs { .. }));
    let newer = whole.replacen("export 1", "export 2", 1);
    assert!(matches!(attempt(&newer), ImportError::TooNew { found: 2, .. }));
    let changed = whole.replacen("626f6479", "626f647a", 1);
    assert!(matches!(attempt(&changed), ImportError::Line { line: 2, .. }), "body, changed");
    assert!(matches!(attempt(&format!("{whole}more\n")), ImportError::Line { .. }));
    // No leftover beside it, either.
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    fs::write(&text, &whole).unwrap();
    import(&text, &new).unwrap();
}

#[test]
fn a_folder_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).blocking_close().unwrap();
    let check = check_folder(folder.path()).unwrap();
    assert!(check.opened.unwrap().is_clean() && check.walked.unwrap().is_sound());
    assert_eq!(check.marks, 2);
    fs::write(folder.path().join("sled/conf"), "segment_size: of a kind that nobody writes").unwrap();
    let check = check_folder(folder.path()).unwrap();
    let why = check.opened.unwrap_err().to_string();
    assert!(why.contains("farmhand store restore"), "{why}");
    assert!(check.walked.is_none() && check.marks == 2);
    let restored = farmhand_store::restore(folder.path()).unwrap();
    assert!(restored.old.join("db").exists());
    let (store, _) = StoreHandle::blocking_open(folder.path()).unwrap();
    assert_eq!(store.blocking_get(2, b"marked").unwrap().unwrap().body, b"intended");
}
