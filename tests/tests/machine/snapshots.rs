//! Machines that are saved while they run, and made again: the same, and another one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use farmhand_machine::{
    Emulator, Loaded, MadeBy, Now, Program, Saved, SnapshotError, SnapshotName, Snapshots,
};
use farmhand_tests::{LONG, letter_program};

use super::{Bench, Machine, console, end_machine, kind, or_hang, says};

/// Snapshots, and machines made of them.
struct Shelf {
    bench: Bench,
    all: Snapshots,
    restored: Vec<tempfile::TempDir>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.restored.iter().for_each(|folder| end_machine(folder.path()));
    }
}

fn name(text: &str) -> SnapshotName {
    SnapshotName::new(text).unwrap()
}

impl Shelf {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let all = Snapshots::open(&bench.home.path().join("snapshots")).unwrap();
        Self { bench, all, restored: Vec::new() }
    }

    /// A machine that answers each key with the next letter.
    async fn letters(&self) -> Machine {
        let program = self.program();
        let loaded = Machine::load(self.bench.folder(), &self.bench.emulator, &program);
        let Loaded { machine, .. } = or_hang("a machine is loaded", loaded).await.unwrap();
        machine.go().await.unwrap();
        machine
    }

    fn program(&self) -> Program {
        Program { kind: kind(), image: letter_program(self.bench.home.path()), name: "letters".into() }
    }

    fn saved(&self, as_name: &str, folder: &Path) -> Saved {
        Saved {
            name: name(as_name),
            made_by: MadeBy::User,
            folder: folder.to_owned(),
            program: self.program(),
            emulator: self.bench.emulator.clone(),
        }
    }

    async fn save(&self, machine: &Machine, as_name: &str, folder: &Path) -> Result<(), SnapshotError> {
        or_hang("it is saved", self.all.save(machine, self.saved(as_name, folder))).await.map(drop)
    }

    async fn restore(&mut self, of: &str) -> Result<Machine, SnapshotError> {
        let emulator = self.bench.emulator.clone();
        self.restore_by(of, &emulator).await
    }

    async fn restore_by(&mut self, of: &str, emulator: &Emulator) -> Result<Machine, SnapshotError> {
        self.restored.push(tempfile::tempdir().unwrap());
        let of = name(of);
        let restored = self.all.restore(&of, self.last(), emulator, "again");
        or_hang("it is restored", restored).await.map(|loaded| loaded.machine)
    }

    fn last(&self) -> &Path {
        self.restored.last().unwrap().path()
    }

    fn file(&self, of: &str, file: &str) -> PathBuf {
        self.bench.home.path().join("snapshots").join(of).join(file)
    }

    /// Why it is refused; and nothing was started.
    async fn refused(&mut self, of: &str) -> SnapshotError {
        let refused = self.restore(of).await.unwrap_err();
        assert!(!self.last().join("qemu.pid").exists(), "{refused}");
        refused
    }
}

/// The next letter.
async fn letter(machine: &Machine, wanted: &str) {
    let mut line = console(machine).await;
    tokio::io::AsyncWriteExt::write_all(&mut line, b".").await.unwrap();
    says(&mut line, wanted).await;
}

#[tokio::test]
async fn a_machine_that_is_restored_goes_on_where_its_source_was_and_so_does_the_source() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    for wanted in ["a", "b", "c"] {
        letter(&source, wanted).await;
    }
    let folder = shelf.bench.folder().to_owned();
    shelf.save(&source, "at-d", &folder).await.unwrap();
    assert_eq!(source.now().await, Ok(Now::Runs));
    letter(&source, "d").await;
    letter(&source, "e").await;
    for _ in 0..2 {
        let again = shelf.restore("at-d").await.unwrap();
        assert!(matches!(again.now().await, Ok(Now::Stopped(_))), "it waits for whoever asked for it");
        again.go().await.unwrap();
        letter(&again, "d").await;
        assert_ne!(again.process(), source.process());
    }
    letter(&source, "f").await;
}

/// What is restored is saved again: five deep, each goes on where the one before was.
#[tokio::test]
async fn snapshots_of_machines_that_were_restored() {
    let mut shelf = Shelf::new().await;
    let mut machine = shelf.letters().await;
    let mut folder = shelf.bench.folder().to_owned();
    for (depth, wanted) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        letter(&machine, wanted).await;
        let as_name = format!("depth-{depth}");
        shelf.save(&machine, &as_name, &folder).await.unwrap();
        machine = shelf.restore(&as_name).await.unwrap();
        machine.go().await.unwrap();
        folder = shelf.last().to_owned();
    }
    letter(&machine, "f").await;
    assert_eq!(shelf.all.list().unwrap().len(), 5);
}

