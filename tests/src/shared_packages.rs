//! Packages for tests that build: installed once, for all tests of this profile.

use std::path::PathBuf;

use farmhand_api::Problem;
use farmhand_compiler::Packages;
use farmhand_installer::{Installed, PackageWish};

use crate::binaries::profile_folder;

/// The folder of packages that all tests of this profile share.
#[must_use]
pub fn packages() -> PathBuf {
    profile_folder().join("farmhand-tests").join("packages")
}

/// The real installer, into that folder.
#[derive(Debug)]
pub struct Installer;

#[async_trait::async_trait]
impl Packages for Installer {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        let installed = farmhand_installer::install(&packages(), &wish, |_| ()).await;
        installed.map_err(|error| Problem::from(&error))
    }
}

impl Installer {
    /// One of farmhand's own, by its name.
    pub async fn named(&self, name: &str) -> Result<Installed, Problem> {
        self.install(PackageWish::Named(name.into())).await
    }
}
