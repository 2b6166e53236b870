//! What can be set. Tables are verbs, keys are their long flags.

use std::time::Duration;

use super::value::{self, Value};
use super::{Layer, Origin};

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// The name of a device.
    DeviceName,
    /// A list of texts.
    Texts,
    /// A list of regular expressions.
    Regexes,
    /// A whole number.
    Number {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
    /// Yes or no.
    Bool,
    /// A number of bytes, written `500MB`, `5GB`.
    Size,
    /// A length of time, written `20s`, `3m`.
    Time {
        /// At most.
        max: Duration,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Table and key: `test.timeout`.
    pub path: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What it is where nobody says anything, as it is written.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub about: &'static str,
}

impl Key {
    /// Its variable in the environment: `FARMHAND_TEST_TIMEOUT`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("FARMHAND_{}", self.path.replace(['.', '-'], "_").to_uppercase())
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const fn of(path: &'static str, kind: Kind, default: Option<&'static str>, about: &'static str) -> Key {
    Key { path, kind, default, about }
}

/// The cache is all projects': none of them says how large it may be.
pub(super) const CACHE: &str = "cache.bytes";

const KEYS: &[Key] = &[
    of("board", Kind::Text, None, "the board, such as arduino:avr:uno"),
    of("device", Kind::DeviceName, None, "only this device"),
    of("port", Kind::Text, None, "only the device on this port"),
    of(
        "start",
        Kind::OneOf(&["boot", "healthy"]),
        None,
        "where a Linux guest begins: at its boot, or where one was healthy",
    ),
    of("build.sketch", Kind::Text, None, "the folder of an Arduino sketch"),
    of("build.source", Kind::Text, None, "the folder of a plain C or C++ tree"),
    of("build.command", Kind::Text, None, "a command that leaves the artifact"),
    of("build.artifact", Kind::Text, None, "the file that a command leaves, or that is there already"),
    of(
        "build.inputs",
        Kind::Texts,
        None,
        "files, folders, globs that the command reads: run only where they changed",
    ),
    of(
        "build.toolchain",
        Kind::OneOf(&["managed", "system", "clang"]),
        Some("managed"),
        "farmhand's GCC, the tools on PATH, or farmhand's clang",
    ),
    of(
        "build.c-library",
        Kind::OneOf(&["picolibc", "newlib"]),
        Some("picolibc"),
        "the C library of a board without a core",
    ),
    of("build.flags", Kind::Texts, None, "added for C and C++"),
    of("build.cxx-flags", Kind::Texts, None, "added for C++ only"),
    of("build.link-flags", Kind::Texts, None, "added at the link"),
    of("build.jobs", Kind::Number { min: 0, max: 1024 }, Some("0"), "compilers at once; 0 is one a core"),
    of(
        "boot.image",
        Kind::Text,
        None,
        "what is booted from memory: a boot image, or a kernel to make one of",
    ),
    of("boot.ramdisk", Kind::Text, None, "the ramdisk of the image that is made"),
    of("boot.dtb", Kind::Text, None, "its device tree"),
    of("boot.cmdline", Kind::Text, None, "added to what the kernel is told"),
    of("flash.once", Kind::Bool, Some("false"), "never issue the handoff twice"),
    of("test.expect", Kind::Regexes, None, "regular expressions that must be seen, in order"),
    of("test.fail-on", Kind::Regexes, None, "regular expressions that must not be seen"),
    of("test.timeout", Kind::Time { max: DAY }, Some("30s"), "how long to observe"),
    of("test.on-gap", Kind::OneOf(&["unknown", "reset"]), None, "what a gap in the recording means"),
    // 4 Mbaud is the fastest that Linux has a constant for (termbits.h, B4000000).
    of("monitor.baud", Kind::Number { min: 50, max: 4_000_000 }, Some("115200"), "the console's rate"),
    of(
        "run.infra-retries",
        Kind::Number { min: 0, max: 100 },
        Some("0"),
        "how often an infra failure is tried again",
    ),
    of(CACHE, Kind::Size, Some("5GB"), "how large the cache of objects may grow; the user's alone to say"),
];

/// All keys.
#[must_use]
pub fn keys() -> &'static [Key] {
    KEYS
}

/// A key by its path.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys begin with this table's name.
pub(super) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// What can stand in a table (`""` is the top): keys and tables.
pub(super) fn inside(table: &str) -> Vec<&'static str> {
    let prefix = if table.is_empty() { String::new() } else { format!("{table}.") };
    let rests = KEYS.iter().filter_map(|key| key.path.strip_prefix(&prefix));
    let mut names: Vec<_> = rests.filter_map(|rest| rest.split('.').next()).collect();
    names.dedup();
    names
}

pub(super) fn built_in() -> Layer {
    let default = |key: &'static Key| {
        let value: Value = value::from_text(key, key.default?).expect("defaults are checked by a test");
        Some((key.path, value, Origin::BuiltIn))
    };
    KEYS.iter().filter_map(default).collect()
}
