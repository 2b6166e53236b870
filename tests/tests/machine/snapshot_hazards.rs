//! What goes wrong with snapshots elsewhere, and does not here. Each of these was seen elsewhere, or in QEMU.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use farmhand_machine::{Description, Kind, Loaded, MachineError, Now, Place, SnapshotError, Snapshots};
use farmhand_tests::{SmallDisk, until};
use serde_json::json;

use super::between::{Do, between};
use super::owner::{Owner, Task};
use super::shelf::{Shelf, letter, name, user};
use super::{Machine, or_hang};

/// The source, with somebody between it and its owner.
async fn with_somebody_between(shelf: &Shelf, rule: impl Fn(&str) -> Do + Send + Sync + 'static) -> Machine {
    let source = shelf.letters().await;
    letter(&source, "a").await;
    drop(source);
    between(shelf.bench.folder(), rule);
    shelf.bench.adopt().await.unwrap().machine
}

/// That for the first command of this name; the others pass.
fn once(of: &'static str, what: Do) -> impl Fn(&str) -> Do + Send + Sync + 'static {
    let seen = AtomicU32::new(0);
    move |name| match name == of && seen.fetch_add(1, Ordering::SeqCst) == 0 {
        true => what.clone(),
        false => Do::Pass,
    }
}

/// The save fails, the source runs on, nothing is left, and the next save is well.
async fn fails_and_leaves_nothing(mut shelf: Shelf, source: &Machine) -> SnapshotError {
    let error = shelf.save(source, "one").await.unwrap_err();
    shelf.source_runs_on(source, "b").await;
    assert!(shelf.names().is_empty(), "{error}");
    shelf.save(source, "one").await.unwrap();
    shelf.goes_on_with("one", "c").await;
    error
}

/// Seen red where its error ends `while_paused`.
#[tokio::test]
async fn a_pause_whose_answer_is_lost_is_undone() {
    let shelf = Shelf::new().await;
    let source = with_somebody_between(&shelf, once("stop", Do::Lose)).await;
    let error = fails_and_leaves_nothing(shelf, &source).await;
    assert!(error.to_string().contains("does not answer stop"), "{error}");
}

#[tokio::test]
async fn a_pause_that_is_refused_is_an_error_and_no_more() {
    let shelf = Shelf::new().await;
    let source = with_somebody_between(&shelf, once("stop", Do::Refuse)).await;
    let error = fails_and_leaves_nothing(shelf, &source).await;
    assert!(error.to_string().contains("not today"), "{error}");
}

/// Seen red without the second connection in `go_on`.
#[tokio::test]
async fn a_machine_that_was_paused_when_its_connection_ended_goes_on() {
    let shelf = Shelf::new().await;
    let source = with_somebody_between(&shelf, once("stop", Do::Close)).await;
    let error = shelf.save(&source, "one").await.unwrap_err();
    assert!(matches!(error, SnapshotError::Machine(MachineError::Monitor(_))), "{error}");
    drop(source);
    // Before anybody adopts it: the mark is gone, so that would not let it go on.
    shelf.nothing_is_left_in(shelf.bench.folder());
    let Loaded { machine, .. } = shelf.bench.adopt().await.unwrap();
    shelf.source_runs_on(&machine, "b").await;
}

/// QEMU leaves the source of a migration that failed paused. Seen red without `cont` in `try_once`.
#[tokio::test]
async fn a_migration_that_fails_leaves_a_machine_that_runs() {
    let shelf = Shelf::new().await;
    let broken = Do::With(json!({"uri": "unix:nowhere/at/all"}));
    let source = with_somebody_between(&shelf, once("migrate", broken)).await;
    fails_and_leaves_nothing(shelf, &source).await;
}

#[tokio::test]
async fn a_migration_that_goes_elsewhere_and_completes_is_no_snapshot() {
    let shelf = Shelf::new().await;
    let elsewhere = Do::With(json!({"uri": "exec:cat > /dev/null"}));
    let source = with_somebody_between(&shelf, once("migrate", elsewhere)).await;
    fails_and_leaves_nothing(shelf, &source).await;
}

/// It looks as if it were well, and answers nobody. Seen red where `go_on` gives up without ending it.
#[tokio::test]
async fn a_machine_that_cannot_be_let_go_on_is_ended_and_that_is_said() {
    let shelf = Shelf::new().await;
    let never = |name: &str| if name == "cont" { Do::Refuse } else { Do::Pass };
    let source = with_somebody_between(&shelf, never).await;
    let error = shelf.save(&source, "one").await.unwrap_err();
    let ended = matches!(error, SnapshotError::Machine(MachineError::NotResumed { .. }));
    assert!(ended && error.to_string().contains("not today"), "{error}");
    assert!(!source.process().is_alive() && shelf.names().is_empty());
    assert!(shelf.bench.adopt().await.is_none());
    shelf.nothing_is_left_in(shelf.bench.folder());
}

/// The first error first. Seen red where `SnapshotError::both` gives the last alone.
#[tokio::test]
async fn all_that_failed_is_told_the_first_first() {
    let shelf = Shelf::new().await;
    let rule = |name: &str| match name {
        "migrate" => Do::With(json!({"uri": "unix:nowhere/at/all"})),
        "cont" => Do::Refuse,
        _ => Do::Pass,
    };
    let source = with_somebody_between(&shelf, rule).await;
    let words = shelf.save(&source, "one").await.unwrap_err().to_string();
    let (first, then) = (words.find("QEMU: "), words.find("did not go on"));
    assert!(first.is_some() && first < then, "{words}");
}

/// No file of more than some KiB can be written, as on a disk that is full. Seen red where `pump` forgets what `write_all`
/// says.
#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_is_an_error_and_the_machine_runs_on() {
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    drop(source);
    // In units of 512 bytes; the signal of it is not to kill the owner, as that of a full disk does not.
    let limit = "trap '' XFSZ; ulimit -f 32; exec \"$@\"";
    let error = Owner::start_by(&shelf, &Task::Save, None, limit).go_on().await.expect("it is an error");
    assert!(error.contains("memory: File too large"), "{error}");
    assert!(shelf.names().is_empty());
    // Nobody has adopted it in between: it is its owner who let it go on.
    shelf.nothing_is_left_in(shelf.bench.folder());
    let Loaded { machine, .. } = shelf.bench.adopt().await.unwrap();
    shelf.source_runs_on(&machine, "b").await;
}

