//! What came of an act: what is known from then on, and who is answered.

use farmhand_messages::device::{Connected, DeviceError, Since, Transferred};
use farmhand_records::Epoch;
use farmhand_records::v1::{Evidence, HandoffDone, Holding, LoaderStay};

use super::{
    Act, Answer, Asked, ConsoleIs, Doing, Effects, Left, Line, Machine, Nature, OnDevice, Outcome,
    Persisting, Said, Spoiled, Then, Unopened, Wish, answer,
};
use crate::evidence::Try;

impl Machine {
    pub(super) fn ended(&mut self, outcome: Outcome, fx: &mut Effects) {
        let Some(Doing::Acting(asked, act)) = self.doing.take() else { return };
        match (act, outcome) {
            (_, Outcome::Opened(opened)) => self.opened(asked, opened, fx),
            (Act::Transfer { of, .. }, Outcome::Transferred(done)) => self.transferred(asked, of, done, fx),
            (Act::Leave { of, epoch }, Outcome::Left(left)) => self.left(asked, of, epoch, left, fx),
            (Act::Settle { of, .. }, Outcome::Settled { evidence, line, stays }) => {
                // Which of them were begun is not worth telling: none is handed out again.
                self.next = self.record.epoch.next();
                if let Some(Line { epoch, starts, .. }) = line {
                    self.open = !self.vanished;
                    self.runs(epoch, gone("the port was opened"), starts);
                }
                if stays {
                    self.stay = Some(of);
                    self.lapsed = None;
                }
                self.settle(&of);
                if !self.was_let_go(&asked, &of, &evidence, fx) {
                    answer(&asked, Answer::Evidence(Ok(evidence)), fx);
                }
            }
            (Act::Count, Outcome::BoardGone) => {
                self.open = false;
                self.running = None;
                answer(&asked, Answer::Confirmed(Ok(Some(gone("the board ended")))), fx);
            }
            (Act::Count, Outcome::Counted(counted)) => self.counted(asked, counted, fx),
            (Act::Begin { epoch, cause, starts }, Outcome::Begun) => {
                // Counted by the board: the one start that is known to be its own.
                let cause = Since::Itself(cause);
                self.runs(epoch, cause.clone(), Some(starts));
                answer(&asked, Answer::Confirmed(Ok(Some(cause))), fx);
            }
            (Act::Word, Outcome::Said(said)) => {
                let said = said.map_err(DeviceError::Failed);
                answer(&asked, Answer::Said(said), fx);
            }
            (Act::Restore { epoch }, Outcome::Restored(Ok((text, starts)))) => {
                // The console of the machine that went may have vanished meanwhile; this one has not.
                self.open = true;
                self.start_to_come = None;
                self.runs(epoch, gone("it was restored from a snapshot"), Some(starts));
                answer(&asked, Answer::Said(Ok(Said::Text(text))), fx);
            }
            (Act::Restore { .. }, Outcome::Restored(Err((problem, ended)))) => {
                if ended {
                    self.open = false;
                    self.running = None;
                }
                answer(&asked, Answer::Said(Err(DeviceError::Failed(problem))), fx);
            }
            (Act::LetGo, Outcome::LetGo { began, starts }) => {
                self.stay = None;
                if self.nature == Nature::Machine {
                    self.record.stay = None;
                }
                if let Some(epoch) = began {
                    self.runs(epoch, gone("the loader's timeout"), starts);
                }
                answer(&asked, Answer::Disconnected, fx);
            }
            (act, _) => {
                // A task gave what it cannot give: nothing is known of what it did.
                let why = format!("{act:?} ended with an outcome of another kind");
                answer(&asked, asked.wish.refused(DeviceError::Ambiguous(why)), fx);
            }
        }
    }

    fn opened(&mut self, asked: Asked, opened: Result<Line, Unopened>, fx: &mut Effects) {
        let line = match opened {
            Ok(line) => line,
            Err(Unopened { problem, perhaps }) => {
                if perhaps {
                    self.next = self.record.epoch.next();
                }
                fx.reopen = asked.wish == Wish::Reopen;
                return answer(&asked, asked.wish.refused(DeviceError::NotBegun(problem)), fx);
            }
        };
        // A console of its own that is still to come: looked for again once what brings it is under way.
        let to_come = line.console == ConsoleIs::ToCome;
        self.open = !self.vanished && !to_come;
        if to_come && asked.wish == Wish::Reopen {
            fx.reopen = true;
        }
        let same = self.running.as_ref().is_some_and(|running| running.epoch == line.epoch);
        if !same || line.starts.is_some() {
            let cause = match &self.running {
                Some(running) if same => running.cause.clone(),
                _ => gone("the port was opened"),
            };
            self.runs(line.epoch, cause, line.starts);
        }
        match asked.wish {
            Wish::Connect { .. } => {
                self.leased = true;
                let (identity, holding) = (self.record.identity.clone(), self.record.holding.clone());
                let virtual_ = matches!(self.nature, Nature::Counting | Nature::Machine);
                let console = line.console != ConsoleIs::None;
                let connected = Connected { identity, epoch: line.epoch, holding, virtual_, console };
                answer(&asked, Answer::Connected(Ok(connected)), fx);
            }
            Wish::Transfer { .. } => self.transfer(asked, fx),
            Wish::Confirm { epoch } => self.confirm(asked, epoch, fx),
            _ => answer(&asked, Answer::Console(Ok(())), fx),
        }
    }

