//! QEMU's monitor: one task owns the connection; whoever holds a [`Monitor`] asks it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use farmhand_runtime::mono_us;
use farmhand_wire::qmp::{
    Answer, Client, ClientError, Command, Event, Failure, Fed, Greeting, Heard, Id, SendError,
};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// For the greeting, and the negotiation behind it. A second client is connected and hears nothing.
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// For the answer to a command: QEMU answers between two blocks of the guest's code; it may be busy with its disks.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// For QEMU to take a command of a few hundred bytes.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Commands that may wait for the task.
const ASKED_MAX: usize = 8;
/// Events that may wait for the owner; QEMU says few, and a guest that resets over and over is told of in its state too.
const NEWS_MAX: usize = 64;
/// Bytes that one read takes at most.
const READ_LEN: usize = 16 << 10;

/// A connection's number is a time, in this unit: it grows over the ends of farms as it must (see [`Client::new`]), and no
/// QEMU outlives the machine's boot, from which it is counted. In 32 bits there is room for 497 days.
const NUMBER_US: u64 = 10_000;

/// The last connection's number in this process.
static CONNECTION: AtomicU32 = AtomicU32::new(0);

fn next_connection() -> u32 {
    let now = u32::try_from(mono_us() / NUMBER_US).unwrap_or(u32::MAX);
    let next = |last: u32| Some(now.max(last.saturating_add(1)));
    let last = CONNECTION.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    last.ok().and_then(next).unwrap_or(now)
}

/// Why QEMU did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// Nobody listens there, or it went away.
    #[error("its monitor: {0}")]
    Gone(String),
    /// It does not answer. Whether it was done is not known.
    #[error("its monitor does not answer {command} within {} s", within.as_secs())]
    Silent {
        /// What it was asked; nothing: to greet.
        command: &'static str,
        /// How long it had.
        within: Duration,
    },
    /// It says what no monitor says.
    #[error("its monitor: {0}")]
    Nonsense(#[from] ClientError),
    /// It is not asked now.
    #[error("its monitor: {0}")]
    NotAsked(#[from] SendError),
    /// Its machine is being saved, and it is not asked now.
    #[error("its machine is being saved")]
    Saving,
    /// It refused, or answered something else.
    #[error("{command}: {failure}")]
    Failed {
        /// What it was asked.
        command: &'static str,
        /// Its words.
        failure: Failure,
    },
}

/// What QEMU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This has happened.
    Event(Event),
    /// The connection is over, and why. Nothing follows.
    Over(String),
}

type Reply = oneshot::Sender<Result<Answer, MonitorError>>;

/// A connection to the monitor. It ends with the last of these.
#[derive(Debug, Clone)]
pub struct Monitor {
    ask: mpsc::Sender<(Command, Reply)>,
    /// Which QEMU it is.
    pub greeting: Greeting,
}

impl Monitor {
    /// Connects, is greeted, and leaves the mode in which nothing else is allowed.
    pub async fn connect(path: &Path) -> Result<(Self, mpsc::Receiver<News>), MonitorError> {
        let gone = |error: io::Error| MonitorError::Gone(error.to_string());
        let stream = UnixStream::connect(path).await.map_err(gone)?;
        let mut link = Link {
            stream,
            client: Client::new(next_connection()),
            chunk: vec![0; READ_LEN],
            waiting: HashMap::new(),
        };
        let silent = MonitorError::Silent { command: "", within: GREETING_WITHIN };
        let (greeting, early) = timeout(GREETING_WITHIN, link.negotiate()).await.map_err(|_| silent)??;
        let (tell, news) = mpsc::channel(NEWS_MAX);
        for event in early {
            let _full = tell.try_send(News::Event(event));
        }
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        tokio::spawn(link.run(asked, tell));
        Ok((Self { ask, greeting }, news))
    }