/// Seen red without `has_room`.
#[tokio::test]
async fn where_there_is_no_room_nothing_is_paused() {
    let disk = match SmallDisk::mount(8) {
        Ok(disk) => disk,
        Err(missing) => return eprintln!("skipped: it needs {missing}"),
    };
    let mut shelf = Shelf::new().await;
    let stopped = |name: &str| if name == "stop" { panic!("it is paused") } else { Do::Pass };
    let source = with_somebody_between(&shelf, stopped).await;
    shelf.all = Snapshots::open(disk.path()).unwrap();
    let error = shelf.save(&source, "one").await.unwrap_err();
    assert!(matches!(error, SnapshotError::NoRoom { .. }), "{error}");
    shelf.source_runs_on(&source, "b").await;
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

/// Seen red without `verify` in `verified`, and without `agrees` in `Description::read`.
#[tokio::test]
async fn what_is_missing_damaged_or_of_another_emulator_is_refused_before_anything_starts() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    assert!(matches!(shelf.refused("none").await, SnapshotError::NoSuch(_)));
    for of in ["cut", "flipped", "no-memory", "no-program", "no-description", "renamed", "edited", "linked"] {
        shelf.save(&source, of).await.unwrap();
    }
    let memory = fs::read(shelf.file("cut", "memory")).unwrap();
    fs::write(shelf.file("cut", "memory"), &memory[..memory.len() - 1]).unwrap();
    shelf.flip("flipped");
    for (of, part) in
        [("no-memory", "memory"), ("no-program", "program"), ("no-description", "description.json")]
    {
        fs::remove_file(shelf.file(of, part)).unwrap();
    }
    fs::rename(shelf.file("renamed", ""), shelf.file("is-called-so", "")).unwrap();
    let description = shelf.file("edited", "description.json");
    let text = fs::read_to_string(&description).unwrap();
    fs::write(&description, text.replace("riscv32-virt", "riscv64-virt")).unwrap();
    // The same bytes, but not its own: whoever changes those changes this.
    fs::rename(shelf.file("linked", "program"), shelf.bench.home.path().join("elsewhere")).unwrap();
    symlink(shelf.bench.home.path().join("elsewhere"), shelf.file("linked", "program")).unwrap();
    for (of, why) in [
        ("cut", "bytes of"),
        ("flipped", "not what was saved"),
        ("no-memory", "memory is not to be read"),
        ("no-program", "program is not to be read"),
        ("no-description", "no description"),
        ("is-called-so", "it is renamed"),
        ("edited", "its key is another's"),
        ("linked", "no file of its own"),
    ] {
        let refused = shelf.refused(of).await;
        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{of}: {refused}");
        assert!(refused.to_string().contains(why), "{of}: {refused}");
        let listed = shelf.all.list().unwrap();
        assert!(listed.iter().any(|listed| listed.name == of), "it is listed all the same");
    }
    for of in shelf.names() {
        shelf.all.delete(&name(&of)).unwrap();
    }
    shelf.source_runs_on(&source, "a").await;
}

