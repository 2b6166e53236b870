//! Killed at every point of a save and of a restore: who owns the machine, QEMU, both; or nobody is, and a successor sweeps
//! meanwhile. Allowed afterwards is:
//!
//! | killed | the snapshot | the source | a machine that was to be made |
//! |---|---|---|---|
//! | the owner | the old one before its publication, the new one from then on | runs | is there once it is whole, and not before |
//! | QEMU | the new one where its memory was taken and it was let go on, else the old one; the owner says which | has ended | has ended |
//! | both | as the owner | has ended | has ended |
//! | nobody | the new one | runs | is there |
//!
//! And nothing else: no half snapshot, socket, mark or process is left once a successor has opened the snapshots and adopted
//! the machines.

use farmhand_machine::{Description, Now, Place, Snapshots};
use farmhand_tests::{OF_RESTORES, OF_SAVES};

use super::owner::{Owner, Task};
use super::shelf::{Shelf, at_work_in, letter, name, user};
use super::{console, end_machine, or_hang};
use crate::Machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    Owner,
    Qemu,
    Both,
    Nobody,
}

impl Killed {
    const ALL: [Self; 4] = [Self::Owner, Self::Qemu, Self::Both, Self::Nobody];

    fn owner(self) -> bool {
        matches!(self, Self::Owner | Self::Both)
    }

    fn qemu(self) -> bool {
        matches!(self, Self::Qemu | Self::Both)
    }
}

/// Kills at its point what is to be killed, or lets it go on; gives what the owner said, if it lived to say something.
async fn kill(
    shelf: &mut Shelf,
    task: &Task,
    at: &Place,
    point: &str,
    killed: Killed,
) -> Option<Option<String>> {
    let mut owner = Owner::start(shelf, task, point);
    owner.is_at(point).await;
    if killed == Killed::Nobody {
        // What is at work is not swept.
        shelf.swept();
    }
    if killed.qemu() {
        end_machine(&at.folder);
    }
    if killed.owner() {
        owner.kill().await;
        return None;
    }
    Some(owner.go_on().await)
}

/// What there is before a machine is saved as `one`.
struct Before {
    /// The snapshot of that name.
    old: Option<Description>,
    /// The letter that a machine which is made of it says next.
    old_says: String,
    /// The letter that the source says next.
    next: String,
}

/// Saves the source over what there is, with what is to be killed killed at this point; gives whether there is a new one.
async fn saved(shelf: &mut Shelf, point: &str, killed: Killed, before: Before) -> bool {
    let Before { old, old_says, next } = before;
    let plan = format!("{killed:?} killed at {point}, prior: {}", old.is_some());
    let source = shelf.source();
    let said = kill(shelf, &Task::Save, &source, point, killed).await;

    shelf.swept();
    let adopted = or_hang("it is adopted", Machine::adopt(&source.folder)).await.unwrap();
    match adopted {
        Some(_) if killed.qemu() => panic!("{plan}: a killed machine runs"),
        Some(loaded) => shelf.source_runs_on(&loaded.machine, &next).await,
        None => assert!(killed.qemu(), "{plan}: the source is gone"),
    }
    shelf.nothing_is_left_in(&source.folder);
    at_work_in(&source.folder, usize::from(!killed.qemu())).await;

    let comes_to_publish = match killed {
        Killed::Owner | Killed::Both => point == "save-published",
        Killed::Qemu => ["save-resumed", "save-unmarked", "save-synced", "save-published"].contains(&point),
        Killed::Nobody => true,
    };
    if let Some(said) = said {
        assert_eq!(said.is_none(), comes_to_publish, "{plan}: {said:?}");
    }
    let there = if old.is_some() || comes_to_publish { vec!["one"] } else { Vec::new() };
    assert_eq!(shelf.names(), there, "{plan}");
    if there.is_empty() {
        return comes_to_publish;
    }
    // All of its files are what it says; and where it says what the old one said it is that.
    let found = shelf.all.verify(&name("one")).await.unwrap_or_else(|error| panic!("{plan}: {error}"));
    assert_eq!(Some(found) != old, comes_to_publish, "{plan}");
    if killed == Killed::Owner {
        shelf.goes_on_with("one", if comes_to_publish { &next } else { &old_says }).await;
    }
    comes_to_publish
}

/// A machine that has said a letter, and no snapshot of it; or with one, another letter ago.
async fn before(shelf: &mut Shelf, prior: bool) -> Before {
    shelf.emptied();
    let machine = shelf.letters().await;
    // Kept open: QEMU looks but once a second whether anybody has opened it.
    let _open = console(&machine).await;
    letter(&machine, "a").await;
    if !prior {
        return Before { old: None, old_says: String::new(), next: "b".into() };
    }
    let old = Some(shelf.save_as(&machine, user("one", false), &shelf.source()).await.unwrap());
    letter(&machine, "b").await;
    Before { old, old_says: "b".into(), next: "c".into() }
}

