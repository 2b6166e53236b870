//! A command: its process, and one thread that moves what goes in and comes out of it.
//!
//! A command is over when its first process is. What its pipes hold then is still told; a child that it left
//! behind and that holds them without a word is not waited for. The first process is reaped at the very end,
//! so that its number, which is its group's too, is nobody else's as long as signals may be sent there.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use farmhand_agent_messages::{Command, DATA_LEN_MAX, How, Stream, WINDOW, chunk_cost};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::serve::Line;
use crate::state::Order;

/// Between SIGTERM and SIGKILL for a command that has taken its time.
const TERM_TO_KILL: Duration = Duration::from_secs(2);
/// For what a command's children still say when it has ended itself, counted from their last word.
const QUIET_AFTER: Duration = Duration::from_millis(200);
/// Between two looks at what Linux does not tell of: a child, before 5.3, or a program that is still being
/// written.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How often a program that somebody still has open for writing is tried again, each after [`LOOK_AGAIN`].
const BUSY_TIMES: u32 = 25;

/// Ends the waiting of a thread that waits for descriptors.
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// A counter that is full has been set, and wakes as well.
    pub(crate) fn wake(&self) {
        let _full = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn clear(&self) {
        let _was_not_set = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// One of the two pipes from a command.
struct Pipe {
    stream: Stream,
    file: Option<std::fs::File>,
}

impl Pipe {
    fn new(stream: Stream, pipe: Option<impl Into<OwnedFd>>) -> io::Result<Self> {
        let file = pipe.map(|pipe| std::fs::File::from(pipe.into()));
        if let Some(file) = &file {
            rustix::io::ioctl_fionbio(file, true)?;
        }
        Ok(Self { stream, file })
    }

    /// One piece, if there is one. A pipe that has come to its end is closed.
    fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; DATA_LEN_MAX];
        match self.file.as_mut()?.read(&mut bytes) {
            Ok(read) if read > 0 => {
                bytes.truncate(read);
                Some(bytes)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                None
            }
            Ok(_) | Err(_) => {
                self.file = None;
                None
            }
        }
    }
}

struct Mover<'a> {
    line: &'a Line,
    child: Child,
    group: Pid,
    /// Readable when the child has ended.
    ended: Option<OwnedFd>,
    pipes: [Pipe; 2],
    stdin: Option<ChildStdin>,
    input: VecDeque<Vec<u8>>,
    input_ends: bool,
    /// What may be said before the host has credited more.
    allowed: usize,
    deadline: Option<Instant>,
    timed_out: bool,
    aborted: bool,
    /// The child has ended, and its pipes were last heard at.
    quiet_since: Option<Instant>,
}

pub(crate) fn run(command: Command, line: &Line) -> How {
    match Mover::begin(&command, line) {
        Ok(mover) => mover.run(),
        Err(error) => How::NotStarted(match command.argv.first() {
            Some(program) => format!("{program}: {error}"),
            None => error.to_string(),
        }),
    }
}

impl<'a> Mover<'a> {
    fn begin(command: &Command, line: &'a Line) -> io::Result<Self> {
        let nothing = || io::Error::new(io::ErrorKind::InvalidInput, "no program is named");
        let (program, arguments) = command.argv.split_first().ok_or_else(nothing)?;
        let mut child = std::process::Command::new(program);
        child.args(arguments).envs(command.env.iter().map(|(name, value)| (name, value))).process_group(0);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(cwd) = &command.cwd {
            child.current_dir(cwd);
        }
        let deadline =
            command.timeout_ms.and_then(|timeout| Instant::now().checked_add(Duration::from_millis(timeout)));
        let mut child = spawn(&mut child)?;
        let group = Pid::from_child(&child);
        let pipes =
            [Pipe::new(Stream::Out, child.stdout.take())?, Pipe::new(Stream::Err, child.stderr.take())?];
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        Ok(Self {
            line,
            child,
            group,
            ended: pidfd_open(group, PidfdFlags::empty()).ok(),
            pipes,
            stdin,
            input: VecDeque::new(),
            input_ends: false,
            allowed: WINDOW,
            deadline,
            timed_out: false,
            aborted: false,
            quiet_since: None,
        })
    }

    fn run(mut self) -> How {
        loop {
            self.obey();
            self.feed();
            if self.is_over() {
                return self.reap();
            }
            self.wait();
            self.line.wake.clear();
            self.listen();
            self.look_at_child();
            self.look_at_clock();
        }
    }

