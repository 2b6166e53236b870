//! A world that carries out what the machine says, well or badly, and that watches.

use std::collections::{BTreeMap, BTreeSet};

use farmhand_records::v1::Identity;

use super::*;

/// How the world treats an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    /// It goes well.
    Good,
    /// It fails, and is known to have failed.
    Bad,
    /// It may have been done, and nobody is told.
    Lost,
}

/// The device, the disk, and what an onlooker writes down.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) disk: Option<Device>,
    pub(super) virtual_: bool,
    /// The board's own counts.
    pub(super) starts: u64,
    pub(super) handoffs: u64,
    pub(super) in_loader: bool,
    /// What the serial actor records.
    pub(super) recording: Epoch,
    /// Handoff commands that left the host, by try.
    pub(super) issued: BTreeMap<(u64, u32), u32>,
    pub(super) begun: Vec<Epoch>,
    pub(super) next_id: AskId,
    pub(super) answers: BTreeMap<AskId, Answer>,
    pub(super) asked: BTreeSet<AskId>,
    /// What is to be done, not done yet.
    pub(super) persist: Option<Persist>,
    pub(super) act: Option<Act>,
    /// The epoch that the stay begins where nobody hands off.
    pub(super) stay_epoch: Option<Epoch>,
    /// How often the port was to be opened again.
    pub(super) reopens: u32,
    /// What is being done was to be ended.
    pub(super) stopped: bool,
    /// Transfers that were asked for before their session gave the device back, or behind it; and who does that.
    pub(super) transfers: BTreeMap<AskId, u64>,
    pub(super) over: BTreeSet<AskId>,
    pub(super) disconnects: BTreeMap<AskId, Vec<AskId>>,
    given_back: u64,
    /// For which question something is being done.
    acting: Option<AskId>,
}

impl World {
    pub(super) fn new(virtual_: bool) -> Self {
        Self {
            machine: Machine::new(&name(), None, nature(virtual_), 115_200),
            disk: None,
            virtual_,
            starts: 1,
            handoffs: 0,
            in_loader: false,
            recording: Epoch(0),
            issued: BTreeMap::new(),
            begun: Vec::new(),
            next_id: 0,
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            persist: None,
            act: None,
            stay_epoch: None,
            reopens: 0,
            stopped: false,
            transfers: BTreeMap::new(),
            over: BTreeSet::new(),
            disconnects: BTreeMap::new(),
            given_back: 0,
            acting: None,
        }
    }

    pub(super) fn counts(&self) -> Option<u64> {
        self.virtual_.then_some(self.starts)
    }

    pub(super) fn step(&mut self, input: Input) {
        let Effects { persist, act, answers, reopen, stop } = self.machine.step(input);
        if stop {
            assert!(matches!(self.act, Some(Act::Transfer { .. } | Act::Word)), "{:?}", self.act);
            self.stopped = true;
        }
        self.reopens += u32::from(reopen);
        assert!(persist.is_none() || act.is_none(), "one thing at a time");
        if let Some(persist) = persist {
            assert!(self.persist.is_none() && self.act.is_none(), "one thing at a time");
            self.persist = Some(persist);
        }
        if let Some((id, act)) = act {
            self.acting = id;
            assert!(self.persist.is_none() && self.act.is_none(), "one thing at a time");
            self.check(&act);
            self.stopped = false;
            self.act = Some(act);
        }
        for (id, answer) in answers {
            assert!(self.answers.insert(id, answer).is_none(), "{id} was answered twice");
            // From here on none of them is begun, or goes on.
            self.over.extend(self.disconnects.remove(&id).unwrap_or_default());
        }
        if let (Some(Act::Transfer { .. }), Some(id)) = (&self.act, self.acting) {
            assert!(!self.over.contains(&id), "it is written to under a lease that was given back");
        }
    }

