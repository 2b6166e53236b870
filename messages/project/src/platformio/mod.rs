//! `platformio.ini` (PlatformIO documentation, "Project Configuration File"), as PlatformIO reads it.
//!
//! | file | what it is |
//! |---|---|
//! | `ini.rs` | the lines: sections, options, values over several lines; as Python's `configparser` has them, which PlatformIO uses |
//! | `config.rs` | which value an option has: files over files, `extends`, `[env]` |
//! | `board.rs` | a board of JSON, and what it is called elsewhere |
//! | `dependency.rs`, `filter.rs`, `flags.rs` | what is in `lib_deps`, `build_src_filter`, `build_flags` |
//! | `package.rs` | what its packages say of themselves: which core a platform's boards are of |
//! | `options.rs` | those that PlatformIO knows: what they are where nobody says anything, what they were called |
//! | `values.rs` | one value or several, and `${}` in them |

mod board;
mod config;
mod dependency;
mod filter;
mod flags;
mod ini;
mod options;
mod package;
mod substitute;
mod values;

pub use board::{BoardError, BoardFlags, board_flags, board_named, board_properties};
pub use config::{Config, ConfigError, Found, Surroundings};
pub use dependency::{Dependency, Origin, will_do};
pub use filter::Filter;
pub use flags::{Flag, FlagsError, For, flags};
pub use ini::{Ini, IniError, Place};
pub use package::{PackageManifest, PlatformManifest};
pub use substitute::{Substituted, substituted};

/// The end of `PROJECT_HASH`, of a project's folder.
#[must_use]
pub fn project_hash(folder: &str) -> String {
    use sha1::{Digest as _, Sha1};
    let hash = Sha1::digest(folder.as_bytes());
    hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}
