//! A machine's memory on its way out of QEMU and into it, over a socket in the machine's folder: what is written is hashed as it
//! comes, and a disk that is full is our own error, which a command of the shell's would keep to itself.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use farmhand_wire::qmp::{Answer, Command, MigrationInfo, MigrationStatus, MigrationUri};
use sha2::{Digest as _, Sha256};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Part, SnapshotError};
use crate::machine::{Machine, MachineError};

/// The sockets' names, below the machine's folder, which QEMU runs in.
const OUT: &str = "save";
const IN: &str = "load";
/// For QEMU to connect to us: it does that before it has answered.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// For any byte to move.
const STALL: Duration = Duration::from_secs(30);
/// For all of it: a gigabyte takes seconds.
const ALL_WITHIN: Duration = Duration::from_secs(300);
/// Between two looks how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Bytes that are moved at once.
const CHUNK_LEN: usize = 256 << 10;

/// The memory of a paused machine, into a file that is new; on the disk when this is done.
pub(super) async fn out(machine: &Machine, folder: &Path, file: &Path) -> Result<Part, SnapshotError> {
    let socket = folder.join(OUT);
    remove(&socket)?;
    let listener = UnixListener::bind(&socket).map_err(SnapshotError::io(&socket))?;
    let moved = async {
        ask(machine, Command::Migrate { uri: MigrationUri::unix(OUT) }).await?;
        let accepted = timeout(CONNECTED_WITHIN, listener.accept()).await;
        let accepted = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (stream, _) = accepted.map_err(SnapshotError::io(&socket))?;
        let path = file.to_owned();
        // Both come to an end whatever the other does: the one closes, and the other fails.
        let (written, completed) = tokio::join!(blocking(move || write(stream, &path)), completed(machine));
        SnapshotError::both(written, completed)
    };
    let moved = moved.await;
    SnapshotError::both(moved, remove(&socket))
}

/// The memory of a machine that waits for it, from a file.
pub(super) async fn load(machine: &Machine, folder: &Path, file: &Path) -> Result<(), SnapshotError> {
    let socket = folder.join(IN);
    remove(&socket)?;
    let moved = async {
        ask(machine, Command::MigrateIncoming { uri: MigrationUri::unix(IN) }).await?;
        let stream = UnixStream::connect(&socket).await.map_err(SnapshotError::io(&socket))?;
        let path = file.to_owned();
        let (read, completed) = tokio::join!(blocking(move || read(stream, &path)), completed(machine));
        SnapshotError::both(read, completed)
    };
    let moved = moved.await;
    SnapshotError::both(moved, remove(&socket))
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

fn write(stream: UnixStream, path: &Path) -> Result<Part, SnapshotError> {
    let failed = || SnapshotError::io(path);
    let mut stream = waits(stream).map_err(failed())?;
    let mut file = File::create_new(path).map_err(failed())?;
    let (mut hash, mut len) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let read = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed())?,
        };
        if read == 0 {
            file.sync_all().map_err(failed())?;
            return Ok(Part::from_hash(len, hash));
        }
        file.write_all(&chunk[..read]).map_err(failed())?;
        hash.update(&chunk[..read]);
        len += read as u64;
    }
}

fn read(stream: UnixStream, path: &Path) -> Result<(), SnapshotError> {
    let failed = || SnapshotError::io(path);
    let mut stream = waits(stream).map_err(failed())?;
    let mut file = File::open(path).map_err(failed())?;
    io::copy(&mut file, &mut stream).map(drop).map_err(failed())
}

/// For a thread: it waits for bytes, and not for ever.
fn waits(stream: UnixStream) -> io::Result<std::os::unix::net::UnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    Ok(stream)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())))
}

fn remove(socket: &Path) -> Result<(), SnapshotError> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SnapshotError::io(socket)(error)),
        _ => Ok(()),
    }
}
