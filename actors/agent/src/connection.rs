//! The task that owns a connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farmhand_agent_messages::{
    CHUNK_COST, Command, Data, FromAgent, Health, How, Stream, ToAgent, VERSION, WINDOW,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::error::LinkError;
use crate::link::{Counts, nonce};
use crate::running::{Controls, Output, Over, Running};
use crate::wire::Wire;

/// Between two sayings of what has no answer yet.
const AGAIN_EACH: Duration = Duration::from_millis(250);
/// Between two looks whether the agent is there, and the one that was.
const GREET_EACH: Duration = Duration::from_secs(1);
/// For a word of it: emulated, on a machine that does other work, and in a guest that may be paused to be saved.
const HEARD_WITHIN: Duration = Duration::from_secs(120);
/// Messages to an agent who takes none. Then nobody is heard who has another.
const WAITING_MAX: usize = 256;
/// Answers that an agent draws from us and does not take. One who does that is no agent of ours.
const DRAWN_MAX: usize = 1024;
/// Pieces of output in a window: each costs that much at least.
const PIECES_MAX: usize = WINDOW / CHUNK_COST;
/// SIGKILL, as Linux numbers it.
const KILL: i32 = 9;
/// For the last words when nobody asks any more.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);
/// Those who may wait for a restore, or for how the guest is. Who has given up makes room.
const WAITERS_MAX: usize = 64;

type Reply<T> = oneshot::Sender<Result<T, LinkError>>;

/// What the task is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Have this executed.
    Begin {
        job: Job,
        reply: Reply<Running>,
    },
    Restored {
        epoch: u64,
        reply: Reply<()>,
    },
    Health {
        reply: Reply<Health>,
    },
    /// Under the credit of its command.
    Input {
        id: u64,
        bytes: Bytes,
    },
    InputEnd {
        id: u64,
    },
    Signal {
        id: u64,
        number: i32,
    },
    Credit {
        id: u64,
        upto: u64,
    },
    GiveUp {
        id: u64,
    },
}

/// What has an id, an acknowledgement and an end.
#[derive(Debug)]
pub(crate) enum Job {
    Run(Command),
    Put { path: String, mode: u32, len: u64 },
    Get { path: String },
    Resume { id: u64, from: u64 },
}

/// A command is done with: one message each, so its queue needs no bound.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) id: u64,
    /// Its end was taken. Otherwise nobody wants it.
    pub(crate) ended: bool,
}

