//! Machines that are saved while they run, and made again: the same, and another one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farmhand_machine::{Keep, Loaded, MadeBy, Now, Program, Role, SnapshotError, SnapshotName, Wanted};
use farmhand_tests::{LONG, echo_program, ticking_program};

use super::shelf::{SOURCE, Shelf, letter, name, user};
use super::{GREETING, Machine, console, ended, kind, or_hang, says};

/// A program that is one file.
fn only(image: PathBuf) -> BTreeMap<Role, PathBuf> {
    BTreeMap::from([(Role::Program, image)])
}

#[tokio::test]
async fn a_machine_that_is_restored_goes_on_where_its_source_was_and_so_does_the_source() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    for wanted in ["a", "b", "c"] {
        letter(&source, wanted).await;
    }
    let said = shelf.save(&source, "at-d").await.unwrap();
    assert_eq!(
        (said.made_by, said.machine.as_str(), said.kind.as_str()),
        (MadeBy::User, SOURCE, kind().name)
    );
    assert_eq!(shelf.all.describe(&name("at-d")).unwrap(), said);
    shelf.source_runs_on(&source, "d").await;
    letter(&source, "e").await;
    for _ in 0..2 {
        let (place, again) = shelf.restore("at-d").await.unwrap();
        assert!(matches!(again.now().await, Ok(Now::Stopped(_))), "it waits for whoever asked for it");
        again.go().await.unwrap();
        letter(&again, "d").await;
        assert_ne!(again.process(), source.process());
        shelf.nothing_is_left_in(&place.folder);
    }
    letter(&source, "f").await;
}

/// What is restored is saved again: five deep, each goes on where the one before was.
#[tokio::test]
async fn snapshots_of_machines_that_were_restored() {
    let mut shelf = Shelf::new().await;
    let mut machine = shelf.letters().await;
    let mut place = shelf.source();
    for (depth, wanted) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        letter(&machine, wanted).await;
        let as_name = format!("depth-{depth}");
        shelf.save_as(&machine, user(&as_name, false), &place).await.unwrap();
        (place, machine) = shelf.restore(&as_name).await.unwrap();
        machine.go().await.unwrap();
    }
    letter(&machine, "f").await;
    let keys: Vec<_> =
        shelf.all.list().unwrap().into_iter().map(|listed| listed.description.unwrap().key).collect();
    assert_eq!(keys, vec![keys[0].clone(); 5], "the same went into all of them");
}

#[tokio::test]
async fn clones_are_machines_of_their_own() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    let places: Vec<_> = (0..5).map(|_| shelf.place()).collect();
    let one = name("one");
    let made = shelf.all.clones(&one, &places, &shelf.bench.emulator);
    let made = or_hang("they are made", made).await.unwrap();
    for (at, Loaded { machine, .. }) in made.iter().enumerate() {
        machine.go().await.unwrap();
        // Each its own number of letters.
        for wanted in ["b", "c", "d", "e", "f"].into_iter().take(at + 1) {
            letter(machine, wanted).await;
        }
        let adopted = farmhand_runtime::find_process(&places[at].folder.join("qemu.pid"));
        assert_eq!(adopted, Some(machine.process()), "in the order of their places");
    }
    let mut consoles: Vec<_> = made.iter().map(|loaded| loaded.machine.console()).collect();
    consoles.dedup();
    assert_eq!(consoles.len(), made.len());
    letter(&source, "b").await;
}

/// All or none, and nothing where two would be one. Seen red without the check of places in `clones`.
#[tokio::test]
async fn clones_in_one_folder_or_of_one_name_or_where_a_machine_runs_are_refused_before_anything_starts() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save(&source, "one").await.unwrap();
    let (a, b) = (shelf.place(), shelf.place());
    let same_folder = farmhand_machine::Place { called: "other".into(), ..a.clone() };
    let same_name = farmhand_machine::Place { called: a.called.clone(), ..b.clone() };
    for second in [same_folder, same_name, shelf.source()] {
        let places = [a.clone(), second];
        let error = shelf.all.clones(&name("one"), &places, &shelf.bench.emulator).await.unwrap_err();
        assert!(matches!(error, SnapshotError::Taken { .. }), "{error}");
        assert!(!a.folder.join("qemu.pid").exists());
    }
    // The second cannot be made: the first does not stay.
    fs::create_dir(b.folder.join("log")).unwrap();
    let places = [a.clone(), b];
    let error = shelf.all.clones(&name("one"), &places, &shelf.bench.emulator).await.unwrap_err();
    assert!(error.to_string().contains("Is a directory"), "{error}");
    assert!(or_hang("none is there", Machine::adopt(&a.folder)).await.unwrap().is_none());
    shelf.all.delete(&name("one")).unwrap();
    shelf.source_runs_on(&source, "a").await;
}

