//! A data phase to the device: one frame, as the tool people know sends it. It is read and sent by one thread, and so by one
//! core: what was just read is in its cache. (Sent by the kernel from the file, `sendfile`, it is not, and a peer that hashes
//! as it takes then waits for memory.)

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use farmhand_wire::fastboot::tcp::header;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::net::TcpStream;

use crate::fastboot::deadlines::QUIET;
use crate::fastboot::pipe::{Moved, PipeError};
use crate::fastboot::source::{Source, fill};
use crate::fastboot::thread::{Owner, on_thread};

/// Bytes of a frame's header, and of a reply's tag (AOSP, fastboot/README.md).
const FRAME_HEADER_LEN: usize = 8;
const TAG_LEN: usize = 4;
/// Bytes that are read at once: few enough to be in the processor's cache still when they are sent.
const CHUNK_LEN: usize = 256 << 10;

/// What the thread has.
struct Sender<'a> {
    /// It never waits by itself.
    socket: OwnedFd,
    owner: &'a Owner,
    /// The device has said something before the first byte.
    spoke: bool,
    sent: u64,
    len: u64,
    stall: Duration,
}

pub(super) async fn data_out(
    stream: &TcpStream,
    spoke: bool,
    source: Source,
    len: u64,
    stall: Duration,
    moved: &mut Moved<'_>,
) -> Result<(), PipeError> {
    let socket = stream.as_fd().try_clone_to_owned().map_err(|error| PipeError::socket(&error))?;
    on_thread(stall, moved, move |owner| Sender { socket, owner, spoke, sent: 0, len, stall }.run(source))
        .await?
}

impl Sender<'_> {
    fn run(mut self, mut source: Source) -> Result<(), PipeError> {
        self.all(&header(self.len), SendFlags::MORE)?;
        let mut chunk = vec![0; CHUNK_LEN];
        while self.sent < self.len {
            let part = usize::try_from(self.len - self.sent).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
            fill(&mut source, &mut chunk[..part], self.sent, self.len)?;
            let mut left = &chunk[..part];
            while !left.is_empty() {
                let took = self.bytes(left, SendFlags::empty())?;
                left = &left[took..];
                self.took(took);
            }
        }
        Ok(())
    }

    fn took(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.owner.moved(self.sent);
    }

    fn all(&mut self, mut bytes: &[u8], flags: SendFlags) -> Result<(), PipeError> {
        while !bytes.is_empty() {
            let took = self.bytes(bytes, flags)?;
            bytes = &bytes[took..];
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], flags: SendFlags) -> Result<usize, PipeError> {
        self.some(|sender| match send(&sender.socket, bytes, flags | SendFlags::NOSIGNAL) {
            Ok(0) => Err(PipeError::socket(&io::ErrorKind::WriteZero.into())),
            Ok(took) => Ok(Some(took)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(PipeError::socket(&error.into())),
        })
    }

    /// Tries until something was taken. A frame may be long and the device slow: what counts is that bytes go.
    fn some(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<usize>, PipeError>,
    ) -> Result<usize, PipeError> {
        let since = Instant::now();
        let until = since + self.stall;
        loop {
            self.owner.is_there()?;
            if let Some(took) = attempt(self)? {
                return Ok(took);
            }
            let wait = |wanted, until| self.owner.wait(self.socket.as_fd(), wanted, until);
            let mut ready = PollFlags::IN;
            if !self.spoke {
                ready = wait(PollFlags::OUT | PollFlags::IN, until)?;
            }
            if ready == PollFlags::IN {
                let patience = match self.peeked() {
                    Some(0) => return Err(PipeError::Gone("it closed the connection".into())),
                    // It tells how it goes, and listens.
                    Some(_) => self.stall,
                    // A device that says something else is not listening any more, and will hardly take another byte.
                    None => QUIET,
                };
                ready = wait(PollFlags::OUT, until.min(Instant::now() + patience))?;
            }
            if ready.is_empty() {
                return Err(PipeError::Stalled { moved: self.sent, len: self.len, after: since.elapsed() });
            }
        }
    }

    /// How much the device has said where it only tells how it goes (INFO, TEXT): none where it says anything else.
    fn peeked(&self) -> Option<usize> {
        let mut head = [0; FRAME_HEADER_LEN + TAG_LEN];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (len, _) = recv(&self.socket, &mut head[..], flags).ok()?;
        tells(&head[..len]).then_some(len)
    }
}

/// Whether these bytes, behind the last frame that was taken, only tell how it goes (INFO, TEXT), or are none.
pub(super) fn tells(bytes: &[u8]) -> bool {
    let tag = bytes.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + TAG_LEN);
    bytes.is_empty() || tag.is_some_and(|tag| tag == b"INFO" || tag == b"TEXT")
}
