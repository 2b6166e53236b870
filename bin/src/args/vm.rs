//! What is done with Linux guests.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use farmhand::protocol::DeviceName;

/// The board of a guest that is made.
const LINUX: &str = "qemu:linux-x86_64";

#[derive(Debug, Subcommand)]
pub(crate) enum VmVerb {
    /// Boot one; what it was is gone
    #[command(after_help = "\
Examples:
  farmhand vm run                    boots the guest called vm
  farmhand vm run lab-1 && farmhand vm exec lab-1 -- uname -a")]
    Run {
        /// What it is called: one that is not in farm.toml is made, and is gone with the farm
        #[arg(default_value = "vm")]
        name: DeviceName,
        /// The board of one that is made
        #[arg(long, default_value = LINUX)]
        board: String,
    },
    /// All emulated machines
    List,
    /// Run a command in one; ends with the command's exit code
    #[command(after_help = "\
Examples:
  farmhand vm exec vm -- ls /data
  echo hello | farmhand vm exec vm --input -- wc -c
  farmhand vm exec vm --timeout 5s --env A=1 --cwd /tmp -- sh -c 'sleep 9; echo $A'

Exit codes: the command's own; 128 and the signal's number where one ended it, 124 where --timeout did,
127 where the guest could not start it. Where it was not run, farmhand's own (farmhand --help).")]
    Exec {
        /// Which
        name: DeviceName,
        /// Give it what is piped in; without this it has no input
        #[arg(short, long)]
        input: bool,
        /// For the whole of it; then it is ended
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
        /// In its environment
        #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// Where it runs
        #[arg(long, value_name = "DIR")]
        cwd: Option<String>,
        /// The command, and what it is told
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// How one is: its memory and load, and what was said in vain
    Health {
        /// Which
        name: DeviceName,
    },
    /// Copy a file into one, or out of it: whole, or not at all
    #[command(after_help = "\
Examples:
  farmhand vm copy test.sh vm:/tmp/test.sh
  farmhand vm copy vm:/data/result.txt .")]
    Copy {
        /// A file here, or NAME:PATH
        from: PathBuf,
        /// Where to: the other of the two
        to: PathBuf,
    },
    /// Watch its console, and type into it: Enter begins a shell
    Console {
        /// Which
        name: DeviceName,
    },
    /// End one; what it is now is gone
    Stop {
        /// Which
        name: DeviceName,
    },
}

fn variable(said: &str) -> Result<(String, String), String> {
    match said.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(subcommand)]
        what: VmVerb,
    }

    #[test]
    fn what_follows_the_dashes_is_the_commands() {
        let said = ["vm", "exec", "vm", "--env", "A=b=c", "--", "ls", "-l", "--timeout"];
        let VmVerb::Exec { command, env, timeout, .. } = Only::try_parse_from(said).unwrap().what else {
            panic!()
        };
        assert_eq!((command.join(" ").as_str(), timeout), ("ls -l --timeout", None));
        assert_eq!(env, [("A".to_owned(), "b=c".to_owned())]);
        assert!(Only::try_parse_from(["vm", "exec", "vm"]).is_err(), "nothing to run");
        assert!(Only::try_parse_from(["vm", "exec", "vm", "--env", "A", "--", "ls"]).is_err());
    }
}
