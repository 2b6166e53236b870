//! The agent in a guest: runs commands and moves files for the farm, over one port.
//!
//! | part | what it is |
//! |---|---|
//! | `state` | what is decided; without I/O |
//! | `serve` | the one thread that decides, and the table of who is to be ordered |
//! | `port` | a thread that reads the port, and one for each opening of it that writes |
//! | `command`, `transfer` | a thread for each command or file |
//!
//! The thread that decides waits for nothing but its next input. A writer that is stuck holds one message;
//! all others are drawn when it is free again, so a host that reads nothing is still heard and obeyed.
//! Threads that move data wait for the one that decides, never the other way.

mod command;
mod health;
mod port;
mod serve;
mod state;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        complain("say which port: farmhand-agent /dev/virtio-ports/farmhand");
        return ExitCode::from(2);
    };
    match serve::serve(PathBuf::from(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("failed to begin: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// For whoever reads the console; the farm hears the rest over the port.
fn complain(words: &str) {
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "farmhand-agent: {words}");
}
