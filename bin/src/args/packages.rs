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
    Gc {
        /// Leave at most so much, such as 5GB: what was used last
        #[arg(long, value_name = "SIZE", value_parser = size, required_unless_present = "older_than")]
        keep_bytes: Option<u64>,
        /// Only what was last used longer ago, such as 30d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        older_than: Option<Duration>,
    },
}

/// `5GB`, `200 MB`, `1000`: of a thousand, as they are shown.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return Err("it wants a size, such as 500MB or 5GB".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "it wants a size, such as 500MB or 5GB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(
            ["0", "1000", "5GB", "200 mb", "7k"].map(|text| size(text).ok()),
            [Some(0), Some(1000), Some(5_000_000_000), Some(200_000_000), Some(7000)]
        );
        for text in ["", "GB", "5TB", "-1", "1.5GB", "99999999999999999999"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
