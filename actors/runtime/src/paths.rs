//! The folders of a farm.

use std::path::{Path, PathBuf};

use farmhand_records::{ContentHash, DeviceName};

/// `FARMHAND_HOME`: one folder that is a farm's whole world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    home: PathBuf,
}

impl Paths {
    /// The folders below `home` (absolute).
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// The farm's folder itself.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Held by the one process that is the farm.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.home.join("lock")
    }

    /// Where the farm listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// The store: sled's folder, and the marks beside it.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.home.join("store")
    }

    /// Installed packages.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.home.join("packages")
    }

    /// Cached objects, by content.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.home.join("objects")
    }

    /// Artifacts, by their hashes.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.home.join("artifacts")
    }

    /// An artifact, by its hash.
    #[must_use]
    pub fn artifact(&self, hash: &ContentHash) -> PathBuf {
        self.artifacts().join(hash.to_string())
    }

    /// Boot images and images of partitions, as large as they are, each under its hash: kept while a session needs them.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.home.join("images")
    }

    /// One of them, by its hash.
    #[must_use]
    pub fn image(&self, hash: &ContentHash) -> PathBuf {
        self.images().join(hash.to_string())
    }

    /// Where virtual boards and emulated machines have their folders.
    #[must_use]
    pub fn boards(&self) -> PathBuf {
        self.home.join("boards")
    }

    /// A virtual board's own folder.
    #[must_use]
    pub fn board(&self, device: &DeviceName) -> PathBuf {
        self.boards().join(device.as_str())
    }

    /// What Linux guests are made of.
    #[must_use]
    pub fn guests(&self) -> PathBuf {
        self.home.join("guests")
    }

    /// Where snapshots of emulated machines are kept.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.home.join("snapshots")
    }

    /// What a device's console said.
    #[must_use]
    pub fn recording(&self, device: &DeviceName) -> PathBuf {
        self.home.join("serial").join(device.as_str())
    }

    /// The farm process's own log, where it runs by itself.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("farmhandd.log")
    }
}
