//! The shell: receives, steps, persists, acts. It decides nothing.

use std::time::Duration;

use farmhand_api::{EventBody, Problem, SessionView};
use farmhand_messages::SessionMessage;
use farmhand_messages::session::Outcome;
use farmhand_records::v1::{self, Phase};
use farmhand_records::{Attempt, DeviceName, Epoch, SessionId};
use farmhand_runtime::{ChaosRole, Ctx, Failpoint, failpoint, mono_us, save, unix_ms};
use farmhand_store::{Durability, StoreError};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

use crate::state::{Act, Input, Now, Persist, Session, Trust};
use crate::work;

/// What a person sees of a session's time is in seconds. None where a session waits for a device: a thousand of them cost
/// nothing.
const TICK: Duration = Duration::from_millis(250);
/// Items of output that may wait in the mailbox: a flood waits in the reader's channel, and loses its own place there.
const OUTPUT_CREDIT: usize = 64;

/// Callers who may wait for a checkpoint to be written; more are told nothing, and ask again.
const WAITING_MAX: usize = 16;

/// A checkpoint that found no room, and what is to be told once it is written.
#[derive(Debug)]
struct Unsaved {
    persist: Persist,
    tell: Vec<EventBody>,
}

/// From what a session begins.
#[derive(Debug)]
pub enum Start {
    /// It was just made, and is durable.
    New(v1::Session),
    /// It has a past.
    Recover {
        /// Its checkpoint.
        record: v1::Session,
        /// Whether that can be taken at its word.
        trust: Trust,
    },
}

/// What a session's actor is given.
#[derive(Debug)]
pub struct SessionArgs {
    /// Names, store, folders, effects.
    pub ctx: Ctx,
    /// Which session.
    pub id: SessionId,
    /// From what it begins.
    pub start: Start,
}

/// The actor of one session. It ends by itself once its session has ended and given its device back.
#[derive(Debug)]
pub struct SessionActor;

/// What the actor of one session holds.
#[derive(Debug)]
pub struct Shell {
    ctx: Ctx,
    session: Session,
    span: Span,
    /// What the span says already.
    spanned: (Option<DeviceName>, Attempt, Option<Epoch>),
    /// Where the reader of output is told that an item was judged, and its step.
    judged: Option<(u64, mpsc::Sender<()>)>,
    /// Output of the owned epoch was judged by this incarnation.
    heard: bool,
    /// It is written again with each tick; meanwhile the machine waits for [`Input::Persisted`].
    unsaved: Option<Unsaved>,
    /// They are answered once what they asked for is durable.
    waiting: Vec<RpcReplyPort<SessionView>>,
    settling: Vec<RpcReplyPort<Result<SessionView, Problem>>>,
    /// Whoever watches was told that the store takes nothing.
    said_full: bool,
    /// Tells the time, where anything is due with it.
    ticks: Option<JoinHandle<()>>,
    /// Ends what is asked of a device, so that it is not asked again once the device is given back.
    unwanted: CancellationToken,
}