    fn transferred(&mut self, asked: Asked, of: Try, done: Result<OnDevice, Spoiled>, fx: &mut Effects) {
        let Wish::Transfer { artifact, .. } = asked.wish else { return };
        let done = match done {
            Ok(done) => done,
            Err(Spoiled { problem, began, starts, touched, ambiguous }) => {
                if let Some(epoch) = began {
                    self.runs(epoch, gone("a reset into the loader"), starts);
                }
                let error = match (ambiguous, touched) {
                    (true, _) => DeviceError::Ambiguous(problem.message),
                    // It was ended for that, or would have been.
                    _ if asked.over => DeviceError::Fenced,
                    (false, true) => DeviceError::Failed(problem),
                    (false, false) => DeviceError::NotBegun(problem),
                };
                return answer(&asked, asked.wish.refused(error), fx);
            }
        };
        if let Some(epoch) = done.epoch {
            self.runs(epoch, gone("a reset into the loader"), done.starts);
            // The next is the stay's own, for the start that comes when nobody hands off.
            self.next = self.next.max(epoch.next().next());
        }
        self.stay = Some(of);
        self.lapsed = None;
        let since = match &self.record.holding {
            Some(holding) if holding.image == artifact && done.written_bytes == 0 => Some(holding.since),
            _ => None,
        };
        self.record.identity = Some(done.identity);
        self.record.holding = Some(Holding { image: artifact, since: since.unwrap_or(of.session) });
        let Try { session, attempt, plan } = of;
        let (starts, handoffs) = (done.starts, done.handoffs);
        self.record.stay = Some(LoaderStay { session, attempt, plan, starts, handoffs });
        let (image_bytes, written_bytes) = (done.image_bytes, done.written_bytes);
        let reply = Answer::Transferred(Ok(Transferred { image_bytes, written_bytes, since }));
        self.save(asked, Persisting::Stay, Then::Answer(reply), fx);
    }

    fn left(&mut self, asked: Asked, of: Try, epoch: Epoch, left: Left, fx: &mut Effects) {
        self.stay = None;
        match left {
            Left::Acknowledged { said, starts, recorded } => {
                self.runs(epoch, gone("the handoff"), starts);
                if !recorded {
                    // The port's owner is asked again what it records: an opening begins what is missing.
                    self.open = false;
                    fx.reopen = self.leased;
                }
                let Try { session, attempt, plan } = of;
                self.record.handoff = Some(HandoffDone { session, attempt, plan, epoch, starts });
                self.record.stay = None;
                fx.reopen = self.leased && !self.open;
                let reply = Answer::HandedOff(Ok(Evidence::Complete(said)));
                self.save(asked, Persisting::Handoff, Then::Answer(reply), fx);
            }
            Left::LoaderGone { why, began, starts } => {
                if let Some(epoch) = began {
                    self.runs(epoch, gone("the loader's timeout"), starts);
                }
                self.lapsed = Some((of, why.clone()));
                answer(&asked, asked.wish.refused(DeviceError::LoaderTimedOut { why }), fx);
            }
            Left::Refused(problem) => {
                self.record.stay = None;
                answer(&asked, asked.wish.refused(DeviceError::Failed(problem)), fx);
            }
            Left::Ambiguous(why) => {
                self.unresolved = Some((of, why.clone()));
                answer(&asked, asked.wish.refused(DeviceError::Ambiguous(why)), fx);
            }
        }
    }

    fn counted(
        &mut self,
        asked: Asked,
        counted: Result<(u64, String), Box<farmhand_api::Problem>>,
        fx: &mut Effects,
    ) {
        let known = self.running.as_ref().and_then(|running| running.starts);
        match counted {
            Err(problem) => answer(&asked, asked.wish.refused(DeviceError::Failed(problem)), fx),
            // One less: the start that the handoff leads to is still to come (optiboot's 16 ms).
            Ok((starts, _)) if known.is_none_or(|known| starts == known || starts + 1 == known) => {
                answer(&asked, Answer::Confirmed(Ok(None)), fx);
            }
            // Counts only grow: this is another board, or one that was made anew. It is opened as such.
            Ok((starts, _)) if known.is_some_and(|known| starts < known) => {
                self.open = false;
                self.running = None;
                answer(&asked, Answer::Confirmed(Ok(Some(gone("another board answers")))), fx);
            }
            Ok((starts, cause)) => self.note(asked, starts, cause, fx),
        }
    }

    pub(super) fn stay_ended(&mut self, of: Try, why: String, began: Option<Epoch>, starts: Option<u64>) {
        if self.stay == Some(of) {
            self.stay = None;
            self.lapsed = Some((of, why));
        }
        if let Some(epoch) = began {
            self.runs(epoch, gone("the loader's timeout"), starts);
        }
    }
}

fn gone(why: &str) -> Since {
    Since::Gone(why.to_owned())
}