/// Seen red without the mark that `Machine::adopt` looks for, and with `publish` before `write`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_save_there_is_the_old_snapshot_or_the_new_one_and_the_source_runs() {
    let mut shelf = Shelf::new().await;
    for point in OF_SAVES {
        for killed in Killed::ALL {
            for prior in [false, true] {
                let before = before(&mut shelf, prior).await;
                saved(&mut shelf, point, killed, before).await;
            }
        }
    }
}

async fn restored(shelf: &mut Shelf, point: &str, killed: Killed) {
    let plan = format!("{killed:?} killed at {point}");
    let place = shelf.place();
    let said = kill(shelf, &Task::Restore(place.clone()), &place, point, killed).await;

    shelf.swept();
    // There is no QEMU yet that could be killed.
    let spared = killed == Killed::Qemu && point == "restore-verified";
    let whole = killed == Killed::Nobody || spared || killed == Killed::Owner && point == "restore-done";
    let adopted = or_hang("it is adopted", Machine::adopt(&place.folder)).await.unwrap();
    assert_eq!(adopted.is_some(), whole, "{plan}");
    at_work_in(&place.folder, usize::from(whole)).await;
    shelf.nothing_is_left_in(&place.folder);
    if let Some(said) = said {
        // Nobody looks at it behind its memory: its end is news of the machine, and not of the restore.
        let well = whole || ["restore-filled", "restore-done"].contains(&point);
        assert_eq!(said.is_none(), well, "{plan}: {said:?}");
    }
    if let Some(loaded) = adopted {
        assert_eq!(loaded.machine.now().await, Ok(Now::Stopped("paused".into())), "{plan}");
        loaded.machine.go().await.unwrap();
        letter(&loaded.machine, "b").await;
        loaded.machine.quit().await.unwrap();
    }
    assert_eq!(shelf.names(), ["one"], "{plan}");
    shelf.all.verify(&name("one")).await.unwrap_or_else(|error| panic!("{plan}: {error}"));
}

/// Seen red without `end_half_restored` in `Machine::adopt`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_restore_there_is_a_whole_machine_or_none() {
    let mut shelf = Shelf::new().await;
    killed_at_every_point_of_a_restore(&mut shelf).await;
}

/// Seen red without `end_half_restored` in `Machine::adopt`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_restore_of_a_guest_there_is_a_whole_one_or_none() {
    let mut shelf = Shelf::of_guests().await;
    killed_at_every_point_of_a_restore(&mut shelf).await;
}

async fn killed_at_every_point_of_a_restore(shelf: &mut Shelf) {
    let machine = shelf.letters().await;
    letter(&machine, "a").await;
    shelf.save(&machine, "one").await.unwrap();
    for point in OF_RESTORES {
        for killed in Killed::ALL {
            restored(shelf, point, killed).await;
        }
    }
    // No kill has left it in use.
    shelf.all.delete(&name("one")).unwrap();
    shelf.source_runs_on(&machine, "b").await;
}

/// The letter behind this one.
fn behind(letter: &str) -> String {
    char::from(letter.as_bytes()[0] + 1).into()
}

/// The same of a Linux guest, whose disk is saved too: what it says of its memory is what its disk says. Each save is over the
/// one before.
/// Seen red without `go_on_after_a_crash` in `Machine::adopt`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_point_of_a_save_of_a_guest_its_memory_and_its_disk_are_of_one_moment() {
    let mut shelf = Shelf::of_guests().await;
    let source = shelf.source();
    let machine = shelf.letters().await;
    letter(&machine, "a").await;
    // What a killed one begins again with, elsewhere.
    let base = Snapshots::open(&shelf.bench.home.path().join("base")).unwrap();
    let saved_as = shelf.saved(user("base", false), &source);
    or_hang("it is saved", base.save(&machine, saved_as)).await.unwrap();
    let mut old = shelf.save(&machine, "one").await.unwrap();
    drop(machine);
    let (mut old_says, mut next) = ("b".to_owned(), "b".to_owned());
    for point in OF_SAVES {
        for killed in [Killed::Owner, Killed::Qemu, Killed::Both] {
            let machine = match or_hang("it is adopted", Machine::adopt(&source.folder)).await.unwrap() {
                Some(loaded) => loaded.machine,
                None => {
                    next = "b".to_owned();
                    let of = name("base");
                    let restored = base.restore(&of, &source, &shelf.bench.emulator);
                    let loaded = or_hang("it is restored", restored).await.unwrap();
                    loaded.machine.go().await.unwrap();
                    loaded.machine
                }
            };
            letter(&machine, &next).await;
            next = behind(&next);
            drop(machine);
            let before = Before { old: Some(old), old_says: old_says.clone(), next: next.clone() };
            if saved(&mut shelf, point, killed, before).await {
                old_says = next.clone();
            }
            old = shelf.all.describe(&name("one")).unwrap();
            // It has said that, where it ran on.
            next = behind(&next);
        }
    }
}
