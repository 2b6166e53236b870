//! The compiler pool's shell: each build is a task of its own, and they share the workers.

use std::sync::Arc;
use std::time::Duration;

use farmhand_api::{InstallEvent, Problem, ProblemClass};
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::{CompilerMessage, InstallerMessage, Names};
use farmhand_runtime::{ChaosRole, Ctx, ask};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc;

use crate::plan::Packages;
use crate::{
    BuildEnv, CollectWish, Pool, Programs, Telling, build, build_host_program, cache_is_due, collect_cache,
};

/// A toolchain over a slow line; the installer has its own, shorter deadlines.
const INSTALL_DEADLINE: Duration = Duration::from_secs(40 * 60);
/// Builds under way at once; a farm has a few for each device.
const BUILDS_MAX: usize = 1024;

/// What the compiler pool is given at its start.
#[derive(Debug, Clone)]
pub struct CompilerArgs {
    /// What every actor is given.
    pub ctx: Ctx,
    /// Compilers at once, over all builds; 0 is one for each core.
    pub workers: usize,
    /// How large the cache of objects may grow, in bytes.
    pub cache_bytes: u64,
}

/// The compiler pool.
#[derive(Debug, Default)]
pub struct CompilerActor;

/// What the pool knows. Nothing of it is saved: what was compiled is found by content.
#[derive(Debug)]
pub struct CompilerState {
    ctx: Ctx,
    pool: Pool,
    builds: usize,
    cache_bytes: u64,
    /// The cache is looked at; the build that ends last has it looked at again.
    collecting: bool,
}

/// Packages by message.
struct AskInstaller {
    names: Names,
    progress: Option<mpsc::Sender<InstallEvent>>,
}

#[async_trait::async_trait]
impl Packages for AskInstaller {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        let name = match &wish {
            PackageWish::Named(name) | PackageWish::Offering(name) => name.clone(),
            PackageWish::Local { path, .. } => path.display().to_string(),
            PackageWish::Declared(spec) => spec.name.clone(),
        };
        let answer = ask(self.names.installer(), INSTALL_DEADLINE, |reply| InstallerMessage::Install {
            wish: wish.clone(),
            progress: self.progress.clone(),
            reply,
        });
        answer.await.unwrap_or_else(|error| {
            Err(Problem {
                class: ProblemClass::Infra,
                code: "F416".into(),
                message: format!("install {name}: the installer {error}"),
                detail: Vec::new(),
                help: vec!["try again: what was fetched is kept".into()],
                place: None,
            })
        })
    }
}

impl CompilerState {
    fn env(&self, install: Option<mpsc::Sender<InstallEvent>>) -> BuildEnv {
        let packages = AskInstaller { names: self.ctx.names.clone(), progress: install };
        BuildEnv {
            paths: self.ctx.paths.clone(),
            pool: self.pool.clone(),
            packages: Arc::new(packages),
            programs: Programs::default(),
            is_farm: true,
            telling: Telling::Steps,
        }
    }

    /// Counts a build that begins; the problem, where there are too many.
    fn begin(&mut self) -> Result<(), Problem> {
        if self.builds >= BUILDS_MAX {
            return Err(Problem {
                class: ProblemClass::Busy,
                code: "F417".into(),
                message: format!("{BUILDS_MAX} builds are under way"),
                detail: Vec::new(),
                help: vec!["try again when some have ended".into()],
                place: None,
            });
        }
        self.builds += 1;
        Ok(())
    }

    /// Has the cache collected where it is too large, behind the builds.
    fn collect(&mut self, myself: &ActorRef<CompilerMessage>) {
        if std::mem::replace(&mut self.collecting, true) {
            return;
        }
        let (paths, limit_bytes) = (self.ctx.paths.clone(), self.cache_bytes);
        let cancelled = self.ctx.effects.cancelled();
        // The disk blocks. It ends early where the actor is to end.
        self.ctx.effects.spawn_blocking(myself, move || {
            if cache_is_due(&paths, limit_bytes) {
                let wish = CollectWish { limit_bytes, dry_run: false, wait: Duration::ZERO };
                match collect_cache(&paths, wish, &|| cancelled.is_cancelled()) {
                    Ok(collected) => tracing::debug!(?collected, "the cache"),
                    // Another process is at it, or the next build has it tried again.
                    Err(error) => tracing::debug!(%error, "collect the cache"),
                }
            }
            CompilerMessage::Collected
        });
    }
}

#[ractor::async_trait]
impl Actor for CompilerActor {
    type Msg = CompilerMessage;
    type State = CompilerState;
    type Arguments = CompilerArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(CompilerState {
            ctx: args.ctx,
            pool: Pool::start(args.workers),
            builds: 0,
            cache_bytes: args.cache_bytes,
            collecting: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.ctx.chaos.strike(ChaosRole::Compiler);
        // Whoever asked and no longer waits is not told.
        match message {
            CompilerMessage::Build { wish, urgency, progress, install, reply } => {
                if let Err(busy) = state.begin() {
                    let _gone = reply.send(Err(busy));
                    return Ok(());
                }
                let mut env = state.env(install);
                env.pool = env.pool.for_builds(urgency);
                state.ctx.effects.spawn(&myself, async move {
                    let built = Box::pin(build(&env, &wish, progress)).await;
                    let _gone = reply.send(built.map_err(Problem::from));
                    CompilerMessage::Ended
                });
            }
            CompilerMessage::BuildHostProgram { program, install, reply } => {
                if let Err(busy) = state.begin() {
                    let _gone = reply.send(Err(busy));
                    return Ok(());
                }
                let env = state.env(install);
                state.ctx.effects.spawn(&myself, async move {
                    let built = Box::pin(build_host_program(&env, &program)).await;
                    let _gone = reply.send(built.map_err(Problem::from));
                    CompilerMessage::Ended
                });
            }
            CompilerMessage::Ended => {
                state.builds -= 1;
                state.collect(&myself);
            }
            CompilerMessage::Collected => state.collecting = false,
        }
        Ok(())
    }
}
