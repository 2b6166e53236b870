//! `farmhand.lock`: what a project's packages were resolved to, with hashes. It lies beside `farmhand.toml`, in
//! version control: whoever builds the project builds it with the same.

use std::fs;
use std::io;
use std::path::Path;

use farmhand_api::Place;
use farmhand_messages::packages::{PackageOrigin, PackageSpec};
use serde::{Deserialize, Serialize};

use crate::InstallError;
use crate::apt::Sha256;

/// Its name.
pub const LOCK_FILE: &str = "farmhand.lock";
/// Of its shape.
const VERSION: u32 = 1;
/// A lock of a thousand packages has 400 kB.
const BYTES_MAX: u64 = 4 << 20;
const HEAD: &str = "# Written by farmhand install: what this project's packages were resolved to.\n";

/// What a package was resolved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// What the project calls it.
    pub name: String,
    /// As the project declares it: where it comes from.
    pub source: String,
    /// Its version.
    pub version: String,
    /// What its branch or tag was, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Of its archive, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of all that it was made of.
    pub hash: String,
    /// Of all that it unpacked to, where that was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
}

/// A project's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockFile {
    version: u32,
    #[serde(default, rename = "package")]
    pub(crate) packages: Vec<LockedPackage>,
}

impl LockFile {
    /// Reads it; empty where there is none.
    pub(crate) fn read(path: &Path) -> Result<Self, InstallError> {
        let read_error = |error| InstallError::io("read", path, error);
        let text = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, packages: Vec::new() });
            }
            Err(error) => return Err(read_error(error)),
            Ok(there) if there.len() > BYTES_MAX => {
                return Err(bad(path, "it is too long to be one".into(), None));
            }
            Ok(_) => fs::read_to_string(path).map_err(read_error)?,
        };
        if let Some(offset) = conflict(&text) {
            return Err(bad(path, "a merge left two versions in it".into(), Some((&text, offset))));
        }
        let lock: Self = toml::from_str(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            bad(path, error.message().replace('\n', ", "), Some((&text, offset)))
        })?;
        if lock.version != VERSION {
            let why = format!("it is of version {}, and this farmhand reads {VERSION}", lock.version);
            return Err(bad(path, why, None));
        }
        let no_hash = |locked: &&LockedPackage| {
            let hashes = [Some(&locked.hash), locked.tree.as_ref(), locked.sha256.as_ref()];
            hashes.into_iter().flatten().any(|hash| Sha256::from_hex(hash).is_none())
        };
        let no_commit = |locked: &&LockedPackage| {
            let is_hex = |commit: &String| commit.bytes().all(|byte| byte.is_ascii_hexdigit());
            locked.commit.as_ref().is_some_and(|commit| !is_hex(commit) || !matches!(commit.len(), 40 | 64))
        };
        if let Some(locked) = lock.packages.iter().find(no_commit) {
            return Err(bad(path, format!("a commit of {} is none", locked.name), None));
        }
        let names: Vec<_> = lock.packages.iter().map(|locked| &locked.name).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(*name)) {
            return Err(bad(path, format!("{twice} is in it twice"), None));
        }
        match lock.packages.iter().find(no_hash) {
            Some(locked) => Err(bad(path, format!("a hash of {} is none", locked.name), None)),
            None => Ok(lock),
        }
    }

    /// Writes it, by name.
    pub(crate) fn write(&self, path: &Path) -> Result<(), InstallError> {
        let mut sorted = self.clone();
        sorted.packages.sort_by(|one, other| one.name.cmp(&other.name));
        let text = toml::to_string(&sorted).map_err(|error| bad(path, error.to_string(), None))?;
        farmhand_runtime::replace_file(path, format!("{HEAD}{text}").as_bytes())
            .map_err(|error| InstallError::io("write", path, error))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&LockedPackage> {
        self.packages.iter().find(|locked| locked.name == name)
    }
}

/// Where a version control system has marked that it could not merge two versions (git, Mercurial, Subversion).
fn conflict(text: &str) -> Option<usize> {
    let starts = text.split_inclusive('\n').scan(0, |next, line| {
        let at = *next;
        *next += line.len();
        Some((at, line))
    });
    starts.into_iter().find(|(_, line)| line.starts_with("<<<<<<<")).map(|(at, _)| at)
}

fn bad(path: &Path, why: String, at: Option<(&str, usize)>) -> InstallError {
    let place = at.map(|(text, offset)| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
        Place {
            file: path.display().to_string(),
            line: count(before.matches('\n').count()),
            column: count(before[line_start..].chars().count()),
        }
    });
    InstallError::BadLock { path: path.to_owned(), why, place }
}

/// How a project's words for a package are written into its lock: the same on every machine.
pub(crate) fn source_words(project: &Path, spec: &PackageSpec) -> String {
    let words = match &spec.origin {
        PackageOrigin::Debian { package } => package.clone(),
        PackageOrigin::Url { urls, .. } => urls.first().cloned().unwrap_or_default(),
        PackageOrigin::Path { path, .. } => {
            let path = Path::new(path);
            path.strip_prefix(project).unwrap_or(path).display().to_string()
        }
        PackageOrigin::Git { url, commit } => format!("{url}#{commit}"),
        PackageOrigin::GitReference { url, reference } => {
            format!("{url}#{}", reference.as_deref().unwrap_or("HEAD"))
        }
        PackageOrigin::Pip { project, version, .. } => format!("{project}=={version}"),
        PackageOrigin::Npm { project, version, .. } => format!("{project}@{version}"),
    };
    let strip = if spec.strip { " strip" } else { "" };
    format!("{}+{words}{strip}", spec.origin.word())
}
