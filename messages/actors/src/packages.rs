//! Packages that a project declares: what each is, and where it comes from. They are part of a job's record.

pub use farmhand_records::v1::{PackageKind, PackageOrigin, PackageSpec};
