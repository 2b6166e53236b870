//! The pool's workers for `make`, `cargo` and what else knows GNU make's jobserver: a project's own build command has
//! one worker, and takes a token out of a pipe for each job more. A token in the pipe is a worker that nobody else has;
//! where an action of a build waits, tokens that are not taken go back to the pool.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use farmhand_runtime::Helper;
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::{Pool, Worker};

/// What make's own jobserver puts into the pipe; any byte does (GNU make, "POSIX Jobserver Interaction").
const TOKEN: &[u8] = b"+";
/// Descriptors of the pipe in the command, free in every shell: one digit, and not the first.
const READ_FD: u8 = 8;
const WRITE_FD: u8 = 9;
/// How the shell that runs the command knows the pipe.
const VARIABLE: &str = "FARMHAND_JOBSERVER";
/// `make --version`.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// How a client is told of the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// By its path: GNU make from 4.4 on, ninja, cargo.
    Fifo,
    /// By open descriptors: GNU make before it, cargo.
    Pipe,
}

/// Workers lent to one command. Dropped, all of them are the pool's again, whatever became of the command.
#[derive(Debug)]
pub(crate) struct Jobserver {
    _folder: TempDir,
    pipe: PathBuf,
    style: Style,
    jobs: usize,
    lender: JoinHandle<()>,
}

impl Drop for Jobserver {
    fn drop(&mut self) {
        self.lender.abort();
    }
}

impl Jobserver {
    /// For a command that has one worker and may have `jobs` (0: as many as there are).
    pub(crate) async fn start(pool: &Pool, jobs: u32) -> io::Result<Self> {
        let jobs = if jobs == 0 { pool.workers() } else { pool.workers().min(jobs as usize) };
        let folder = tempfile::Builder::new().prefix("farmhand-jobs-").tempdir()?;
        let path = folder.path().join("pipe");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        // For both: one that is only read, or only written, would end or wait where the other end is closed.
        let mut both = pipe::OpenOptions::new();
        both.read_write(true);
        let ends = (both.open_receiver(&path)?, both.open_sender(&path)?);
        // Before anything is lent: who is given up while he waits for this has lent nothing.
        let style = style().await;
        let lender = tokio::spawn(lend(pool.clone(), ends, jobs.saturating_sub(1)));
        Ok(Self { _folder: folder, pipe: path, style, jobs, lender })
    }

    /// Has a command run `line` in a shell, with the pipe.
    pub(crate) fn give(&self, command: &mut Command, line: &str) {
        let auth = match self.style {
            Style::Fifo => {
                command.args(["-c", line]);
                format!("fifo:{}", self.pipe.display())
            }
            Style::Pipe => {
                // Opened by the shell, so that they are this command's own: make changes how they block.
                let open = format!("exec {READ_FD}<>\"${VARIABLE}\" {WRITE_FD}<>\"${VARIABLE}\"; {line}");
                command.args(["-c", &open]).env(VARIABLE, &self.pipe);
                format!("{READ_FD},{WRITE_FD}")
            }
        };
        let inherited = std::env::var("MAKEFLAGS").unwrap_or_default();
        command.env("MAKEFLAGS", make_flags(&inherited, self.jobs, &auth));
        // Cargo looks there first; what is there is of a build that we are in.
        command.env_remove("CARGO_MAKEFLAGS").env_remove("MFLAGS");
    }
}

/// What is in the environment already, with our jobserver in place of another.
fn make_flags(inherited: &str, jobs: usize, auth: &str) -> String {
    let is_ours_to_say = |word: &&str| word.starts_with("-j") || word.starts_with("--jobserver");
    let kept: Vec<_> = inherited.split_whitespace().filter(|word| !is_ours_to_say(word)).collect();
    // The first word without a dash is single letters.
    format!("{} -j{jobs} --jobserver-auth={auth}", kept.join(" "))
}

/// The style that the `make` on the PATH knows; where there is none, that of today.
async fn style() -> Style {
    let mut command = Command::new("make");
    command.arg("--version");
    match Helper::run(command, VERSION_DEADLINE).await {
        Ok(ended) => style_of(&String::from_utf8_lossy(&ended.stdout)),
        Err(_) => Style::Fifo,
    }
}

fn style_of(version: &str) -> Style {
    let number = version.strip_prefix("GNU Make ").and_then(|rest| rest.split_whitespace().next());
    let mut parts = number.unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version == (0, 0) || version >= (4, 4) { Style::Fifo } else { Style::Pipe }
}

/// Puts idle workers into the pipe, `most` at most, and takes them back where an action waits.
async fn lend(pool: Pool, (tokens, offers): (pipe::Receiver, pipe::Sender), most: usize) {
    let mut waiting = pool.waiting();
    let mut lent: Vec<Worker> = Vec::new();
    loop {
        let is_wanted = *waiting.borrow_and_update() > 0;
        tokio::select! {
            changed = waiting.changed() => if changed.is_err() {
                return;
            },
            worker = pool.idle_worker(), if !is_wanted && lent.len() < most => {
                // A pipe has room for thousands; a token that is not in it is no token.
                if offers.try_write(TOKEN).is_ok_and(|written| written == TOKEN.len()) {
                    lent.push(worker);
                }
            },
            ready = tokens.readable(), if is_wanted && !lent.is_empty() => {
                // Somebody else may have taken it meanwhile.
                if ready.is_err() {
                    return;
                }
                if matches!(tokens.try_read(&mut [0]), Ok(1)) {
                    lent.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_style_and_which_flags() {
        assert_eq!(style_of("GNU Make 4.3\nBuilt for x86_64"), Style::Pipe);
        assert_eq!(style_of("GNU Make 4.4.1\n"), Style::Fifo);
        assert_eq!(style_of("bmake"), Style::Fifo);
        assert_eq!(make_flags("", 2, "8,9"), " -j2 --jobserver-auth=8,9");
        assert_eq!(make_flags("k -j8 --jobserver-auth=3,4", 2, "fifo:/p"), "k -j2 --jobserver-auth=fifo:/p");
    }
}