/// Guard: what `restore` asks before it starts anything.
#[tokio::test]
async fn what_is_missing_damaged_or_of_another_emulator_is_refused_before_anything_starts() {
    let mut shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let folder = shelf.bench.folder().to_owned();
    assert!(matches!(shelf.refused("none").await, SnapshotError::NoSuch(_)));
    for of in ["cut", "flipped", "no-program", "no-description", "renamed", "another"] {
        shelf.save(&source, of, &folder).await.unwrap();
    }
    let memory = fs::read(shelf.file("cut", "memory")).unwrap();
    fs::write(shelf.file("cut", "memory"), &memory[..memory.len() - 1]).unwrap();
    let mut flipped = memory.clone();
    // In the middle of the memory's own bytes, where QEMU sees nothing.
    flipped[memory.len() / 2] ^= 1;
    fs::write(shelf.file("flipped", "memory"), flipped).unwrap();
    fs::remove_file(shelf.file("no-program", "program")).unwrap();
    fs::remove_file(shelf.file("no-description", "description.json")).unwrap();
    let renamed = shelf.file("renamed", "");
    fs::rename(renamed, shelf.file("is-called-so", "")).unwrap();
    for (of, why) in [
        ("cut", "bytes of"),
        ("flipped", "not what was saved"),
        ("no-program", "program"),
        ("no-description", "no description"),
        ("is-called-so", "it is renamed"),
    ] {
        let refused = shelf.refused(of).await;
        assert!(matches!(refused, SnapshotError::Damaged { .. }), "{of}: {refused}");
        assert!(refused.to_string().contains(why), "{of}: {refused}");
    }
    let mut other = shelf.bench.emulator.clone();
    other.program = "/bin/sh".into();
    let refused = shelf.restore_by("another", &other).await.unwrap_err();
    assert!(matches!(refused, SnapshotError::Other { what: "QEMU", .. }), "{refused}");
    assert!(!shelf.last().join("qemu.pid").exists());
    let text = fs::read_to_string(shelf.file("another", "description.json")).unwrap();
    fs::write(shelf.file("another", "description.json"), text.replace("riscv32-virt", "pdp11")).unwrap();
    assert!(matches!(shelf.refused("another").await, SnapshotError::Other { .. }));
}

/// Guard: `go_on` in `paused`, whatever came before it.
#[tokio::test]
async fn one_that_could_not_be_saved_runs_and_leaves_nothing() {
    let shelf = Shelf::new().await;
    let source = shelf.letters().await;
    let folder = shelf.bench.folder().to_owned();
    // Where its memory is to go is taken, by what cannot be moved away.
    fs::create_dir_all(folder.join("save/taken")).unwrap();
    let error = shelf.save(&source, "one", &folder).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Io { .. } | SnapshotError::And { .. }), "{error}");
    assert_eq!(source.now().await, Ok(Now::Runs));
    letter(&source, "a").await;
    let left = fs::read_dir(shelf.file("", "")).unwrap().count();
    assert_eq!((left, folder.join("saving").exists()), (0, false));
    fs::remove_dir_all(folder.join("save")).unwrap();
    shelf.save(&source, "one", &folder).await.unwrap();
    let again = shelf.save(&source, "one", &folder).await.unwrap_err();
    assert!(matches!(again, SnapshotError::Exists(_)), "{again}");
    shelf.all.delete(&name("one")).unwrap();
    assert!(shelf.all.list().unwrap().is_empty());
    for wrong in ["", ".hidden", "a/b", "..", "a b"] {
        assert!(matches!(SnapshotName::new(wrong), Err(SnapshotError::Name(_))), "{wrong:?}");
    }
}

#[tokio::test]
async fn one_that_has_not_run_is_not_saved() {
    let shelf = Shelf::new().await;
    let folder = shelf.bench.folder().to_owned();
    let Loaded { machine, .. } =
        Machine::load(&folder, &shelf.bench.emulator, &shelf.program()).await.unwrap();
    let error = shelf.save(&machine, "one", &folder).await.unwrap_err();
    assert!(matches!(error, SnapshotError::NotRunning(_)), "{error}");
    assert_eq!(machine.now().await, Ok(Now::Held), "and its handoff can be proven yet");
}

/// Whoever saved it died while it was paused. Guard: `go_on_after_a_crash` in `Machine::adopt`.
#[tokio::test]
async fn one_whose_owner_died_while_it_was_saved_goes_on_once_it_is_adopted() {
    let shelf = Shelf::new().await;
    let folder = shelf.bench.folder().to_owned();
    let source = shelf.letters().await;
    letter(&source, "a").await;
    drop(source);
    File::create(folder.join("saving")).unwrap();
    let paused = folder.clone();
    // Aside: the connection of the owner that died closes in this thread, and QEMU greets one client at a time.
    or_hang("it is paused", tokio::task::spawn_blocking(move || pause(&paused))).await.unwrap();
    let Loaded { machine, .. } = shelf.bench.adopt().await.unwrap();
    assert_eq!(machine.now().await, Ok(Now::Runs));
    letter(&machine, "b").await;
    assert!(!folder.join("saving").exists());
    // What a predecessor has not finished is swept.
    let half = shelf.file(".new-half", "");
    fs::create_dir_all(&half).unwrap();
    OpenOptions::new().create_new(true).write(true).open(half.join("memory")).unwrap();
    Snapshots::open(half.parent().unwrap()).unwrap();
    assert!(!half.exists());
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
