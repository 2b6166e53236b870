//! A machine's memory on its way out of QEMU, over a socket in the machine's folder: a disk that is full is our own error, which a
//! command of the shell's would keep to itself. And on its way into QEMU, which reads the file itself.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use farmhand_wire::qmp::{Answer, Command, MigrationInfo, MigrationStatus, MigrationUri};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::{SnapshotError, aside};
use crate::machine::{Machine, MachineError};
use crate::process::MEMORY_DESCRIPTOR;

/// The socket's name, below the machine's folder, which QEMU runs in.
pub(crate) const OUT: &str = "save";
/// More than any disk takes, in bytes a second: what moves it waits for nobody but those.
const BANDWIDTH_MAX: u64 = 1 << 40;
/// For QEMU to connect to us: it does that before it has answered.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// For any byte to move.
const STALL: Duration = Duration::from_secs(30);
/// For all of it: a gigabyte takes seconds.
const ALL_WITHIN: Duration = Duration::from_secs(300);
/// Between two looks how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Bytes that are moved at once.
const CHUNK_LEN: usize = 256 << 10;

/// The memory of a paused machine, into a file that is new; whole, and not yet on the disk, when this is done.
pub(super) async fn out(machine: &Machine, folder: &Path, file: &Path) -> Result<(), SnapshotError> {
    let socket = folder.join(OUT);
    remove(&socket)?;
    let listener = UnixListener::bind(&socket).map_err(SnapshotError::io(&socket))?;
    let moved = async {
        // QEMU's own bound is of a machine that runs, and of a network.
        ask(machine, Command::MigrateSetParameters { max_bandwidth: BANDWIDTH_MAX }).await?;
        ask(machine, Command::Migrate { uri: MigrationUri::unix(OUT) }).await?;
        let stream = tokio::select! {
            accepted = timeout(CONNECTED_WITHIN, listener.accept()) => {
                let accepted = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                accepted.map_err(SnapshotError::io(&socket))?.0
            }
            Err(failed) = completed(machine) => return Err(failed),
        };
        let path = file.to_owned();
        both_ends(machine, aside(move || write(stream, &path))).await
    };
    let moved = moved.await;
    SnapshotError::both(moved, remove(&socket).map_err(SnapshotError::from))
}

/// The memory of a machine that waits for it, from the file that it has open.
pub(super) async fn load(machine: &Machine) -> Result<(), SnapshotError> {
    ask(machine, Command::MigrateIncoming { uri: MigrationUri::descriptor(MEMORY_DESCRIPTOR) }).await?;
    completed(machine).await
}

/// Our end of the socket, and QEMU's: both come to theirs whatever the other does, for the one closes and the other fails.
async fn both_ends(
    machine: &Machine,
    ours: impl Future<Output = Result<(), SnapshotError>>,
) -> Result<(), SnapshotError> {
    let theirs = async {
        let completed = completed(machine).await;
        if completed.is_err() {
            // Where it goes on nevertheless, so would we; what this is answered says nothing that is not known.
            let _closes_its_end = ask(machine, Command::MigrateCancel).await;
        }
        completed
    };
    let (ours, theirs) = tokio::join!(ours, theirs);
    SnapshotError::both(ours, theirs)
}

async fn ask(machine: &Machine, command: Command) -> Result<Answer, SnapshotError> {
    machine.monitor().ask(command).await.map_err(|error| MachineError::from(error).into())
}

/// Waits for the end of a migration.
async fn completed(machine: &Machine) -> Result<(), SnapshotError> {
    let until = Instant::now() + ALL_WITHIN;
    loop {
        let Answer::Migration(MigrationInfo { status, error_desc, .. }) =
            ask(machine, Command::QueryMigrate).await?
        else {
            return Err(SnapshotError::Memory("it does not say how far it is".into()));
        };
        match status {
            Some(MigrationStatus::Completed) => return Ok(()),
            Some(MigrationStatus::Failed | MigrationStatus::Cancelled) => {
                let why = error_desc.map_or_else(|| "it failed".to_owned(), |why| why.as_str().to_owned());
                return Err(SnapshotError::Memory(why));
            }
            _ if Instant::now() > until => {
                return Err(SnapshotError::Memory(format!("not done within {} s", ALL_WITHIN.as_secs())));
            }
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

/// Everything there is.
fn pump(mut from: impl io::Read, mut to: impl io::Write) -> io::Result<()> {
    let began = Instant::now();
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let read = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(());
        }
        // Each byte comes in time, and all of them do not.
        if began.elapsed() > ALL_WITHIN {
            return Err(io::ErrorKind::TimedOut.into());
        }
        to.write_all(&chunk[..read])?;
    }
}

fn write(stream: UnixStream, path: &Path) -> Result<(), SnapshotError> {
    let done = || pump(waits(stream)?, File::create_new(path)?);
    done().map_err(SnapshotError::io(path))
}

/// For a thread: it waits for bytes, and not for ever.
fn waits(stream: UnixStream) -> io::Result<std::os::unix::net::UnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

/// Nothing where there is none.
pub(super) fn remove(socket: &Path) -> Result<(), MachineError> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(MachineError::File { path: socket.to_owned(), why: error.to_string() })
        }
        _ => Ok(()),
    }
}
