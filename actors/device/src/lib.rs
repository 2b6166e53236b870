//! One device: who may command it (fencing), which epoch it is in, how it is written and sent on its way (drivers), and,
//! where there is no board, a virtual Uno of its own.
//!
//! | file | what it is |
//! |---|---|
//! | `state.rs` | the decisions, pure: fence, epochs, connection, the stay in the loader, the handoff |
//! | `actor.rs` | the shell: receives, steps, persists, acts |
//! | `work/` | the acts: opening, transfer, the stay in the loader, evidence |
//! | `evidence.rs` | what proves whether a handoff was done, and what does not |
//! | `driver.rs`, `stk500v1.rs` | what a driver is, and the one for optiboot |
//! | `fastboot/` | the host's side of fastboot: one bootloader, over USB, TCP or UDP |
//! | `link.rs`, `reset.rs` | a lent port, and how a board is reset |
//! | `virtual_uno/` | the board that is a process: built, started, adopted, replaced |
//! | `work/machine/` | the same acts, and snapshots, of a machine that QEMU emulates |
//! | `taken.rs` | a person's file that a device hands over: whole, or not at all |
//! | `problems.rs` | what can be wrong, as people are told |

mod actor;
pub mod driver;
pub mod evidence;
pub mod fastboot;
pub mod link;
#[cfg(test)]
mod peer;
mod problems;
pub mod reset;
pub mod state;
pub mod stk500v1;
mod taken;
pub mod virtual_uno;
mod work;

pub use actor::{DeviceActor, DeviceArgs};
pub use problems::of_snapshot;
pub use stk500v1::Stk500v1;
