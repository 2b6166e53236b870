//! The shell: receives, steps the machine, persists, acts, answers. No handler awaits an effect.

mod acts;
mod emulated;
mod guest;
mod replies;

use std::time::Duration;

use farmhand_api::Problem;
use farmhand_machine::Kind;
use farmhand_messages::DeviceMessage;
use farmhand_messages::device::{
    Attachment, DeviceConfig, DeviceEffect, DeviceError, HandoffKnown, SnapshotWish,
};
use farmhand_messages::serial::PortNews;
use farmhand_records::FencingToken;
use farmhand_records::v1::Device;
use farmhand_runtime::{ChaosRole, Ctx, Failpoint, ProcessId, failpoint, load, save};
use farmhand_store::Durability;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::evidence::Try;
use crate::problems;
use crate::state::{Act, Effects, Input, Machine, Nature, Outcome, Persist, Persisting, Wish};
use crate::stk500v1::Stk500v1;
use crate::virtual_uno::{Board, ControlError, Counts};
use crate::work::{Ended, Speaks, StayCommand, StayEnd, Stays};
use emulated::{Agent, GuestEnd};
use replies::{Replies, Reply};

/// Between two looks at a board's counts. A start that nobody asked for is in its own epoch from then on; a verdict asks
/// again first.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// The driver of boards behind a serial port.
const STK500V1: &str = "stk500v1";
/// The driver of devices that speak fastboot.
const FASTBOOT: &str = "fastboot";
/// The driver of machines that are emulated.
const QEMU: &str = "qemu";
/// Between two looks whether those still wait who asked for a person's word. One that is given up is ended soon, and a word
/// itself takes some milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Who has waited so long behind something else is told what it is; nearly all that a device does takes less.
const WAITS_IN_SILENCE: Duration = Duration::from_secs(1);
/// Before a port that vanished is opened again, at first: it takes that long to be enumerated.
const REOPEN_AFTER: Duration = Duration::from_millis(250);
/// At last.
const REOPEN_AFTER_MAX: Duration = Duration::from_secs(5);

/// One device.
#[derive(Debug)]
pub struct DeviceActor;

/// What it is started with.
#[derive(Debug, Clone)]
pub struct DeviceArgs {
    /// What every actor is given.
    pub ctx: Ctx,
    /// Which device.
    pub config: DeviceConfig,
}

/// What its own tasks send.
#[derive(Debug)]
enum Done {
    Persisted(Result<(), String>),
    Ended(Box<Ended>),
    StayEnded {
        number: u64,
        of: Try,
        end: StayEnd,
    },
    Reopen,
    /// Time to look who still waits.
    Look,
    /// The board does not answer any more.
    BoardLost,
    /// It counted a start: what it has counted now.
    Watched(Counts, String),
    /// The guest of this machine has ended by itself, or the machine has.
    Guest(ProcessId, GuestEnd),
    /// A guest is attended no more, or one who asked it was answered.
    Attended,
}

/// An emulated machine, as the shell knows it.
#[derive(Debug)]
struct Emulated {
    machine: farmhand_machine::Machine,
    /// Starts of its program: by the handoff, and by itself since.
    starts: u64,
    /// It was its guest that reset it: it goes on in the epoch that begins with that. One that is off stays so.
    was_reset: bool,
    /// Its agent, where it is a Linux guest.
    agent: Option<Agent>,
}

/// A stay in the loader, as the shell knows it.
#[derive(Debug)]
struct Held {
    number: u64,
    commands: mpsc::Sender<StayCommand>,
}

/// What the actor holds.
#[derive(Debug)]
pub struct DeviceState {
    ctx: Ctx,
    config: DeviceConfig,
    driver: Result<Speaks, Box<Problem>>,
    machine: Machine,
    replies: Replies,
    board: Option<Board>,
    emulated: Option<Emulated>,
    counts: Option<Counts>,
    watching: bool,
    stay: Option<Held>,
    stays: u64,
    reopening: bool,
    reopen_after: Duration,
    /// Ends the act that is under way.
    stop: CancellationToken,
    looking: bool,
}

