//! The compiler pool: plans a build, runs compilers, keeps the object cache.
//!
//! - `properties`: what a board is, and how it is compiled for, as its core says it.
//! - `cores`: Arduino cores that a person has.
//! - `sketch`: `.ino` files as one C++ source.
//! - `plan`: a sketch or a tree as a list of actions; where tools and packages are.
//! - `graph`: in which order. Pure.
//! - `cache`: objects by content, and by what they are found.
//! - `run`: the actions carried out, on workers that all builds share.
//! - `fingerprint`: nothing to do costs nothing.
//! - `inputs`: what a project's own build command reads, as the project says.
//! - `nested`: a build within a build does not wait for itself.
//! - `place`: where a build leaves its things.
//! - `prepare`: what a person's core has run before anything is planned.
//! - `planned`: what would be run, for others to run.
//! - `anatomy`: what takes the room in a program.
//! - `report`: what a build did and when, and how large it came out.
//! - `clean`: what builds left, removed.
//! - `collect`: the cache, kept within its limit.
//! - `build`, `host`: the whole of it, with no actor and no store; `actor` is the shell in a farm.

mod actor;
mod anatomy;
mod artifact;
mod build;
mod cache;
mod clean;
mod collect;
mod command;
mod cores;
mod error;
mod fingerprint;
mod graph;
mod host;
mod inputs;
mod nested;
mod orphans;
mod place;
mod plan;
mod planned;
mod prepare;
pub mod properties;
mod report;
mod run;
mod sketch;

pub use actor::{CompilerActor, CompilerArgs, CompilerState};
pub use anatomy::{Anatomy, Section, Symbol, anatomy};
pub use build::{BuildEnv, BuildOrchestrator, build};
pub use cache::{CollectWish, Collected};
pub use clean::{Cleaned, clean};
pub use collect::{CACHE_BYTES, cache_is_due, collect_cache};
pub use cores::{
    BoardWish, PlatformIoBoard, PlatformIoError, platformio_board, platformio_packages, platformio_platform,
};
pub use error::BuildError;
pub use farmhand_messages::compiler::{BuildWish, Built, HostProgram, Sizes, Urgency};
pub use fingerprint::unchanged;
pub use host::build_host_program;
pub use inputs::{InputError, check_input};
pub use nested::{is_waited_for, leave_nest};
pub use plan::{Packages, Platform, UsedLibrary, packages_of};
pub use planned::{Command, Commands, equip, planned};
pub use report::{BuildReport, Step, last_report, last_said};
pub use run::{Compiler, Invocation, Linker, Outcome, Pool, Processes, Programs, Telling};
