//! A file that is read while it arrives: what unpacks it need not wait for its end. What was unpacked counts only
//! once all of it has arrived and its hash is right.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

#[derive(Debug, Default)]
struct Shared {
    length: AtomicU64,
    /// No more comes.
    whole: AtomicBool,
    /// What was read is not what is there any more.
    broken: AtomicBool,
}

/// Who tells how much has arrived. Dropped before the end, it breaks the reading off.
#[derive(Debug)]
pub(crate) struct Arrivals {
    shared: Arc<Shared>,
    // One token is enough: whoever takes it looks at all that is shared.
    wake: mpsc::Sender<()>,
}

impl Arrivals {
    /// There are that many bytes.
    pub(super) fn reached(&self, length: u64) {
        self.shared.length.store(length, Ordering::Release);
        let _awake_already = self.wake.try_send(());
    }

    /// It begins again, with other bytes perhaps.
    pub(super) fn broken(&self) {
        self.shared.broken.store(true, Ordering::Release);
        let _awake_already = self.wake.try_send(());
    }

    /// All of it is there.
    pub(super) fn whole(&self) {
        self.shared.whole.store(true, Ordering::Release);
        let _awake_already = self.wake.try_send(());
    }
}

/// Reads a file that grows; waits, in a thread, for what is not there yet.
#[derive(Debug)]
pub(crate) struct Growing {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    shared: Arc<Shared>,
    wake: mpsc::Receiver<()>,
}

/// The two ends of a file that arrives at `path`.
pub(crate) fn growing(path: PathBuf) -> (Arrivals, Growing) {
    let (sender, wake) = mpsc::channel(1);
    let shared = Arc::<Shared>::default();
    (Arrivals { shared: shared.clone(), wake: sender }, Growing { path, file: None, at: 0, shared, wake })
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let broken = || io::Error::other("it begins again");
        loop {
            // Before the length: what comes after the end was told is seen by the next look.
            let whole = self.shared.whole.load(Ordering::Acquire);
            let length = self.shared.length.load(Ordering::Acquire);
            if self.shared.broken.load(Ordering::Acquire) {
                return Err(broken());
            }
            if self.at < length {
                let file = match &mut self.file {
                    Some(file) => file,
                    none => none.insert(File::open(&self.path)?),
                };
                let most = usize::try_from(length - self.at).unwrap_or(usize::MAX).min(buffer.len());
                let count = file.read(&mut buffer[..most])?;
                self.at += count as u64;
                return if count == 0 && most > 0 { Err(broken()) } else { Ok(count) };
            }
            if whole {
                return Ok(0);
            }
            // Its other end is dropped at the latest when the download is given up.
            if self.wake.blocking_recv().is_none() && !self.shared.whole.load(Ordering::Acquire) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reads_what_arrives_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let mut file = File::create(&path).unwrap();
        let (arrivals, mut growing) = growing(path);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            growing.read_to_end(&mut all).map(|_| all)
        });
        for piece in [b"one", b"two"] {
            file.write_all(piece).unwrap();
            let length = file.metadata().unwrap().len();
            arrivals.reached(length);
        }
        // Written, and not told: it is not to be read.
        file.write_all(b"not told").unwrap();
        arrivals.whole();
        drop(arrivals);
        assert_eq!(reader.join().unwrap().unwrap(), b"onetwo");
    }

    #[test]
    fn breaks_off_where_it_begins_again_or_is_given_up() {
        let (arrivals, mut one) = growing("/nowhere".into());
        arrivals.broken();
        assert!(one.read(&mut [0; 8]).is_err());
        let (arrivals, mut other) = growing("/nowhere".into());
        drop(arrivals);
        assert_eq!(other.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
