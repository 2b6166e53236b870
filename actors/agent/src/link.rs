//! The handle to a connection.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farmhand_agent_messages::{Command, FromAgent, Greeting, Health, ToAgent, VERSION};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connection::{Ask, Connection, Job, Peer};
use crate::error::LinkError;
use crate::running::{Over, Running};
use crate::wire::Wire;

/// Between two greetings. A guest that boots opens its port at some time, and what came before is lost.
const GREET_EACH: Duration = Duration::from_millis(100);
/// For the acknowledgement of a command.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);
/// What may wait for the task.
const ASKED_MAX: usize = 64;
/// An id is a time in milliseconds, and this many bits for those of the same one.
const ID_BITS: u32 = 8;

/// Who answered the greeting.
pub type Hello = Greeting;

/// What came and was nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ignored {
    /// Acknowledgements of an epoch that was not asked for.
    pub epochs: u64,
    /// Of commands that are not ours.
    pub strangers: u64,
    /// Frames that were none.
    pub frames: u64,
}

/// As the task counts them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) epochs: AtomicU64,
    pub(crate) strangers: AtomicU64,
    pub(crate) frames: AtomicU64,
}

/// A connection to the agent in a guest. It ends with the last of these and of its [`Running`]s.
#[derive(Debug, Clone)]
pub struct AgentLink {
    ask: mpsc::Sender<Ask>,
    over: Over,
    counts: Arc<Counts>,
}

impl AgentLink {
    /// Connects and greets until the agent answers. QEMU accepts a second client and lets it wait: then, or
    /// where the guest has not come so far, nothing comes within the time.
    ///
    /// The ids of this link begin at a time, and above any that this agent has accepted. The time is for what
    /// a snapshot holds: a command of its former host may be on its way in there, and must not be taken for
    /// one of ours. A restored clone and its source may have the same ids; they are two agents, and each is
    /// asked by its own link.
    pub async fn connect(socket: &Path, within: Duration) -> Result<(Self, Hello), LinkError> {
        let silent = LinkError::Silent { what: "a greeting", within };
        timeout(within, Self::greet(socket)).await.unwrap_or(Err(silent))
    }

    async fn greet(socket: &Path) -> Result<(Self, Hello), LinkError> {
        let stream = UnixStream::connect(socket).await;
        let mut wire = Wire::new(stream.map_err(|error| LinkError::Gone(error.to_string()))?);
        let ours = nonce();
        let hello = ToAgent::Hello { version: VERSION, nonce: ours };
        let mut again = interval(GREET_EACH);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let greeting = loop {
            tokio::select! {
                heard = wire.turn() => {
                    // What stands before the answer was for a predecessor.
                    let answer = heard?.into_iter().find_map(|message| match message {
                        FromAgent::Hello { version, nonce, greeting } => {
                            (nonce == ours).then_some((version, greeting))
                        }
                        _ => None,
                    });
                    if let Some((version, greeting)) = answer {
                        if version != VERSION {
                            return Err(LinkError::Version { theirs: version });
                        }
                        break greeting;
                    }
                }
                _ = again.tick(), if wire.waiting() == 0 => wire.control(&hello)?,
            }
        };
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        let (ended, over) = watch::channel(None);
        let (counts, over) = (Arc::new(Counts::default()), Over(over));
        let first = now_ms().saturating_mul(1 << ID_BITS).max(greeting.highest.saturating_add(1));
        let peer = Peer { nonce: ours, boot: greeting.boot };
        let connection = Connection::new(wire, peer, first, ask.downgrade(), over.clone(), counts.clone());
        tokio::spawn(connection.run(asked, ended));
        Ok((Self { ask, over, counts }, greeting))
    }

    /// Tells the agent that its guest was restored, until it acknowledges that: then nothing runs that ran
    /// before. Epochs rise. Whoever waits for a command hears [`crate::How::Aborted`].
    pub async fn restored(&self, epoch: u64, within: Duration) -> Result<(), LinkError> {
        self.answer("a restore", within, |reply| Ask::Restored { epoch, reply }).await
    }

    /// Has a command executed, once.
    pub async fn run(&self, command: Command) -> Result<Running, LinkError> {
        self.begin(Job::Run(command)).await
    }

    /// Goes on with a command of an earlier link, whose [`Running::id`] it was and which had so many bytes of
    /// its output ([`crate::Output::taken`]).
    pub async fn resume(&self, id: u64, from: u64) -> Result<Running, LinkError> {
        self.begin(Job::Resume { id, from }).await
    }

    /// Has a command of an earlier link killed, if it runs, and forgotten.
    pub async fn give_up(&self, id: u64) -> Result<(), LinkError> {
        self.ask.send(Ask::GiveUp { id }).await.map_err(|_| self.over.error())
    }

    pub(crate) async fn begin(&self, job: Job) -> Result<Running, LinkError> {
        self.answer("a command", ACCEPTED_WITHIN, |reply| Ask::Begin { job, reply }).await
    }

    /// How the guest is; and whether anybody is there to say so.
    pub async fn health(&self, within: Duration) -> Result<Health, LinkError> {
        self.answer("how it is", within, |reply| Ask::Health { reply }).await
    }

    /// What came on this connection and was nobody's.
    pub fn ignored(&self) -> Ignored {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { epochs, strangers, frames } = &*self.counts;
        Ignored { epochs: count(epochs), strangers: count(strangers), frames: count(frames) }
    }

    /// Waits for the end of the connection, and says why it ended.
    pub async fn gone(&self) -> LinkError {
        let mut over = self.over.0.clone();
        let _task_died = over.wait_for(Option::is_some).await;
        self.over.error()
    }

    async fn answer<T>(
        &self,
        what: &'static str,
        within: Duration,
        ask: impl FnOnce(oneshot::Sender<Result<T, LinkError>>) -> Ask,
    ) -> Result<T, LinkError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.ask.send(ask(reply)).await.map_err(|_| self.over.error())?;
            answer.await.map_err(|_| self.over.error())?
        };
        timeout(within, asked).await.unwrap_or(Err(LinkError::Silent { what, within }))
    }
}

/// Each hasher of std has keys of its own, drawn at random.
pub(crate) fn nonce() -> u64 {
    RandomState::new().hash_one((SystemTime::now(), std::process::id()))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
