//! Who is plugged in: looks, tells the scheduler, and sees to it that there is a device for a board.

mod actor;
mod bootloaders;
mod network;
mod state;
mod watch;

pub(crate) use actor::{DirectoryActor, DirectoryArgs};
pub use state::is_stand_in;
