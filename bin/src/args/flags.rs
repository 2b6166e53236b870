//! Flags that lie over a project's own settings.

use clap::Args;

/// What a job is made of, over the project's own settings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Over the project's settings")]
pub(crate) struct BuildFlags {
    /// The board, such as arduino:avr:uno
    #[arg(long)]
    pub(crate) board: Option<String>,
    /// managed (farmhand's own GCC), system (on the PATH) or clang (farmhand's own)
    #[arg(long)]
    pub(crate) toolchain: Option<String>,
    /// Refuse to change farmhand.lock
    #[arg(long)]
    pub(crate) locked: bool,
}

/// What its console is watched for.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Over the project's settings")]
pub(crate) struct WatchFlags {
    /// A regular expression that must be seen; several are seen in order
    #[arg(long, value_name = "REGEX")]
    pub(crate) expect: Vec<String>,
    /// A regular expression that must not be seen, up to the end of the line that completes --expect
    #[arg(long, value_name = "REGEX")]
    pub(crate) fail_on: Vec<String>,
    /// How long to observe, such as 20s or 3m
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// The console's rate
    #[arg(short, long)]
    pub(crate) baud: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Over the project's settings")]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub(crate) build: BuildFlags,
    /// Never issue the handoff twice
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) watch: WatchFlags,
    /// What a gap in the recording means: unknown, or reset
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_gap: Option<String>,
    /// How often an infra failure is tried again
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) infra_retries: Option<String>,
}
