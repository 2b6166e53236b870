//! A wall clock that jumps, for one process: Debian's libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::wait::or_hang;

/// A clock that is set by a file. Dropped, it is removed.
#[derive(Debug)]
pub struct FakeClock {
    folder: TempDir,
    library: PathBuf,
}

impl FakeClock {
    /// Unpacks the library, without root; or what is missing for that.
    pub async fn get() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("farmhand-clock-").tempdir().unwrap();
        run("apt-get", &["download", "--quiet", "libfaketime"], folder.path()).await?;
        let below = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let archive = below(folder.path()).pop().ok_or("libfaketime: apt fetched nothing")?;
        run("dpkg-deb", &["--extract", &archive.display().to_string(), "."], folder.path()).await?;
        // By processor and system; of the two, the one for programs with threads.
        let libraries = below(&folder.path().join("usr/lib")).into_iter();
        let library = libraries.map(|of| of.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
        let library = library.ok_or("libfaketimeMT.so.1 in Debian's libfaketime")?;
        let clock = Self { folder, library };
        clock.set(0);
        Ok(clock)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// From now on it is so many seconds later than it is.
    pub fn set(&self, later_s: u32) {
        let new = self.folder.path().join("offset.new");
        fs::write(&new, format!("+{later_s}\n")).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// Has a command go by it, and all that it starts.
    pub fn put_into(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", self.file());
        // Read anew each time; and only the wall clock is another.
        command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    }
}

async fn run(program: &str, words: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let ended = or_hang("a package is fetched and unpacked", command.output()).await;
    let ended = ended.map_err(|error| format!("{program}: {error}"))?;
    let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    if ended.status.success() { Ok(()) } else { Err(format!("libfaketime, from {program}: {why}")) }
}
