//! One run of a job on one device, from request to verdict; durable. The handoff is issued at most once an attempt,
//! whatever ends when.
//!
//! | file | what it is |
//! |---|---|
//! | `state.rs` | the machine: inputs, effects, `step()`; its parts by phase are in `state/` |
//! | `state/prepare.rs` | to the device: build, lease, connect, transfer |
//! | `state/handoff.rs` | the heart: the line where the handoff becomes durable, the line where it is issued |
//! | `state/evidence.rs` | how an ambiguous handoff is settled, by the device or by a person |
//! | `state/observe.rs` | output of the owned epoch, and what ends it |
//! | `state/finish.rs` | verdicts, cancel, release |
//! | `expect.rs`, `closest.rs` | what the output must say, and what came closest |
//! | `problems.rs` | what can be wrong, as people are told |
//! | `plan.rs`, `view.rs` | a plan's name; a session as people see it |
//! | `artifact.rs`, `boot_image.rs` | what is handed to a device, kept under its hash |
//! | `actor.rs`, `work.rs` | the shell: receives, steps, persists, acts |

mod actor;
mod artifact;
mod boot_image;
mod closest;
mod expect;
mod plan;
mod problems;
mod state;
mod view;
mod work;

pub use actor::{SessionActor, SessionArgs, Start};
pub use expect::{Expect, Judged, WINDOW_BYTES};
pub use plan::plan_hash;
pub use state::{Act, Effects, Input, Now, Persist, Session, Trust};
pub use view::view;
