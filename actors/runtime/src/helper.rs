//! A child process with an owner: a compiler, a client of packages, a flasher.
//!
//! It runs in its own process group, has a deadline, and ends with us: on drop its whole group is killed, and if we
//! are killed the kernel kills it (the death signal follows the thread that made it, so all are made by one thread
//! that lives as long as the process).

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::gettid;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::parent_death::end_with_us;

/// How much of what a helper prints is kept, in bytes, of each stream: a compiler's worst is below 1 MiB.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Between two looks whether there are any left.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// For the thread that makes children; a child that is being made waits here.
const SPAWN_QUEUE: usize = 64;
/// What a program printed before its end is there to be read; who left its group may hold its streams for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process, so that its number is not mistaken for another's that came later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (proc(5), `stat` field 22).
    pub start: u64,
}

impl ProcessId {
    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        process_start(self.pid) == Some(self.start)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)
    }
}

/// When a process started, in clock ticks since boot; `None` where there is none, or only its zombie.
#[must_use]
pub fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// Why a helper did not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HelperError {
    /// There is no such program.
    #[error("{program} is not there")]
    Missing {
        /// As it was asked for.
        program: String,
    },
    /// It could not be started.
    #[error("start {program}: {source}")]
    Start {
        /// As it was asked for.
        program: String,
        /// The system's words.
        source: io::Error,
    },
    /// It took too long, and was ended.
    #[error("{program} did not end within {} s, and was ended", .deadline.as_secs())]
    Deadline {
        /// As it was asked for.
        program: String,
        /// How long it had.
        deadline: Duration,
    },
    /// What it printed could not be read.
    #[error("read what {program} prints: {source}")]
    Read {
        /// As it was asked for.
        program: String,
        /// The system's words.
        source: io::Error,
    },
}

/// How a helper ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it printed to its standard output.
    pub stdout: Vec<u8>,
    /// What it printed to its standard error.
    pub stderr: Vec<u8>,
}

/// Helpers that are being made, or were and have not ended.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// The process ends: none is made any more.
static NO_MORE: AtomicBool = AtomicBool::new(false);

/// The number of the thread that makes them.
static MAKER: AtomicI32 = AtomicI32::new(0);

/// One of them, as long as it is there.
#[derive(Debug)]
struct Alive;

impl Alive {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has no more helpers made, and waits until all have ended, or were dropped and so ended: a process that ends before that leaves
/// some behind, for threads that still end may start and own one. False where it takes longer. Blocks; it is for the end of a process.
#[must_use]
pub fn end_helpers(deadline: Duration) -> bool {
    NO_MORE.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while ALIVE.load(Ordering::SeqCst) > 0 {
        if began.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    end_unowned();
    true
}

/// Ends the groups of children that nobody owns: one that was started while its runtime ended is told as an error, and runs.
fn end_unowned() {
    let maker = MAKER.load(Ordering::SeqCst);
    // Where the kernel does not tell, there is nothing more that could be done (proc(5), `task/[tid]/children`).
    let children = std::fs::read_to_string(format!("/proc/self/task/{maker}/children")).unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ended_already = kill_process_group(pid, Signal::KILL);
    }
}

/// A child process. Dropped, its whole process group is killed.
#[derive(Debug)]
pub struct Helper {
    // Its release is its drop, behind that of the group.
    _alive: Alive,
    program: String,
    child: Child,
    group: Option<Pid>,
}

/// A whole helper: where nobody waits for it any more, it is dropped, and its group ends with it.
type Made = oneshot::Sender<io::Result<Helper>>;

/// A helper that is to be made.
struct Order {
    command: Command,
    runtime: Handle,
    made: Made,
    alive: Alive,
}

/// The thread that makes all children of this process.
fn maker() -> &'static mpsc::Sender<Order> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    ORDERS.get_or_init(|| {
        let (sender, mut orders) = mpsc::channel::<Order>(SPAWN_QUEUE);
        let make = move || {
            MAKER.store(gettid().as_raw_nonzero().get(), Ordering::SeqCst);
            while let Some(Order { mut command, runtime, made, alive }) = orders.blocking_recv() {
                // Nobody wants it any more.
                if made.is_closed() || NO_MORE.load(Ordering::SeqCst) {
                    continue;
                }
                let _in_runtime = runtime.enter();
                let _nobody_waits = made.send(Helper::make(&mut command, alive));
            }
        };
        std::thread::Builder::new()
            .name("farmhand-spawn".into())
            .spawn(make)
            .expect("a process that cannot start one thread cannot go on");
        sender
    })
}

