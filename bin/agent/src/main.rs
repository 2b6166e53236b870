//! The agent in a guest: runs commands and moves files for the farm, over one port.
//!
//! | part | what it is |
//! |---|---|
//! | `state` | what is decided; without I/O |
//! | `serve` | the one thread that decides, and the table of who is to be ordered |
//! | `port` | a thread that reads the port, and one for each opening of it that writes |
//! | `command`, `transfer` | a thread for each command or file |
//! | `group` | the control group that commands are in, with all that they begin |
//!
//! The thread that decides waits for nothing but its next input. A writer that is stuck holds one message;
//! all others are drawn when it is free again, so a host that reads nothing is still heard and obeyed.
//! Threads that move data wait for the one that decides, never the other way.

mod clock;
mod command;
mod group;
mod health;
mod port;
mod serve;
mod state;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use group::Group;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), group, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        complain("say which port, and which control group: farmhand-agent PORT [FOLDER]");
        return ExitCode::from(2);
    };
    let group = group.map(|folder| Group::enter(folder.into())).transpose();
    match group.and_then(|group| serve::serve(PathBuf::from(path), group)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("failed to begin: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// For whoever reads the console; the farm hears the rest over the port.
fn complain(words: &str) {
    say(&format!("farmhand-agent: {words}"));
}

fn say(line: &str) {
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}
