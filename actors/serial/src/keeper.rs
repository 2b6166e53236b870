//! A duplicate of an open port's descriptor, kept by the supervisor: a serial actor that is restarted closes nothing,
//! and goes on reading what waits in the kernel.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serialport::TTYPort;
use tokio::sync::watch;

/// Where the serial actor of one device deposits a duplicate of its port. Made once a device; given to each
/// incarnation of its serial actor. Dropping the last clone closes a port that nobody uses.
#[derive(Debug, Clone)]
pub struct PortKeeper(watch::Sender<Option<Arc<Kept>>>);

/// A port that is kept open.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) port: TTYPort,
    pub(crate) path: PathBuf,
    /// Opening it may have reset the device.
    pub(crate) may_have_reset: bool,
    /// There are modem lines.
    pub(crate) has_lines: bool,
    /// What that means for the epoch is recorded: a successor may go on reading.
    begun: AtomicBool,
}

impl Default for PortKeeper {
    fn default() -> Self {
        Self::new()
    }
}

impl PortKeeper {
    /// It keeps nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// A port is kept open.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.0.borrow().is_some()
    }

    pub(crate) fn put(&self, kept: Arc<Kept>) {
        self.0.send_replace(Some(kept));
    }

    pub(crate) fn get(&self) -> Option<Arc<Kept>> {
        self.0.borrow().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.send_replace(None);
    }
}

impl Kept {
    pub(crate) fn new(port: TTYPort, path: PathBuf, may_have_reset: bool, has_lines: bool) -> Self {
        Self { port, path, may_have_reset, has_lines, begun: AtomicBool::new(false) }
    }

    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}