impl Helper {
    /// Starts a program. Its standard streams are what `command` says.
    pub async fn start(mut command: Command) -> Result<Self, HelperError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.process_group(0).kill_on_drop(true);
        end_with_us(&mut command);
        let (made, helper) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts programs is gone");
        let order = Order { command, runtime: Handle::current(), made, alive: Alive::new() };
        let helper = match maker().send(order).await {
            Ok(()) => helper.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        helper.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => HelperError::Missing { program },
            _ => HelperError::Start { program, source },
        })
    }

    fn make(command: &mut Command, alive: Alive) -> io::Result<Self> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let child = command.spawn()?;
        let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(Self { _alive: alive, program, child, group })
    }

    /// Runs a program to its end, with no input, and takes what it prints.
    pub async fn run(mut command: Command, deadline: Duration) -> Result<Ended, HelperError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut helper = Self::start(command).await?;
        let stdout = helper.child.stdout.take();
        let stderr = helper.child.stderr.take();
        let (mut printed, mut errors, mut read) = (Vec::new(), Vec::new(), Ok(()));
        let reading = async {
            let both = tokio::try_join!(read_all(stdout, &mut printed), read_all(stderr, &mut errors));
            read = both.map(drop);
        };
        let status = helper.wait_reading(reading, deadline).await?;
        read.map_err(|source| HelperError::Read { program: helper.program.clone(), source })?;
        Ok(Ended { status, stdout: printed, stderr: errors })
    }

    /// The child itself, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end.
    pub async fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, HelperError> {
        self.wait_reading(std::future::ready(()), deadline).await
    }

    /// Waits for its end while its streams are read. What it began ends with it: whoever left its group, and holds the streams
    /// still, is waited for no longer.
    pub async fn wait_reading(
        &mut self,
        reading: impl Future<Output = ()>,
        deadline: Duration,
    ) -> Result<ExitStatus, HelperError> {
        let mut reading = std::pin::pin!(reading);
        let work = async {
            let (status, is_read) = tokio::select! {
                () = &mut reading => (self.child.wait().await, true),
                status = self.child.wait() => (status, false),
            };
            self.end_group();
            if !is_read {
                let _another_holds_them = timeout(LAST_WORDS, reading).await;
            }
            status
        };
        match timeout(deadline, work).await {
            Ok(Ok(status)) => {
                self.group = None;
                Ok(status)
            }
            Ok(Err(source)) => Err(HelperError::Read { program: self.program.clone(), source }),
            Err(_) => Err(HelperError::Deadline { program: self.program.clone(), deadline }),
        }
    }

    fn end_group(&self) {
        if let Some(group) = self.group {
            let _ended_already = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end_group();
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) -> io::Result<()> {
    if let Some(stream) = stream {
        let mut stream = stream.take(OUTPUT_BYTES_MAX as u64);
        stream.read_to_end(bytes).await?;
        // What is beyond the bound is read and dropped: a full pipe would stop the helper.
        tokio::io::copy(&mut stream.into_inner(), &mut tokio::io::sink()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn takes_output_and_status() {
        let ended = Helper::run(shell("echo out; echo err >&2; exit 3"), LONG).await.unwrap();
        assert_eq!(ended.stdout, b"out\n");
        assert_eq!(ended.stderr, b"err\n");
        assert_eq!(ended.status.code(), Some(3));
    }

    #[tokio::test]
    async fn what_it_leaves_behind_is_not_waited_for() {
        let ended = Helper::run(shell("echo out; sleep 600 & exit 3"), LONG).await.unwrap();
        assert_eq!((ended.stdout, ended.status.code()), (b"out\n".to_vec(), Some(3)));
        // Nor one that has left the group, and holds the streams still.
        let ended = Helper::run(shell("echo out; setsid sleep 40 & exit 4"), LONG).await.unwrap();
        assert_eq!((ended.stdout, ended.status.code()), (b"out\n".to_vec(), Some(4)));
    }

    #[tokio::test]
    async fn names_a_program_that_is_not_there() {
        let error = Helper::run(Command::new("farmhand-no-such-program"), LONG).await.unwrap_err();
        assert!(matches!(error, HelperError::Missing { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_deadline_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let error = Helper::run(shell(&script), Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, HelperError::Deadline { .. }), "{error}");
        let pid: u32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + LONG;
        while process_start(pid).is_some() {
            assert!(Instant::now() < until, "the grandchild lives");
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn knows_itself() {
        let pid = std::process::id();
        let start = process_start(pid).unwrap();
        assert!(ProcessId { pid, start }.is_alive());
        assert!(!ProcessId { pid, start: start + 1 }.is_alive());
    }
}
