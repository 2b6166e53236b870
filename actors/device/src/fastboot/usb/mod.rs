//! Fastboot over USB, through the kernel's usbfs: no library, no driver detached.
//!
//! | file | what it is |
//! |---|---|
//! | `shape.rs` | which interface speaks fastboot, from descriptors |
//! | `list.rs` | the devices that do; opens nothing |
//! | `open.rs` | opening one, after a look at who it is; who holds it, what permission lacks |
//! | `pipe.rs` | packets and data phases as transfers |
//! | `transfers.rs` | what is asked of an endpoint next, and taking it back without losing a byte |

mod list;
mod open;
mod pipe;
mod shape;
mod transfers;

pub use list::{Found, list};
pub use open::udev_rule;
pub use pipe::UsbPipe;