    fn obey(&mut self) {
        loop {
            match self.line.orders.try_recv() {
                Ok(Order::Allow(more)) => {
                    self.allowed += more;
                    self.quiet_since = self.quiet_since.map(|_| Instant::now());
                }
                Ok(Order::Input(bytes)) => self.input.push_back(bytes),
                Ok(Order::InputEnd) => self.input_ends = true,
                Ok(Order::Signal(number)) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        self.signal(signal);
                    }
                }
                Ok(Order::Abort) | Err(TryRecvError::Disconnected) => {
                    if !std::mem::replace(&mut self.aborted, true) {
                        self.signal(Signal::KILL);
                    }
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let _nobody_left = kill_process_group(self.group, signal);
    }

    /// Gives the command what it takes now. What it will never take is told as taken: nobody is to wait for
    /// it.
    fn feed(&mut self) {
        let mut taken = 0;
        while let Some(first) = self.input.front_mut() {
            let Some(stdin) = &mut self.stdin else {
                taken += first.len();
                self.input.pop_front();
                continue;
            };
            match stdin.write(first) {
                Ok(wrote) => {
                    taken += wrote;
                    first.drain(..wrote);
                    if first.is_empty() {
                        self.input.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.stdin = None,
            }
        }
        if self.input_ends && self.input.is_empty() {
            self.stdin = None;
        }
        if taken > 0 {
            self.line.input_taken(taken);
        }
    }

    /// Only whole pieces are read, so that a window that is nearly full is not spent on crumbs.
    fn may_listen(&self) -> bool {
        self.allowed >= chunk_cost(DATA_LEN_MAX)
    }

    fn wait(&self) {
        let mut waited = vec![PollFd::from_borrowed_fd(self.line.wake.0.as_fd(), PollFlags::IN)];
        let mut add = |fd, flags| waited.push(PollFd::from_borrowed_fd(fd, flags));
        if self.may_listen() {
            for file in self.pipes.iter().filter_map(|pipe| pipe.file.as_ref()) {
                add(file.as_fd(), PollFlags::IN);
            }
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| !self.input.is_empty()) {
            add(stdin.as_fd(), PollFlags::OUT);
        }
        if let Some(ended) = self.ended.as_ref().filter(|_| self.quiet_since.is_none()) {
            add(ended.as_fd(), PollFlags::IN);
        }
        let timeout = self.next_look().map(|left| Timespec::try_from(left).unwrap_or_default());
        // Interrupted: looked at again.
        let _ready = poll(&mut waited, timeout.as_ref());
    }

    fn next_look(&self) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let clock = self.deadline.map(until);
        let quiet = self.quiet_since.filter(|_| self.may_listen()).map(|since| until(since + QUIET_AFTER));
        let look = (self.ended.is_none() && self.quiet_since.is_none()).then_some(LOOK_AGAIN);
        clock.into_iter().chain(quiet).chain(look).min()
    }

    fn listen(&mut self) {
        for at in 0..self.pipes.len() {
            if !self.may_listen() {
                return;
            }
            let Some(bytes) = self.pipes[at].read() else { continue };
            self.quiet_since = self.quiet_since.map(|_| Instant::now());
            if !self.aborted {
                self.allowed -= chunk_cost(bytes.len());
                self.line.output(self.pipes[at].stream, bytes);
            }
        }
    }

    fn look_at_child(&mut self) {
        if self.quiet_since.is_some() {
            return;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(Some(_)) = waitid(WaitId::Pid(self.group), options) {
            self.quiet_since = Some(Instant::now());
        }
    }

    fn look_at_clock(&mut self) {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            // One that has ended in time has; what it left behind and that goes on saying something has not.
            if self.quiet_since.is_some() || std::mem::replace(&mut self.timed_out, true) {
                self.signal(Signal::KILL);
                self.deadline = None;
            } else {
                self.signal(Signal::TERM);
                self.deadline = Some(Instant::now() + TERM_TO_KILL);
            }
        }
    }

    fn is_over(&self) -> bool {
        let Some(since) = self.quiet_since else { return false };
        let closed = self.pipes.iter().all(|pipe| pipe.file.is_none());
        // With no credit nothing is read, and that nothing was read proves nothing.
        self.aborted || closed || (self.may_listen() && since.elapsed() >= QUIET_AFTER)
    }

    fn reap(mut self) -> How {
        if self.timed_out || self.aborted {
            self.signal(Signal::KILL);
        }
        let status = self.child.wait();
        if self.timed_out {
            return How::TimedOut;
        }
        status.map_or_else(|error| How::Failed(error.to_string()), how)
    }
}

/// A file that was put is held open for a moment by each child that was begun meanwhile, until that has
/// become its own program; and what is open for writing cannot be executed.
fn spawn(command: &mut std::process::Command) -> io::Result<Child> {
    for _ in 0..BUSY_TIMES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(LOOK_AGAIN),
            spawned => return spawned,
        }
    }
    command.spawn()
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exit(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    }
}
