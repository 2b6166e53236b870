//! A machine is saved as it is, or made what it was. What is done to a snapshot comes to its end, whoever waits for it.

use std::time::{Duration, Instant};

use farmhand_api::{EpochCause, EventBody, Problem};
use farmhand_machine::{Kind, Loaded, Machine, Place, Saved, SnapshotError, SnapshotName, Snapshots, Wanted};
use farmhand_records::Epoch;
use farmhand_runtime::unix_us;
use tokio::sync::mpsc;

use super::super::{Ended, Tools};
use super::{FIRST_START, GuestFolder};
use crate::problems;
use crate::state::{Outcome, Said, Unopened};

/// For what the machine was told, and has not answered.
pub(super) const DRAINED_WITHIN: Duration = Duration::from_secs(10);

/// To save the machine that runs.
#[derive(Debug)]
pub(crate) struct Save {
    pub(crate) name: String,
    pub(crate) replace: bool,
    pub(crate) kind: &'static Kind,
}

impl Save {
    /// Does it: from [`crate::state::Act::Word`].
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let said = |said: Result<String, Box<Problem>>| Outcome::Said(said.map(Said::Text)).into();
        let found = match tools.the_machine().await {
            Ok(Some(found)) => found,
            Ok(None) => return said(Err(Box::new(problems::nothing_to_save(&tools.config.name)))),
            Err(error) => return said(Err(tools.no_machine(&error))),
        };
        let saved = self.save(&tools, found.machine()).await;
        let saved = saved.map_err(|error| Box::new(problems::of_snapshot(&error)));
        Ended { loaded: found.adopted(), ..said(saved) }
    }

    async fn save(self, tools: &Tools, machine: &Machine) -> Result<String, SnapshotError> {
        let Self { name, replace, kind } = self;
        let name = SnapshotName::new(&name)?;
        let began = Instant::now();
        let what = Saved {
            wanted: Wanted::User { name: name.clone(), replace },
            folder: tools.ctx.paths.board(&tools.config.name),
            kind,
            called: tools.config.name.to_string(),
            drained_within: DRAINED_WITHIN,
        };
        let saved = Snapshots::open(&tools.ctx.paths.snapshots())?.save(machine, what).await?;
        Ok(format!("{name}: {} bytes, {} ms; it goes on", saved.len_bytes(), began.elapsed().as_millis()))
    }
}

/// To make a machine what it was.
#[derive(Debug)]
pub(crate) struct Restore {
    /// The snapshot; none: a Linux guest that boots.
    pub(crate) name: Option<String>,
    /// That this begins; durable.
    pub(crate) epoch: Epoch,
    pub(crate) kind: &'static Kind,
    /// The console's rate.
    pub(crate) baud: u32,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
}

/// What was not done, and whether the machine that ran is gone by then.
type NotRestored = (Box<Problem>, bool);

impl Restore {
    /// Does it: from [`crate::state::Act::Restore`].
    pub(crate) async fn run(self, tools: Tools) -> Ended {
        let began = Instant::now();
        let loaded = match self.make(&tools).await {
            Ok(loaded) => loaded,
            Err(not) => return Outcome::Restored(Err(not)).into(),
        };
        match self.let_go(&tools, &loaded.machine).await {
            Ok(()) => {
                let (took, epoch) = (began.elapsed().as_millis(), self.epoch);
                let text = match &self.name {
                    Some(name) => format!("{name}: restored in {took} ms; epoch {epoch} begins with it"),
                    None => format!("it boots since {took} ms; epoch {epoch} begins with that"),
                };
                let outcome = Outcome::Restored(Ok((text, FIRST_START)));
                Ended { loaded: Some(loaded), ..outcome.into() }
            }
            Err(problem) => {
                // One that is paused is of no use to anybody.
                if let Err(error) = loaded.machine.quit().await {
                    tracing::warn!(device = %tools.config.name, %error, "a restored machine did not end");
                }
                Outcome::Restored(Err((problem, true))).into()
            }
        }
    }

