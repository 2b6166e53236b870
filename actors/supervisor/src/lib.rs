//! The farm, as a library: it starts, watches and restarts the actors that own boards, and holds leases and the
//! queue. Embed it: [`Farm::start`] gives a handle whose [`Farm::api`] is all that a front end uses.
//!
//! No global state, no signal handlers, no exit, no subscriber of traces: those are the program's. Needs a tokio
//! runtime with time and I/O; panics must unwind. `ractor/async-trait` is on, and `ractor/cluster` must not be.

mod alone;
mod answers;
mod api;
pub mod config;
mod devices;
mod directory;
mod events;
mod facts;
mod farm;
mod many;
pub mod packages;
mod plugged;
mod problems;
pub mod profiles;
mod restarts;
mod scheduler;
pub mod transport;

pub use alone::{
    build_alone, build_report, build_said, build_unchanged, cache_is_due, clean_project, collect_cache,
    equip_alone, libraries_alone, program_anatomy,
};
pub use api::Api;
pub use devices::{ConsoleEntry, DeviceEntry, FASTBOOT, Match, QEMU, QEMU_BOARD, STK500V1, UNO, VIRTUAL_UNO};
pub use directory::is_stand_in;
pub use farm::{Farm, FarmConfig, FarmEnd, StartError};
pub use farmhand_api as protocol;
pub use farmhand_compiler::{
    Anatomy, BuildReport, Built, CACHE_BYTES, Cleaned, CollectWish, Collected, Section, Sizes, Step, Symbol,
    Telling, UsedLibrary, is_waited_for, leave_nest,
};
pub use farmhand_runtime::{Chaos, ChaosRole, Failpoint, Paths, end_helpers};
pub use many::{ManyEvent, Wanted, build_many};
