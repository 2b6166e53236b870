//! Packages without a farm: what a project declares, and the store of all that is installed. It is the folder that
//! a farm installs to; both hold its locks, so either may come first.

pub use farmhand_installer::{
    InstallError, Installed, Keep, LOCK_FILE, LockMode, PackageKind, PackageSpec, PackageWish, Packages,
    Stored, Verdict, check_declared, locked, shelf_name,
};

/// The packages that a board of this kind is built and flashed with.
pub fn of_board(board: &str) -> Result<Vec<String>, farmhand_api::Problem> {
    crate::facts::packages_of(board)
}
