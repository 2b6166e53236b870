//! What a project's own command had begun, and went on with when farmhand was killed: the kernel ends the command with farmhand,
//! and not what the command had started. It is ended before the command is run again, for both would write the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use farmhand_runtime::process_start;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Command;

use crate::BuildError;

/// Says in the environment of a command, and of all that it starts, which run of it this is.
pub(crate) const RUN: &str = "FARMHAND_COMMAND";
/// In a build's folder, while its command runs: which run.
const FILE: &str = "command";
/// What is killed is gone by then, or the kernel does not let go of it.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One run of a command, whose build folder is held.
pub(crate) struct Run {
    file: PathBuf,
    name: String,
}

impl Run {
    /// Ends what is left of one that was killed, then takes note of this one. Blocks.
    pub(crate) fn begin(folder: &Path) -> Result<Self, BuildError> {
        end_left(folder)?;
        let file = folder.join(FILE);
        let pid = std::process::id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{pid}-{}-{now}", process_start(pid).unwrap_or_default());
        fs::write(&file, &name).map_err(BuildError::io("write", &file))?;
        Ok(Self { file, name })
    }

    /// Tells the command.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(RUN, &self.name);
    }

    /// It has ended by itself. Dropped without this, what is left of it is looked for by the next.
    pub(crate) fn ended(self) {
        let _looked_for_in_vain = fs::remove_file(self.file);
    }
}

/// Ends what a run that was killed has left, where this build folder (which is held) says that there was one. Blocks.
pub(crate) fn end_left(folder: &Path) -> Result<(), BuildError> {
    match fs::read_to_string(folder.join(FILE)) {
        Ok(name) => end(&name, folder),
        Err(_none) => Ok(()),
    }
}

/// Kills what says in its environment that it is of that run, until there is none.
fn end(name: &str, folder: &Path) -> Result<(), BuildError> {
    let began = Instant::now();
    // What one that is being killed starts meanwhile may have a number that was looked at already.
    let mut without = 0;
    while without < 2 {
        let left = of_run(name);
        without = if left.is_empty() { without + 1 } else { 0 };
        for process in left {
            let _ended_already = pidfd_send_signal(process, Signal::KILL);
        }
        if began.elapsed() > GONE_WITHIN {
            return Err(BuildError::LeftBehind { folder: folder.to_owned() });
        }
        if without < 2 {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(())
}

/// The processes of a run, as far as they are ours to see (proc(5), `environ`). A zombie has none.
fn of_run(name: &str) -> Vec<OwnedFd> {
    let said = format!("{RUN}={name}");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_it = processes.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        // Held before it is looked at: its number may be another's a moment later.
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let is_of_it = environment.split(|&byte| byte == 0).any(|variable| variable == said.as_bytes());
        is_of_it.then_some(process)
    });
    of_it.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_of_one_run_is_ended_and_of_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let start = async |run: &Run| {
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 60 & echo $!; exec sleep 60"]).kill_on_drop(true);
            command.stdout(std::process::Stdio::piped());
            run.tell(&mut command);
            let mut child = command.spawn().unwrap();
            let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.unwrap();
            (child, line.trim().parse::<i32>().unwrap())
        };
        let killed = Run::begin(folder.path()).unwrap();
        let (mut child, left) = start(&killed).await;
        let other = tempfile::tempdir().unwrap();
        let goes_on = Run::begin(other.path()).unwrap();
        let (mut others, _others_left) = start(&goes_on).await;

        let next = Run::begin(folder.path()).unwrap();
        assert!(!child.wait().await.unwrap().success());
        assert!(of_run(&killed.name).is_empty(), "{left} goes on");
        assert_eq!(others.try_wait().unwrap(), None);
        assert_eq!(of_run(&goes_on.name).len(), 2);
        end(&goes_on.name, other.path()).unwrap();
        next.ended();
        assert!(!folder.path().join(FILE).exists());
    }
}
