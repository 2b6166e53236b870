//! The thread that decides.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use farmhand_agent_messages::{FromAgent, How, Stream, encode};

use crate::command::{self, Wake};
use crate::group::Group;
use crate::state::{Effect, Input, Order, State, Task};
use crate::{clock, complain, health, port, transfer};

/// Inputs that may wait. Whoever has one more waits, and the one who decides never does.
const INPUTS_MAX: usize = 64;
/// Of a thread, in bytes. None of ours goes deep; there may be 64 of them in a small guest.
const STACK_LEN: usize = 256 << 10;

/// What the thread that decides is told.
pub(crate) enum News {
    /// The port is open, and this is its writer, which is idle.
    Opened { connection: u64, writer: SyncSender<Vec<u8>> },
    /// The writer of this opening has written what it was given.
    Wrote { connection: u64 },
    /// There is nobody at the other end, or the opening is over.
    HostGone { connection: u64 },
    /// Of this opening, or of a command.
    Input(Input),
}

/// What a thread that does something for a command has in hand.
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) orders: Receiver<Order>,
    pub(crate) wake: Wake,
    news: SyncSender<News>,
}

impl Line {
    /// The agent ends where nobody decides any more, and this thread with it.
    fn tell(&self, input: Input) {
        let _agent_ends = self.news.send(News::Input(input));
    }

    pub(crate) fn output(&self, stream: Stream, bytes: Vec<u8>) {
        self.tell(Input::Output { id: self.id, stream, bytes });
    }

    pub(crate) fn input_taken(&self, len: usize) {
        self.tell(Input::Swallowed { id: self.id, len });
    }

    fn finished(&self, how: How) {
        self.tell(Input::Finished { id: self.id, how });
    }
}

/// How a command is ordered. What waits here is under its windows, so there is no other bound.
struct Orders {
    orders: Sender<Order>,
    wake: Wake,
}

struct Writer {
    connection: u64,
    frames: SyncSender<Vec<u8>>,
    idle: bool,
}

struct Server {
    state: State,
    news: SyncSender<News>,
    commands: HashMap<u64, Orders>,
    writer: Option<Writer>,
    group: Option<Group>,
}

/// Serves the port until the guest ends. What commands begin is in this group; none: what leaves theirs is not ended with them.
pub(crate) fn serve(port: PathBuf, group: Option<Group>) -> io::Result<()> {
    let (tell, news) = sync_channel(INPUTS_MAX);
    let state = State::new(health::random_id()?);
    let to_port = tell.clone();
    named("port").spawn(move || port::keep_open(&port, &to_port))?;
    let mut server = Server { state, news: tell, commands: HashMap::new(), writer: None, group };
    while let Ok(next) = news.recv() {
        server.take(next);
        server.say();
    }
    Ok(())
}

pub(crate) fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK_LEN)
}

impl Server {
    fn take(&mut self, news: News) {
        let is_ours = |writer: &Option<Writer>, connection| {
            writer.as_ref().is_some_and(|writer| writer.connection == connection)
        };
        match news {
            News::Opened { connection, writer } => {
                self.writer = Some(Writer { connection, frames: writer, idle: true });
                self.step(Input::HostGone);
            }
            News::Wrote { connection } if is_ours(&self.writer, connection) => {
                self.writer.iter_mut().for_each(|writer| writer.idle = true);
                self.step(Input::Said);
            }
            News::HostGone { connection } if is_ours(&self.writer, connection) => self.step(Input::HostGone),
            // Of an opening that is over.
            News::Wrote { .. } | News::HostGone { .. } => {}
            News::Input(input) => {
                if let Input::Finished { id, .. } = input {
                    self.commands.remove(&id);
                }
                self.step(input);
            }
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.state.step(input) {
            match effect {
                Effect::Start { id, task } => self.start(id, task),
                Effect::Order { id, order } => {
                    // One that has just ended needs none.
                    if let Some(command) = self.commands.get(&id)
                        && command.orders.send(order).is_ok()
                    {
                        command.wake.wake();
                    }
                }
                Effect::Measure { nonce } => self.state.measured(nonce, health::measure()),
                Effect::Sweep { now_us } => self.sweep(now_us),
            }
        }
    }

    /// A restore that leaves something running is none: it is tried until it is done.
    fn sweep(&mut self, now_us: u64) {
        // Who has a group has a guest for itself, whose clock is the snapshot's.
        if self.group.is_some() {
            clock::set_forward(now_us);
        }
        let Some(group) = self.group.clone().filter(|group| !group.is_swept()) else {
            return self.step(Input::Swept);
        };
        let news = self.news.clone();
        let swept = named("sweep").spawn(move || {
            group.sweep_until_done("the guest was restored");
            let _agent_ends = news.send(News::Input(Input::Swept));
        });
        if let Err(error) = swept {
            // No thread, so no memory: whoever waits for the acknowledgement hears that there is none.
            complain(&format!("cannot end what ran before a restore: {error}"));
        }
    }

    fn start(&mut self, id: u64, task: Task) {
        let started = Wake::new().and_then(|wake| {
            let (orders, of_command) = channel();
            let line = Line { id, orders: of_command, wake: wake.again()?, news: self.news.clone() };
            named("command").spawn(move || line.finished(carry_out(task, &line)))?;
            Ok(Orders { orders, wake })
        });
        match started {
            Ok(orders) => {
                self.commands.insert(id, orders);
            }
            Err(error) => self.step(Input::Finished { id, how: How::NotStarted(error.to_string()) }),
        }
    }

    fn say(&mut self) {
        let Some(writer) = self.writer.as_mut().filter(|writer| writer.idle) else { return };
        while let Some(message) = self.state.say() {
            // Greeted hosts may have been sent half a frame before, by this agent or by the one in the
            // snapshot.
            let mut frame = if matches!(message, FromAgent::Hello { .. }) { vec![0] } else { Vec::new() };
            let Ok(encoded) = encode(&message) else { continue };
            frame.extend(encoded);
            writer.idle = false;
            // An idle writer has room for one. If it has ended, its opening is over, and that is told too.
            let _ended = writer.frames.try_send(frame);
            return;
        }
    }
}

fn carry_out(task: Task, line: &Line) -> How {
    match task {
        Task::Run(command) => command::run(command, line),
        Task::Put { path, mode, len } => transfer::put(&path, mode, len, line),
        Task::Get { path } => transfer::get(&path, line),
    }
}
