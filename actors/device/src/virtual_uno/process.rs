//! A virtual Uno's process: started on its own feet, found again, ended where it is wedged.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use farmhand_records::DeviceName;
use farmhand_runtime::{Failpoint, ProcessId, end_process, failpoint, find_process, own_session};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{BoardError, Parts};

/// From a board's start to its `ready`: it reads two files and makes a terminal, in a few milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// What it may have said before that is looked for once more: who stood still (SIGSTOP, a machine that slept) finds the
/// deadline past, whatever came meanwhile.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// From the kill of a board to its end: the kernel frees its memory.
const END_WITHIN: Duration = Duration::from_secs(5);
/// The program's exit status where another board has the folder (uno.c, `take_lock`).
const HELD: i32 = 2;

/// How a start went.
pub(super) enum Start {
    /// It is ready.
    Ready,
    /// Another one has the folder, or is about to.
    Held,
}

/// The process that a board says it is; `None` where there is none, or it has ended.
pub(super) fn find(folder: &Path) -> Option<ProcessId> {
    find_process(&folder.join("pid"))
}

/// Starts a board that outlives us.
pub(super) async fn start(parts: &Parts, folder: &Path, name: &DeviceName) -> Result<Start, BoardError> {
    let failed = |why: String| BoardError::Start { program: parts.program.clone(), why };
    let make = || {
        std::fs::create_dir_all(folder)?;
        std::fs::File::create(folder.join("log"))
    };
    let log = make().map_err(|error| failed(format!("{}: {error}", folder.display())))?;
    let mut command = Command::new(&parts.program);
    command.arg("--dir").arg(folder).arg("--bootloader").arg(&parts.loader);
    command.arg("--name").arg(name.as_str()).envs(&parts.environment);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(false);
    own_session(&mut command);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let stdout = child.stdout.take().expect("its standard output is piped, above");
    let mut lines = BufReader::new(stdout).lines();
    let mut said = std::pin::pin!(lines.next_line());
    let said = match timeout(READY_WITHIN, said.as_mut()).await {
        Err(_) => timeout(LAST_LOOK, said).await,
        said => said,
    };
    match said {
        Ok(Ok(Some(line))) if line == "ready" => {
            failpoint(Failpoint::BoardStarted);
            return Ok(Start::Ready);
        }
        Ok(_) => {}
        Err(_) => {
            // It has told nobody that it is there, so nobody can adopt it: not a board yet.
            let _ended_meanwhile = child.start_kill();
        }
    }
    let status = timeout(END_WITHIN, child.wait()).await;
    match status {
        Ok(Ok(status)) if status.code() == Some(HELD) => Ok(Start::Held),
        Ok(Ok(status)) => {
            let said = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            Err(failed(format!("{status}: {}", said.trim())))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("was not ready within {} s", READY_WITHIN.as_secs()))),
    }
}

/// Ends a board that does not answer.
pub(super) async fn end(process: ProcessId) -> Result<(), BoardError> {
    Ok(end_process(process, END_WITHIN).await?)
}
