//! The device's decisions: fence, epochs, connection, the stay in the loader, the handoff. Pure: it owns no handle, reads
//! no clock, awaits nothing.
//!
//! One command at a time; others wait, up to [`QUEUE_MAX`]. A step gives at most one record to write *or* one thing to do:
//! what must be durable first is written, and only [`Input::Persisted`] leads to the act behind it.

mod inputs;
mod outcomes;
mod starts;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use farmhand_messages::device::{DeviceError, Since};
use farmhand_records::v1::{Device, Evidence, LoaderStay};
use farmhand_records::{DeviceName, Epoch, FencingToken};

pub use inputs::{
    Act, Answer, AskId, ConsoleIs, Effects, Input, Left, Line, OnDevice, Outcome, Persist, Persisting, Said,
    Spoiled, Unopened, Wish,
};

use crate::evidence::{self, Try};
use crate::problems;
use starts::Start;

/// Commands that may wait. A device has one session, a few readers and its own tasks; more is a flood.
pub const QUEUE_MAX: usize = 16;
/// Epochs for an opening: one that the serial actor may begin, one where the board started while it was opened.
const EPOCHS_TO_OPEN: usize = 2;
/// Epochs for a transfer: one for each reset that it may make, and one for the start that follows when nobody
/// hands off.
pub const EPOCHS_TO_TRANSFER: usize = crate::stk500v1::RESETS_PER_TRANSFER_MAX + 1;

/// The epoch that is being recorded, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    epoch: Epoch,
    /// Why it began.
    cause: Since,
    /// Since this epoch there were only starts by itself.
    by_itself_since: Option<Epoch>,
    /// The board's count of starts in it, where it counts them.
    starts: Option<u64>,
}

/// What kind of device it is, as far as the decisions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A board behind a serial port: nothing of it can be asked without a reset.
    Board,
    /// A virtual board: it counts its starts, and can be asked.
    Counting,
    /// A device whose bootloader speaks fastboot. Its console, where it has one, is a line apart: what happens to that
    /// does not end a stay in the bootloader.
    Bootloader,
    /// A machine that is emulated. Its console goes with the machine that was loaded before; what is loaded now is held by a
    /// task that knows when it ends.
    Machine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    id: Option<AskId>,
    token: Option<FencingToken>,
    wish: Wish,
    /// Its session has given the device back since, or lost it.
    over: bool,
}

/// What follows when the record is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Then {
    Begin,
    Act(Act),
    Answer(Answer),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Doing {
    Saving(Asked, Then),
    Acting(Asked, Act),
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// As it is, or is being, written.
    record: Device,
    /// As it is on disk.
    saved: Device,
    nature: Nature,
    /// The next epoch to hand out. Those up to `record.epoch` need no writing.
    next: Epoch,
    running: Option<Running>,
    /// The newest epoch that this incarnation knows to have begun.
    newest: Epoch,
    open: bool,
    /// The port vanished while it was being opened: what the opening says is of no use.
    vanished: bool,
    leased: bool,
    baud: u32,
    /// The stay in the loader that we keep awake.
    stay: Option<Try>,
    /// A stay of this incarnation's that ended with the command not issued, and why.
    lapsed: Option<(Try, String)>,
    /// A command of this incarnation's that was issued and not acknowledged, and what is known of it.
    unresolved: Option<(Try, String)>,
    /// Of an emulated machine: the start that its guest has asked for.
    start_to_come: Option<Start>,
    queue: VecDeque<Asked>,
    doing: Option<Doing>,
    /// Leases up to this token are over: what they asked to be put on the device is not begun any more.
    over: Option<FencingToken>,
}

impl Machine {
    /// From its record, or as new. `baud`: its console's rate until somebody says another.
    #[must_use]
    pub fn new(name: &DeviceName, record: Option<Device>, nature: Nature, baud: u32) -> Self {
        let record = record.unwrap_or_else(|| Device {
            name: name.clone(),
            identity: None,
            epoch: Epoch(0),
            token: FencingToken(0),
            holding: None,
            handoff: None,
            stay: None,
        });
        Self {
            saved: record.clone(),
            next: record.epoch.next(),
            record,
            nature,
            running: None,
            newest: Epoch(0),
            open: false,
            vanished: false,
            leased: false,
            baud,
            stay: None,
            lapsed: None,
            unresolved: None,
            start_to_come: None,
            queue: VecDeque::new(),
            doing: None,
            over: None,
        }
    }

