//! The thread and its address: groups, order, ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::time::Duration;

use common::put;
use farmhand_store::{
    Crash, Disk,
    Durability::{Durable, Marked, Progress},
    Health, StoreError, StoreHandle,
};

/// Longer than anything here takes; a hang fails instead of hanging.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn put_get_list_remove_over_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = StoreHandle::open(folder.path()).await.unwrap();
    store.put(put(1, "a", "one", Marked)).await.unwrap();
    let last =
        store.put_all(vec![put(1, "b", "two", Durable), put(1, "c", "three", Progress)]).await.unwrap();
    assert_eq!(store.get(1, b"c").await.unwrap().unwrap().seq, last);
    store.remove(1, b"b", Durable).await.unwrap();
    let keys: Vec<_> = store.list(1).await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"a", b"c"]);
    let check = store.check().await.unwrap();
    assert!(check.is_sound() && check.records[&1] == 2 && check.marks == 1);
    store.close().await.unwrap();
    assert_eq!(store.put(put(1, "a", "late", Durable)).await, Err(StoreError::Exited));
    // Progress is kept by a clean end.
    let (again, report) = StoreHandle::open(folder.path()).await.unwrap();
    assert!(report.is_clean() && report.next_seq.0 > last.0);
    assert_eq!(again.get(1, b"c").await.unwrap().unwrap().body, b"three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_are_all_answered() {
    let (store, _) = StoreHandle::open_memory(Disk::new()).await.unwrap();
    let writers: Vec<_> = (0..64u32)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    store.put(put(1, &format!("{writer}/{n}"), "", Durable)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.list(1).await.unwrap().len(), 64 * 20);
    let disk = store.crash(Crash::default()).await.unwrap();
    let (store, report) = StoreHandle::open_memory(disk).await.unwrap();
    assert!(report.is_clean());
    assert_eq!(store.list(1).await.unwrap().len(), 64 * 20);
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_and_tells_its_owner() {
    let mut disk = Disk::new();
    // Two at the first opening: the table's and the new marks'.
    disk.fail_sync_at(3);
    let (store, _) = StoreHandle::open_memory(disk).await.unwrap();
    let owner = tokio::spawn({
        let store = store.clone();
        async move { store.failed().await }
    });
    assert!(matches!(store.put(put(1, "a", "", Durable)).await, Err(StoreError::SyncFailed { .. })));
    assert!(matches!(store.put(put(1, "a", "", Durable)).await, Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.get(1, b"a").await, Err(StoreError::Poisoned { .. })));
    let why = tokio::time::timeout(DEADLINE, owner).await.unwrap().unwrap();
    assert!(why.contains("injected"), "{why}");
    assert!(matches!(&*store.health().borrow(), Health::Failed(_)));
    assert!(matches!(store.close().await, Err(StoreError::Poisoned { .. })));
    assert_eq!(store.put(put(1, "a", "", Durable)).await, Err(StoreError::Exited));
}

#[tokio::test]
async fn closing_does_what_was_asked_before() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = StoreHandle::open(folder.path()).await.unwrap();
    let mut health = store.health();
    let puts: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.put(put(1, &n.to_string(), "", Progress)).await })
        })
        .collect();
    // The tasks of this one-threaded runtime ask in order, at least one in each of its rounds; the closing comes behind them.
    for _ in 0..puts.len() {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    tokio::time::timeout(DEADLINE, health.wait_for(|h| *h == Health::Ended)).await.unwrap().unwrap();
    let (store, _) = StoreHandle::open(folder.path()).await.unwrap();
    assert_eq!(store.list(1).await.unwrap().len(), 100);
}

#[tokio::test]
async fn without_a_handle_the_thread_ends_and_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = StoreHandle::open(folder.path()).await.unwrap();
    let mut health = store.health();
    store.put(put(1, "a", "kept", Progress)).await.unwrap();
    drop(store);
    tokio::time::timeout(DEADLINE, health.wait_for(|h| *h == Health::Ended)).await.unwrap().unwrap();
    let (store, _) = StoreHandle::open(folder.path()).await.unwrap();
    assert_eq!(store.get(1, b"a").await.unwrap().unwrap().body, b"kept");
}
