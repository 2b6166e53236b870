//! A wire that counts: a pseudo terminal of its own, and every byte passed on to the board's line and back.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::Said;
use crate::Failure;

/// Between two looks whether it is to end, in nanoseconds.
const LOOK_NS: i64 = 5_000_000;

/// A relay that runs.
pub(crate) struct Relay {
    end: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Said>>,
}

impl Relay {
    /// Before the board's line, which it opens: the path for an uploader.
    pub(crate) fn start(line: &Path) -> Result<(Self, PathBuf), Failure> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string()?);
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = open(line, flags, Mode::empty())?;
        for fd in [&master, &line] {
            let mut termios = tcgetattr(fd)?;
            termios.make_raw();
            tcsetattr(fd, OptionalActions::Now, &termios)?;
        }
        let end = Arc::new(AtomicBool::new(false));
        let ending = end.clone();
        let (master, line) = (File::from(master), File::from(line));
        let thread = std::thread::spawn(move || pass(&master, &line, &ending));
        Ok((Self { end, thread }, path))
    }

    /// Lets go of the line: what was passed.
    pub(crate) fn end(self) -> Result<Said, Failure> {
        self.end.store(true, Ordering::Release);
        Ok(self.thread.join().map_err(|_| "the relay panicked")??)
    }
}

fn pass(mut master: &File, mut line: &File, end: &AtomicBool) -> std::io::Result<Said> {
    let mut said = Said { to_board: 0, from_board: 0 };
    let mut buffer = [0; 4096];
    let look = Timespec { tv_sec: 0, tv_nsec: LOOK_NS };
    while !end.load(Ordering::Acquire) {
        let mut polled = [PollFd::new(master, PollFlags::IN), PollFd::new(line, PollFlags::IN)];
        poll(&mut polled, Some(&look))?;
        let [from_host, from_board] = polled.map(|fd| fd.revents());
        if from_host.contains(PollFlags::IN) {
            let bytes = taken(master.read(&mut buffer))?;
            line.write_all(&buffer[..bytes])?;
            said.to_board += bytes as u64;
        } else if from_host.contains(PollFlags::HUP) {
            // The uploader has not opened it yet, or has left.
            std::thread::sleep(std::time::Duration::from_nanos(LOOK_NS as u64));
        }
        if from_board.contains(PollFlags::IN) {
            let bytes = taken(line.read(&mut buffer))?;
            master.write_all(&buffer[..bytes])?;
            said.from_board += bytes as u64;
        }
    }
    Ok(said)
}

/// A terminal whose other end is closed just now has nothing to say.
fn taken(read: std::io::Result<usize>) -> std::io::Result<usize> {
    match read {
        Err(error)
            if error.kind() == ErrorKind::Interrupted
                || rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::IO) =>
        {
            Ok(0)
        }
        other => other,
    }
}
