//! What every actor stands on; not an actor itself.
//!
//! - [`ask`] finds an actor by name, with a deadline, through its restarts; [`ask_once`] never repeats, and [`ask_this`]
//!   looks for no successor.
//! - [`Effects`] owns the tasks that an actor sets going: a successor starts only after they have ended.
//! - [`Helper`] owns a child process: its own process group, a deadline, and an end with us.
//! - [`own_session`], [`find_process`], [`end_process`]: a process that outlives us.
//! - [`failpoint`] and [`Chaos`] are where tests kill the process, or an actor.
//! - [`Ctx`] is what an actor is given at its start.

mod ask;
mod chaos;
mod clock;
mod ctx;
mod detached;
mod effects;
mod failpoint;
mod files;
mod helper;
mod parent_death;
mod paths;
mod saved;

pub use ask::{AskError, ask, ask_once, ask_this, patiently, tell};
pub use chaos::{Chaos, ChaosRole};
pub use clock::{boot_id, mono_us, unix_ms, unix_us};
pub use ctx::Ctx;
pub use detached::{EndError, end_process, find_process, own_session, wait_process};
pub use effects::Effects;
pub use failpoint::{Failpoint, failpoint};
pub use files::{replace_file, sync_dir};
pub use helper::{Ended, Helper, HelperError, ProcessId, end_helpers, process_start};
pub use paths::Paths;
pub use saved::{SavedError, forget, load, load_all, put, save};
