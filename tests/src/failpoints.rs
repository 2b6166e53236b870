//! The points at which the program can be killed, and which test has to come by which.
//!
//! `kill_points` drives virtual Unos and an installation, and demands every point that the program lists but those of
//! bootloaders, of snapshots and of builds; `fastboot_points` drives phones, and demands the first, and those that every
//! handoff passes; `machine/snapshot_points` saves and restores machines, and demands the second; `build_kills` builds, and
//! demands the third. So a point that is added is demanded
//! by one of them.

use std::process::Command;

use crate::binaries::binary;

/// Passed by devices that speak fastboot alone.
pub const OF_BOOTLOADERS: &[&str] =
    &["download-after", "partition-before", "partition-after", "partition-recorded"];

/// Passed by builds: a session's too, which they say nothing about.
pub const OF_BUILDS: &[&str] = &[
    "build-forgotten",
    "object-made",
    "object-kept",
    "object-remembered",
    "object-wanted",
    "object-delivered",
    "file-unfinished",
    "artifact-unfinished",
    "artifact-kept",
    "build-remembered",
];

/// Passed by machines that are saved.
pub const OF_SAVES: &[&str] = &[
    "save-checked",
    "save-begun",
    "save-marked",
    "save-paused",
    "save-taken",
    "save-resumed",
    "save-unmarked",
    "save-synced",
    "save-published",
];

/// Passed by machines that are made of a snapshot.
pub const OF_RESTORES: &[&str] = &["restore-verified", "restore-started", "restore-filled", "restore-done"];

/// Passed by every handoff, whatever the device.
pub const EVERY_HANDOFF: &[&str] = &[
    "submit-before-persist",
    "submit-after-persist",
    "session-before-persist",
    "session-after-persist",
    "build-after",
    "grant-before-persist",
    "grant-after-persist",
    "fence-before-persist",
    "fence-after-persist",
    "epoch-before-persist",
    "epoch-after-persist",
    "intent-before-persist",
    "intent-after-persist",
    "handoff-before",
    "handoff-after",
    "handoff-recorded",
    "issued-before-persist",
    "issued-after-persist",
    "verdict-before-persist",
    "verdict-after-persist",
    "release-before-persist",
    "release-after-persist",
];

/// All, as the program lists them.
#[must_use]
pub fn listed() -> Vec<String> {
    let listed = Command::new(binary("farmhandd")).arg("--failpoints").output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let points: Vec<_> =
        String::from_utf8(listed.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect();
    assert!(points.len() > 30, "the program has points: {points:?}");
    for known in
        OF_BOOTLOADERS.iter().chain(EVERY_HANDOFF).chain(OF_SAVES).chain(OF_RESTORES).chain(OF_BUILDS)
    {
        assert!(points.iter().any(|point| point == known), "the program has no {known}");
    }
    points
}