/// Seen red without the comparison in `fits`.
#[tokio::test]
async fn another_build_of_qemu_is_refused_before_anything_starts() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save(&source, "one").await.unwrap();
    let mut other = shelf.bench.emulator.clone();
    other.program = shelf.bench.home.path().join("another-qemu");
    let mut program = fs::read(&shelf.bench.emulator.program).unwrap();
    // It would start as well as the first: behind an ELF file's end anything may stand.
    program.push(0);
    fs::write(&other.program, program).unwrap();
    fs::set_permissions(&other.program, fs::metadata(&shelf.bench.emulator.program).unwrap().permissions())
        .unwrap();
    let refused = shelf.restore_by("one", &other).await.unwrap_err();
    assert!(matches!(refused, SnapshotError::Other { what: "QEMU", .. }), "{refused}");
    shelf.goes_on_with("one", "a").await;
}

/// QEMU ends then, and its words are told.
#[tokio::test]
async fn a_memory_that_qemu_does_not_take_is_said_in_its_words_and_nothing_stays() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save(&source, "one").await.unwrap();
    // What was saved was no memory, and is described as it is.
    let memory = b"this is no memory of any machine";
    fs::write(shelf.file("one", "memory"), memory).unwrap();
    let mut said: serde_json::Value =
        serde_json::from_slice(&fs::read(shelf.file("one", "description.json")).unwrap()).unwrap();
    let len = memory.len();
    said["parts"]["memory"] = json!({"len": len, "sha256": sha256(memory)});
    fs::write(shelf.file("one", "description.json"), said.to_string()).unwrap();
    shelf.all.verify(&name("one")).await.unwrap();
    let (of, place) = (name("one"), shelf.place());
    let error = or_hang("it is refused", shelf.all.restore(&of, &place, &shelf.bench.emulator)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("Not a migration stream"), "{error}");
    assert!(or_hang("none is there", Machine::adopt(&place.folder)).await.unwrap().is_none());
    shelf.nothing_is_left_in(&place.folder);
    shelf.all.delete(&of).unwrap();
}

/// What went into QEMU is another look at the file. Seen red without the comparison in `stream::load`.
#[tokio::test]
async fn a_memory_that_changes_once_it_was_verified_makes_no_machine() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save(&source, "one").await.unwrap();
    let place = shelf.place();
    let mut owner = Owner::start(&shelf, &Task::Restore(place.clone()), "restore-verified");
    owner.is_at("restore-verified").await;
    let file = shelf.file("one", "memory");
    shelf.flip("one");
    let error = owner.go_on().await.expect("it is an error");
    assert_eq!(error, format!("{} was changed while it was read", file.display()));
    assert!(or_hang("none is there", Machine::adopt(&place.folder)).await.unwrap().is_none());
    shelf.nothing_is_left_in(&place.folder);
    shelf.all.delete(&name("one")).unwrap();
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seen red without `drained` in `save_to_the_end`.
#[tokio::test]
async fn two_saves_of_one_machine_at_once_are_done_one_after_the_other() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    let saves = async { tokio::join!(shelf.save(&source, "one"), shelf.save(&source, "two")) };
    let (one, two) = or_hang("both are done", saves).await;
    assert_eq!((one.unwrap().name, two.unwrap().name), (name("one"), name("two")));
    let same = async { tokio::join!(shelf.save(&source, "same"), shelf.save(&source, "same")) };
    let done: [Result<Description, _>; 2] = or_hang("both are done", same).await.into();
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(done.iter().any(|done| matches!(done, Err(SnapshotError::Exists(_)))));
    shelf.source_runs_on(&source, "b").await;
    for of in ["one", "two", "same"] {
        shelf.goes_on_with(of, "b").await;
    }
}

