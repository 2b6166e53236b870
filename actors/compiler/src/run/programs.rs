//! Who runs compilers and linkers: this machine, unless whoever embeds a farm brings others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_runtime::{Helper, HelperError};
use tokio::process::Command;

/// One compiler, archiver or linker. The slowest honest one, a link with optimisation, takes minutes.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// A program that is run for a build. What it reads and writes lies on this machine's disk, by the paths in its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// For people: `wiring.c`.
    pub what: String,
    /// The program (absolute).
    pub program: PathBuf,
    /// Its arguments; paths are absolute, or below `folder`.
    pub args: Vec<String>,
    /// Where it runs (absolute).
    pub folder: PathBuf,
    /// The whole of its environment.
    pub environment: BTreeMap<String, String>,
}

impl Invocation {
    /// As it is typed in a shell, in its folder; what it makes there differs in no more than a folder's name in debug
    /// information, which compilers take from the environment.
    #[must_use]
    pub fn line(&self) -> String {
        let program = self.program.to_string_lossy();
        let words: Vec<&str> =
            std::iter::once(&*program).chain(self.args.iter().map(String::as_str)).collect();
        // Only a word with a zero byte in it cannot be quoted, and none such is ever run.
        shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it did what it was for.
    pub success: bool,
    /// What it printed, the errors first.
    pub printed: String,
    /// How it ended, in words, where it printed nothing: `exit status: 1`.
    pub how: String,
}

/// Compiles sources to objects. Dropped, it ends what it began.
#[async_trait]
pub trait Compiler: Send + Sync {
    /// Compiles one source, or puts objects into an archive. An error is of who runs the program, not the program's.
    async fn compile(&self, invocation: Invocation) -> Result<Outcome, HelperError>;
}

/// Links objects to programs, and makes of those what goes on devices. Dropped, it ends what it began.
#[async_trait]
pub trait Linker: Send + Sync {
    /// Links, or converts what was linked. An error is of who runs the program, not the program's.
    async fn link(&self, invocation: Invocation) -> Result<Outcome, HelperError>;
}

/// This machine's processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processes;

impl Processes {
    async fn run(invocation: Invocation) -> Result<Outcome, HelperError> {
        let mut command = Command::new(&invocation.program);
        command.args(&invocation.args).current_dir(&invocation.folder);
        command.env_clear().envs(&invocation.environment);
        let ended = Helper::run(command, PROGRAM_DEADLINE).await?;
        let mut printed = String::from_utf8_lossy(&ended.stderr).into_owned();
        printed.push_str(&String::from_utf8_lossy(&ended.stdout));
        // The linker has its folder's name of what was compiled there; to a person it is the folder that all names are told from.
        let printed = printed.replace("/proc/self/cwd/", "");
        Ok(Outcome { success: ended.status.success(), printed, how: ended.status.to_string() })
    }
}

#[async_trait]
impl Compiler for Processes {
    async fn compile(&self, invocation: Invocation) -> Result<Outcome, HelperError> {
        Self::run(invocation).await
    }
}

#[async_trait]
impl Linker for Processes {
    async fn link(&self, invocation: Invocation) -> Result<Outcome, HelperError> {
        Self::run(invocation).await
    }
}

/// Who runs a build's programs.
#[derive(Clone)]
pub struct Programs {
    /// Compilers and archivers.
    pub compiler: Arc<dyn Compiler>,
    /// Linkers, and what is run behind them.
    pub linker: Arc<dyn Linker>,
}

impl Default for Programs {
    fn default() -> Self {
        Self { compiler: Arc::new(Processes), linker: Arc::new(Processes) }
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}
