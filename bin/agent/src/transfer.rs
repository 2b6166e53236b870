//! Files: written beside their place and then renamed, or read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use farmhand_agent_messages::{DATA_LEN_MAX, How, Stream, WINDOW, chunk_cost};

use crate::serve::Line;
use crate::state::Order;

/// What of a mode is a permission.
const MODE_MASK: u32 = 0o7777;

/// Why a transfer was not carried out.
enum Stop {
    Failed(io::Error),
    Ended(How),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn how(result: Result<(), Stop>) -> How {
    match result {
        Ok(()) => How::Exit(0),
        Err(Stop::Failed(error)) => How::Failed(error.to_string()),
        Err(Stop::Ended(how)) => how,
    }
}

/// What an order means to any transfer that has no use for it.
fn ended_by(order: &Order) -> Option<How> {
    match order {
        Order::Signal(number) => Some(How::Signal(*number)),
        // The state knows why, and says so.
        Order::Abort => Some(How::Failed("it was given up".into())),
        Order::Allow(_) | Order::Input(_) | Order::InputEnd => None,
    }
}

fn next(line: &Line) -> Result<Order, Stop> {
    let order = line.orders.recv().unwrap_or(Order::Abort);
    ended_by(&order).map_or(Ok(order), |how| Err(Stop::Ended(how)))
}

pub(crate) fn put(path: &str, mode: u32, len: u64, line: &Line) -> How {
    let target = Path::new(path);
    let Some(name) = target.file_name() else {
        return How::Failed(format!("{path} names no file"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".farmhand-{}", line.id));
    let beside = target.with_file_name(hidden);
    let put = receive(&beside, mode, len, line).and_then(|()| Ok(settle(&beside, target)?));
    if put.is_err() {
        let _never_made = std::fs::remove_file(&beside);
    }
    how(put)
}

fn receive(beside: &Path, mode: u32, len: u64, line: &Line) -> Result<(), Stop> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let mut missing = len;
    while missing > 0 {
        match next(line)? {
            Order::Input(bytes) => {
                let more = |_| io::Error::other("more bytes came than were announced");
                missing = missing.checked_sub(bytes.len() as u64).ok_or(()).map_err(more)?;
                file.write_all(&bytes)?;
                line.input_taken(bytes.len());
            }
            Order::InputEnd => {
                return Err(io::Error::other(format!("{missing} bytes did not come")).into());
            }
            Order::Allow(_) | Order::Signal(_) | Order::Abort => {}
        }
    }
    // Not by the opening: that is under the umask.
    file.set_permissions(Permissions::from_mode(mode & MODE_MASK))?;
    Ok(file.sync_all()?)
}

fn settle(beside: &Path, target: &Path) -> io::Result<()> {
    std::fs::rename(beside, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf))?.sync_all()
}

pub(crate) fn get(path: &str, line: &Line) -> How {
    how(send(path, line))
}

fn send(path: &str, line: &Line) -> Result<(), Stop> {
    // A pipe that nobody writes to would be waited for without an end.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file").into());
    }
    let mut allowed = WINDOW;
    loop {
        while let Ok(order) = line.orders.try_recv() {
            allowed += allowance(order)?;
        }
        while allowed < chunk_cost(DATA_LEN_MAX) {
            allowed += allowance(next(line)?)?;
        }
        let mut bytes = vec![0; DATA_LEN_MAX];
        let read = file.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        bytes.truncate(read);
        allowed -= chunk_cost(read);
        line.output(Stream::Out, bytes);
    }
}

fn allowance(order: Order) -> Result<usize, Stop> {
    match order {
        Order::Allow(more) => Ok(more),
        other => ended_by(&other).map_or(Ok(0), |how| Err(Stop::Ended(how))),
    }
}
