//! Stdin and stdout without a lock and without a buffer of their own, for whoever passes bytes on.

use std::io;
use std::os::fd::AsFd;

use tokio::fs::File;

/// Stdin. A read runs in a thread and cannot be woken: what it read is kept for the next one.
pub(crate) fn stdin() -> io::Result<File> {
    of(io::stdin())
}

/// Stdout.
pub(crate) fn stdout() -> io::Result<File> {
    of(io::stdout())
}

fn of(stream: impl AsFd) -> io::Result<File> {
    let duplicate = stream.as_fd().try_clone_to_owned()?;
    Ok(File::from_std(std::fs::File::from(duplicate)))
}
