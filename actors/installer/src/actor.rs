//! The installer's shell: receives, steps, starts installations, answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use farmhand_api::{InstallEvent, InstalledView, Problem};
use farmhand_messages::InstallerMessage;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_runtime::{ChaosRole, Ctx};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;

use crate::state::{Effect, Flights, Input, WAITING_MAX, Waiter};
use crate::{InstallError, Packages};

/// What the installer is given at its start.
#[derive(Debug, Clone)]
pub struct InstallerArgs {
    /// What every actor is given.
    pub ctx: Ctx,
}

/// The package installer.
#[derive(Debug, Default)]
pub struct InstallerActor;

/// One who waits.
#[derive(Debug)]
struct Asker {
    reply: RpcReplyPort<Result<Installed, Problem>>,
    progress: Option<mpsc::Sender<InstallEvent>>,
}

/// What the installer knows. Nothing of it is saved: the completion records are the truth, and what a predecessor
/// had fetched is taken up from the disk.
#[derive(Debug)]
pub struct InstallerState {
    ctx: Ctx,
    packages: Arc<Packages>,
    flights: Flights<PackageWish>,
    askers: BTreeMap<Waiter, Asker>,
    next: u64,
}

#[ractor::async_trait]
impl Actor for InstallerActor {
    type Msg = InstallerMessage;
    type State = InstallerState;
    type Arguments = InstallerArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        // A link to a folder that several farms share: a package is built against under one name in all of them.
        let folder = args.ctx.paths.packages();
        let packages = Arc::new(Packages::new(folder.canonicalize().unwrap_or(folder)));
        Ok(InstallerState {
            ctx: args.ctx,
            packages,
            flights: Flights::new(),
            askers: BTreeMap::new(),
            next: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.ctx.chaos.strike(ChaosRole::Installer);
        match message {
            InstallerMessage::Install { wish, progress, reply } => {
                let waiter = Waiter(state.next);
                state.next += 1;
                state.askers.insert(waiter, Asker { reply, progress });
                match state.flights.step(Input::Asked { wish: wish.clone(), waiter }) {
                    Effect::Start(wish) => state.start(&myself, wish),
                    Effect::Refuse(waiter) => state.answer(&[waiter], &Err(busy(&wish))),
                    Effect::Nothing | Effect::Tell(_) | Effect::Answer(_) => {}
                }
            }
            InstallerMessage::Stepped { wish, event } => {
                if let Effect::Tell(waiters) = state.flights.step(Input::Stepped { wish }) {
                    state.tell(&waiters, &event);
                }
            }
            InstallerMessage::Ended { wish, outcome } => {
                if let Effect::Answer(waiters) = state.flights.step(Input::Ended { wish }) {
                    state.answer(&waiters, &outcome);
                }
            }
            InstallerMessage::List { reply } => {
                // A few small files.
                let _nobody_waits = reply.send(state.packages.list().into_iter().map(view).collect());
            }
        }
        Ok(())
    }
}

impl InstallerState {
    fn start(&self, myself: &ActorRef<InstallerMessage>, wish: PackageWish) {
        let packages = Arc::clone(&self.packages);
        let (watcher, of) = (myself.clone(), wish.clone());
        // Ten a second at most: they need no credit.
        let step = move |event| {
            let _ended_meanwhile = watcher.cast(InstallerMessage::Stepped { wish: of.clone(), event });
        };
        self.ctx.effects.spawn(myself, async move {
            let outcome = packages.install(&wish, step).await;
            let outcome = Box::new(outcome.map_err(|error| Problem::from(&error)));
            InstallerMessage::Ended { wish, outcome }
        });
    }

    fn tell(&self, waiters: &[Waiter], event: &InstallEvent) {
        let watchers = waiters.iter().filter_map(|waiter| self.askers.get(waiter)?.progress.as_ref());
        for watcher in watchers {
            // Full or gone: it loses the step, never the answer.
            let _lost = watcher.try_send(event.clone());
        }
    }

    fn answer(&mut self, waiters: &[Waiter], outcome: &Result<Installed, Problem>) {
        for asker in waiters.iter().filter_map(|waiter| self.askers.remove(waiter)) {
            let _nobody_waits = asker.reply.send(outcome.clone());
        }
    }
}

fn busy(wish: &PackageWish) -> Problem {
    let package = match wish {
        PackageWish::Named(name) => name.clone(),
        PackageWish::Local { path, .. } => path.display().to_string(),
    };
    Problem::from(&InstallError::Busy { package, waiting: WAITING_MAX })
}

fn view(installed: Installed) -> InstalledView {
    InstalledView {
        name: installed.name,
        version: installed.version,
        path: installed.prefix.display().to_string(),
        already: installed.already,
    }
}