    /// Asks, once. An answer that does not come proves nothing.
    pub async fn ask(&self, command: Command) -> Result<Answer, MonitorError> {
        let name = command.name();
        let (reply, answer) = oneshot::channel();
        let over = || MonitorError::Gone("the connection is over".into());
        let asked = async {
            self.ask.send((command, reply)).await.map_err(|_| over())?;
            answer.await.map_err(|_| over())?
        };
        let silent = MonitorError::Silent { command: name, within: ANSWER_WITHIN };
        timeout(ANSWER_WITHIN, asked).await.unwrap_or(Err(silent))
    }
}

struct Link {
    stream: UnixStream,
    client: Client,
    chunk: Vec<u8>,
    waiting: HashMap<Id, (&'static str, Reply)>,
}

impl Link {
    async fn negotiate(&mut self) -> Result<(Greeting, Vec<Event>), MonitorError> {
        let (mut greeting, mut early) = (None, Vec::new());
        loop {
            for heard in self.hear().await? {
                match heard {
                    Heard::Greeting(said) => greeting = Some(said),
                    Heard::Event { event, .. } => early.push(event),
                    Heard::Ready | Heard::Answer { .. } => {}
                }
            }
            self.say().await?;
            if self.client.is_ready()
                && let Some(greeting) = greeting
            {
                return Ok((greeting, early));
            }
        }
    }

    /// What one read brings.
    async fn hear(&mut self) -> Result<Vec<Heard>, MonitorError> {
        let read = self.stream.read(&mut self.chunk).await;
        let read = read.map_err(|error| MonitorError::Gone(error.to_string()))?;
        if read == 0 {
            return Err(MonitorError::Gone("it closed the connection".into()));
        }
        let (mut all, mut rest) = (Vec::new(), &self.chunk[..read]);
        while let Fed::Heard { heard, unused } = self.client.feed(rest)? {
            all.push(heard);
            rest = unused;
        }
        Ok(all)
    }

    async fn say(&mut self) -> Result<(), MonitorError> {
        let output = self.client.take_output();
        let wrote = timeout(TAKEN_WITHIN, self.stream.write_all(&output)).await;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        wrote.unwrap_or_else(|_| Err(late())).map_err(|error| MonitorError::Gone(error.to_string()))
    }

    async fn run(mut self, mut asked: mpsc::Receiver<(Command, Reply)>, tell: mpsc::Sender<News>) {
        let over = loop {
            tokio::select! {
                heard = self.hear() => match heard {
                    Ok(all) => all.into_iter().for_each(|heard| self.tell(heard, &tell)),
                    Err(error) => break Some(error),
                },
                next = asked.recv() => {
                    let Some((command, reply)) = next else { break None };
                    if let Err(error) = self.send(command, reply).await {
                        break Some(error);
                    }
                }
            }
        };
        if let Some(error) = over {
            for (_, (_, reply)) in self.waiting {
                let _asker_gone = reply.send(Err(error.clone()));
            }
            let _owner_gone = tell.send(News::Over(error.to_string())).await;
        }
    }

    async fn send(&mut self, command: Command, reply: Reply) -> Result<(), MonitorError> {
        // Those who wait no more make room: their answers, when they come, are nobody's.
        let given_up: Vec<_> =
            self.waiting.iter().filter(|(_, (_, reply))| reply.is_closed()).map(|(&id, _)| id).collect();
        for id in given_up {
            self.client.give_up(id);
            self.waiting.remove(&id);
        }
        match self.client.send(&command) {
            Ok(id) => {
                self.waiting.insert(id, (command.name(), reply));
                self.say().await
            }
            Err(error) => {
                let _asker_gone = reply.send(Err(error.into()));
                Ok(())
            }
        }
    }

    fn tell(&mut self, heard: Heard, tell: &mpsc::Sender<News>) {
        match heard {
            Heard::Answer { id, result, .. } => {
                if let Some((command, reply)) = self.waiting.remove(&id) {
                    let failed = |failure| MonitorError::Failed { command, failure };
                    let _asker_gone = reply.send(result.map_err(failed));
                }
            }
            Heard::Event { event, .. } => {
                if tell.try_send(News::Event(event)).is_err() {
                    tracing::warn!("an event of an emulated machine is lost on an owner who does not listen");
                }
            }
            Heard::Greeting(_) | Heard::Ready => {}
        }
    }
}
