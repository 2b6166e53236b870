//! What is done with installed packages.

use std::time::Duration;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum PackagesVerb {
    /// What is installed: kind, size, last use, who uses it
    List,
    /// Who asked for a package, and who uses it now
    Why {
        /// Which
        name: String,
    },
    /// Compare what is installed with what was
    Verify {
        /// Which; none: all
        names: Vec<String>,
        /// Take off the shelf what is damaged: it is installed again when it is needed
        #[arg(long)]
        discard: bool,
    },
    /// Collect what was not used; never what a build or a session uses
    #[command(after_help = "\
Examples:
  farmhand packages gc --older-than 30d              what nobody used for a month
  farmhand packages gc --keep-bytes 5GB --dry-run    what would go, for room")]
    #[command(group = clap::ArgGroup::new("limit").required(true).multiple(true))]
    Gc {
        /// Leave at most so much, such as 5GB: what was used last
        #[arg(long, value_name = "SIZE", value_parser = farmhand::config::size, group = "limit")]
        keep_bytes: Option<u64>,
        /// Only what was last used longer ago, such as 30d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, group = "limit")]
        older_than: Option<Duration>,
    },
}
