//! What went wrong, as it is told to people and kept with a session.

use serde::{Deserialize, Serialize};

/// The class of a problem: it decides the exit code. Only grows at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProblemClass {
    /// The firmware did not do what the job expects.
    Firmware,
    /// The command line is wrong.
    Usage,
    /// A configuration file is wrong.
    Configuration,
    /// There is no such device, or several fit.
    NoDevice,
    /// The system refuses access.
    Permission,
    /// Somebody else holds it.
    Busy,
    /// The sources do not build.
    Build,
    /// Ours or the machine's.
    Infra,
    /// It cannot be proven whether a handoff was done.
    Unknown,
    /// A package, or the network it comes over.
    Package,
    /// It was cancelled.
    Cancelled,
}

/// What happened, to what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Decides the exit code.
    pub class: ProblemClass,
    /// A stable code, such as `F101`.
    pub code: String,
    /// What happened, and to which device or file.
    pub message: String,
    /// Lines that say more: a compiler's own words, the closest line of output.
    pub detail: Vec<String>,
    /// What to do next.
    pub help: Vec<String>,
    /// Where in a configuration file the thing was asked for.
    pub place: Option<super::Place>,
}