#[tokio::test]
async fn one_that_has_not_run_or_has_stopped_itself_is_not_saved() {
    let shelf = Shelf::new().await;
    let image = echo_program(shelf.bench.home.path(), GREETING);
    let program = Program { files: only(image), ..shelf.program() };
    let Loaded { machine, mut news } =
        Machine::load(shelf.bench.folder(), &shelf.bench.emulator, &program).await.unwrap();
    let error = shelf.save(&machine, "one").await.unwrap_err();
    assert!(matches!(error, SnapshotError::NotRunning(_)), "{error}");
    assert_eq!(machine.now().await, Ok(Now::Held), "and its handoff can be proven yet");
    let mut line = console(&machine).await;
    machine.go().await.unwrap();
    says(&mut line, GREETING).await;
    tokio::io::AsyncWriteExt::write_all(&mut line, b"r").await.unwrap();
    ended(&mut news).await;
    let error = shelf.save(&machine, "one").await.unwrap_err();
    assert!(matches!(&error, SnapshotError::NotRunning(state) if state == "shutdown"), "{error}");
    assert!(shelf.names().is_empty());
    // Its owner died while it was about to pause it: what its guest did is not undone by who adopts it.
    drop((machine, news));
    File::create(shelf.bench.folder().join("saving")).unwrap();
    let Loaded { machine, .. } = shelf.bench.adopt().await.unwrap();
    assert_eq!(machine.now().await, Ok(Now::Stopped("shutdown".into())));
    shelf.nothing_is_left_in(shelf.bench.folder());
    machine.reset(shelf.bench.kind).await.unwrap();
    says(&mut line, GREETING).await;
}

/// Whoever saved it died while it was paused.
#[tokio::test]
async fn one_whose_owner_died_while_it_was_saved_goes_on_once_it_is_adopted() {
    let mut shelf = Shelf::new().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    drop(source);
    File::create(folder.join("saving")).unwrap();
    let paused = folder.clone();
    // Aside: the connection of the owner that died closes in this thread, and QEMU greets one client at a time.
    or_hang("it is paused", tokio::task::spawn_blocking(move || pause(&paused))).await.unwrap();
    let Loaded { machine, .. } = shelf.bench.adopt().await.unwrap();
    shelf.source_runs_on(&machine, "b").await;
    // What a predecessor has not finished is swept.
    for half in [".new-half.0", ".gone-half.7"] {
        fs::create_dir_all(shelf.file(half, "deeper")).unwrap();
    }
    shelf.swept();
    assert!(shelf.names().is_empty());
}

/// As its owner did before it died.
fn pause(folder: &Path) {
    let mut monitor = UnixStream::connect(folder.join("qmp")).unwrap();
    monitor.set_read_timeout(Some(LONG)).unwrap();
    let mut said = BufReader::new(monitor.try_clone().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("QMP"));
    for command in ["qmp_capabilities", "stop"] {
        writeln!(monitor, "{{\"execute\": {command:?}}}").unwrap();
        // Its events stand between.
        while !said.next().unwrap().unwrap().contains("return") {}
    }
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_another_only_where_that_is_asked_for() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    letter(&source, "a").await;
    shelf.save(&source, "one").await.unwrap();
    letter(&source, "b").await;
    let error = shelf.save(&source, "one").await.unwrap_err();
    assert!(matches!(error, SnapshotError::Exists(_)), "{error}");
    shelf.goes_on_with("one", "b").await;
    // The machine that was made of the old one keeps it, under no name.
    let (_, of_old) = shelf.restore("one").await.unwrap();
    shelf.save_as(&source, user("one", true), &shelf.source()).await.unwrap();
    shelf.goes_on_with("one", "c").await;
    shelf.swept();
    assert_eq!(shelf.names().len(), 2, "{:?}", shelf.names());
    assert_eq!(shelf.all.list().unwrap().len(), 1);
    of_old.go().await.unwrap();
    letter(&of_old, "b").await;
    of_old.quit().await.unwrap();
    shelf.swept();
    assert_eq!(shelf.names(), ["one"]);
}

/// Seen red without the lock that QEMU has open.
#[tokio::test]
async fn one_that_a_machine_was_made_of_is_not_removed_before_that_has_ended() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    shelf.save_as(&source, Wanted::Cache, &shelf.source()).await.unwrap();
    let cached = shelf.all.cached(&shelf.bench.emulator, &shelf.program()).await.unwrap().unwrap();
    let (place, again) = shelf.restore(cached.name.as_str()).await.unwrap();
    let error = shelf.all.delete(&cached.name).unwrap_err();
    assert!(matches!(error, SnapshotError::InUse(_)), "{error}");
    let nothing = Keep { len_bytes_max: 0, unused_max: Duration::ZERO };
    let pruned = shelf.all.prune(nothing, u64::MAX).unwrap();
    assert_eq!((pruned.removed.len(), pruned.in_use), (0, vec![cached.name.clone()]));
    // Its owner dies: it is the machine that uses it.
    drop(again);
    assert!(matches!(shelf.all.delete(&cached.name), Err(SnapshotError::InUse(_))));
    or_hang("it is ended", Machine::end_any(&place.folder)).await.unwrap();
    let pruned = shelf.all.prune(nothing, u64::MAX).unwrap();
    assert_eq!((pruned.removed, shelf.names().len()), (vec![cached.name], 0));
}

