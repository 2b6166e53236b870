//! The backend over sled and real files.
//!
//! ```text
//! ROOT/holder     the lock, and who holds it
//! ROOT/marks      the high-water mark
//! ROOT/sled/      the table: sled's own folder
//! ROOT/*.damaged.N what was set aside, never removed by us
//! ```

mod files;
mod salvage;
mod table;

use std::{
    fs::{self, File},
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};

use crate::{
    OpenError,
    backend::{Atomicity, Backend, Fault, Scan, Write},
    holder::{HELD_WAIT, Holder},
};

pub(crate) use files::free_name;
use files::{sync_folder, write_new};
pub(crate) use salvage::salvage;
use table::Table;

/// The marks file grows by this, in bytes, so that a thousand small marks change no metadata.
const MARKS_STEP_BYTES: u64 = 512 * 1024;

/// A store's folder, locked and open.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    marks_path: PathBuf,
    table: Option<Table>,
    marks: Option<File>,
    _holder: Holder,
}

impl Folder {
    /// Locks and opens, waiting for a lock held by a process that is just ending. Answers what was swept as well.
    pub(crate) fn open(root: &Path) -> Result<(Self, Vec<PathBuf>), OpenError> {
        let (holder, deadline) = Self::lock(root)?;
        let swept = sweep(root).map_err(|error| Fault::io("sweep", root, &error))?;
        let table = Table::open(&root.join("sled"), deadline)?;
        sync_folder(root)?;
        Ok((Self::of(root, holder, Some(table)), swept))
    }

    /// Locks, and opens nothing: for mending a table that does not open.
    pub(crate) fn lock(root: &Path) -> Result<(Holder, Instant), OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| Fault::io("create", root, &error))?;
        let deadline = Instant::now() + HELD_WAIT;
        Ok((Holder::take(root, deadline)?, deadline))
    }

    pub(crate) fn of(root: &Path, holder: Holder, table: Option<Table>) -> Self {
        Self { root: root.to_owned(), marks_path: root.join("marks"), table, marks: None, _holder: holder }
    }

    fn table(&self) -> Result<&Table, Fault> {
        self.table.as_ref().ok_or_else(|| Fault::Io {
            what: "use",
            path: self.root.join("sled"),
            detail: "it was closed by a failed rebuild".to_owned(),
        })
    }

    fn marks(&mut self) -> Result<&File, Fault> {
        if self.marks.is_none() {
            let file = fs::OpenOptions::new().read(true).write(true).open(&self.marks_path);
            self.marks = Some(file.map_err(|error| Fault::io("open", &self.marks_path, &error))?);
        }
        Ok(self.marks.as_ref().expect("it was just opened"))
    }

    fn marks_do(
        &mut self,
        what: &'static str,
        act: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<(), Fault> {
        let done = act(self.marks()?);
        done.map_err(|error| Fault::io(what, &self.marks_path, &error))
    }
}

impl Backend for Folder {
    fn marks_step(&self) -> u64 {
        MARKS_STEP_BYTES
    }

    fn fresh_id(&mut self) -> u64 {
        use std::hash::{BuildHasher as _, Hasher as _};
        // Random per process and per call: enough to tell two stores of one machine apart.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish().max(1)
    }

    fn table_get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.table()?.get(key)
    }

    fn table_scan(&mut self, prefix: &[u8]) -> Result<Scan, Fault> {
        self.table()?.scan(prefix)
    }

    fn table_apply(&mut self, writes: Vec<Write>, atomicity: Atomicity) -> Result<(), Fault> {
        self.table()?.apply(writes, atomicity)
    }

    fn table_sync(&mut self) -> Result<(), Fault> {
        self.table()?.sync()
    }

    /// The new one is whole and on the disk before the two change places in one step.
    fn table_rebuild(&mut self, entries: Vec<Write>) -> Result<PathBuf, Fault> {
        let path = self.root.join("sled");
        let aside = free_name(&self.root, "sled.damaged")?;
        if let Some(table) = self.table.take() {
            // It is damaged: that it closes badly says nothing new.
            let _ = table.close();
        }
        let rebuilt = Table::open(&aside, Instant::now()).map_err(|error| Fault::Io {
            what: "rebuild in",
            path: aside.clone(),
            detail: error.to_string(),
        })?;
        for some in entries.chunks(crate::GROUP_RECORDS_MAX) {
            rebuilt.apply(some.to_vec(), Atomicity::Whole)?;
        }
        rebuilt.sync()?;
        rebuilt.close()?;
        renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE)
            .map_err(|errno| Fault::io("exchange", &aside, &errno.into()))?;
        sync_folder(&self.root)?;
        let opened = Table::open(&path, Instant::now() + HELD_WAIT);
        let detail = |error: OpenError| Fault::Io { what: "reopen", path, detail: error.to_string() };
        self.table = Some(opened.map_err(detail)?);
        Ok(aside)
    }

    fn marks_read(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        match fs::read(&self.marks_path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::io("read", &self.marks_path, &error)),
        }
    }

    fn marks_write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.marks_do("write", |file| file.write_all_at(bytes, at))
    }

    fn marks_truncate(&mut self, len: u64) -> Result<(), Fault> {
        self.marks_do("truncate", |file| file.set_len(len))
    }

    fn marks_sync(&mut self) -> Result<(), Fault> {
        self.marks_do("sync", File::sync_data)
    }

    fn marks_replace(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.marks = None;
        write_new(&self.marks_path, bytes)
    }

    fn marks_set_aside(&mut self) -> Result<PathBuf, Fault> {
        let aside = free_name(&self.root, "marks.damaged")?;
        fs::copy(&self.marks_path, &aside).map_err(|error| Fault::io("copy to", &aside, &error))?;
        Ok(aside)
    }

    fn room(&mut self) -> Result<u64, Fault> {
        let room = statvfs(&self.root).map_err(|errno| Fault::io("ask", &self.root, &errno.into()))?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    fn table_path(&self) -> &Path {
        &self.root
    }

    fn marks_path(&self) -> &Path {
        &self.marks_path
    }

    fn close(mut self) -> Result<(), Fault> {
        self.table.take().map_or(Ok(()), Table::close)
    }
}

/// Half-written files of ours and of sled's: a left snapshot of sled's makes it refuse to open, and says nothing that
/// its log does not.
fn sweep(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut swept = Vec::new();
    for (folder, ending) in [(root.to_owned(), ".new"), (root.join("sled"), ".generating")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(ending) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
                swept.push(entry.path());
            }
        }
    }
    swept.sort();
    Ok(swept)
}
