//! What is to be written to the port, one after the other, and who writes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use farmhand_messages::serial::PortError;
use ractor::RpcReplyPort;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// A port that takes not one byte for so long is stalled: 300 baud takes thirty a second.
const STALL: Duration = Duration::from_secs(3);
/// Writes that wait.
const WRITES_MAX: usize = 16;
/// A writer that wrote nothing for so long has gone, in microseconds.
const WRITER_STAYS_US: u64 = 60_000_000;

/// Who is to be told.
#[derive(Debug)]
pub(crate) enum Done {
    Borrower(oneshot::Sender<Result<(), PortError>>),
    Console(RpcReplyPort<Result<(), PortError>>),
}

impl Done {
    pub(crate) fn tell(self, how: Result<(), PortError>) {
        match self {
            Self::Borrower(done) => {
                let _nobody_waits = done.send(how);
            }
            Self::Console(reply) => {
                let _nobody_waits = reply.send(how);
            }
        }
    }
}

#[derive(Debug)]
struct Write {
    rest: Bytes,
    done: Done,
}

/// Writes in their order.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    queue: VecDeque<Write>,
    /// Until when the first must have gone on.
    until: Option<Instant>,
}

impl Writes {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What is to be written next.
    pub(crate) fn next(&self) -> Option<Bytes> {
        self.queue.front().map(|write| write.rest.clone())
    }

    pub(crate) fn push(&mut self, bytes: Bytes, done: Done) {
        if bytes.is_empty() {
            return done.tell(Ok(()));
        }
        if self.queue.len() >= WRITES_MAX {
            return done.tell(Err(PortError::Other(format!("{WRITES_MAX} writes wait already"))));
        }
        self.queue.push_back(Write { rest: bytes, done });
        self.until.get_or_insert_with(|| Instant::now() + STALL);
    }

    /// The system took so many bytes.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        if let Some(mut write) = self.queue.pop_front() {
            write.rest.advance(bytes);
            if write.rest.is_empty() {
                write.done.tell(Ok(()));
            } else {
                self.queue.push_front(write);
            }
        }
        self.until = (!self.queue.is_empty()).then(|| Instant::now() + STALL);
    }

    /// Waits until the first has stalled. Safe to cancel.
    pub(crate) async fn stalled(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Nothing more of what waits is written.
    pub(crate) fn fail(&mut self, error: &PortError) {
        self.until = None;
        self.queue.drain(..).for_each(|write| write.done.tell(Err(error.clone())));
    }
}

/// The one who writes to the console.
#[derive(Debug, Default)]
pub(crate) struct Writer(Option<(String, u64)>);

impl Writer {
    /// Makes `writer` the one who writes, or says who is.
    pub(crate) fn take(&mut self, writer: String, take: bool, mono_us: u64) -> Result<(), PortError> {
        match &self.0 {
            Some((other, at))
                if *other != writer && !take && mono_us.saturating_sub(*at) < WRITER_STAYS_US =>
            {
                Err(PortError::Taken { writer: other.clone() })
            }
            _ => {
                self.0 = Some((writer, mono_us));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_until_it_is_taken_over_or_gone() {
        let mut writer = Writer::default();
        assert_eq!(writer.take("a".into(), false, 0), Ok(()));
        assert_eq!(writer.take("a".into(), false, 1), Ok(()));
        assert_eq!(writer.take("b".into(), false, 2), Err(PortError::Taken { writer: "a".into() }));
        assert_eq!(writer.take("b".into(), true, 3), Ok(()));
        assert_eq!(writer.take("a".into(), false, 4), Err(PortError::Taken { writer: "b".into() }));
        assert_eq!(writer.take("a".into(), false, 3 + WRITER_STAYS_US), Ok(()));
    }
}
