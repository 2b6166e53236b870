//! stdout: where answers go, and nothing else.

use std::io::{self, StdoutLock, Write as _};
use std::sync::OnceLock;

/// Why stdout did not take all of the answer. One for the process, as stdout is.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes a part of the answer.
///
/// # Errors
/// It was not taken, and nothing more will be.
pub(crate) fn put(bytes: &[u8]) -> io::Result<()> {
    put_with(|out| out.write_all(bytes))
}

/// Writes a part of the answer, piece by piece.
///
/// # Errors
/// It was not taken, and nothing more will be.
pub(crate) fn put_with(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = write(&mut out).and_then(|()| out.flush());
    written.inspect_err(note)
}

/// Keeps why a part of the answer was not taken. Who has hung up (`| head`) wanted no more.
pub(crate) fn note(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        let _the_first_counts = LOST.set(same);
    }
}

/// Why a part of the answer was not taken, where somebody wanted it.
pub(crate) fn lost() -> Option<&'static io::Error> {
    LOST.get()
}
