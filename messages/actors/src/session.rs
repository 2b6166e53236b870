//! To the actor of one session.

use farmhand_api::{LogItem, Problem, SessionView, Settle};
use farmhand_records::v1::Evidence;
use farmhand_records::{Epoch, PlanHash};
use ractor::RpcReplyPort;

use crate::compiler::Built;
use crate::device::{Connected, DeviceError, Since, Transferred};
use crate::scheduler::{LeaseLost, Standing};

/// What came of something that the session set going.
#[derive(Debug)]
pub enum Outcome {
    /// The program is built.
    Built(Result<Built, Problem>),
    /// How the wish for a device stands.
    Standing(Result<Standing, Problem>),
    /// What is handed to the device has a name, or cannot be read.
    Planned(Result<PlanHash, Problem>),
    /// The device is connected.
    Connected(Result<Connected, DeviceError>),
    /// The image is on the device.
    Transferred(Result<Transferred, DeviceError>),
    /// An epoch is reserved.
    Reserved(Result<Epoch, DeviceError>),
    /// The handoff was issued, or not, or nobody knows.
    HandedOff(Result<Evidence, DeviceError>),
    /// What is known of an ambiguous handoff.
    Evidence(Result<Evidence, DeviceError>),
    /// Whether the owned epoch still runs.
    Confirmed(Result<Option<Since>, DeviceError>),
    /// The stream of output was begun: from here on what comes is observed.
    Subscribed,
    /// Output.
    Output(LogItem),
    /// How far the recorder is: an offset, behind all that had come when it was asked.
    Reached(u64),
    /// The stream of output ended.
    OutputEnded,
    /// The lease was renewed, or lost.
    Renewed(Result<(), LeaseLost>),
    /// The device has ended what it did for the session: nothing more is written. With what was written before.
    Stopped(Written),
    /// The lease is given back.
    Released,
    /// A task of the session's panicked or could not reach an actor in time.
    Lost(String),
}

/// What a transfer that was ended has written of its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The partitions that the device said were done, in order.
    pub done: Vec<String>,
    /// One that was begun, and may be written in part or whole.
    pub begun: Option<String>,
}

/// To the actor of one session.
#[derive(Debug)]
pub enum SessionMessage {
    /// From the gateway: cancel. Durable before it is answered. Safe.
    Cancel {
        /// As it is then.
        reply: RpcReplyPort<SessionView>,
    },
    /// From the gateway: a person settles what could not be proven. Durable before it is answered. Safe.
    Settle {
        /// What was seen.
        settle: Settle,
        /// As it is then, or why that cannot be settled.
        reply: RpcReplyPort<Result<SessionView, Problem>>,
    },
    /// From the gateway. Safe.
    View {
        /// As it is.
        reply: RpcReplyPort<SessionView>,
    },
    /// From its own tasks. The number tells to which step it belongs: one of an older step is ignored.
    Outcome {
        /// The step that asked.
        step: u64,
        /// What came of it.
        outcome: Box<Outcome>,
    },
    /// From its own clock.
    Tick,
    /// From the supervisor: checkpoint and end; what is unfinished is resumed by the next start.
    Drain {
        /// It is checkpointed.
        reply: RpcReplyPort<()>,
    },
}
