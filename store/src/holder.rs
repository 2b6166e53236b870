//! Who has the store open: a lock that is held on a file that says by whom.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

/// The lock and the name, in the store's folder.
pub(crate) const FILE: &str = "holder";
/// How long a lock is waited for that is held by a process that is just ending.
pub(crate) const HELD_WAIT: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile: a person does not notice it, and forty tries cost nothing.
pub(crate) const HELD_RETRY: Duration = Duration::from_millis(50);

/// A process that holds the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the system shows it.
    pub name: String,
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The lock. Let go when it is dropped, and with the process.
#[derive(Debug)]
pub(crate) struct Holder {
    _file: File,
}

impl Holder {
    /// Takes the lock of the store in `root`, waiting until `deadline` for one that is held.
    pub(crate) fn take(root: &Path, deadline: Instant) -> Result<Self, OpenError> {
        let path = root.join(FILE);
        let io = |what, error: &io::Error| OpenError::from(crate::backend::Fault::io(what, &path, error));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io("open", &error))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(HELD_RETRY);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(OpenError::Held { path: root.to_owned(), holder: who(&mut file) });
                }
                Err(errno) => return Err(io("lock", &errno.into())),
            }
        }
        sign(&mut file).map_err(|error| io("write", &error))?;
        Ok(Self { _file: file })
    }
}

/// Writes who we are. The start time tells us from a later process of the same id.
fn sign(file: &mut File) -> io::Result<()> {
    let pid = std::process::id();
    let line = format!("{pid} {} {}\n", start_time(pid).unwrap_or(0), name(pid).unwrap_or_default());
    file.rewind()?;
    file.write_all(line.as_bytes())?;
    file.set_len(line.len() as u64)
}

/// Who signed, if it still lives; otherwise who the system says has the lock.
fn who(file: &mut File) -> Option<Holding> {
    signed(file).or_else(|| locked(file))
}

fn signed(file: &mut File) -> Option<Holding> {
    let mut line = String::new();
    file.rewind().ok()?;
    file.take(256).read_to_string(&mut line).ok()?;
    let mut words = line.trim_end().splitn(3, ' ');
    let pid = words.next()?.parse().ok()?;
    let started: u64 = words.next()?.parse().ok()?;
    (start_time(pid)? == started).then(|| Holding { pid, name: words.next().unwrap_or_default().to_owned() })
}

/// From `/proc/locks`: `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF` (proc(5)).
fn locked(file: &File) -> Option<Holding> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks.lines().find(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|id| id.ends_with(&inode))
    })?;
    let pid = line.split_whitespace().nth(4)?.parse().ok()?;
    Some(Holding { pid, name: name(pid)? })
}

fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since boot (proc(5)). The name before it may hold spaces and brackets.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
