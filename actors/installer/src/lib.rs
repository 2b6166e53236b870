//! The package installer.
