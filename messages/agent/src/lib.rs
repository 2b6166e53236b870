//! What a farm and the agent in its guest say to each other.
//!
//! | part | what it is |
//! |---|---|
//! | [`ToAgent`], [`FromAgent`] | the messages, each with its contract |
//! | [`encode`], [`Decoder`] | frames: a message with its CRC-32 between two zeros |
//!
//! # The line
//!
//! Bytes on their way to a guest are in no snapshot of it, and a guest that is restored may be in the middle
//! of a frame that its new host never began. So each frame is stuffed (COBS) and ends with a zero, and both
//! ends say a zero before their first one: what was torn costs itself. A frame that is damaged is told of by
//! the decoder and is otherwise as if it had never been said; whoever needs an answer says it again.
//!
//! # Once
//!
//! A host numbers its commands, files included, with ids that rise. An agent enters a command in its table,
//! gives the acknowledgement to the port, and only then executes it. So
//!
//! - an id that is in the table is acknowledged again and not executed again: what has no answer yet may be
//!   resent;
//! - an id that is not, and is at or below the highest that ever was, is refused as [`Refusal::Old`];
//! - what was not acknowledged when its host went is forgotten and never executed. Whether an acknowledgement
//!   got lost on the way, only the table can say: see [`ToAgent::Resume`] and the list in [`Greeting`];
//! - an entry is kept until the host has the end ([`ToAgent::Taken`]).
//!
//! # Hosts that come and go
//!
//! A greeting with another nonce is another host, whether or not the port told of the change. Commands
//! outlive their host; what they say waits, and so does their end, until a host resumes them, or takes them.
//! Output is kept until it is credited, and each piece says where it stands, so that nobody misses or sees a
//! byte twice.
//!
//! # How much is under way
//!
//! A command may have [`WINDOW`] of output that its host has not credited; then its pipe fills, and nobody
//! else's. A piece costs its bytes and [`CHUNK_COST`] more, so that the window bounds the number of pieces
//! too. Towards the guest it is the agent who credits, in bytes. Nothing but data is under a window, and data
//! is said when there is nothing else to say.

mod cobs;
mod frame;
mod message;

pub use frame::{Decoder, FRAME_LEN_MAX, FrameError, MESSAGE_LEN_MAX, encode};
pub use message::{
    CHUNK_COST, COMMANDS_MAX, Command, DATA_LEN_MAX, Data, FromAgent, Greeting, Health, How, Refusal, Stream,
    ToAgent, VERSION, WINDOW, chunk_cost,
};