#[tokio::test]
async fn cached_ones_are_found_by_what_went_into_them_and_pruned_and_a_persons_are_not() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let (emulator, program) = (shelf.bench.emulator.clone(), shelf.program());
    assert_eq!(shelf.all.cached(&emulator, &program).await.unwrap(), None);
    shelf.save(&source, "mine").await.unwrap();
    assert_eq!(shelf.all.cached(&emulator, &program).await.unwrap(), None, "that is a person's");
    let made = shelf.save_as(&source, Wanted::Cache, &shelf.source()).await.unwrap();
    let again = shelf.save_as(&source, Wanted::Cache, &shelf.source()).await.unwrap_err();
    assert!(matches!(again, SnapshotError::Exists(_)), "one is enough: {again}");
    // Built anew elsewhere, it is the same; with another byte, another one.
    let copy = shelf.bench.home.path().join("copy.elf");
    fs::copy(&program.files[&Role::Program], &copy).unwrap();
    let same = Program { files: only(copy.clone()), ..program.clone() };
    assert_eq!(shelf.all.cached(&emulator, &same).await.unwrap(), Some(made.clone()));
    fs::OpenOptions::new().append(true).open(&copy).unwrap().write_all(&[0]).unwrap();
    assert_eq!(shelf.all.cached(&emulator, &same).await.unwrap(), None);
    let kept = Keep { len_bytes_max: made.len_bytes(), unused_max: LONG };
    let now = farmhand_runtime::unix_ms();
    assert!(shelf.all.prune(kept, now).unwrap().removed.is_empty());
    let nothing = Keep { len_bytes_max: 0, ..kept };
    assert_eq!(shelf.all.prune(nothing, now).unwrap().removed, [made.name]);
    assert_eq!(shelf.names(), ["mine"]);
    shelf.goes_on_with("mine", "a").await;
    shelf.all.delete(&name("mine")).unwrap();
    assert!(matches!(shelf.all.delete(&name("mine")), Err(SnapshotError::NoSuch(_))));
    for wrong in ["", ".hidden", "a/b", "..", "a b", "/", "\0"] {
        assert!(matches!(SnapshotName::new(wrong), Err(SnapshotError::Name(_))), "{wrong:?}");
    }
}

/// What is built anew at the program's path is not what runs.
#[tokio::test]
async fn a_program_that_was_built_anew_since_is_not_what_is_saved() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let program = shelf.program();
    let before = shelf.save(&source, "before").await.unwrap();
    fs::write(&program.files[&Role::Program], "another program").unwrap();
    let after = shelf.save(&source, "after").await.unwrap();
    assert_eq!(before.key, after.key);
    shelf.goes_on_with("after", "a").await;
}

/// No assertion: figures for whoever runs this with `--nocapture`.
#[tokio::test]
async fn how_long_it_takes() {
    let mut shelf = Shelf::new().await;
    let (mut boots, mut saves, mut restores) = (Vec::new(), Vec::new(), Vec::new());
    let program = Program { files: only(ticking_program(shelf.bench.home.path())), ..shelf.program() };
    for nth in 0..10 {
        let began = Instant::now();
        let Loaded { machine, .. } =
            Machine::load(shelf.bench.folder(), &shelf.bench.emulator, &program).await.unwrap();
        says_its_first(&machine).await;
        boots.push(began.elapsed());
        let as_name = format!("nth-{nth}");
        let began = Instant::now();
        shelf.save(&machine, &as_name).await.unwrap();
        saves.push(began.elapsed());
        machine.quit().await.unwrap();
        let began = Instant::now();
        let (_, again) = shelf.restore(&as_name).await.unwrap();
        says_its_first(&again).await;
        restores.push(began.elapsed());
        again.quit().await.unwrap();
    }
    for (what, all) in [("boot", &mut boots), ("save", &mut saves), ("restore", &mut restores)] {
        all.sort();
        let (least, median, most) = (all[0], all[all.len() / 2], all[all.len() - 1]);
        eprintln!("{what}: {least:.1?} / {median:.1?} / {most:.1?} (least, median, most of {})", all.len());
    }
}

async fn says_its_first(machine: &Machine) {
    let mut line = console(machine).await;
    machine.go().await.unwrap();
    says(&mut line, "t").await;
}
