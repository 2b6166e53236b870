//! Any other build system: a command that leaves an artifact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use farmhand_runtime::{Helper, HelperError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::BuildError;
use crate::nested::Nest;
use crate::orphans::Run;
use crate::run::{Jobserver, Pool, Watcher};

/// A whole build of somebody else's, with its downloads.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// What is kept of the end of what a command prints, in bytes: an error is there.
const TAIL_BYTES: usize = 64 << 10;
/// Read at once, in bytes.
const CHUNK_BYTES: usize = 16 << 10;

/// Runs a project's own build command in `folder`, on one worker, and on others by its jobserver, `jobs` in all (0: as
/// many as there are), with `environment` beside ours; what it prints is passed on as it comes.
pub(crate) async fn run(
    pool: &Pool,
    jobs: u32,
    (folder, line): (&Path, &str),
    (nest, this): (Nest, Run),
    environment: &BTreeMap<String, String>,
    watcher: &Watcher,
) -> Result<(), BuildError> {
    let nest = nest.running(folder, line)?;
    let failed =
        |how: String, printed: String| BuildError::Command { command: line.to_owned(), how, printed };
    // Nobody can tell how long it takes: it goes before what is short.
    let _worker = pool.worker(u64::MAX).await;
    watcher.command(|| line.to_owned()).await;
    let jobserver = Jobserver::start(pool, jobs).await;
    let mut command = Command::new("sh");
    command.current_dir(folder).envs(environment);
    nest.tell(&mut command);
    this.tell(&mut command);
    match &jobserver {
        Ok(jobserver) => jobserver.give(&mut command, line),
        Err(error) => {
            tracing::debug!(%error, "a build command without a jobserver");
            command.args(["-c", line]);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut helper = Helper::start(command).await?;
    let (stdout, stderr) = (helper.child().stdout.take(), helper.child().stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read = async {
        tokio::join!(pass_on(stdout, watcher, &mut out), pass_on(stderr, watcher, &mut err));
    };
    let status = match helper.wait_reading(read, COMMAND_DEADLINE).await {
        Err(HelperError::Deadline { deadline, .. }) => {
            return Err(failed(format!("it took more than {} s", deadline.as_secs()), String::new()));
        }
        status => status?,
    };
    this.ended();
    if status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = if text(&err).trim().is_empty() { &out } else { &err };
    Err(failed(status.to_string(), text(printed)))
}

/// What a command that ended well has left.
pub(crate) fn left((folder, line): (&Path, &str), file: &str) -> Result<PathBuf, BuildError> {
    let path = folder.join(file);
    if path.exists() { Ok(path) } else { Err(BuildError::NotLeft { command: line.to_owned(), path }) }
}

/// Passes on what is printed, by whole lines; the end of it is in `tail`.
async fn pass_on(stream: Option<impl AsyncRead + Unpin>, watcher: &Watcher, tail: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut pending = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        pending.extend_from_slice(&chunk[..read]);
        tail.extend_from_slice(&chunk[..read]);
        let over = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..over);
        let whole = pending.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        // A line without end is passed on in pieces.
        let whole = if pending.len() > TAIL_BYTES { pending.len() } else { whole };
        let lines: Vec<u8> = pending.drain(..whole).collect();
        watcher.printed(&String::from_utf8_lossy(&lines)).await;
    }
    watcher.printed(&String::from_utf8_lossy(&pending)).await;
}
