//! The control group that commands are in (Linux, cgroup-v2.rst): whatever they begin is in it too, also what has left its process
//! group and its session, and ends with them.
//!
//! The agent lives in it, for what is begun is where its parent is; and steps out of it while it ends the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{complain, say};

/// For the kernel to end what it was told to.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Between two tries of what did not work.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// It.
#[derive(Debug, Clone)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Enters it, or makes it. What an agent that is no more has left in it is ended: nobody else would.
    pub(crate) fn enter(folder: PathBuf) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(error)),
            _ => {}
        }
        let group = Self(folder.clone());
        group.sweep("its agent was another").map_err(named)?;
        Ok(group)
    }

    /// Whether there is nothing to sweep, which is a matter of a moment: what is left of a command is rare, and behind a restore all
    /// that the guest does it does for the first time.
    pub(crate) fn is_swept(&self) -> bool {
        self.is_ours_alone().unwrap_or(false)
    }

    /// Ends all that is in it, and tries again until that is done.
    pub(crate) fn sweep_until_done(&self, why: &str) {
        while let Err(error) = self.sweep(why) {
            complain(&format!("cannot end what was begun here: {error}"));
            sleep(TRY_AGAIN);
        }
    }

    fn sweep(&self, why: &str) -> io::Result<()> {
        let outside = self.0.parent().unwrap_or(Path::new("/"));
        moves_to(outside)?;
        let ended = self.end();
        moves_to(&self.0)?;
        if ended? {
            // On the console: whoever waits for a program there waits no longer.
            say(&format!("farmhand: ended: {why}"));
        }
        Ok(())
    }

    /// Whether there was anything.
    fn end(&self) -> io::Result<bool> {
        if !self.is_populated()? {
            return Ok(false);
        }
        let until = Instant::now() + ENDED_WITHIN;
        fs::write(self.0.join("cgroup.kill"), "1")?;
        while self.is_populated()? {
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(LOOK_AGAIN);
        }
        Ok(true)
    }

    /// The agent is in it, and nobody else, nor any group that somebody has made below it.
    fn is_ours_alone(&self) -> io::Result<bool> {
        let ours = std::process::id().to_string();
        Ok(fs::read_to_string(self.0.join("cgroup.procs"))?.lines().eq([ours.as_str()])
            && fs::read_to_string(self.0.join("cgroup.stat"))?.lines().any(|line| line == "nr_descendants 0"))
    }

    fn is_populated(&self) -> io::Result<bool> {
        Ok(fs::read_to_string(self.0.join("cgroup.events"))?.lines().any(|line| line == "populated 1"))
    }
}

/// The whole process: all of its threads.
fn moves_to(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), "0")
}
