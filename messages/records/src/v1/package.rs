//! Packages that a project declares: what each is, and where it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PackageKind {
    /// Compilers and what they need.
    Toolchain,
    /// A core that programs are written against.
    Framework,
    /// Sources that a program takes in.
    Library,
    /// A program of the desk: an uploader, a converter.
    Tool,
    /// A machine that programs run on.
    Emulator,
}

impl PackageKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Toolchain, Self::Framework, Self::Library, Self::Tool, Self::Emulator];

    /// As people write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Toolchain => "toolchain",
            Self::Framework => "framework",
            Self::Library => "library",
            Self::Tool => "tool",
            Self::Emulator => "emulator",
        }
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PackageOrigin {
    /// One of those that farmhand describes, from Debian's archive.
    Debian {
        /// Its name there: `avr-gcc`.
        package: String,
    },
    /// An archive from a server.
    Url {
        /// Where it is; those after the first are its mirrors.
        urls: Vec<String>,
        /// What it must be; none until it is locked.
        sha256: Option<[u8; 32]>,
    },
    /// An archive or a folder of this machine (absolute).
    Path {
        /// Where it is.
        path: String,
        /// What it must be; files only.
        sha256: Option<[u8; 32]>,
    },
    /// A commit of a git repository, without its history.
    Git {
        /// Of the repository.
        url: String,
        /// In full, in hexadecimal.
        commit: String,
    },
    /// A wheel, by pip.
    Pip {
        /// Its name there: `ziglang`.
        project: String,
        /// Its version there.
        version: String,
        /// What it must be; none until it is locked.
        sha256: Option<[u8; 32]>,
    },
    /// A tarball, by npm.
    Npm {
        /// Its name there: `@scope/name`.
        project: String,
        /// Its version there.
        version: String,
        /// What it must be; none until it is locked.
        sha256: Option<[u8; 32]>,
    },
    /// What a branch or a tag of a git repository is, until it is locked: then it is a commit.
    GitReference {
        /// Of the repository.
        url: String,
        /// A branch, a tag or a commit; none: where its `HEAD` is.
        reference: Option<String>,
    },
}

impl PackageOrigin {
    /// The word for it in a project's settings.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Debian { .. } => "debian",
            Self::Url { .. } => "url",
            Self::Path { .. } => "path",
            Self::Git { .. } | Self::GitReference { .. } => "git",
            Self::Pip { .. } => "pip",
            Self::Npm { .. } => "npm",
        }
    }
}

/// A package that a project declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PackageSpec {
    /// What the project calls it.
    pub name: String,
    /// As told to people; where the origin knows no version of its own.
    pub version: Option<String>,
    /// What it is for.
    pub kind: PackageKind,
    /// Where it comes from.
    pub origin: PackageOrigin,
    /// Its archive has all of it in one folder, which is left out.
    pub strip: bool,
    /// What builds may ask for: `cc:avr`, `c++:avr`.
    pub offers: BTreeSet<String>,
    /// What its programs need in their environment; `{prefix}` is where it lies.
    pub environment: BTreeMap<String, String>,
    /// The words of `lib_deps` that it is there for; none where the project declares it by itself.
    pub needed_as: Option<String>,
    /// The SHA-256 over what it is made of, as the project's lock pins it; none where it does not yet.
    pub locked: Option<[u8; 32]>,
}
