//! Version 1 of every record. Frozen: see the crate's documentation.

mod claim;
mod device;
mod farm;
mod flash;
mod job;
mod model;
mod package;
mod problem;
mod schedule;
mod serial;
mod session;

pub use claim::Claim;
pub use device::{Device, HandoffDone, Holding, Identity, LoaderStay, Quarantine};
pub use farm::{Farm, Key};
pub use flash::FlashProgress;
pub use job::{
    BootSource, Build, CLibrary, ChosenTools, Compilers, DeviceSelect, EnvironmentSource, Goal, GuestSource,
    GuestStart, Job, LIB_ARCHIVE, LIB_COMPAT, Leave, LibraryMode, LibraryWish, OnGap, PartitionStep, Place,
    ProfileLibrary, ProfileSource, Source, Toolchain, is_linux,
};
pub use model::{Model, ModelOf, Probe, Wanted};
pub use package::{PackageKind, PackageOrigin, PackageSpec};
pub use problem::{Problem, ProblemClass};
pub use schedule::{Lease, Schedule, TokenOf, Waiting};
pub use serial::Serial;
pub use session::{Artifact, Evidence, HandoffKind, LeaseHeld, Observed, Phase, Session, Verdict};