/// Credit for a command's input. Nobody waits for more once this is gone.
struct Gate(Arc<Semaphore>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A command that has not ended.
struct Live {
    /// Until it is acknowledged: what to say again, and who waits.
    begin: Option<(ToAgent, Reply<Running>)>,
    running: Option<Running>,
    pieces: mpsc::Sender<(Stream, Bytes)>,
    ended: oneshot::Sender<How>,
    credit: Gate,
    /// That its input has ended was said.
    input_ended: bool,
    /// How much of its output has come, and how much was credited, from its first byte.
    at: u64,
    credited: u64,
}

/// Who is at the other end.
pub(crate) struct Peer {
    /// What it was greeted with.
    pub(crate) nonce: u64,
    /// It, from its start to its end.
    pub(crate) boot: [u8; 16],
}

pub(crate) struct Connection {
    wire: Wire,
    peer: Peer,
    next_id: u64,
    ask: mpsc::WeakSender<Ask>,
    over: Over,
    counts: Arc<Counts>,
    live: HashMap<u64, Live>,
    restores: Vec<(u64, Reply<()>)>,
    healths: Vec<(u64, Reply<Health>)>,
    /// The last epoch that was acknowledged to us.
    epoch: Option<u64>,
    done: mpsc::UnboundedSender<Done>,
    dones: mpsc::UnboundedReceiver<Done>,
}

impl Connection {
    pub(crate) fn new(
        wire: Wire,
        peer: Peer,
        next_id: u64,
        ask: mpsc::WeakSender<Ask>,
        over: Over,
        counts: Arc<Counts>,
    ) -> Self {
        let (done, dones) = mpsc::unbounded_channel();
        Self {
            wire,
            peer,
            next_id,
            ask,
            over,
            counts,
            live: HashMap::new(),
            restores: Vec::new(),
            healths: Vec::new(),
            epoch: None,
            done,
            dones,
        }
    }

    /// Until the connection is over, or nobody is left who could ask.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, over: watch::Sender<Option<String>>) {
        let (mut again, mut greet) = (interval(AGAIN_EACH), interval(GREET_EACH));
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        greet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let error = loop {
            let room = self.wire.waiting() < WAITING_MAX;
            let step = tokio::select! {
                heard = self.wire.turn() => match heard {
                    Ok(all) => {
                        if !all.is_empty() {
                            heard_at = Instant::now();
                        }
                        all.into_iter().try_for_each(|message| self.hear(message))
                    }
                    Err(error) => Err(error),
                },
                ask = asked.recv(), if room => match ask {
                    Some(ask) => self.asked(ask),
                    None => break None,
                },
                Some(done) = self.dones.recv() => self.done_with(&done),
                _ = again.tick() => self.again(),
                _ = greet.tick() => self.greet(heard_at.elapsed()),
            };
            self.counts.frames.store(self.wire.bad_frames, Ordering::Relaxed);
            if let Err(error) = step {
                break Some(error);
            }
            if self.wire.waiting() > DRAWN_MAX {
                break Some(LinkError::Gone("it takes nothing".into()));
            }
        };
        if error.is_none() {
            let _agent_takes_none = timeout(LAST_WORDS_WITHIN, self.last_words()).await;
        }
        let words = match error {
            Some(LinkError::Gone(words)) => words,
            Some(error) => error.to_string(),
            None => "nobody held it".into(),
        };
        tracing::debug!("the line to a guest's agent is over: {words}");
        // Before anybody sees the end of a channel, the reason is there.
        let _nobody_asks = over.send(Some(words));
        asked.close();
        self.live.clear();
    }

    async fn last_words(&mut self) -> Result<(), LinkError> {
        self.all_done()?;
        while !self.wire.is_idle() {
            self.wire.turn().await?;
        }
        Ok(())
    }

    fn asked(&mut self, ask: Ask) -> Result<(), LinkError> {
        // Whoever asks may know of an end that was taken before: the agent is to know it too.
        self.all_done()?;
        match ask {
            Ask::Begin { job, reply } => self.begin(job, reply),
            Ask::Restored { epoch, reply } => {
                self.restores.retain(|(_, reply)| !reply.is_closed());
                if self.restores.len() < WAITERS_MAX {
                    self.restores.push((epoch, reply));
                    return self.wire.control(&ToAgent::Restored { epoch });
                }
                Ok(())
            }
            Ask::Health { reply } => {
                self.healths.retain(|(_, reply)| !reply.is_closed());
                if self.healths.len() < WAITERS_MAX {
                    let nonce = nonce();
                    self.healths.push((nonce, reply));
                    return self.wire.control(&ToAgent::Health { nonce });
                }
                Ok(())
            }
            Ask::Input { id, bytes } => {
                let bytes = Data(bytes.into());
                if self.live.contains_key(&id) {
                    self.wire.data(&ToAgent::Input { id, bytes })
                } else {
                    Ok(())
                }
            }
            // Behind the input.
            Ask::InputEnd { id } => match self.live.get_mut(&id) {
                Some(live) if !live.input_ended => {
                    live.input_ended = true;
                    self.wire.data(&ToAgent::InputEnd { id })
                }
                Some(_) | None => Ok(()),
            },
            Ask::Signal { id, number } => self.wire.control(&ToAgent::Signal { id, number }),
            Ask::Credit { id, upto } => match self.live.get_mut(&id) {
                Some(live) => {
                    live.credited = upto;
                    self.wire.control(&ToAgent::Credit { id, upto })
                }
                None => Ok(()),
            },
            Ask::GiveUp { id } => self.wire.control(&ToAgent::Taken { id }),
        }
    }

    fn begin(&mut self, job: Job, reply: Reply<Running>) -> Result<(), LinkError> {
        // The last one who could ask has gone between the question and now.
        let Some(ask) = self.ask.upgrade() else { return Ok(()) };
        let (id, from) = match job {
            Job::Resume { id, from } => (id, from),
            _ => (self.next_id, 0),
        };
        let message = match job {
            Job::Run(command) => ToAgent::Run { id, command },
            Job::Put { path, mode, len } => ToAgent::Put { id, path, mode, len },
            Job::Get { path } => ToAgent::Get { id, path },
            Job::Resume { .. } if self.live.contains_key(&id) => {
                let _asker_gone = reply.send(Err(LinkError::Local("it is this link's own".into())));
                return Ok(());
            }
            Job::Resume { .. } => ToAgent::Resume { id, from },
        };
        if let Err(error) = self.wire.control(&message) {
            let _asker_gone = reply.send(Err(error));
            return Ok(());
        }
        self.next_id = self.next_id.max(id).saturating_add(1);
        let (pieces, output) = mpsc::channel(PIECES_MAX);
        let (ended, how) = oneshot::channel();
        let credit = Arc::new(Semaphore::new(0));
        let controls = Controls { id, ask, credit: credit.clone(), over: self.over.clone() };
        let output = Output { pieces: output, controls, taken: from, spent: 0 };
        let done = self.done.clone();
        let running = Some(Running { output, ended: how, how: None, done, kept: false });
        let begin = Some((message, reply));
        self.live.insert(
            id,
            Live {
                begin,
                running,
                pieces,
                ended,
                credit: Gate(credit),
                input_ended: false,
                at: from,
                credited: from,
            },
        );
        Ok(())
    }

    /// QEMU keeps the line where the agent ends, and another one on it knows nothing of what this one was told.
    fn greet(&mut self, silent_for: Duration) -> Result<(), LinkError> {
        if silent_for > HEARD_WITHIN {
            return Err(LinkError::Gone(format!("it has said nothing for {} s", HEARD_WITHIN.as_secs())));
        }
        if !self.wire.is_idle() {
            return Ok(());
        }
        self.wire.control(&ToAgent::Hello { version: VERSION, nonce: self.peer.nonce })
    }

    /// What has no answer is said again, unless the last saying of it has not left yet.
    fn again(&mut self) -> Result<(), LinkError> {
        // Whose asker has gone: its `Running` goes with it, and that gives the command up.
        self.live.retain(|_, live| live.begin.as_ref().is_none_or(|(_, reply)| !reply.is_closed()));
        self.restores.retain(|(_, reply)| !reply.is_closed());
        if !self.wire.is_idle() {
            return Ok(());
        }
        for (epoch, _) in &self.restores {
            self.wire.control(&ToAgent::Restored { epoch: *epoch })?;
        }
        self.healths.retain(|(_, reply)| !reply.is_closed());
        for (nonce, _) in &self.healths {
            self.wire.control(&ToAgent::Health { nonce: *nonce })?;
        }
        // In their order: an agent refuses what is older than one that it has.
        let mut begun: Vec<_> =
            self.live.iter().filter_map(|(id, live)| Some((id, &live.begin.as_ref()?.0))).collect();
        begun.sort_unstable_by_key(|(id, _)| **id);
        begun.into_iter().try_for_each(|(_, message)| self.wire.control(message))
    }

    fn all_done(&mut self) -> Result<(), LinkError> {
        while let Ok(done) = self.dones.try_recv() {
            self.done_with(&done)?;
        }
        Ok(())
    }

    fn done_with(&mut self, done: &Done) -> Result<(), LinkError> {
        let id = done.id;
        self.live.remove(&id);
        if !done.ended {
            self.wire.control(&ToAgent::Signal { id, number: KILL })?;
        }
        self.wire.control(&ToAgent::Taken { id })
    }

    fn hear(&mut self, message: FromAgent) -> Result<(), LinkError> {
        match message {
            FromAgent::Hello { nonce, greeting, .. } => {
                // What stands before our own was for a predecessor.
                let other = nonce == self.peer.nonce && greeting.boot != self.peer.boot;
                if other { Err(LinkError::Gone("it has ended, and another is there".into())) } else { Ok(()) }
            }
            FromAgent::Restored { epoch } => {
                self.heard_restored(epoch);
                Ok(())
            }
            FromAgent::Accepted { id } => {
                if let Some(live) = self.live.get_mut(&id) {
                    if let (Some((_, reply)), Some(running)) = (live.begin.take(), live.running.take()) {
                        // If the asker has gone, it is dropped here, and given up.
                        let _asker_gone = reply.send(Ok(running));
                    }
                } else {
                    count(&self.counts.strangers);
                }
                Ok(())
            }
            FromAgent::Refused { id, why } => {
                // Of one that was accepted it is the answer to a second saying.
                if self.live.get(&id).is_some_and(|live| live.begin.is_some())
                    && let Some(live) = self.live.remove(&id)
                {
                    if let Some(mut running) = live.running {
                        running.kept = true;
                    }
                    let (_, reply) = live.begin.expect("it was seen above");
                    let _asker_gone = reply.send(Err(LinkError::Refused { why }));
                }
                Ok(())
            }
            FromAgent::Credit { id, bytes } => self.heard_credit(id, bytes),
            FromAgent::Output { id, stream, at, bytes } => self.heard_output(id, stream, at, bytes.0),
            FromAgent::Ended { id, how } => match self.live.remove(&id) {
                Some(live) => {
                    let _nobody_waits = live.ended.send(how);
                    Ok(())
                }
                // Of a life that is over: it is to make room.
                None => {
                    count(&self.counts.strangers);
                    self.wire.control(&ToAgent::Taken { id })
                }
            },
            FromAgent::Health { nonce, health } => {
                if let Some(at) = self.healths.iter().position(|(asked, _)| *asked == nonce) {
                    let _asker_gone = self.healths.swap_remove(at).1.send(Ok(health));
                }
                Ok(())
            }
        }
    }

    fn heard_restored(&mut self, epoch: u64) {
        let (ours, others) = std::mem::take(&mut self.restores).into_iter().partition(|(of, _)| *of == epoch);
        self.restores = others;
        let ours: Vec<(u64, Reply<()>)> = ours;
        // What was said twice is acknowledged twice.
        if ours.is_empty() && self.epoch != Some(epoch) {
            count(&self.counts.epochs);
            return;
        }
        self.epoch = Some(epoch);
        for (_, reply) in ours {
            let _asker_gone = reply.send(Ok(()));
        }
    }

    fn heard_credit(&mut self, id: u64, bytes: u64) -> Result<(), LinkError> {
        let Some(live) = self.live.get(&id) else { return Ok(()) };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if live.credit.0.available_permits().saturating_add(bytes) > WINDOW {
            return Err(LinkError::Gone("it credits more than a window".into()));
        }
        live.credit.0.add_permits(bytes);
        Ok(())
    }

    fn heard_output(&mut self, id: u64, stream: Stream, at: u64, bytes: Vec<u8>) -> Result<(), LinkError> {
        let Some(live) = self.live.get_mut(&id) else {
            count(&self.counts.strangers);
            return Ok(());
        };
        let broken = |words: &str| Err(LinkError::Gone(words.into()));
        let Some(known) = live.at.checked_sub(at) else { return broken("a piece of output got lost") };
        let mut bytes = Bytes::from(bytes);
        let new = bytes.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len()));
        if new.is_empty() {
            return Ok(());
        }
        live.at += new.len() as u64;
        if live.at - live.credited.min(live.at) > WINDOW as u64 {
            return broken("it says more than a window");
        }
        match live.pieces.try_send((stream, new)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => broken("it says more pieces than a window has"),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
