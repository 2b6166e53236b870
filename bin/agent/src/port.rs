//! The port: opened again and again, read by one thread and written by another.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::sleep;
use std::time::Duration;

use farmhand_agent_messages::{Decoder, ToAgent};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};

use crate::serve::{News, named};
use crate::state::Input;

/// Between two looks at a port that has nobody at its other end. A host greets each 100 ms.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// What one read takes at most, in bytes.
const READ_LEN: usize = 32 << 10;

/// Whoever decides has gone, and with it the agent.
struct AgentEnds;

/// An open port. A socket can be told apart, for it is over when it has been read to its end; a device is
/// not.
struct Port {
    file: File,
    socket: Option<UnixStream>,
}

impl Port {
    fn open(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.file_type().is_socket() {
            let socket = UnixStream::connect(path)?;
            let file = File::from(OwnedFd::from(socket.try_clone()?));
            return Ok(Self { file, socket: Some(socket) });
        }
        // Not our controlling terminal, should it be one: std asks for O_CLOEXEC only.
        let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
        let file = options.read(true).write(true).open(path)?;
        if isatty(&file) {
            let mut terminal = tcgetattr(&file)?;
            terminal.make_raw();
            tcsetattr(file.as_fd(), OptionalActions::Now, &terminal)?;
        }
        Ok(Self { file, socket: None })
    }

    /// Lets the writer go that may be stuck in it.
    fn over(&self) {
        if let Some(socket) = &self.socket {
            let _not_connected = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Keeps the port open, and tells what comes, until the agent ends.
pub(crate) fn keep_open(path: &Path, news: &SyncSender<News>) {
    let mut connection = 0;
    loop {
        connection += 1;
        match Port::open(path).and_then(|port| Ok((begin_writer(&port, connection, news)?, port))) {
            Ok((writer, port)) => {
                if news.send(News::Opened { connection, writer }).is_err() {
                    return;
                }
                let ended = read(&port, connection, news);
                port.over();
                let told = news.send(News::HostGone { connection });
                if ended.is_err() || told.is_err() {
                    return;
                }
            }
            // The device comes with its driver, and the socket with its host.
            Err(_not_there) => {}
        }
        sleep(AGAIN_AFTER);
    }
}

fn begin_writer(port: &Port, connection: u64, news: &SyncSender<News>) -> io::Result<SyncSender<Vec<u8>>> {
    let file = port.file.try_clone()?;
    let (writer, frames) = sync_channel(1);
    let news = news.clone();
    named("writer").spawn(move || write(file, connection, &frames, &news))?;
    Ok(writer)
}

fn write(mut file: File, connection: u64, frames: &Receiver<Vec<u8>>, news: &SyncSender<News>) {
    for frame in frames {
        let wrote = write_all(&mut file, &frame);
        let told = match wrote {
            Ok(()) => news.send(News::Wrote { connection }),
            Err(_) => news.send(News::HostGone { connection }),
        };
        if wrote.is_err() || told.is_err() {
            return;
        }
    }
}

/// A frame, whole: a device that has nobody at its other end may refuse it for a while.
fn write_all(file: &mut File, frame: &[u8]) -> io::Result<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => sleep(AGAIN_AFTER),
            Ok(wrote) => rest = &rest[wrote..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN_AFTER),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the opening is over.
fn read(port: &Port, connection: u64, news: &SyncSender<News>) -> Result<(), AgentEnds> {
    let mut decoder = Decoder::<ToAgent>::default();
    let mut chunk = vec![0; READ_LEN];
    let mut told_gone = false;
    loop {
        match (&port.file).read(&mut chunk) {
            // A virtio port says so as long as no host has it open, at once: it is looked at again after a
            // while. It is not closed, for what the host then sends would be lost.
            Ok(0) if port.socket.is_none() => {
                if !std::mem::replace(&mut told_gone, true) {
                    news.send(News::HostGone { connection }).map_err(|_| AgentEnds)?;
                }
                sleep(AGAIN_AFTER);
            }
            Ok(0) => return Ok(()),
            Ok(read) => {
                told_gone = false;
                let mut rest = &chunk[..read];
                while let Some(next) = decoder.next(&mut rest) {
                    let input = next.map_or(Input::BadFrame, Input::Heard);
                    news.send(News::Input(input)).map_err(|_| AgentEnds)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => sleep(AGAIN_AFTER),
            Err(_) => return Ok(()),
        }
    }
}
