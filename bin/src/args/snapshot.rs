//! What is done with snapshots.

use std::time::Duration;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// Save an emulated machine as it is; it goes on
    #[command(after_help = "\
Examples:
  farmhand snapshot create ready
  farmhand snapshot create ready --replace --device riscv32-virt-sim")]
    Create {
        /// What to call it
        name: String,
        /// In place of the one that has the name; that one is there until this one is
        #[arg(long)]
        replace: bool,
    },
    /// Make an emulated machine what it was; what it is now is gone
    #[command(after_help = "\
Example:
  farmhand snapshot restore ready && farmhand monitor riscv32-virt-sim")]
    Restore {
        /// Which
        name: String,
    },
    /// Make new machines of it, which go on from there; they are gone with the farm
    #[command(after_help = "\
Example:
  farmhand snapshot clone ready -n 3     makes ready-1, ready-2, ready-3")]
    Clone {
        /// Which
        name: String,
        /// How many
        #[arg(short = 'n', long, default_value_t = 1)]
        count: u16,
    },
    /// End an emulated machine; what it is now is gone
    #[command(after_help = "\
Example:
  farmhand snapshot end --device ready-1")]
    End,
    /// All of them
    List,
    /// Read them whole, and compare them with what they say of themselves
    Verify {
        /// Which; none: all of them
        names: Vec<String>,
    },
    /// Remove some; one that is in use stays
    Delete {
        /// Which
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove what farmhand made for itself and nobody uses; yours stay
    Prune {
        /// What was not used for so long
        #[arg(long, value_name = "TIME", default_value = "30days", value_parser = humantime::parse_duration)]
        unused: Duration,
        /// And as many as it takes for the others to fit
        #[arg(long, value_name = "MB", default_value_t = 10_000)]
        megabytes: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(subcommand)]
        what: SnapshotVerb,
    }

    #[test]
    fn a_month_of_disuse_is_long_enough_where_nothing_is_said() {
        let said = Only::try_parse_from(["snapshot", "prune"]).unwrap();
        let SnapshotVerb::Prune { unused, megabytes } = said.what else { panic!("{said:?}") };
        assert_eq!((unused.as_secs(), megabytes), (30 * 24 * 60 * 60, 10_000));
    }
}