#[ractor::async_trait]
impl Actor for SessionActor {
    type Msg = SessionMessage;
    type State = Shell;
    type Arguments = SessionArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<SessionMessage>,
        args: SessionArgs,
    ) -> Result<Shell, ActorProcessingErr> {
        let SessionArgs { ctx, id, start } = args;
        let session = match start {
            Start::New(record) => Session::new(record),
            Start::Recover { record, trust } => Session::recover(record, trust),
        };
        let span = tracing::info_span!(
            "session",
            %id,
            incarnation = ctx.incarnation.0,
            device = field::Empty,
            attempt = field::Empty,
            epoch = field::Empty,
        );
        Ok(Shell {
            ctx,
            session,
            span,
            spanned: (None, Attempt(0), None),
            judged: None,
            heard: false,
            unsaved: None,
            waiting: Vec::new(),
            settling: Vec::new(),
            said_full: false,
            ticks: None,
            unwanted: CancellationToken::new(),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<SessionMessage>,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        shell.take(&myself, Input::Begin).await?;
        shell.keep_time(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SessionMessage>,
        message: SessionMessage,
        shell: &mut Shell,
    ) -> Result<(), ActorProcessingErr> {
        shell.ctx.chaos.strike(ChaosRole::Session);
        match message {
            SessionMessage::Outcome { step, outcome } => shell.outcome(&myself, step, outcome).await?,
            SessionMessage::Tick if shell.unsaved.is_some() => shell.save_again(&myself).await?,
            SessionMessage::Tick => drop(shell.take(&myself, Input::Tick).await?),
            SessionMessage::View { reply } => drop(reply.send(shell.session.view())),
            SessionMessage::Cancel { reply } => {
                shell.take(&myself, Input::Cancel).await?;
                shell.waiting.push(reply);
                shell.answer();
            }
            SessionMessage::Settle { settle, reply } => {
                let refused = shell.take(&myself, Input::Settle(settle)).await?;
                match refused {
                    Some(problem) => drop(reply.send(Err(problem))),
                    None => shell.settling.push(reply),
                }
                shell.answer();
            }
            SessionMessage::Drain { reply } => {
                shell.take(&myself, Input::Drain).await?;
                let _gone = reply.send(());
            }
        }
        shell.keep_time(&myself);
        Ok(())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(ticks) = self.ticks.take() {
            ticks.abort();
        }
    }
}

impl Shell {
    /// Has the time told, or told no more.
    fn keep_time(&mut self, myself: &ActorRef<SessionMessage>) {
        let still = self.session.is_still() && self.unsaved.is_none();
        match &self.ticks {
            None if !still => self.ticks = Some(myself.send_interval(TICK, || SessionMessage::Tick)),
            Some(ticks) if still => {
                ticks.abort();
                self.ticks = None;
            }
            _ => {}
        }
    }

    /// Takes an input to its end: step, persist, step with `Persisted`, and only then act. Answers why it was refused.
    async fn take(
        &mut self,
        myself: &ActorRef<SessionMessage>,
        input: Input,
    ) -> Result<Option<Problem>, ActorProcessingErr> {
        let span = self.span.clone();
        let work = async {
            let mut refused = None;
            let mut input = input;
            loop {
                let fx = self.session.step(now(), input);
                refused = refused.or(fx.refuse);
                if let Some(why) = fx.ignored {
                    tracing::trace!(why, "ignored");
                }
                if let Some(persist) = fx.persist {
                    let saved = self.persist(&persist).await;
                    if !self.goes_on(&persist, saved)? {
                        self.unsaved = Some(Unsaved { persist, tell: fx.tell });
                        return Ok(refused);
                    }
                    self.tell(fx.tell);
                    input = Input::Persisted;
                    continue;
                }
                self.tell(fx.tell);
                if let Some((step, act)) = fx.act {
                    self.act(myself, step, act);
                }
                // A stream that is read no more ends.
                self.judged.take_if(|(step, _)| self.session.stream() != Some(*step));
                return Ok(refused);
            }
        };
        work.instrument(span).await
    }

    async fn outcome(
        &mut self,
        myself: &ActorRef<SessionMessage>,
        step: u64,
        outcome: Box<Outcome>,
    ) -> Result<(), ActorProcessingErr> {
        let output = matches!(*outcome, Outcome::Output(_));
        if matches!(*outcome, Outcome::Built(Ok(_))) {
            failpoint(Failpoint::BuildAfter);
        }
        if output
            && let Some((of, judged)) = &self.judged
            && *of == step
        {
            let _it_has_ended = judged.try_send(());
        }
        self.take(myself, Input::Outcome { step, outcome }).await?;
        self.answer();
        if output && !self.heard && self.session.record().observed.offset > 0 {
            self.heard = true;
            failpoint(Failpoint::ObserveFirst);
        }
        Ok(())
    }

    /// A tick, while a checkpoint waits for room.
    async fn save_again(&mut self, myself: &ActorRef<SessionMessage>) -> Result<(), ActorProcessingErr> {
        let Some(Unsaved { persist, tell }) = self.unsaved.take() else { return Ok(()) };
        let saved = self.persist(&persist).await;
        if self.goes_on(&persist, saved)? {
            self.tell(tell);
            self.take(myself, Input::Persisted).await?;
        } else {
            self.unsaved = Some(Unsaved { persist, tell });
        }
        self.answer();
        Ok(())
    }

    /// Whether the step goes on behind its checkpoint. Where there was no room, what is only progress is written with the
    /// next; all else waits. Any other failure ends the actor: what is on the disk is the truth, and its successor begins
    /// with it.
    fn goes_on(&mut self, persist: &Persist, saved: Result<(), StoreError>) -> Result<bool, StoreError> {
        let error = match saved {
            Ok(()) => {
                self.said_full = false;
                return Ok(true);
            }
            Err(error @ (StoreError::Full { .. } | StoreError::Busy { .. })) => error,
            Err(error) => return Err(error),
        };
        if !std::mem::replace(&mut self.said_full, true) {
            // Once: what is logged takes room, too.
            tracing::warn!(%error, "a checkpoint is not written");
            let ends = match &persist.record.phase {
                Phase::Finished(_, problem) => problem.clone().map(Box::new),
                _ => None,
            };
            let body = match &error {
                StoreError::Full { path } => {
                    EventBody::WaitsForRoom { path: path.display().to_string(), ends }
                }
                error => EventBody::Note(format!("{error}; waiting")),
            };
            self.tell(vec![body]);
        }
        Ok(persist.durability == Durability::Progress)
    }

    /// Answers those whose wish is durable, or changed nothing.
    fn answer(&mut self) {
        if self.unsaved.is_some() {
            self.waiting.truncate(WAITING_MAX);
            self.settling.truncate(WAITING_MAX);
            return;
        }
        // Cancelled is said once the device has given up; who does not wait so long sees that it is on its way.
        if self.session.is_stopping() {
            self.waiting.truncate(WAITING_MAX);
            return;
        }
        for reply in self.waiting.drain(..) {
            let _gone = reply.send(self.session.view());
        }
        for reply in self.settling.drain(..) {
            let _gone = reply.send(Ok(self.session.view()));
        }
    }

    /// Writes a checkpoint.
    async fn persist(&self, persist: &Persist) -> Result<(), StoreError> {
        let record = &*persist.record;
        let (before, after) = match &record.phase {
            Phase::HandoffIntended => (Failpoint::IntentBeforePersist, Failpoint::IntentAfterPersist),
            Phase::HandoffIssued(_) => (Failpoint::IssuedBeforePersist, Failpoint::IssuedAfterPersist),
            Phase::Finished(..) => (Failpoint::VerdictBeforePersist, Failpoint::VerdictAfterPersist),
            _ => (Failpoint::SessionBeforePersist, Failpoint::SessionAfterPersist),
        };
        failpoint(before);
        save(&self.ctx.store, record, self.ctx.incarnation, persist.durability).await?;
        failpoint(after);
        Ok(())
    }

    /// Tells whoever watches; what is told is durable.
    fn tell(&mut self, events: Vec<EventBody>) {
        let record = self.session.record();
        let device = record.lease.as_ref().map(|lease| &lease.device);
        // A field that is recorded again is printed again: only what changed.
        let now = (device.cloned(), record.attempt, record.epoch);
        if self.spanned != now {
            if let Some(device) = device.filter(|_| self.spanned.0 != now.0) {
                self.span.record("device", field::display(device));
            }
            if self.spanned.1 != now.1 {
                self.span.record("attempt", record.attempt.0);
            }
            if let Some(epoch) = record.epoch.filter(|_| self.spanned.2 != now.2) {
                self.span.record("epoch", epoch.0);
            }
            self.spanned = now;
        }
        for body in events {
            tracing::debug!(?body, "event");
            self.ctx.event(Some(record.id), device, body);
        }
    }

    /// Sets an act going. It answers by message, with its number.
    fn act(&mut self, myself: &ActorRef<SessionMessage>, step: u64, act: Act) {
        tracing::debug!(step, ?act, "act");
        match act {
            Act::End => myself.stop(None),
            Act::Observe { device, from } => {
                let (judged, told) = mpsc::channel(OUTPUT_CREDIT);
                self.judged = Some((step, judged));
                let (ctx, place) = (self.ctx.clone(), (device, from));
                let pump = work::pump(ctx, myself.clone(), step, place, OUTPUT_CREDIT, told);
                self.ctx.effects.spawn(myself, pump);
            }
            act => {
                if let Act::Stop { .. } | Act::Release { .. } = act {
                    std::mem::take(&mut self.unwanted).cancel();
                }
                let unwanted = match act {
                    Act::Connect { .. } | Act::Transfer { .. } => self.unwanted.clone(),
                    _ => CancellationToken::new(),
                };
                let work = work::work(self.ctx.clone(), self.session.record().clone(), act);
                let answer = async move {
                    let outcome = unwanted.run_until_cancelled(work).await;
                    let outcome = outcome.unwrap_or_else(|| Outcome::Lost("nobody waits for it".into()));
                    SessionMessage::Outcome { step, outcome: Box::new(outcome) }
                };
                self.ctx.effects.spawn(myself, answer);
            }
        }
    }
}

fn now() -> Now {
    Now { mono_ms: mono_us() / 1000, unix_ms: unix_ms() }
}