    /// What an act relies on is on disk before it.
    pub(super) fn check(&self, act: &Act) {
        let durable = self.disk.as_ref().map_or(Epoch(0), |record| record.epoch);
        let token = self.disk.as_ref().map_or(FencingToken(0), |record| record.token);
        let epochs = match act {
            Act::Open { fresh, .. } => fresh.clone(),
            Act::Transfer { epochs, .. } | Act::Settle { epochs, .. } => epochs.clone(),
            Act::Leave { epoch, .. } | Act::Begin { epoch, .. } => vec![*epoch],
            Act::Restore { epoch } => vec![*epoch],
            Act::Count | Act::Word | Act::LetGo => vec![],
        };
        assert!(epochs.iter().all(|epoch| *epoch <= durable), "{act:?} before its epochs are durable");
        assert!(epochs.iter().all(|epoch| *epoch > self.recording), "{act:?} would begin an old epoch");
        if let Act::Transfer { .. } | Act::Leave { .. } = act {
            assert_eq!(token, self.machine.record().token, "{act:?} before its token is durable");
        }
        if let Act::Transfer { holds: false, .. } = act {
            let holding = self.disk.as_ref().and_then(|record| record.holding.clone());
            assert_eq!(holding, None, "overwritten, while the record says that it is there");
        }
    }

    pub(super) fn begin(&mut self, epoch: Epoch) {
        assert!(epoch > self.recording, "epoch {epoch} began after {}", self.recording);
        self.recording = epoch;
        self.begun.push(epoch);
    }

    pub(super) fn ask(&mut self, token: u64, wish: Wish) -> AskId {
        self.next_id += 1;
        self.asked.insert(self.next_id);
        // Waiting commands of an older lease are refused, whenever they came.
        let fenced = FencingToken(token) < self.machine.record().token;
        let before = self.act.clone();
        match &wish {
            Wish::Disconnect if !fenced => {
                let transfers = self.transfers.iter().filter(|(_, of)| **of <= token);
                self.disconnects.insert(self.next_id, transfers.map(|(id, _)| *id).collect());
                self.given_back = self.given_back.max(token);
            }
            // The same session, again.
            Wish::Connect { .. } if !fenced => self.given_back = 0,
            Wish::Transfer { .. } => {
                if token <= self.given_back {
                    self.over.insert(self.next_id);
                }
                self.transfers.insert(self.next_id, token);
            }
            _ => {}
        }
        self.step(Input::Ask { id: Some(self.next_id), token: Some(FencingToken(token)), wish });
        if fenced {
            assert_eq!(self.act, before, "an older lease's command did something");
        }
        self.next_id
    }

    /// Lets one thing happen that is under way.
    pub(super) fn go(&mut self, luck: Luck) -> bool {
        if let Some(persist) = self.persist.take() {
            if luck == Luck::Bad {
                self.step(Input::Unsaved("the disk is full".into()));
            } else {
                self.disk = Some(*persist.record);
                self.step(Input::Persisted);
            }
            return true;
        }
        let Some(act) = self.act.take() else { return false };
        let outcome = self.carry_out(act, luck);
        self.step(Input::Ended(Box::new(outcome)));
        true
    }

