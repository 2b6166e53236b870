//! Archives that are installed, or refused, by their bytes.

use std::fs;

use farmhand_api::ProblemClass;
use farmhand_installer::{Config, InstallError, Installed, Limits, PackageWish, Packages};
use tempfile::TempDir;

use super::names_in;

pub const LIMITS: Limits = Limits { bytes_max: 4 << 20, entries_max: 200 };

pub async fn install(home: &TempDir, bytes: &[u8]) -> Result<Installed, InstallError> {
    let path = home.path().join("x");
    fs::write(&path, bytes).unwrap();
    let config = Config { limits: LIMITS, ..Config::default() };
    let packages = Packages::with_config(home.path().join("packages"), config);
    let outcome = packages.install(&PackageWish::Local { path, sha256: None }, |_| {}).await;
    if outcome.is_err() {
        // Nothing half there.
        assert_eq!(names_in(&home.path().join("packages/local-x")), [".lock"]);
        assert_eq!(names_in(home.path()), ["packages", "x"]);
        assert_eq!(packages.list(), []);
    }
    outcome
}

pub async fn refused(bytes: &[u8], what: &str) -> InstallError {
    let home = tempfile::tempdir().unwrap();
    let error = install(&home, bytes).await.err().unwrap_or_else(|| panic!("{what} is installed"));
    assert_eq!(error.class(), ProblemClass::Package, "{what}: {error:?}");
    error
}
