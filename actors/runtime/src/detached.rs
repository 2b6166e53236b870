//! A process that outlives us: a virtual board, an emulated machine. Nobody is its parent in the next start of the farm;
//! it is found by what it is known by, and its number is never taken for another's.
#![allow(
    unsafe_code,
    reason = "`pre_exec` is unsafe: what runs there must be async-signal-safe; one setsid is"
)]

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::helper::{ProcessId, process_start};

/// Between two looks whether a process has ended: one that is not our child cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Why a process was not ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndError {
    /// The system refused.
    #[error("{process}: {why}")]
    Refused {
        /// Which.
        process: ProcessId,
        /// The system's words.
        why: String,
    },
    /// It was told to, and is still there.
    #[error("{process} did not end within {} s", within.as_secs())]
    Late {
        /// Which.
        process: ProcessId,
        /// How long it had.
        within: Duration,
    },
}

/// Arranges that the child has a session and a process group of its own: no terminal's hang-up and no signal to our
/// group reaches it.
pub fn own_session(command: &mut Command) {
    // SAFETY: one system call between fork and exec; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
}

/// The process that this file tells of, with `pid=` and `start=` on lines of their own; `None` where there is no such file,
/// or the process has ended.
#[must_use]
pub fn find_process(file: &Path) -> Option<ProcessId> {
    let text = std::fs::read_to_string(file).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let process = ProcessId { pid: field("pid")?.parse().ok()?, start: field("start")?.parse().ok()? };
    process.is_alive().then_some(process)
}

/// Kills it, and waits until it is gone. Its number may be another's by now: its start time is checked while a descriptor
/// holds the number.
pub async fn end_process(process: ProcessId, within: Duration) -> Result<(), EndError> {
    let refused = |why: String| EndError::Refused { process, why };
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(refused("not a process number".into())) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) if process_start(process.pid) == Some(process.start) => {
            let _ended_meanwhile = pidfd_send_signal(&held, Signal::KILL);
        }
        Ok(_) | Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(refused(error.to_string())),
    }
    wait_process(process, within).await
}

/// Waits until it is gone.
pub async fn wait_process(process: ProcessId, within: Duration) -> Result<(), EndError> {
    let until = Instant::now() + within;
    while process.is_alive() {
        if Instant::now() > until {
            return Err(EndError::Late { process, within });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_process_is_found_ended_and_not_mistaken_for_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        assert_eq!(find_process(&file), None);
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null());
        own_session(&mut command);
        let mut child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        let process = ProcessId { pid, start: process_start(pid).unwrap() };
        std::fs::write(&file, format!("start={}\npid={pid}\n", process.start)).unwrap();
        assert_eq!(find_process(&file), Some(process));
        // One that had this number before it has ended, and this one goes on.
        let before = ProcessId { start: process.start - 1, ..process };
        std::fs::write(&file, format!("pid={pid}\nstart={}\n", before.start)).unwrap();
        assert_eq!(find_process(&file), None);
        end_process(before, LONG).await.unwrap();
        assert!(process.is_alive());
        end_process(process, LONG).await.unwrap();
        assert!(!process.is_alive());
        child.wait().await.unwrap();
    }
}