    /// The port is open, and starts that nobody asked for are to be watched for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Its count of starts in the epoch that runs, where it is known.
    #[must_use]
    pub fn starts(&self) -> Option<u64> {
        self.running.as_ref().and_then(|running| running.starts)
    }

    /// The console's rate.
    #[must_use]
    pub fn baud(&self) -> u32 {
        self.baud
    }

    /// What is on disk, or about to be.
    #[must_use]
    pub fn record(&self) -> &Device {
        &self.record
    }

    /// One step.
    pub fn step(&mut self, input: Input) -> Effects {
        let mut fx = Effects::default();
        match input {
            Input::Ask { id, token, wish } => self.asked(Asked { id, token, wish, over: false }, &mut fx),
            Input::Persisted => self.persisted(&mut fx),
            Input::Unsaved(why) => self.unsaved(&why, &mut fx),
            Input::Ended(outcome) => self.ended(*outcome, &mut fx),
            Input::StayEnded { of, why, began, starts } => self.stay_ended(of, why, began, starts),
            Input::Vanished => {
                self.open = false;
                self.vanished = true;
                self.start_to_come = None;
                if self.nature != Nature::Bootloader {
                    self.running = None;
                }
                if matches!(self.nature, Nature::Board | Nature::Counting)
                    // Its task has lost the port too, and begins no epoch any more.
                    && let Some(of) = self.stay.take()
                {
                    self.lapsed = Some((of, "its port vanished".into()));
                }
                // Whether somebody has a lease or not: what it says is recorded as long as it is there.
                fx.reopen = true;
            }
            Input::AskerGone(id) => self.asker_gone(id, &mut fx),
        }
        self.advance(&mut fx);
        fx
    }

    fn asked(&mut self, mut asked: Asked, fx: &mut Effects) {
        self.stop_for(&mut asked, fx);
        if let Wish::Note { .. } = asked.wish {
            // The newest count says all that the ones before it said.
            self.queue.retain(|waiting| !matches!(waiting.wish, Wish::Note { .. }));
            self.queue.push_front(asked);
        } else if self.queue.len() >= QUEUE_MAX && !matches!(asked.wish, Wish::Disconnect | Wish::Idle) {
            // Who gives the device back, or waits for it to be idle, is never turned away: what that is answered is relied on.
            // A session has one device, and a device few names.
            let busy = problems::busy(&self.record.name, QUEUE_MAX);
            answer(&asked, asked.wish.refused(DeviceError::NotBegun(Box::new(busy))), fx);
        } else {
            self.queue.push_back(asked);
        }
    }

    /// A session that gives its device back, or one with a newer lease, ends what an older one has put on it: whoever comes
    /// next finds a device to which nothing is written any more. What came before that is over, and what comes behind it too,
    /// until the session connects again.
    fn stop_for(&mut self, asked: &mut Asked, fx: &mut Effects) {
        let Some(token) = asked.token.filter(|token| *token >= self.record.token) else { return };
        match asked.wish {
            Wish::Connect { .. } => self.over = self.over.filter(|over| *over < token),
            _ => asked.over = Some(token) <= self.over,
        }
        let over = match asked.wish {
            Wish::Disconnect => token,
            _ if token > self.record.token => FencingToken(token.0 - 1),
            _ => return,
        };
        self.over = self.over.max(Some(over));
        let doing = match &mut self.doing {
            Some(Doing::Saving(doing, _) | Doing::Acting(doing, _)) => Some(doing),
            None => None,
        };
        for waiting in self.queue.iter_mut().chain(doing) {
            waiting.over |= waiting.token.is_some_and(|token| token <= over);
        }
        if let Some(Doing::Acting(doing, Act::Transfer { .. })) = &self.doing {
            fx.stop |= doing.over;
        }
    }

    /// A person's word that nobody waits for is not said, and not waited for.
    fn asker_gone(&mut self, id: AskId, fx: &mut Effects) {
        self.queue.retain(|waiting| waiting.wish != Wish::Word || waiting.id != Some(id));
        if let Some(Doing::Acting(doing, Act::Word)) = &self.doing {
            fx.stop |= doing.id == Some(id);
        }
    }

    /// For whom something is being done, where that is a question of somebody's, and what.
    #[must_use]
    pub fn busy_for(&self) -> Option<(Option<AskId>, &Act)> {
        match &self.doing {
            Some(Doing::Acting(asked, act)) => Some((asked.id, act)),
            _ => None,
        }
    }