    pub(super) fn carry_out(&mut self, act: Act, luck: Luck) -> Outcome {
        match act {
            Act::Open { known, fresh, .. } => {
                if luck == Luck::Bad {
                    return Outcome::Opened(Err(Unopened { problem: problem(), perhaps: false }));
                }
                let proven = known.is_some_and(|(epoch, starts)| {
                    epoch == self.recording && (!self.virtual_ || starts == Some(self.starts))
                });
                if !proven {
                    self.begin(fresh[0]);
                }
                if luck == Luck::Lost {
                    return Outcome::Opened(Err(Unopened { problem: problem(), perhaps: true }));
                }
                Outcome::Opened(Ok(Line {
                    epoch: self.recording,
                    starts: self.counts(),
                    console: ConsoleIs::Open,
                }))
            }
            // It ends before its next command.
            Act::Transfer { .. } if self.stopped => {
                Outcome::Transferred(Err(Spoiled { touched: true, ..Spoiled::untouched(*problem()) }))
            }
            Act::Transfer { epochs, .. } => {
                if luck == Luck::Bad {
                    let spoiled = Spoiled::untouched(*problem());
                    return Outcome::Transferred(Err(spoiled));
                }
                self.begin(epochs[0]);
                self.starts += 1;
                self.in_loader = true;
                let (epoch, starts) = (epochs[0], self.counts());
                if luck == Luck::Lost {
                    let spoiled = Spoiled {
                        began: Some(epoch),
                        starts,
                        touched: true,
                        ..Spoiled::untouched(*problem())
                    };
                    return Outcome::Transferred(Err(spoiled));
                }
                self.stay_epoch = Some(epochs[1]);
                let identity = Identity { signature: vec![1], loader: "l".into() };
                let handoffs = self.virtual_.then_some(self.handoffs);
                let (image_bytes, written_bytes) = (1, 1);
                Outcome::Transferred(Ok(OnDevice {
                    image_bytes,
                    written_bytes,
                    identity,
                    epoch: Some(epoch),
                    starts,
                    handoffs,
                }))
            }
            Act::Leave { of, epoch } => {
                if luck == Luck::Bad {
                    return Outcome::Left(Left::LoaderGone {
                        why: "it gave up".into(),
                        began: None,
                        starts: self.counts(),
                    });
                }
                *self.issued.entry((of.session.0, of.attempt.0)).or_default() += 1;
                self.in_loader = false;
                self.handoffs += 1;
                self.starts += 1;
                if luck == Luck::Lost {
                    return Outcome::Left(Left::Ambiguous("no answer".into()));
                }
                self.begin(epoch);
                Outcome::Left(Left::Acknowledged { said: "ok".into(), starts: self.counts(), recorded: true })
            }
            Act::Settle { noted, epochs, .. } => {
                assert!(self.virtual_, "a board that does not count is not asked");
                let same = noted.starts == Some(self.starts) && noted.handoffs == Some(self.handoffs);
                let stays = same && self.in_loader && luck == Luck::Good;
                let evidence = if stays {
                    Evidence::NotStarted("same stay".into())
                } else {
                    Evidence::Unknown("it may have been".into())
                };
                let line = (luck != Luck::Bad).then(|| {
                    self.begin(epochs[0]);
                    Line { epoch: epochs[0], starts: self.counts(), console: ConsoleIs::Open }
                });
                if stays {
                    self.stay_epoch = Some(epochs[2]);
                }
                Outcome::Settled { evidence, line, stays }
            }
            Act::Count => match luck {
                Luck::Good => Outcome::Counted(Ok((self.starts, "the watchdog".into()))),
                Luck::Bad => Outcome::Counted(Err(problem())),
                Luck::Lost => Outcome::BoardGone,
            },
            Act::Begin { epoch, .. } => {
                self.begin(epoch);
                Outcome::Begun
            }
            Act::Word if self.stopped => Outcome::Said(Err(problem())),
            Act::Word => Outcome::Said(Ok(Said::Text(String::new()))),
            Act::Restore { .. } => Outcome::Restored(Ok((String::new(), 1))),
            Act::LetGo => {
                let began = self.stay_epoch.filter(|_| luck == Luck::Good);
                if let Some(epoch) = began {
                    self.begin(epoch);
                }
                Outcome::LetGo { began, starts: self.counts().map(|starts| starts + 1) }
            }
        }
    }

    /// Everything that is under way comes to its end.
    pub(super) fn settle(&mut self) {
        while self.go(Luck::Good) {}
    }

    /// The actor ends, whatever is under way; an act may have been done.
    pub(super) fn crash(&mut self, done: bool) {
        if let Some(persist) = self.persist.take()
            && done
        {
            self.disk = Some(*persist.record);
        }
        if let Some(act) = self.act.take()
            && done
        {
            self.carry_out(act, Luck::Good);
        }
        self.machine = Machine::new(&name(), self.disk.clone(), nature(self.virtual_), 115_200);
        // Whoever asked hears that it ended.
        self.asked.retain(|id| self.answers.contains_key(id));
        // Nobody knows of it any more.
        self.disconnects.clear();
        self.given_back = 0;
    }

    /// The loader gives up by itself, and the stay's task sees it.
    pub(super) fn time_out(&mut self) {
        let Some(of) = self.machine.stay else { return };
        if self.act.is_some() || !self.in_loader {
            return;
        }
        self.in_loader = false;
        self.starts += 1;
        let Some(epoch) = self.stay_epoch else { return };
        self.begin(epoch);
        let starts = self.counts();
        self.step(Input::StayEnded { of, why: "it gave up".into(), began: Some(epoch), starts });
    }

    pub(super) fn answer(&mut self, token: u64, wish: Wish) -> Answer {
        let id = self.ask(token, wish);
        self.settle();
        self.answers[&id].clone()
    }

    pub(super) fn transfer(&mut self, token: u64, of: Try) -> Answer {
        self.answer(token, Wish::Transfer { of, artifact: IMAGE, baud: 9600 })
    }

    pub(super) fn reserve(&mut self, token: u64) -> Epoch {
        match self.answer(token, Wish::Reserve) {
            Answer::Reserved(Ok(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }
}

fn nature(virtual_: bool) -> Nature {
    if virtual_ { Nature::Counting } else { Nature::Board }
}
