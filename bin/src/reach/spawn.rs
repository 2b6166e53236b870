//! Starting `farmhandd --on-demand`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use farmhand::protocol::{Problem, ProblemClass};
use farmhand::transport::Client;
use farmhand::{Paths, leave_nest};
use tokio::time::{Instant, sleep};

use super::LOOK;
use crate::exit;
use crate::failed::Failed;

/// The name by which our program is a farm.
pub(crate) const AS: &str = "farmhandd";
/// A farm listens once its store is open and its actors run; a store of gigabytes on a slow disk takes its time.
const START: Duration = Duration::from_secs(60);
/// The log begins anew beyond this.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// So much of the end of a log is shown.
const TAIL_LINES: usize = 5;
const TAIL_BYTES: u64 = 4096;

/// Starts a farm for a folder and connects to it; none where somebody else holds the folder. It leaves by itself when
/// it has been idle for a while.
pub(crate) async fn on_demand(home: &Path) -> Result<Option<Client>, Failed> {
    let cannot = |error: io::Error| {
        let mut failed = Failed::io(format!("use {}", home.display()), &error);
        failed.0.help.push("choose another folder: FARMHAND_HOME=...".into());
        failed
    };
    DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(cannot)?;
    let log = Paths::new(home).log();
    let (opened, said_before) = open_log(&log).map_err(cannot)?;
    let log = Log { path: log, said_before };
    let mut farm = start(home, opened).map_err(|error| {
        let help = ["--in-process needs none; was farmhand replaced while it ran? then once more"];
        Failed::new(ProblemClass::Infra, "F831", format!("start farmhandd: {error}"), &help)
    })?;
    let until = Instant::now() + START;
    loop {
        match Client::connect(home).await {
            Ok(client) => return Ok(Some(client)),
            Err(error) if !error.is_lost() => return Err(error.into()),
            Err(_) => {}
        }
        if let Ok(Some(status)) = farm.try_wait() {
            return lost_race_or_failed(&log, status);
        }
        if Instant::now() >= until {
            let message =
                format!("farmhandd (pid {}) does not listen within {} s", farm.id(), START.as_secs());
            return Err(ended(&log, message, ProblemClass::Infra));
        }
        sleep(LOOK).await;
    }
}

/// It has ended already: another one was first, or it could not.
fn lost_race_or_failed(log: &Log, status: ExitStatus) -> Result<Option<Client>, Failed> {
    if status.code() == Some(i32::from(exit::of(ProblemClass::Busy))) {
        return Ok(None);
    }
    let class = match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(3) => ProblemClass::Configuration,
        Some(5) => ProblemClass::Permission,
        _ => ProblemClass::Infra,
    };
    Err(ended(log, format!("farmhandd ended at once ({status})"), class))
}

fn ended(log: &Log, message: String, class: ProblemClass) -> Failed {
    let help = vec![format!("all it said is in {}", log.path.display())];
    Problem { class, code: "F832".into(), message, detail: tail(log), help, place: None }.into()
}

/// A farm's log, and where in it the words of the farm that is started begin.
struct Log {
    path: PathBuf,
    said_before: u64,
}

fn open_log(log: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(log).is_ok_and(|about| about.len() > LOG_BYTES_MAX) {
        fs::rename(log, log.with_extension("log.old"))?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    let said_before = file.metadata()?.len();
    Ok((file, said_before))
}

fn start(home: &Path, log: File) -> io::Result<Child> {
    // It makes itself a session of its own, and outlives us: its owner is the folder's lock.
    let mut farm = Command::new(program()?);
    leave_nest(&mut farm);
    farm.arg0(AS)
        .arg("--on-demand")
        .arg("--home")
        .arg(home)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}

/// Our own program, by another name: a farm is of the same make as who asks it. One that lies beside us may be older.
fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// What it said last.
fn tail(log: &Log) -> Vec<String> {
    let read = || {
        let mut file = File::open(&log.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(log.said_before)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}
