//! What a front end and a farm say to each other. Knows no actor, and does no I/O.
//!
//! Frames are postcard, length-delimited, [`FRAME_BYTES_MAX`] at most. The first frame each way is a hello; a
//! different [`API`] number is refused, for the two are released together. Jobs, problems and verdicts are the
//! records' own types of the newest version: those are frozen, and the hello covers the rest.

mod bootloader;
mod diagnostic;
mod event;
mod frame;
mod guest;
mod lines;
mod log;
mod request;
mod snapshot;
mod view;

pub use bootloader::{BootloaderCommand, ProbeView, ProfileView, RebootTo};
pub use diagnostic::{Diagnostic, DiagnosticNote, Said, Severity, Spot, diagnostics, plain};
pub use event::{BuildEvent, Event, EventBody, EventSeq, FlashStage, InstallEvent, InstallStage};
pub use farmhand_records::v1::{
    BootSource, Build, CLibrary, ChosenTools, Compilers, DeviceSelect, EnvironmentSource, Goal, GuestSource,
    GuestStart, Job, LIB_ARCHIVE, LIB_COMPAT, Leave, LibraryMode, LibraryWish, OnGap, PackageKind,
    PackageOrigin, PackageSpec, PartitionStep, Place, Problem, ProblemClass, ProfileLibrary, ProfileSource,
    Source, Toolchain, Verdict, is_linux,
};
pub use farmhand_records::{ContentHash, DeviceName, Epoch, Incarnation, SessionId};
pub use frame::{
    API, ClientFrame, DecodeFrameError, FRAME_BYTES_MAX, Hello, HelloAnswer, RequestId, ServerFrame, decode,
    encode,
};
pub use guest::{GuestCommand, GuestEnded, GuestHealth, INPUT_LEN_MAX};
pub use lines::{LINE_BYTES_MAX, Line, LineView};
pub use log::{EpochCause, LogFrom, LogItem, LogOf, Stamp};
pub use request::{Answer, Item, Request, Settle};
pub use snapshot::{CLONES_MAX, SnapshotCommand, SnapshotView};
pub use view::{ActorView, DeviceState, DeviceView, InstalledView, PhaseName, SessionView, StatusView};
