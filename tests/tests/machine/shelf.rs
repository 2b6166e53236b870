//! Snapshots, a machine that they are made of, and machines that are made of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_guest::GuestImage;
use farmhand_machine::{
    Description, Emulator, Loaded, Now, Place, Program, Saved, SnapshotError, SnapshotName, Snapshots, Wanted,
};
use farmhand_tests::{letter_program, until};

use super::guest::{self, agent_of};
use super::{Bench, Machine, console, end_machine, or_hang, says};

/// What the source is called.
pub(crate) const SOURCE: &str = "letters";
/// For what is in flight where nothing is, or is to be: long enough for one thread of many.
pub(crate) const DRAINED: Duration = Duration::from_secs(30);

pub(crate) struct Shelf {
    pub(crate) bench: Bench,
    pub(crate) all: Snapshots,
    /// What a Linux guest begins with.
    image: Option<GuestImage>,
    /// Where machines were made.
    made: Vec<tempfile::TempDir>,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.made.iter().for_each(|folder| end_machine(folder.path()));
    }
}

pub(crate) fn name(text: &str) -> SnapshotName {
    SnapshotName::new(text).unwrap()
}

/// The next letter: of a Linux guest from its memory, which its disk agrees with.
pub(crate) async fn letter(machine: &Machine, wanted: &str) {
    if let Some(agent) = agent_of(machine) {
        return guest::letter(&agent, wanted).await;
    }
    let mut line = console(machine).await;
    tokio::io::AsyncWriteExt::write_all(&mut line, b".").await.unwrap();
    says(&mut line, wanted).await;
}

impl Shelf {
    pub(crate) async fn new() -> Self {
        Self::at(Bench::new().await, None)
    }

    /// Of Linux guests.
    pub(crate) async fn of_guests() -> Self {
        let bench = guest::bench().await;
        let image = guest::image(&bench.home).await;
        Self::at(bench, Some(image))
    }

    fn at(bench: Bench, image: Option<GuestImage>) -> Self {
        let all = Snapshots::open(&bench.home.path().join("snapshots")).unwrap();
        Self { bench, all, image, made: Vec::new() }
    }

    /// An empty one, and the machine that runs is not its.
    pub(crate) fn emptied(&mut self) {
        fs::remove_dir_all(self.folder()).unwrap();
        self.swept();
    }

    /// Opened again, as a successor does.
    pub(crate) fn swept(&mut self) {
        self.all = Snapshots::open(&self.folder()).unwrap();
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.bench.home.path().join("snapshots")
    }

    pub(crate) fn file(&self, of: &str, file: &str) -> PathBuf {
        self.folder().join(of).join(file)
    }

    /// Flips a bit where QEMU sees nothing: in the machine's first page, which holds its program and behind it nothing.
    pub(crate) fn flip(&self, of: &str) {
        /// Headers of the ELF file, which are in no memory.
        const HEADERS_LEN: usize = 52 + 32;
        /// From the program to what it does not use, in the same page.
        const BEHIND: usize = 2048;
        let program = fs::read(self.file(of, "program")).unwrap();
        let mut memory = fs::read(self.file(of, "memory")).unwrap();
        let code = &program[HEADERS_LEN..];
        let at =
            memory.windows(code.len()).position(|some| some == code).expect("the program is in the memory");
        memory[at + BEHIND] ^= 1;
        fs::write(self.file(of, "memory"), memory).unwrap();
    }

    /// The names of all folders of it, hidden ones too.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn source(&self) -> Place {
        Place { folder: self.bench.folder().to_owned(), called: SOURCE.into() }
    }

    /// A machine that answers each key with the next letter.
    pub(crate) async fn letters(&self) -> Machine {
        let program = self.program();
        let loaded = Machine::load(self.bench.folder(), &self.bench.emulator, &program);
        let Loaded { machine, .. } = or_hang("a machine is loaded", loaded).await.unwrap();
        machine.go().await.unwrap();
        machine
    }

    pub(crate) fn program(&self) -> Program {
        match &self.image {
            None => Program::elf(self.bench.kind, letter_program(self.bench.home.path()), SOURCE.into()),
            Some(image) => guest::program(image, SOURCE),
        }
    }

    pub(crate) fn saved(&self, wanted: Wanted, of: &Place) -> Saved {
        Saved {
            wanted,
            folder: of.folder.clone(),
            kind: self.bench.kind,
            called: of.called.clone(),
            drained_within: DRAINED,
        }
    }

    pub(crate) async fn save_as(
        &self,
        machine: &Machine,
        wanted: Wanted,
        of: &Place,
    ) -> Result<Description, SnapshotError> {
        or_hang("it is saved", self.all.save(machine, self.saved(wanted, of))).await
    }

    /// The source, under this name.
    pub(crate) async fn save(&self, machine: &Machine, as_name: &str) -> Result<Description, SnapshotError> {
        self.save_as(machine, user(as_name, false), &self.source()).await
    }

    /// Where another machine can be made.
    pub(crate) fn place(&mut self) -> Place {
        self.made.push(tempfile::tempdir().unwrap());
        let called = format!("again-{}", self.made.len());
        Place { folder: self.made.last().unwrap().path().to_owned(), called }
    }

    pub(crate) async fn restore(&mut self, of: &str) -> Result<(Place, Machine), SnapshotError> {
        let emulator = self.bench.emulator.clone();
        self.restore_by(of, &emulator).await
    }

    pub(crate) async fn restore_by(
        &mut self,
        of: &str,
        emulator: &Emulator,
    ) -> Result<(Place, Machine), SnapshotError> {
        let (of, place) = (name(of), self.place());
        let restored = self.all.restore(&of, &place, emulator);
        let loaded = or_hang("it is restored", restored).await?;
        Ok((place, loaded.machine))
    }

    /// Why it is refused; and nothing was made or started.
    pub(crate) async fn refused(&mut self, of: &str) -> SnapshotError {
        let refused = self.restore(of).await.unwrap_err();
        let folder = self.made.last().unwrap().path();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "{refused}");
        refused
    }

    /// What is restored says this letter next.
    pub(crate) async fn goes_on_with(&mut self, of: &str, wanted: &str) {
        let (_, again) = self.restore(of).await.unwrap();
        again.go().await.unwrap();
        letter(&again, wanted).await;
        again.quit().await.unwrap();
    }

    /// The source runs, says this letter next, and nothing in its folder tells of a save.
    pub(crate) async fn source_runs_on(&self, source: &Machine, wanted: &str) {
        assert_eq!(source.now().await, Ok(Now::Runs));
        letter(source, wanted).await;
        self.nothing_is_left_in(self.bench.folder());
    }

    pub(crate) fn nothing_is_left_in(&self, folder: &Path) {
        for left in ["saving", "save", "restoring", "load"] {
            assert!(!folder.join(left).exists(), "{left} is left");
        }
    }
}

pub(crate) fn user(as_name: &str, replace: bool) -> Wanted {
    Wanted::User { name: name(as_name), replace }
}

/// Waits until so many processes are at work in this folder.
pub(crate) async fn at_work_in(folder: &Path, wanted: usize) {
    let there = fs::metadata(folder).unwrap();
    let is_in = |process: PathBuf| {
        fs::metadata(process.join("cwd"))
            .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (there.dev(), there.ino()))
    };
    let count =
        || fs::read_dir("/proc").unwrap().filter(|entry| is_in(entry.as_ref().unwrap().path())).count();
    until("no more processes are there", async || (count() == wanted).then_some(())).await;
}