    /// Begins what waits, if nothing is being done.
    fn advance(&mut self, fx: &mut Effects) {
        while self.doing.is_none() {
            self.begin_the_start(fx);
            if self.doing.is_some() {
                return;
            }
            let Some(asked) = self.queue.pop_front() else { return };
            match asked.token {
                Some(token) if token < self.record.token => {
                    answer(&asked, asked.wish.refused(DeviceError::Fenced), fx);
                }
                Some(token) if token > self.record.token => {
                    self.record.token = token;
                    self.save(asked, Persisting::Fence, Then::Begin, fx);
                }
                _ => self.begin(asked, fx),
            }
        }
    }

    /// A command that the fence lets through.
    fn begin(&mut self, asked: Asked, fx: &mut Effects) {
        match asked.wish.clone() {
            Wish::Connect { baud } => {
                self.baud = baud;
                self.open_for(asked, fx);
            }
            Wish::Console { baud } => {
                // A session's rate is not a reader's to change.
                self.baud = baud.filter(|_| !self.leased).unwrap_or(self.baud);
                self.open_for(asked, fx);
            }
            Wish::Reopen => {
                if !self.open {
                    self.open_for(asked, fx);
                }
            }
            Wish::Transfer { .. } if asked.over => {
                answer(&asked, asked.wish.refused(DeviceError::Fenced), fx);
            }
            Wish::Transfer { of, baud, .. } => match self.may_transfer(&of) {
                Err(error) => answer(&asked, asked.wish.refused(error), fx),
                Ok(()) => {
                    self.baud = baud;
                    if self.open { self.transfer(asked, fx) } else { self.open_for(asked, fx) }
                }
            },
            Wish::Reserve => {
                let epoch = self.take(1)[0];
                self.save_epochs(asked, Then::Answer(Answer::Reserved(Ok(epoch))), fx);
            }
            Wish::Handoff { of, epoch } => match self.may_hand_off(&of, epoch) {
                Err(error) => answer(&asked, asked.wish.refused(error), fx),
                Ok(Some(evidence)) => answer(&asked, Answer::HandedOff(Ok(evidence)), fx),
                Ok(None) => self.act(asked, Act::Leave { of, epoch }, fx),
            },
            Wish::Evidence { of } => match self.known(&of) {
                Some(evidence) => {
                    self.settle(&of);
                    answer(&asked, Answer::Evidence(Ok(evidence)), fx);
                }
                None => self.look_for_evidence(asked, of, fx),
            },
            Wish::Confirm { epoch } => {
                if self.open {
                    self.confirm(asked, epoch, fx)
                } else {
                    self.open_for(asked, fx)
                }
            }
            Wish::Disconnect => {
                self.leased = false;
                // A machine that a predecessor has made, and that nobody will let go any more.
                let held = self.nature == Nature::Machine && self.record.stay.is_some();
                if self.stay.is_some() || held {
                    self.act(asked, Act::LetGo, fx);
                } else {
                    answer(&asked, Answer::Disconnected, fx);
                }
            }
            Wish::Idle => answer(&asked, Answer::Disconnected, fx),
            Wish::Word | Wish::Restore if self.leased || self.stay.is_some() => {
                let busy = problems::leased(&self.record.name);
                answer(&asked, asked.wish.refused(DeviceError::NotBegun(Box::new(busy))), fx);
            }
            Wish::Word => self.act(asked, Act::Word, fx),
            Wish::Restore => {
                // What a session did with the machine that goes is of no machine any more.
                self.record.stay = None;
                self.unresolved = None;
                let epoch = self.take(1)[0];
                self.save_epochs(asked, Then::Act(Act::Restore { epoch }), fx);
            }
            Wish::Note { starts, cause } => self.started(asked, starts, cause, fx),
        }
    }

    fn open_for(&mut self, asked: Asked, fx: &mut Effects) {
        let fresh = self.take(EPOCHS_TO_OPEN);
        let known = match (&self.running, &self.record.handoff) {
            (Some(running), _) => Some((running.epoch, running.starts)),
            (None, Some(done)) => Some((done.epoch, done.starts)),
            (None, None) => None,
        };
        let again = asked.wish == Wish::Reopen;
        let act = Act::Open { baud: self.baud, known, fresh, again };
        self.save_epochs(asked, Then::Act(act), fx);
    }

    fn may_transfer(&self, of: &Try) -> Result<(), DeviceError> {
        let refuse = |why: String| {
            Err(DeviceError::NotBegun(Box::new(problems::out_of_order(&self.record.name, why))))
        };
        if let Some((issued, _)) = &self.unresolved {
            return refuse(format!(
                "the handoff of {} attempt {} may have been done, and is not settled",
                issued.session, issued.attempt
            ));
        }
        if of.is_done(self.record.handoff.as_ref()) {
            return refuse(format!("{} attempt {} was handed off already", of.session, of.attempt));
        }
        Ok(())
    }

