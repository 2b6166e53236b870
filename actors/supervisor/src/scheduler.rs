//! Leases with fencing tokens, and a first-come queue for each device or board.

mod actor;
mod state;

pub(crate) use actor::SchedulerActor;
