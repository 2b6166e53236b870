//! A farm that is stopped while its virtual board starts. Alone in its program, which is stopped as a whole.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use farmhand_device::virtual_uno::{BoardError, Parts, ensure};
use farmhand_records::DeviceName;

/// Stops who starts it for longer than a board may take, and is ready meanwhile.
const BOARD: &str = "#!/bin/sh\nkill -STOP $PPID\nsleep 1\necho ready\nsleep 11\nkill -CONT $PPID\n";

#[tokio::test]
async fn a_board_that_was_ready_in_time_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("board");
    fs::write(&program, BOARD).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let parts = Parts { program, loader: folder.path().join("none"), environment: Default::default() };
    let name = DeviceName::new("uno-sim").unwrap();
    let started = ensure(&folder.path().join("uno-sim"), &name, || async { Ok(parts) }).await;
    // It was started; that it is no board comes out only now.
    assert!(matches!(started, Err(BoardError::Control(_))), "{started:?}");
}