/// Of two machines: the one is published, and the other says so. Neither is mixed with the other.
#[tokio::test]
async fn two_machines_that_are_saved_under_one_name_are_not_mixed() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save(&source, "first").await.unwrap();
    let (place, other) = shelf.restore("first").await.unwrap();
    other.go().await.unwrap();
    letter(&other, "a").await;
    let saves = async {
        let of_other = shelf.save_as(&other, user("same", false), &place);
        tokio::join!(shelf.save(&source, "same"), of_other)
    };
    let (of_source, of_other) = or_hang("both are done", saves).await;
    let (next, lost) = match (of_source, of_other) {
        (Ok(_), Err(lost)) => ("a", lost),
        (Err(lost), Ok(_)) => ("b", lost),
        other => panic!("{other:?}"),
    };
    assert!(matches!(lost, SnapshotError::Exists(_)), "{lost}");
    assert_eq!(shelf.names(), ["first", "same"]);
    shelf.goes_on_with("same", next).await;
}

/// Who waits for it gives up at any moment. Seen red where `save` does not spawn.
#[tokio::test]
async fn a_save_that_nobody_waits_for_any_more_comes_to_its_end() {
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let mut next = ["a", "b", "c", "d", "e", "f"].into_iter();
    for wait_ms in [0, 1, 5, 20, 50] {
        let save = shelf.save(&source, "one");
        if tokio::time::timeout(Duration::from_millis(wait_ms), save).await.is_ok() {
            shelf.all.delete(&name("one")).unwrap();
            continue;
        }
        let there = async || shelf.all.verify(&name("one")).await.ok();
        until("it is there", there).await;
        until("it has let its machine go", async || source.now().await.ok().filter(|now| *now == Now::Runs))
            .await;
        letter(&source, next.next().unwrap()).await;
        // Its end is a moment after its publication.
        drop(or_hang("nothing is in flight", source.in_flight()).await.unwrap());
        assert_eq!(shelf.names(), ["one"]);
        shelf.all.delete(&name("one")).unwrap();
    }
}

/// Its bytes are on their way, in no memory that is saved.
#[tokio::test]
async fn a_machine_that_has_not_answered_is_not_saved() {
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let flying = source.in_flight().await.unwrap();
    let mut saved = shelf.saved(user("one", false), &shelf.source());
    saved.drained_within = Duration::from_millis(20);
    let error = shelf.all.save(&source, saved).await.unwrap_err();
    assert!(matches!(error, SnapshotError::InFlight { .. }), "{error}");
    shelf.source_runs_on(&source, "a").await;
    // It is answered before it is too late; and who comes meanwhile waits.
    let answered = async {
        tokio::task::yield_now().await;
        drop(flying);
    };
    let ((), saved) = tokio::join!(answered, shelf.save(&source, "one"));
    saved.unwrap();
    shelf.source_runs_on(&source, "b").await;
}

