//! A reader that gives no more than it is allowed to: an archive's headers are read into memory before anybody can
//! judge them, and may claim any length.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Bytes that may be read yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// From now on, this many.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

pub(crate) struct Metered<R> {
    pub(crate) inner: R,
    pub(crate) allowance: Allowance,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.0.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("more bytes than are allowed"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.allowance.0.set(left - count as u64);
        Ok(count)
    }
}
