//! A data phase on a thread of its own. What counts there is how soon a socket that can be written or read is, and that no
//! byte is copied more often than it must be; a thread that waits for nothing else does both better than a task.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::deadlines::SOURCE_STALL;
use super::pipe::{Moved, PipeError};
use super::source::stalled;

/// A thread looks this often whether anybody still waits for it.
const LOOK: Duration = Duration::from_millis(500);

/// And tells it this often how far it is: to be told costs a task more than a packet costs the thread.
const TELL: Duration = Duration::from_millis(50);

/// The task that the thread works for.
pub(super) struct Owner {
    moved: watch::Sender<u64>,
    told: Cell<Instant>,
}

impl Owner {
    /// Bytes that the device has taken so far.
    pub(super) fn moved(&self, bytes: u64) {
        let tell = self.told.get().elapsed() >= TELL;
        if tell {
            self.told.set(Instant::now());
        }
        self.moved.send_if_modified(|moved| {
            *moved = bytes;
            tell
        });
    }

    /// An error once nobody waits for this any more: nothing is sent then.
    pub(super) fn is_there(&self) -> Result<(), PipeError> {
        if self.moved.is_closed() { Err(PipeError::Broken) } else { Ok(()) }
    }

    /// Waits for a socket; what it is ready for, and nothing once `until` has passed.
    pub(super) fn wait(
        &self,
        socket: BorrowedFd<'_>,
        wanted: PollFlags,
        until: Instant,
    ) -> Result<PollFlags, PipeError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let slice = Timespec::try_from(left.min(LOOK)).ok();
            let mut sockets = [PollFd::from_borrowed_fd(socket, wanted)];
            match poll(&mut sockets, slice.as_ref()) {
                Ok(0) if left <= LOOK => return Ok(PollFlags::empty()),
                Ok(0) | Err(Errno::INTR) => self.is_there()?,
                Ok(_) => return Ok(sockets[0].revents()),
                Err(error) => return Err(PipeError::socket(&error.into())),
            }
        }
    }
}

/// Does it there. The thread has a deadline for all that it waits for but the source: where that hangs it is left behind.
/// Where this future is dropped, it ends with its next packet.
pub(super) async fn on_thread<T: Send + 'static>(
    stall: Duration,
    moved: &mut Moved<'_>,
    work: impl FnOnce(&Owner) -> T + Send + 'static,
) -> Result<T, PipeError> {
    let (tell, mut told) = watch::channel(0);
    let thread = spawn_blocking(move || work(&Owner { moved: tell, told: Cell::new(Instant::now()) }));
    // Until the thread lets go of its end.
    while timeout(stall + SOURCE_STALL, told.changed()).await.map_err(|_| stalled())?.is_ok() {
        moved(*told.borrow_and_update());
    }
    moved(*told.borrow());
    thread.await.map_err(|error| PipeError::Link(io::Error::from(error).to_string()))
}