/// Neither a folder nor a name is proof of who runs there. Seen red without each of the three checks in `origin`.
#[tokio::test]
async fn a_machine_that_is_not_the_one_that_is_meant_is_not_saved() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "first").await.unwrap();
    let (place, _other) = shelf.restore("first").await.unwrap();
    let elsewhere = Place { folder: place.folder, ..shelf.source() };
    let renamed = Place { called: "another".into(), ..shelf.source() };
    let mut of_kind = shelf.saved(user("one", false), &shelf.source());
    of_kind.kind = Kind::named("netduinoplus2").unwrap();
    let mut all = vec![of_kind];
    all.extend([elsewhere, renamed].map(|place| shelf.saved(user("one", false), &place)));
    for (what, why) in all.into_iter().zip(["no netduinoplus2", "not the one", "not called another"]) {
        let error = shelf.all.save(&source, what).await.unwrap_err();
        assert!(matches!(error, SnapshotError::Identity { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    // Recycled: another one has the folder since.
    let again = shelf.letters().await;
    let error = shelf.save(&source, "one").await.unwrap_err();
    assert!(matches!(error, SnapshotError::Identity { .. }), "{error}");
    shelf.source_runs_on(&again, "a").await;
    assert_eq!(shelf.names(), ["first"]);
}

/// Where its memory is to go is taken, by what cannot be moved away.
#[tokio::test]
async fn a_machine_whose_folder_is_in_the_way_runs_on() {
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let taken = shelf.bench.folder().join("save");
    fs::create_dir_all(taken.join("deep")).unwrap();
    shelf.save(&source, "one").await.unwrap_err();
    fs::remove_dir_all(taken).unwrap();
    shelf.source_runs_on(&source, "a").await;
    assert!(shelf.names().is_empty());
}

/// Whoever opens the snapshots removes what nobody makes any more, and takes nothing for that which somebody has just begun. Seen
/// red where a folder is made for what goes before that has its name, and without the lock that `fresh` gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_takes_nothing_that_is_being_made_and_brings_nothing_back() {
    /// Each of some hundredths of a second.
    const SAVES: usize = 50;
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let (folder, over) = (shelf.folder(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let sweep = || {
            let mut sweeps = 0;
            while !over.load(Ordering::SeqCst) {
                Snapshots::open(&folder).unwrap();
                sweeps += 1;
            }
            sweeps
        };
        let sweepers = [scope.spawn(sweep), scope.spawn(sweep)];
        let saves = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for nth in 0..SAVES {
                    shelf.save(&source, "one").await.map_err(|error| format!("save {nth}: {error}"))?;
                    shelf.all.delete(&name("one")).map_err(|error| format!("delete {nth}: {error}"))?;
                }
                Ok::<_, String>(())
            })
        });
        over.store(true, Ordering::SeqCst);
        let sweeps: u32 = sweepers.map(|sweeper| sweeper.join().unwrap()).into_iter().sum();
        assert!(sweeps > 1000, "{sweeps} sweeps");
        saves.unwrap();
    });
    assert!(shelf.names().is_empty());
    shelf.source_runs_on(&source, "a").await;
}

/// No name is looked up and no network asked, and nothing is started but QEMU and the shell that becomes it.
/// Seen red where QEMU is asked for its version first.
#[tokio::test]
async fn a_restore_starts_qemu_and_asks_nobody() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: it needs strace");
    }
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    let (place, log) = (shelf.place(), shelf.bench.home.path().join("calls"));
    // Aside, so that it is the owner that is waited for, and not all that it leaves.
    let line = format!("exec strace -D -f -qq -e trace=execve,socket -o {} \"$@\"", log.display());
    let owner = Owner::start_by(&shelf, &Task::Restore(place.clone()), None, &line);
    assert_eq!(owner.go_on().await, None);
    let Loaded { machine, .. } =
        or_hang("it is adopted", Machine::adopt(&place.folder)).await.unwrap().unwrap();
    machine.go().await.unwrap();
    letter(&machine, "b").await;
    machine.quit().await.unwrap();
    let calls = fs::read_to_string(&log).unwrap();
    // Where another thread's call comes between, strace tells of a call in two lines, and how it went in the second.
    let is_done = |line: &&str| {
        line.ends_with("= 0") && ["execve(", "execve resumed>"].iter().any(|call| line.contains(call))
    };
    // The owner itself, the shell, what renames its number's file, and QEMU.
    assert_eq!(calls.lines().filter(is_done).count(), 4, "{calls}");
    let sockets = calls.lines().filter(|line| line.contains("socket("));
    assert_eq!(sockets.filter(|line| !line.contains("AF_UNIX")).collect::<Vec<_>>(), [""; 0], "{calls}");
}
