//! What a person waits for: `farmhand flash`, from command to prompt, with a farm that runs.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::daemon::{DEVICE, Daemon};

/// Uploads a hex file; answers how long it took.
pub(crate) fn flash(daemon: &Daemon, file: &Path) -> Result<Duration, Failure> {
    let mut command = daemon.farmhand()?;
    command.args(["flash", "--board", "arduino:avr:uno", "--device", DEVICE]).arg(file);
    command.current_dir(file.parent().unwrap_or(Path::new("/")));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let ended = command.spawn()?.wait_with_output()?;
    let time = begun.elapsed();
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    if !ended.status.success() {
        return Err(format!("{command:?}: {}\n{said}", ended.status).into());
    }
    if said.contains("skipped") {
        return Err(format!("{command:?}: nothing was written\n{said}").into());
    }
    Ok(time)
}