#[ractor::async_trait]
impl Actor for DeviceActor {
    type Msg = DeviceMessage;
    type State = DeviceState;
    type Arguments = DeviceArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<DeviceMessage>,
        DeviceArgs { ctx, config }: DeviceArgs,
    ) -> Result<DeviceState, ActorProcessingErr> {
        let record = load::<Device>(&ctx.store, config.name.as_str().as_bytes()).await?;
        let nature = match &config.attachment {
            Attachment::Port(_) => Nature::Board,
            Attachment::VirtualUno => Nature::Counting,
            Attachment::Fastboot(_) => Nature::Bootloader,
            Attachment::Machine(_) => Nature::Machine,
        };
        let machine = Machine::new(&config.name, record, nature, config.upload_baud);
        Ok(DeviceState {
            driver: driver(&config),
            ctx,
            config,
            machine,
            replies: Replies::default(),
            board: None,
            emulated: None,
            counts: None,
            watching: false,
            stay: None,
            stays: 0,
            reopening: false,
            reopen_after: REOPEN_AFTER,
            stop: CancellationToken::new(),
            looking: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<DeviceMessage>,
        message: DeviceMessage,
        state: &mut DeviceState,
    ) -> Result<(), ActorProcessingErr> {
        state.ctx.chaos.strike(ChaosRole::Device);
        state.receive(&myself, message);
        state.watch(&myself);
        state.look_again(&myself);
        Ok(())
    }
}

fn driver(config: &DeviceConfig) -> Result<Speaks, Box<Problem>> {
    let refuse = |why: String| Box::new(problems::no_driver(&config.name, &why));
    match (config.driver.as_str(), &config.attachment) {
        (FASTBOOT, Attachment::Fastboot(_)) => Ok(Speaks::Fastboot),
        (STK500V1, Attachment::Port(_) | Attachment::VirtualUno) => {
            Stk500v1::new(&config.signature, config.page_bytes, config.flash_bytes_max, config.upload_baud)
                .map(Speaks::Stk500v1)
                .map_err(|error| refuse(error.to_string()))
        }
        (QEMU, Attachment::Machine(kind)) => match Kind::named(kind) {
            Some(kind) => Ok(Speaks::Machine(kind)),
            None => {
                let all: Vec<_> = farmhand_machine::kinds().iter().map(|kind| kind.name).collect();
                Err(refuse(format!("there is no machine {kind:?}; there are: {}", all.join(", "))))
            }
        },
        (FASTBOOT | STK500V1 | QEMU, _) => {
            Err(refuse(format!("the driver {:?} is not for a device that is reached so", config.driver)))
        }
        (other, _) => {
            let all = [STK500V1, FASTBOOT, QEMU].join(", ");
            Err(refuse(format!("there is no driver {other:?}; there are: {all}")))
        }
    }
}

impl DeviceState {
    fn receive(&mut self, me: &ActorRef<DeviceMessage>, message: DeviceMessage) {
        match message {
            DeviceMessage::Connect { token, session: _, console_baud: baud, progress, reply } => {
                self.ask(me, Some(token), Wish::Connect { baud }, Reply::Connect { progress, reply });
            }
            DeviceMessage::Transfer { token, session, attempt, plan, progress, reply } => {
                let of = Try { session, attempt, plan: plan.hash };
                let wish = Wish::Transfer { of, artifact: plan.artifact, baud: plan.console_baud };
                let (payload, model) = (plan.payload, plan.model);
                self.ask(me, Some(token), wish, Reply::Transfer { payload, model, progress, reply });
            }
            DeviceMessage::ReserveEpoch { token, reply } => {
                self.ask(me, Some(token), Wish::Reserve, Reply::Reserve(reply));
            }
            DeviceMessage::Handoff { token, session, attempt, plan, epoch, reply } => {
                let of = Try { session, attempt, plan };
                let known = HandoffKnown { epoch: Some(epoch), ..HandoffKnown::default() };
                self.ask(me, Some(token), Wish::Handoff { of, epoch }, Reply::Evidence { known, reply });
            }
            DeviceMessage::Evidence { token, session, attempt, plan, known, reply } => {
                let of = Try { session, attempt, plan };
                self.ask(me, Some(token), Wish::Evidence { of }, Reply::Evidence { known, reply });
            }
            DeviceMessage::Confirm { token, epoch, reply } => {
                self.ask(me, Some(token), Wish::Confirm { epoch }, Reply::Confirm(reply));
            }
            DeviceMessage::Disconnect { token, reply } => {
                self.ask(me, Some(token), Wish::Disconnect, Reply::Disconnect(reply));
            }
            DeviceMessage::Idle { reply } => {
                self.ask(me, None, Wish::Idle, Reply::Disconnect(reply));
            }
            DeviceMessage::OpenConsole { baud, reply } => {
                self.ask(me, None, Wish::Console { baud }, Reply::Console(reply));
            }
            DeviceMessage::Bootloader { command, model, progress, reply } => {
                self.ask(me, None, Wish::Word, Reply::Say { command, model, progress, reply });
            }
            DeviceMessage::GetVars { names, reply } => {
                self.ask(me, None, Wish::Word, Reply::GetVars { names, reply });
            }
            DeviceMessage::Snapshot { wish, progress, reply } => {
                let what = match wish {
                    SnapshotWish::Save { .. } | SnapshotWish::End => Wish::Word,
                    SnapshotWish::Restore { .. } | SnapshotWish::Boot => Wish::Restore,
                };
                self.ask(me, None, what, Reply::Snapshot { wish, progress, reply });
            }
            DeviceMessage::Guest { wish, reply } => self.ask_guest(me, wish, reply),
            DeviceMessage::Port(PortNews::Vanished) => self.step(me, Input::Vanished),
            DeviceMessage::StartedByItself { cause, starts } => {
                self.step(me, Input::Ask { id: None, token: None, wish: Wish::Note { starts, cause } });
            }
            DeviceMessage::Effect(effect) => match effect.0.downcast::<Done>() {
                Ok(done) => self.done(me, *done),
                Err(_) => tracing::error!("an effect that is not a device's"),
            },
        }
    }

    fn ask(&mut self, me: &ActorRef<DeviceMessage>, token: Option<FencingToken>, wish: Wish, reply: Reply) {
        // Known before anything is done: then nothing is begun.
        if let (Err(problem), Wish::Connect { .. } | Wish::Transfer { .. } | Wish::Word | Wish::Restore) =
            (&self.driver, &wish)
        {
            return reply.answer(wish.refused(DeviceError::NotBegun(problem.clone())));
        }
        let id = self.replies.keep(reply);
        self.step(me, Input::Ask { id: Some(id), token, wish });
    }

    fn done(&mut self, me: &ActorRef<DeviceMessage>, done: Done) {
        match done {
            Done::Persisted(Ok(())) => self.step(me, Input::Persisted),
            Done::Persisted(Err(why)) => self.step(me, Input::Unsaved(why)),
            Done::Ended(ended) => self.ended(me, *ended),
            Done::StayEnded { number, of, end: StayEnd { why, began, starts } } => {
                if self.stay.as_ref().is_some_and(|held| held.number == number) {
                    self.stay = None;
                    self.step(me, Input::StayEnded { of, why, began, starts });
                }
            }
            Done::Reopen => {
                self.reopening = false;
                self.step(me, Input::Ask { id: None, token: None, wish: Wish::Reopen });
            }
            Done::Look => self.look(me),
            Done::BoardLost => {
                self.watching = false;
                self.board = None;
                self.step(me, Input::Vanished);
            }
            Done::Watched(counts, cause) => {
                self.watching = false;
                self.counts = Some(counts);
                self.receive(me, DeviceMessage::StartedByItself { cause, starts: counts.starts });
            }
            Done::Guest(process, end) => self.guest_ended(me, process, &end),
            Done::Attended => {}
        }
    }

    fn ended(&mut self, me: &ActorRef<DeviceMessage>, ended: Ended) {
        let Ended { outcome, board, counts, stay, loaded } = ended;
        if let Some(loaded) = loaded {
            self.keep_machine(me, loaded);
        }
        self.board = board.or(self.board.take());
        self.counts = counts.or(self.counts);
        match &outcome {
            Outcome::Opened(Ok(_)) => self.reopen_after = REOPEN_AFTER,
            // The stay has ended with its command; what its task says of its end is no news.
            Outcome::Left(_) | Outcome::LetGo { .. } => self.stay = None,
            _ => {}
        }
        if let Some(stay) = stay {
            self.keep(me, stay);
        }
        self.step(me, Input::Ended(Box::new(outcome)));
    }

    /// Sets a stay's own task going.
    fn keep(&mut self, me: &ActorRef<DeviceMessage>, stay: Stays) {
        self.stays += 1;
        let number = self.stays;
        // One at a time: the machine gives the next command after the last one ended.
        let (commands, told) = mpsc::channel(1);
        self.stay = Some(Held { number, commands });
        let of = stay.of();
        self.ctx.effects.spawn(me, async move {
            let end = stay.run(told).await;
            effect(Done::StayEnded { number, of, end })
        });
    }

    fn step(&mut self, me: &ActorRef<DeviceMessage>, input: Input) {
        let Effects { persist, act, answers, reopen, stop } = self.machine.step(input);
        if stop {
            self.stop.cancel();
        }
        if let Some(persist) = persist {
            self.persist(me, persist);
        }
        if let Some((id, act)) = act {
            self.act(me, id, act);
        }
        for (id, answer) in answers {
            if let Some(reply) = self.replies.take(id) {
                reply.answer(answer);
            }
        }
        if reopen && !self.reopening {
            self.reopening = true;
            let after = self.reopen_after;
            self.reopen_after = (after * 2).min(REOPEN_AFTER_MAX);
            self.ctx.effects.spawn(me, async move {
                sleep(after).await;
                effect(Done::Reopen)
            });
        }
    }

    fn persist(&self, me: &ActorRef<DeviceMessage>, Persist { record, why }: Persist) {
        let (store, incarnation) = (self.ctx.store.clone(), self.ctx.incarnation);
        let (before, after, durability) = match why {
            Persisting::Fence => {
                (Some(Failpoint::FenceBeforePersist), Some(Failpoint::FenceAfterPersist), Durability::Marked)
            }
            Persisting::Epoch => {
                (Some(Failpoint::EpochBeforePersist), Some(Failpoint::EpochAfterPersist), Durability::Marked)
            }
            Persisting::Stay => (None, None, Durability::Durable),
            Persisting::Handoff => (None, Some(Failpoint::HandoffRecorded), Durability::Marked),
        };
        self.ctx.effects.spawn(me, async move {
            before.into_iter().for_each(failpoint);
            let saved = save(&store, record.as_ref(), incarnation, durability).await;
            if saved.is_ok() {
                after.into_iter().for_each(failpoint);
            }
            effect(Done::Persisted(saved.map(drop).map_err(|error| error.to_string())))
        });
    }

    /// As long as somebody waits who may give up, or is to be told why.
    fn look_again(&mut self, me: &ActorRef<DeviceMessage>) {
        let busy_for = self.machine.busy_for().and_then(|(id, _)| id);
        if self.looking || !self.replies.are_looked_at(busy_for) {
            return;
        }
        self.looking = true;
        self.ctx.effects.spawn(me, async move {
            sleep(LOOK_EVERY).await;
            effect(Done::Look)
        });
    }

    /// Words of askers who have gone are ended, or never begun; who waits long hears for what.
    fn look(&mut self, me: &ActorRef<DeviceMessage>) {
        self.looking = false;
        for id in self.replies.given_up() {
            self.step(me, Input::AskerGone(id));
        }
        let Some((busy_for, act)) = self.machine.busy_for() else { return };
        let what = match (act, busy_for.and_then(|id| self.replies.get(id))) {
            (Act::Word, Some(word)) => word.said(),
            (Act::Word, None) => "a word to its bootloader".to_owned(),
            (Act::Transfer { .. }, _) => "what a session puts on it".to_owned(),
            (Act::Open { .. }, _) => "its port, which is being opened".to_owned(),
            (Act::Restore { .. }, _) => "a snapshot that it is restored from".to_owned(),
            (Act::Settle { .. }, _) => "the question whether a handoff was done".to_owned(),
            (Act::Leave { .. }, _) => "a handoff".to_owned(),
            (Act::Count | Act::Begin { .. } | Act::LetGo, _) => return,
        };
        let text = problems::is_busy(&self.config.name, &what);
        self.replies.tell_waiting(busy_for, WAITS_IN_SILENCE, &text);
    }

    /// Watches the board for starts that nobody asked for, as long as its line is open.
    fn watch(&mut self, me: &ActorRef<DeviceMessage>) {
        if self.watching || !self.machine.is_open() {
            return;
        }
        let (Some(board), Some(before)) = (self.board.clone(), self.counts) else { return };
        self.watching = true;
        self.ctx.effects.spawn(me, async move {
            loop {
                sleep(WATCH_EVERY).await;
                match board.counts().await {
                    Ok(now) if now.starts != before.starts => {
                        return effect(Done::Watched(now, now.cause_since(&before).to_owned()));
                    }
                    Ok(_) => {}
                    // Once more: a machine that sleeps, or is short of time, is no reason to give a board up.
                    Err(ControlError::Silent) if board.counts().await.is_ok() => {}
                    Err(error) => {
                        tracing::warn!(%error, "a virtual board does not answer any more");
                        return effect(Done::BoardLost);
                    }
                }
            }
        });
    }
}

fn effect(done: Done) -> DeviceMessage {
    DeviceMessage::Effect(Box::new(DeviceEffect(Box::new(done))))
}

fn ended(ended: Ended) -> DeviceMessage {
    effect(Done::Ended(Box::new(ended)))
}