    /// The machine, paused. What is wrong with the snapshot is found before the machine that runs is ended.
    async fn make(&self, tools: &Tools) -> Result<Loaded, NotRestored> {
        let of = |error: SnapshotError| Box::new(problems::of_snapshot(&error));
        let Some(name) = &self.name else { return self.boot(tools).await };
        let name = SnapshotName::new(name).map_err(|error| (of(error), false))?;
        let all = Snapshots::open(&tools.ctx.paths.snapshots()).map_err(|error| (of(error), false))?;
        let verified = all.verified(&name).await.map_err(|error| (of(error), false))?;
        let kind = &verified.description().kind;
        if *kind != self.kind.name {
            let problem = problems::another_machine(&tools.config.name, self.kind, &name, kind);
            return Err((Box::new(problem), false));
        }
        let emulator = tools.emulator(self.kind, self.progress.as_ref()).await;
        let emulator = emulator.map_err(|problem| (problem, false))?;
        verified.fits(&emulator).await.map_err(|error| (of(error), false))?;
        if self.kind.is_accelerated() {
            tools.guest(self.kind, self.progress.as_ref()).await.map_err(|problem| (problem, true))?;
        }
        tools.end_it().await.map_err(|problem| (problem, true))?;
        let folder = tools.ctx.paths.board(&tools.config.name);
        let place = Place { folder, called: tools.config.name.to_string() };
        let loaded = verified.machine(&place, &emulator).await.map_err(|error| (of(error), true))?;
        let guest = GuestFolder::of(tools);
        let noted = guest.clear().and_then(|()| guest.set_life(unix_us()));
        noted_or_ended(tools, loaded, noted).await
    }

    /// A guest that runs nothing but its agent, held.
    async fn boot(&self, tools: &Tools) -> Result<Loaded, NotRestored> {
        if !self.kind.is_linux() {
            return Err((Box::new(problems::nothing_to_boot(&tools.config.name, self.kind)), false));
        }
        let begins = tools.guest(self.kind, self.progress.as_ref()).await;
        let (emulator, program) = begins.map_err(|problem| (problem, false))?;
        let guest = GuestFolder::of(tools);
        let loaded = Machine::load(guest.path(), &emulator, &program).await;
        let loaded = loaded.map_err(|error| (tools.no_machine(&error), true))?;
        noted_or_ended(tools, loaded, guest.clear()).await
    }

    /// Its epoch is begun and its console open before it says anything. In this order: to open a console that had gone is a
    /// reason for an epoch too.
    async fn let_go(&self, tools: &Tools, machine: &Machine) -> Result<(), Box<Problem>> {
        let cause = match &self.name {
            Some(name) => EpochCause::Restored(name.clone()),
            None => EpochCause::Itself("it was started".into()),
        };
        tools.begin_epoch(self.epoch, cause).await.map_err(|error| {
            Box::new(problems::no_answer(&tools.config.name, "its serial actor", &error.to_string()))
        })?;
        let opened = tools.open_console(machine.console(), self.baud, self.epoch, self.epoch).await;
        opened.map_err(|Unopened { problem, .. }| problem)?;
        machine.go().await.map_err(|error| tools.no_machine(&error.into()))
    }
}

/// A machine of which its folder does not say what it is to do is ended: nobody would let it go.
async fn noted_or_ended(
    tools: &Tools,
    loaded: Loaded,
    noted: std::io::Result<()>,
) -> Result<Loaded, NotRestored> {
    match noted {
        Ok(()) => Ok(loaded),
        Err(error) => Err((tools.not_noted(loaded, &error).await, true)),
    }
}

impl Tools {
    /// Ends the machine, if there is one: from [`crate::state::Act::Word`].
    pub(crate) async fn end_machine(&self) -> Ended {
        let ended = self.end_it().await.map(|()| Said::Text(String::new()));
        Outcome::Said(ended).into()
    }

    /// Ends the machine that a predecessor has made and not let go: from [`crate::state::Act::LetGo`].
    pub(crate) async fn end_unless_let_go(self) -> Ended {
        let folder = self.ctx.paths.board(&self.config.name);
        let ended = match (&self.machine, Machine::process_in(&folder)) {
            (Some(machine), _) => machine.end_unless_it_was_let_go().await,
            (None, Some(process)) => Machine::end_unless_let_go(&folder, process).await,
            (None, None) => Ok(false),
        };
        if let Err(error) = ended {
            tracing::warn!(device = %self.config.name, %error, "a machine that nobody lets go did not end");
        }
        Outcome::LetGo { began: None, starts: None }.into()
    }

    async fn end_it(&self) -> Result<(), Box<Problem>> {
        let ended = match &self.machine {
            Some(machine) => machine.clone().quit().await,
            None => Machine::end_any(&self.ctx.paths.board(&self.config.name)).await,
        };
        ended.map_err(|error| self.no_machine(&error))
    }
}
