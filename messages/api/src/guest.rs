//! Linux guests.

use serde::{Deserialize, Serialize};

use crate::DeviceName;

/// Bytes of a command's input: it goes in one frame, with the command.
pub const INPUT_LEN_MAX: usize = 768 << 10;

/// What is done with a Linux guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestCommand {
    /// Boot it, with nothing to run: what it is now is gone. Where there is no device of that name one is made, which is gone with
    /// the farm. Answered once it is healthy: [`Answer::Said`](crate::Answer::Said).
    Run {
        /// Which.
        device: DeviceName,
        /// The board of one that is made, such as `qemu:linux-x86_64`.
        board: String,
    },
    /// Run a command in it, once it is healthy. A stream of [`Item::Guest`](crate::Item::Guest), then
    /// [`Answer::Ended`](crate::Answer::Ended). A stream that is ended kills the command. Not safe to send again.
    Exec {
        /// In which.
        device: DeviceName,
        /// The program, looked for in the guest's `PATH`, and its arguments.
        argv: Vec<String>,
        /// Besides the guest's own environment.
        env: Vec<(String, String)>,
        /// Where; where the agent runs if not said.
        cwd: Option<String>,
        /// For the whole of it, in milliseconds. Then it is ended.
        timeout_ms: Option<u64>,
        /// Its standard input: [`INPUT_LEN_MAX`] at most.
        input: Vec<u8>,
    },
    /// How it is, once it is healthy. [`Answer::Health`](crate::Answer::Health). Safe.
    Health {
        /// Which.
        device: DeviceName,
    },
    /// Copy a file into it, whole or not at all. [`Answer::Ended`](crate::Answer::Ended). Safe.
    Put {
        /// Into which.
        device: DeviceName,
        /// The file (absolute).
        from: String,
        /// Its path there.
        to: String,
    },
    /// Copy a file out of it, whole or not at all. [`Answer::Ended`](crate::Answer::Ended). Safe.
    Get {
        /// Out of which.
        device: DeviceName,
        /// Its path there.
        from: String,
        /// The file (absolute).
        to: String,
    },
}

/// How a guest is, and what its agent and farmhand have heard from each other that was of no use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestHealth {
    /// Since its kernel began, with the time for which it was paused or kept left out.
    pub uptime_ms: u64,
    /// Its load of the last minute, in hundredths.
    pub load_1_hundredths: u32,
    /// What its kernel believes it could give.
    pub memory_available_bytes: u64,
    /// Commands that run, or whose end was not taken yet.
    pub commands: u32,
    /// Signals that it was restored which its agent ignored: they were older than one that it had.
    pub restores_ignored: u64,
    /// Those that it had already: acknowledged again, and nothing done.
    pub restores_repeated: u64,
    /// Frames that came to its agent torn, or were none.
    pub frames_torn: u64,
    /// What its agent said and nobody had asked for.
    pub answers_ignored: u64,
}

/// How a command in a guest ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestEnded {
    /// By itself, with this code. A copy that was made: 0.
    Exit(i32),
    /// By a signal, as Linux numbers them.
    Signal(i32),
    /// It took longer than it had.
    TimedOut,
    /// The guest was restored meanwhile.
    Aborted,
    /// It could not be started, or the file not be read or written, in the guest's words.
    Not(String),
}
