//! Opening a port, which may reset the device that is behind it.
//!
//! On Linux the first open of a real port raises DTR, and the last close drops it where HUPCL is set. So an open is an
//! edge exactly where HUPCL was set at the last close, or nobody ever cleared it. We clear it before we close
//! anything, and hold the port. A pseudo terminal has no lines, and keeps HUPCL over close and reopen: a virtual
//! board reads it there.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use farmhand_messages::serial::{OpenPortError, PortSpec};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use serialport::{SerialPort, TTYPort};
use tokio_serial::SerialStream;

use crate::holder::holder;
use crate::keeper::{Kept, PortKeeper};

/// A port that another process is just closing is waited for so long; then its holder is named.
const HELD_FOR_MAX: Duration = Duration::from_millis(500);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Opens a port and deposits it with the keeper. Blocking: a driver may take its time.
pub(crate) fn open(spec: &PortSpec, keeper: &PortKeeper) -> Result<Arc<Kept>, OpenPortError> {
    let until = Instant::now() + HELD_FOR_MAX;
    loop {
        match try_open(spec) {
            Err(OpenPortError::Held { .. }) if Instant::now() < until => sleep(LOOK_AGAIN),
            Err(error) => return Err(error),
            Ok(kept) => {
                let kept = Arc::new(kept);
                keeper.put(kept.clone());
                return Ok(kept);
            }
        }
    }
}

fn try_open(spec: &PortSpec) -> Result<Kept, OpenPortError> {
    let path = &spec.path;
    // A program that has it open without a lock would take bytes from us, and we from it: asked before we open,
    // which might reset the device under it.
    if let Some(holder) = holder(path) {
        return Err(OpenPortError::Held { path: path.clone(), holder });
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let probe = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| named(path, errno))?;
    flock(&probe, FlockOperation::NonBlockingLockExclusive).map_err(|errno| named(path, errno))?;
    let may_have_reset = clear_hupcl(&probe).map_err(|errno| named(path, errno))?;
    // Handed over to the port's own lock below, on another description of the same file.
    flock(&probe, FlockOperation::Unlock).map_err(|errno| named(path, errno))?;
    // Not by a link that may point elsewhere by now.
    let real = std::fs::canonicalize(path).map_err(|error| other(path, &error))?;
    let real = real.to_str().ok_or_else(|| other(path, &"its name is not UTF-8"))?;
    let mut port = TTYPort::open(&serialport::new(real, spec.baud)).map_err(|error| match error.kind {
        serialport::ErrorKind::NoDevice => held(path),
        _ => other(path, &error),
    })?;
    // The port is open twice here, so dropping the probe is no last close. A line that cannot be read is not there.
    drop(probe);
    let has_lines = port.read_clear_to_send().is_ok();
    Ok(Kept::new(port, path.clone(), may_have_reset, has_lines))
}

/// Clears HUPCL, and makes the line raw so that it echoes nothing to the device: whether HUPCL was set.
fn clear_hupcl(probe: &OwnedFd) -> Result<bool, Errno> {
    let mut termios = tcgetattr(probe)?;
    let was_set = termios.control_modes.contains(ControlModes::HUPCL);
    termios.make_raw();
    termios.control_modes.remove(ControlModes::HUPCL);
    termios.control_modes.insert(ControlModes::CLOCAL | ControlModes::CREAD);
    tcsetattr(probe, OptionalActions::Now, &termios)?;
    Ok(was_set)
}

/// A stream on a duplicate of a kept port.
pub(crate) fn stream(kept: &Kept) -> io::Result<SerialStream> {
    let port = kept.port.try_clone_native().map_err(io::Error::other)?;
    let mut stream = SerialStream::try_from(port).map_err(io::Error::other)?;
    // A predecessor's end made it shared.
    stream.set_exclusive(true).map_err(io::Error::other)?;
    Ok(stream)
}

fn held(path: &Path) -> OpenPortError {
    let holder = holder(path).unwrap_or_else(|| "another process".into());
    OpenPortError::Held { path: path.to_owned(), holder }
}

fn other(path: &Path, why: &dyn std::fmt::Display) -> OpenPortError {
    OpenPortError::Other { path: path.to_owned(), why: why.to_string() }
}

fn named(path: &Path, errno: Errno) -> OpenPortError {
    let path_buf = path.to_owned();
    match errno {
        Errno::BUSY | Errno::WOULDBLOCK => held(path),
        Errno::ACCESS | Errno::PERM => OpenPortError::Permission { path: path_buf },
        Errno::NOENT | Errno::NODEV | Errno::NXIO => OpenPortError::Missing { path: path_buf },
        _ => other(path, &io::Error::from(errno)),
    }
}

/// A read or write failed because the device is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
