//! The installer's shell: receives, steps, starts installations, answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farmhand_api::{InstallEvent, InstalledView, Problem};
use farmhand_messages::InstallerMessage;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_runtime::{ChaosRole, Ctx};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::mpsc;

use crate::state::{Effect, Flights, Input, WAITING_MAX, Waiter};
use crate::{InstallError, Lease, Packages};

/// What was used so short a time before an installer started may be in use by those that its predecessor gave it to.
const LEASE_AGAIN: Duration = Duration::from_secs(60 * 60);

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
    /// Of all that was given to anybody of this farm: it may be in use until the farm ends.
    leases: BTreeMap<PathBuf, Lease>,
    next: u64,
}

#[ractor::async_trait]
impl Actor for InstallerActor {
    type Msg = InstallerMessage;
    type State = InstallerState;
    type Arguments = InstallerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        // A link to a folder that several farms share: a package is built against under one name in all of them.
        let folder = args.ctx.paths.packages();
        let packages = Arc::new(Packages::new(folder.canonicalize().unwrap_or(folder)));
        let reconciled = Arc::clone(&packages);
        args.ctx.effects.spawn_blocking(&myself, move || {
            let outcome = reconciled.reconcile().map_err(|error| Problem::from(&error));
            InstallerMessage::Reconciled { outcome }
        });
        let mut state = InstallerState {
            ctx: args.ctx,
            packages,
            flights: Flights::new(),
            askers: BTreeMap::new(),
            leases: BTreeMap::new(),
            next: 0,
        };
        // A predecessor's leases ended with it, and what it gave to others is in use still.
        for installed in state.packages.used_within(LEASE_AGAIN) {
            state.lease(&installed);
        }
        Ok(state)
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
                if let Ok(installed) = outcome.as_ref() {
                    state.lease(installed);
                }
                if let Effect::Answer(waiters) = state.flights.step(Input::Ended { wish }) {
                    state.answer(&waiters, &outcome);
                }
            }
            InstallerMessage::Reconciled { outcome } => {
                if let Err(problem) = outcome {
                    tracing::warn!(%problem.message, "what ended installations left could not be swept");
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

    /// Keeps a package from being collected for as long as this farm is there.
    fn lease(&mut self, installed: &Installed) {
        if self.leases.contains_key(&installed.prefix) {
            return;
        }
        match Lease::take(installed) {
            Ok(Some(lease)) => drop(self.leases.insert(installed.prefix.clone(), lease)),
            Ok(None) => tracing::info!(package = installed.name, "collected before it could be used"),
            // It is there, and may be used; whose folder it is may collect it.
            Err(error) => tracing::warn!(package = installed.name, %error, "no lease"),
        }
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
        PackageWish::Named(name) | PackageWish::Offering(name) => name.clone(),
        PackageWish::Local { path, .. } => path.display().to_string(),
        PackageWish::Declared(spec) => spec.name.clone(),
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
