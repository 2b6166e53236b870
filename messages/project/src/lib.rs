//! Project files of other tools, read as data: what a person has on disk builds as it stands. Without I/O; no input panics, and each
//! error has its line.

pub mod arduino;
mod library;
pub mod platformio;

pub use library::{ARDUINO, LibraryManifest, ManifestError, Precompiled};
