//! What is said, each way.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Of these messages. Both ends must have the same; the greeting is in a form that never changes.
pub const VERSION: u32 = 1;
/// What a command may have said and its host not credited; and what its host may have sent and it not taken.
/// In bytes.
pub const WINDOW: usize = 256 << 10;
/// What a piece of data costs besides its bytes.
pub const CHUNK_COST: usize = 64;
/// A piece of data, in bytes. Linux gives a virtio port 32 KiB at once (drivers/char/virtio_console.c,
/// port_fops_write).
pub const DATA_LEN_MAX: usize = 16 << 10;
/// Commands that an agent knows at once, those included that have ended and whose host has not taken the end.
pub const COMMANDS_MAX: usize = 64;

/// What a piece of output takes of its command's window.
pub const fn chunk_cost(len: usize) -> usize {
    len + CHUNK_COST
}

/// What a host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// A host is here. Answered with the same nonce, and said again until it is. Another nonce is another
    /// host.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// This host's, and no other's.
        nonce: u64,
    },
    /// The guest was restored, and this is what its new life is called. All that runs is ended, told as
    /// [`How::Aborted`], and then this is acknowledged. The epoch that is already had is acknowledged again
    /// and nothing is done; an older one is ignored; both are counted. Safe to say again.
    Restored {
        /// Greater than that of each earlier life: when it begins, in microseconds since 1970, by the host's clock. A guest's clock
        /// that is behind it is set to it, for it is the snapshot's.
        epoch: u64,
    },
    /// Run this. Accepted or refused; safe to say again until it is.
    Run {
        /// Greater than all before.
        id: u64,
        /// What to run.
        command: Command,
    },
    /// Go on with a command of an earlier host: what it has said from there on, its end, and credit for its
    /// input. Accepted, or refused as old. Safe to say again before any output was taken.
    Resume {
        /// Which.
        id: u64,
        /// How many bytes of its output are had already.
        from: u64,
    },
    /// Write a file: beside its place, synced, and then renamed. Its bytes follow as [`Self::Input`].
    /// Otherwise as [`Self::Run`].
    Put {
        /// Greater than all before.
        id: u64,
        /// Where.
        path: String,
        /// Its permissions.
        mode: u32,
        /// How many bytes follow.
        len: u64,
    },
    /// Read a file: its bytes come as [`FromAgent::Output`]. Otherwise as [`Self::Run`].
    Get {
        /// Greater than all before.
        id: u64,
        /// Which file.
        path: String,
    },
    /// For a command's standard input, or a file's bytes, under the credit that was given. Not safe to say
    /// again.
    Input {
        /// Which command.
        id: u64,
        /// Not more than [`DATA_LEN_MAX`].
        bytes: Data,
    },
    /// No more input.
    InputEnd {
        /// Which command.
        id: u64,
    },
    /// For the command's process group. A transfer is ended by any.
    Signal {
        /// Which command.
        id: u64,
        /// As Linux numbers them.
        number: i32,
    },
    /// All output up to there is had. Safe to say again.
    Credit {
        /// Which command.
        id: u64,
        /// How many bytes from its first one.
        upto: u64,
    },
    /// The end is had, and the id may be forgotten. A command that still runs is killed. Safe to say again.
    Taken {
        /// Which command.
        id: u64,
    },
    /// How are you?
    Health {
        /// Is in the answer.
        nonce: u64,
    },
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// The answer to a greeting.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The host's.
        nonce: u64,
        /// Who is here.
        greeting: Greeting,
    },
    /// All that ran before this epoch has ended.
    Restored {
        /// Which was asked for.
        epoch: u64,
    },
    /// It is in the table and will be executed, once.
    Accepted {
        /// Which command.
        id: u64,
    },
    /// It is not executed.
    Refused {
        /// Which command.
        id: u64,
        /// Why.
        why: Refusal,
    },
    /// So many bytes of input more may be sent.
    Credit {
        /// Which command.
        id: u64,
        /// Besides what was credited before.
        bytes: u64,
    },
    /// What a command said, or the bytes of a file.
    Output {
        /// Which command.
        id: u64,
        /// Where it said it.
        stream: Stream,
        /// How many bytes it had said before, on both streams.
        at: u64,
        /// Not more than [`DATA_LEN_MAX`].
        bytes: Data,
    },
    /// It is over. All its output was said before, unless it was aborted.
    Ended {
        /// Which command.
        id: u64,
        /// How.
        how: How,
    },
    /// The answer.
    Health {
        /// As it was asked.
        nonce: u64,
        /// How the guest is.
        health: Health,
    },
}

/// Which agent it is, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Drawn when the agent began. A guest and its restored clones have the same.
    pub boot: [u8; 16],
    /// The last restore that was acknowledged; 0: none.
    pub epoch: u64,
    /// The highest id ever accepted.
    pub highest: u64,
    /// The ids in the table: what earlier hosts left.
    pub commands: Vec<u64>,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Command {
    /// The program, looked for in `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// Besides the agent's own.
    pub env: Vec<(String, String)>,
    /// Where; the agent's own folder if not said.
    pub cwd: Option<String>,
    /// For the whole of it. Then its group has two seconds to end after SIGTERM, and is killed.
    pub timeout_ms: Option<u64>,
}

/// Why a command is not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There are [`COMMANDS_MAX`]. The same id may be said again later.
    Busy,
    /// A higher id was accepted before, and this one is not in the table. It was never executed, or its end
    /// was taken.
    Old,
}

/// Where a command says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output; the bytes of a file.
    Out,
    /// Standard error.
    Err,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// By itself. A transfer that was done: 0.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It took longer than it had, and was ended.
    TimedOut,
    /// The guest was restored, and it was killed, or never begun.
    Aborted {
        /// The restore's.
        epoch: u64,
    },
    /// It could not be started, in words.
    NotStarted(String),
    /// The file could not be written or read, in words. What was there is as it was.
    Failed(String),
}

/// How a guest is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Of the guest.
    pub uptime_ms: u64,
    /// The load of the last minute, in hundredths.
    pub load_1_hundredths: u32,
    /// What Linux believes it could give.
    pub memory_available_bytes: u64,
    /// In the table.
    pub commands: u32,
    /// Restores that were older than one that was had.
    pub ignored_restores: u64,
    /// Restores that were had already, and acknowledged again.
    pub repeated_restores: u64,
    /// Frames from the host that were none.
    pub bad_frames: u64,
}

/// Bytes, in one piece.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Data(pub Vec<u8>);

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data(bytes.to_vec()))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Data, E> {
        Ok(Data(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Data, A::Error> {
        let mut all = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            all.push(byte);
        }
        Ok(Data(all))
    }
}