    fn transfer(&mut self, asked: Asked, fx: &mut Effects) {
        let Wish::Transfer { of, artifact, .. } = asked.wish else { return };
        let epochs = self.take(EPOCHS_TO_TRANSFER);
        let holds = self.record.holding.as_ref().is_some_and(|holding| holding.image == artifact);
        if !holds {
            // What is there is about to be overwritten: from here on nobody knows.
            self.record.holding = None;
        }
        self.record.stay = None;
        self.stay = None;
        self.start_to_come = None;
        let act = Act::Transfer { of, epochs, holds, token: self.record.token };
        self.save_epochs(asked, Then::Act(act), fx);
    }

    /// `Some`: it is known to be done. `None`: it may be issued.
    fn may_hand_off(&self, of: &Try, epoch: Epoch) -> Result<Option<Evidence>, DeviceError> {
        if let Some(done) = self.record.handoff.as_ref().filter(|done| of.is_done(Some(done))) {
            return Ok(Some(evidence::recorded(done)));
        }
        if let Some((issued, why)) = &self.unresolved {
            if issued == of {
                return Err(DeviceError::Ambiguous(why.clone()));
            }
            let why = format!("the handoff of {} attempt {} is not settled", issued.session, issued.attempt);
            return Err(DeviceError::NotBegun(Box::new(problems::out_of_order(&self.record.name, why))));
        }
        if self.stay.as_ref() != Some(of) {
            return Err(match &self.lapsed {
                Some((lapsed, why)) if lapsed == of => DeviceError::LoaderTimedOut { why: why.clone() },
                // A predecessor may have issued it.
                _ => DeviceError::Ambiguous(
                    "this actor did not make the transfer, so its predecessor may have issued it".into(),
                ),
            });
        }
        if epoch <= self.newest || epoch >= self.next {
            let why = format!("epoch {epoch} was not reserved since epoch {} began", self.newest);
            return Err(DeviceError::NotBegun(Box::new(problems::out_of_order(&self.record.name, why))));
        }
        Ok(None)
    }

    /// What is known of a try without asking the device.
    fn known(&self, of: &Try) -> Option<Evidence> {
        if let Some(done) = self.record.handoff.as_ref().filter(|done| of.is_done(Some(done))) {
            return Some(evidence::recorded(done));
        }
        if self.stay.as_ref() == Some(of) {
            return Some(Evidence::NotStarted(
                "the device is kept in its loader, and was not told to leave it".into(),
            ));
        }
        None
    }

    /// Asks the device, where its answer could prove anything.
    fn look_for_evidence(&mut self, asked: Asked, of: Try, fx: &mut Effects) {
        let counted = |stay: &LoaderStay| of.is_of(stay) && stay.starts.is_some() && stay.handoffs.is_some();
        let can_tell = |stay: &LoaderStay| match self.nature {
            Nature::Board => false,
            Nature::Counting => counted(stay),
            Nature::Bootloader | Nature::Machine => of.is_of(stay),
        };
        match self.record.stay.clone().filter(can_tell) {
            Some(noted) => {
                let epochs = self.take(EPOCHS_TO_OPEN + 1);
                let act = Act::Settle { of, noted, epochs, token: self.record.token };
                self.save_epochs(asked, Then::Act(act), fx);
            }
            None => {
                let nothing = evidence::before_asking(&of, self.record.stay.as_ref(), None);
                let nothing = nothing.unwrap_or_else(|| Evidence::Unknown("nothing is known".into()));
                self.settle(&of);
                answer(&asked, Answer::Evidence(Ok(nothing)), fx);
            }
        }
    }

    /// Whoever asked was told all there is: what follows is theirs to decide.
    fn settle(&mut self, of: &Try) {
        if self.unresolved.as_ref().is_some_and(|(issued, _)| issued == of) {
            self.unresolved = None;
        }
    }

