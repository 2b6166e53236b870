//! A disk of few bytes, to be filled.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Written at once to fill it.
const PIECE_BYTES: usize = 64 * 1024;

/// A file system of its own, in memory. Dropped, it is gone.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// One of so many MiB; or what is missing for one.
    pub fn mount(mib: u32) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("farmhand-disk-").tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "farmhand-tests"]);
        match command.arg(folder.path()).output() {
            Ok(done) if done.status.success() => Ok(Self { folder }),
            Ok(refused) => {
                let why = String::from_utf8_lossy(&refused.stderr).trim().to_owned();
                Err(format!("the right to mount a file system: {why}"))
            }
            Err(error) => Err(format!("the program mount: {error}")),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        let mut piece = PIECE_BYTES;
        while piece > 0 {
            match file.write(&vec![0xff; piece]) {
                Ok(written) if written > 0 => {}
                Ok(_) => piece /= 2,
                Err(error) if error.kind() == ErrorKind::StorageFull => piece /= 2,
                Err(error) => panic!("fill a disk: {error}"),
            }
        }
    }

    /// Makes room again.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what has just been killed may have a file open yet.
        let _left_to_the_system = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}
