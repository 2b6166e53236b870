//! What a boards manager's indexes say that a core is built with (Arduino package index specification).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{OwnCore, Places};

/// An index that is larger is none: the largest that is published has 6 MB.
const INDEX_BYTES_MAX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    version: String,
    #[serde(default, rename = "toolsDependencies")]
    tools: Option<Vec<Needed>>,
}

/// A tool that a core is built with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Needed {
    /// Whose.
    pub(super) packager: String,
    pub(super) name: String,
    pub(super) version: String,
}

/// The boards manager's indexes.
pub(super) fn all(places: &Places) -> Vec<PathBuf> {
    let entries = fs::read_dir(&places.data).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_index = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("package_") && name.ends_with("index.json")
    };
    let mut indexes: Vec<_> = entries.filter(|path| is_index(path)).collect();
    indexes.sort();
    indexes
}

/// The tools that a core's index says it is built with; none where no index knows it.
pub(super) fn needed(places: &Places, core: &OwnCore) -> Vec<Needed> {
    let mut indexes = all(places);
    // What was noted when it was installed holds; indexes are fetched anew.
    indexes.insert(0, core.folder.join("installed.json"));
    indexes.iter().find_map(|path| needed_by(path, core)).unwrap_or_default()
}

fn needed_by(path: &Path, core: &OwnCore) -> Option<Vec<Needed>> {
    if fs::metadata(path).ok()?.len() > INDEX_BYTES_MAX {
        return None;
    }
    let index: Index = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let package = index.packages.into_iter().find(|package| package.name == core.vendor)?;
    let is_it =
        |platform: &Platform| platform.architecture == core.architecture && platform.version == core.version;
    package.platforms.into_iter().find(is_it)?.tools
}
