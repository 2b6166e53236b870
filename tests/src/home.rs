//! A farm's folder, for one test.

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_records::DeviceName;
use farmhand_runtime::{Paths, ProcessId, find_process};
use tempfile::TempDir;

use crate::board::{BoardControl, kill};
use crate::processes::nothing_tagged_but;
use crate::shared::{Shared, shared};

/// How much of a farm's words is shown when a test fails, in bytes.
const TAIL: usize = 6000;

/// A fresh `FARMHAND_HOME`. Dropped, its boards leave and it is removed.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// Empty.
    #[must_use]
    pub fn empty() -> Self {
        Self { folder: tempfile::Builder::new().prefix("farmhand-test-").tempdir().unwrap() }
    }

    /// With the toolchain installed and the board program built: what all tests share is made once a run.
    #[must_use]
    pub fn ready() -> Self {
        let shared = shared();
        let _as_it_is = shared.hold();
        Self::with(shared)
    }

    /// As [`Home::ready`], below a folder.
    #[must_use]
    pub fn ready_below(folder: &Path) -> Self {
        let shared = shared();
        let _as_it_is = shared.hold();
        let home = Self { folder: tempfile::Builder::new().prefix("home-").tempdir_in(folder).unwrap() };
        shared.put_into(home.path());
        home
    }

    /// With the toolchain installed, and nothing built.
    #[must_use]
    pub fn with_toolchain() -> Self {
        let home = Self::ready();
        fs::remove_dir_all(home.paths().objects()).unwrap();
        home
    }

    pub(crate) fn with(shared: &Shared) -> Self {
        let home = Self::empty();
        shared.put_into(home.path());
        home
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folders in it.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths::new(self.folder.path().canonicalize().unwrap())
    }

    /// What farms of it say.
    #[must_use]
    pub fn words(&self) -> PathBuf {
        self.path().join("words")
    }

    /// Its devices: what farms of it read at their start.
    pub fn configure(&self, farm_toml: &str) {
        fs::write(self.path().join("farm.toml"), farm_toml).unwrap();
    }

    /// A device of it.
    #[must_use]
    pub fn board(&self, name: &str) -> BoardControl {
        BoardControl::new(self.paths().board(&DeviceName::new(name).unwrap()))
    }

    /// All that were ever started.
    #[must_use]
    pub fn boards(&self) -> Vec<BoardControl> {
        let entries = fs::read_dir(self.path().join("boards")).into_iter().flatten().flatten();
        entries.map(|entry| BoardControl::new(entry.path())).collect()
    }

    /// The emulated machines that run.
    #[must_use]
    pub fn machines(&self) -> Vec<ProcessId> {
        let folders = fs::read_dir(self.path().join("boards")).into_iter().flatten().flatten();
        folders.filter_map(|entry| find_process(&entry.path().join("qemu.pid"))).collect()
    }

    /// What everything that a farm of it starts has in its environment.
    pub(crate) fn tag(&self) -> String {
        self.path().display().to_string()
    }

    /// Waits until of all that the farms of this folder started only its boards are left.
    pub async fn only_boards_are_left(&self) {
        let is_board =
            |process: ProcessId| self.boards().iter().any(|board| board.process() == Some(process));
        nothing_tagged_but(&self.tag(), &is_board).await;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.boards().iter().for_each(BoardControl::end);
        self.machines().into_iter().for_each(kill);
        if std::thread::panicking() {
            let words = fs::read_to_string(self.words()).unwrap_or_default();
            let tail =
                words.char_indices().map(|(at, _)| at).find(|at| words.len() - at <= TAIL).unwrap_or(0);
            eprintln!("--- the farm in {} said last:\n{}\n---", self.path().display(), &words[tail..]);
        }
    }
}