    fn confirm(&mut self, asked: Asked, epoch: Epoch, fx: &mut Effects) {
        match &self.running {
            Some(running) if running.epoch == epoch => {
                if self.nature == Nature::Counting {
                    self.act(asked, Act::Count, fx);
                } else {
                    answer(&asked, Answer::Confirmed(Ok(None)), fx);
                }
            }
            Some(running) => {
                let began = |cause: &str| format!("epoch {} began: {cause}", running.epoch);
                // What was ended from outside first says nothing of what the device does by itself later.
                let by_itself = running.by_itself_since.is_some_and(|since| since <= epoch);
                let since = match &running.cause {
                    Since::Itself(cause) if by_itself => Since::Itself(began(cause)),
                    Since::Itself(cause) | Since::Gone(cause) => Since::Gone(began(cause)),
                };
                answer(&asked, Answer::Confirmed(Ok(Some(since))), fx);
            }
            None => {
                let gone = Since::Gone("the device went away".into());
                answer(&asked, Answer::Confirmed(Ok(Some(gone))), fx);
            }
        }
    }

    fn persisted(&mut self, fx: &mut Effects) {
        let Some(Doing::Saving(asked, then)) = self.doing.take() else { return };
        if then == Then::Begin {
            // A newer lease: what an older one left unsettled is the scheduler's, who granted it, to have settled.
            self.unresolved = None;
            self.leased = false;
        }
        self.saved = self.record.clone();
        match then {
            Then::Begin => self.begin(asked, fx),
            Then::Act(act) => self.act(asked, act, fx),
            Then::Answer(reply) => answer(&asked, reply, fx),
        }
    }

    fn unsaved(&mut self, why: &str, fx: &mut Effects) {
        let Some(Doing::Saving(asked, then)) = self.doing.take() else { return };
        let problem = Box::new(problems::not_recorded(&self.record.name, why));
        let reply = match then {
            // What the device did stays true, though only this incarnation knows it.
            Then::Answer(Answer::HandedOff(_)) => Answer::HandedOff(Err(DeviceError::Ambiguous(format!(
                "the device acknowledged it, and that could not be recorded: {why}"
            )))),
            Then::Answer(Answer::Transferred(_)) => asked.wish.refused(DeviceError::Failed(problem)),
            Then::Begin | Then::Act(_) | Then::Answer(_) => {
                self.record = self.saved.clone();
                asked.wish.refused(DeviceError::NotBegun(problem))
            }
        };
        answer(&asked, reply, fx);
    }

    /// This epoch is being recorded now. Numbers only grow.
    fn runs(&mut self, epoch: Epoch, cause: Since, starts: Option<u64>) {
        if self.newest <= epoch {
            self.newest = epoch;
            let before = self.running.take();
            let by_itself_since = match (&cause, before) {
                (Since::Itself(_), Some(before)) if before.epoch < epoch => {
                    before.by_itself_since.or(Some(before.epoch))
                }
                (Since::Itself(_), Some(before)) => before.by_itself_since,
                _ => None,
            };
            self.running = Some(Running { epoch, cause, by_itself_since, starts });
        }
        self.next = self.next.max(epoch.next());
    }

    /// The next epochs, in order. Durable once the record is.
    fn take(&mut self, count: usize) -> Vec<Epoch> {
        let epochs: Vec<_> = (self.next.0..).take(count).map(Epoch).collect();
        let last = epochs.last().copied().unwrap_or(self.record.epoch);
        self.record.epoch = self.record.epoch.max(last);
        // Those of an opening or a transfer that are not begun are handed out again.
        if count == 1 {
            self.next = last.next();
        }
        epochs
    }

    /// Writes the record if that is needed, then goes on.
    fn save_epochs(&mut self, asked: Asked, then: Then, fx: &mut Effects) {
        if self.record == self.saved {
            match then {
                Then::Begin => self.begin(asked, fx),
                Then::Act(act) => self.act(asked, act, fx),
                Then::Answer(reply) => answer(&asked, reply, fx),
            }
        } else {
            self.save(asked, Persisting::Epoch, then, fx);
        }
    }

    fn save(&mut self, asked: Asked, why: Persisting, then: Then, fx: &mut Effects) {
        fx.persist = Some(Persist { record: Box::new(self.record.clone()), why });
        self.doing = Some(Doing::Saving(asked, then));
    }

    fn act(&mut self, asked: Asked, act: Act, fx: &mut Effects) {
        if matches!(act, Act::Transfer { .. }) && asked.over {
            // Its lease ended while its port was opened, or its record written.
            return answer(&asked, asked.wish.refused(DeviceError::Fenced), fx);
        }
        self.vanished = false;
        fx.act = Some((asked.id, act.clone()));
        self.doing = Some(Doing::Acting(asked, act));
    }
}

fn answer(asked: &Asked, reply: Answer, fx: &mut Effects) {
    if let Some(id) = asked.id {
        fx.answers.push((id, reply));
    }
}
