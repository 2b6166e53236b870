//! One serial port, from plug-in to unplug: recorder, readers, one writer. Everyone else subscribes.
//!
//! - `actor`: the actor, which passes orders on; `task`, `orders`: the task that owns port and recorder.
//! - `route`: whose bytes these are, the borrower's or the console's; pure. `loan`: the channels of a lent port.
//! - `recorder`: one stream, numbered: to the disk, into the ring, told to readers, in this order.
//! - `entry`, `segment`: the bytes on the disk; `disk` writes them, `recover` finds their end, `replay` reads them.
//! - `ring`: what came last, in memory; `readers`: each reads at its own pace.
//! - `port`: opening, which may reset the device; `holder`: who has it instead; [`PortKeeper`]: a restart closes
//!   nothing. `writes`: what is to be written, and who writes.

mod actor;
mod disk;
mod entry;
mod holder;
mod keeper;
mod loan;
mod orders;
mod port;
mod readers;
mod recorder;
mod recover;
mod replay;
mod ring;
mod route;
mod segment;
mod task;
mod writes;

pub use actor::{SerialActor, SerialArgs, SerialState};
pub use keeper::PortKeeper;

/// Bytes of a segment by default: eight of them are kept, 64 MiB a device.
pub const SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
