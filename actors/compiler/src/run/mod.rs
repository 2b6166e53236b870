//! A plan carried out: in the order of its graph, on the pool's workers, from the cache where it can be.

mod colour;
mod jobserver;
mod librarian;
mod pool;
mod programs;
mod untold;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use farmhand_api::BuildEvent;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::BuildError;
use crate::cache::{Hash, ObjectStore, Sources, hash_bytes, now_ns};
use crate::graph::{Node, Order};
use crate::plan::{Action, Kind, Plan};
use crate::report::Span;
pub(crate) use jobserver::Jobserver;
use librarian::{Librarian, Looked, Made};
use pool::Entered;
pub use pool::Pool;
pub(crate) use pool::Worker;
pub use programs::{Compiler, Invocation, Linker, Outcome, Processes, Programs};

/// What came of a plan.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The hash of each action's output.
    pub(crate) outputs: Vec<Hash>,
    /// Files compiled, and those taken from the cache.
    pub(crate) compiled: u32,
    pub(crate) cached: u32,
    /// When each action was carried out.
    pub(crate) spans: Vec<Span>,
    /// Actions at once.
    pub(crate) workers: usize,
    /// Nothing that was read changed meanwhile.
    pub(crate) settled: bool,
    /// What compilers printed, in the order of the plan.
    pub(crate) printed: Vec<String>,
    /// All that was read.
    pub(crate) sources: Sources,
}

/// How one action ended.
enum Ended {
    Made {
        made: Made,
        span: Span,
    },
    /// Another one failed before this one was started.
    NotStarted,
}

/// What all actions of one build share.
#[derive(Clone)]
struct Shop {
    plan: Arc<Plan>,
    librarian: Librarian,
    pool: Pool,
    programs: Programs,
    watcher: Watcher,
    /// Bounds this build; closed when an action has failed.
    slots: Arc<Semaphore>,
    /// Held as long as any task of the build lives.
    lock: Arc<std::fs::File>,
}

/// How much of a build is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// How far it is, and what compilers print.
    #[default]
    Steps,
    /// Each command that is run as well.
    Commands,
}

/// Who watches a build.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watcher {
    pub(crate) to: Option<mpsc::Sender<BuildEvent>>,
    pub(crate) telling: Telling,
}

impl Watcher {
    /// A step: lost where nobody reads.
    fn step(&self, done: usize, total: usize, what: &str) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(to) = &self.to {
            let step = BuildEvent::Progress { done: count(done), total: count(total), what: what.into() };
            let _lost = to.try_send(step);
        }
    }

    /// What a compiler printed: waited for.
    pub(crate) async fn printed(&self, text: &str) {
        if let (Some(to), false) = (&self.to, text.is_empty()) {
            let _nobody_reads = to.send(BuildEvent::Diagnostic { text: text.to_owned() }).await;
        }
    }

    /// What is run next, where that is asked for: waited for.
    pub(crate) async fn command(&self, line: impl FnOnce() -> String) {
        if let (Some(to), Telling::Commands) = (&self.to, self.telling) {
            let _nobody_reads = to.send(BuildEvent::Command(line())).await;
        }
    }

    /// Something that is worth a line: waited for.
    pub(crate) async fn note(&self, text: String) {
        if let Some(to) = &self.to {
            let _nobody_reads = to.send(BuildEvent::Note(text)).await;
        }
    }

    /// The last event: waited for.
    pub(crate) async fn done(&self, event: BuildEvent) {
        if let Some(to) = &self.to {
            let _nobody_reads = to.send(event).await;
        }
    }
}

/// Carries out `plan`, with at most `jobs` actions at once (0: as many as the pool has workers).
pub(crate) async fn run(
    plan: Arc<Plan>,
    (pool, programs): (&Pool, &Programs),
    objects: ObjectStore,
    sources: Sources,
    jobs: u32,
    watcher: &Watcher,
    lock: Arc<std::fs::File>,
) -> Result<Ran, BuildError> {
    let nodes: Vec<_> =
        plan.actions.iter().map(|action| Node { after: action.from.clone(), cost: action.cost }).collect();
    let mut order = Order::new(&nodes).map_err(|error| BuildError::Internal(error.to_string()))?;
    let (librarian, thread) = Librarian::start(plan.clone(), objects, sources);
    // Who is next is for the pool to say: only a build that is to take less than all of it is held back before.
    let slots = if jobs == 0 { Semaphore::MAX_PERMITS } else { jobs as usize };
    let slots = Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)));
    let jobs = if jobs == 0 { pool.workers() } else { jobs as usize };
    let shop = Shop {
        plan: plan.clone(),
        librarian,
        pool: pool.clone(),
        programs: programs.clone(),
        watcher: watcher.clone(),
        slots,
        lock,
    };

    let total = plan.actions.len();
    let mut tasks: JoinSet<(usize, Result<Ended, BuildError>)> = JoinSet::new();
    let mut ended: Vec<Option<Made>> = vec![None; total];
    let mut spans: Vec<Option<Span>> = vec![None; total];
    let (mut compiled, mut cached, mut done) = (0, 0, 0);
    let mut failures: Vec<(usize, BuildError)> = Vec::new();
    let mut printed_to = 0;
    loop {
        while let Some(at) = order.start() {
            let inputs: Option<Vec<Hash>> = plan.actions[at]
                .from
                .iter()
                .map(|&from| ended[from].as_ref().map(|made| made.output))
                .collect();
            let inputs = inputs.expect("an action is started after those it needs");
            let shop = shop.clone();
            let path = order.path(at);
            tasks.spawn(async move { (at, shop.act(at, path, inputs).await) });
        }
        let Some(joined) = tasks.join_next().await else { break };
        let (at, outcome) =
            joined.map_err(|error| BuildError::Internal(format!("an action's task: {error}")))?;
        match outcome {
            Ok(Ended::Made { made, span }) => {
                done += 1;
                if plan.actions[at].kind == Kind::Compile {
                    *(if span.cached { &mut cached } else { &mut compiled }) += 1;
                }
                watcher.step(done, total, &plan.actions[at].what);
                spans[at] = Some(span);
                ended[at] = Some(made);
                order.done(at);
            }
            Ok(Ended::NotStarted) => order.failed(),
            Err(error) => {
                // What was kept badly ends the build too. Those that run are waited for.
                shop.slots.close();
                order.failed();
                failures.push((at, error));
            }
        }
        // In the order of the plan, as far as it is complete.
        while let Some(Some(made)) = ended.get(printed_to) {
            watcher.printed(&made.printed).await;
            printed_to += 1;
        }
    }
    drop(shop);
    let sources = thread
        .await
        .map_err(|error| BuildError::Internal(format!("the thread that reads files: {error}")))?;
    if !failures.is_empty() {
        failures.sort_by_key(|(at, _)| *at);
        for made in ended[printed_to..].iter().flatten() {
            watcher.printed(&made.printed).await;
        }
        for (_, failure) in &failures {
            if let BuildError::Refused { printed, .. } = failure {
                watcher.printed(printed).await;
            }
        }
        return Err(failures.remove(0).1);
    }
    let all: Option<Vec<Made>> = ended.into_iter().collect();
    let all = all.filter(|_| order.is_complete());
    let all = all.ok_or_else(|| BuildError::Internal("not all actions were run".into()))?;
    let spans = spans.into_iter().flatten().collect();
    let workers = jobs.min(pool.workers());
    let settled = all.iter().all(|made| made.settled);
    Ok(Ran {
        outputs: all.iter().map(|made| made.output).collect(),
        printed: all.into_iter().map(|made| made.printed).filter(|printed| !printed.is_empty()).collect(),
        compiled,
        cached,
        spans,
        workers,
        settled,
        sources,
    })
}

fn invocation(plan: &Plan, action: &Action) -> Invocation {
    let mut environment = plan.environment.clone();
    if action.kind == Kind::Hook {
        // That name of the folder is for compilers, which write it down; a shell would take it for its own.
        environment.remove("PWD");
    }
    Invocation {
        what: action.what.clone(),
        program: action.program.clone(),
        args: action.args.clone(),
        folder: plan.layout.project.clone(),
        environment,
    }
}

/// Links once more, as if the chip had memory enough, to learn how large a program is that the linker refused for its
/// size; it is left at the path given back. `None` where that does not work either: only AVR's linker scripts take
/// the lengths of memories from symbols (binutils, `avr.sc`).
pub(crate) async fn link_oversized(plan: &Plan, programs: &Programs) -> Option<PathBuf> {
    const LARGEST: [&str; 2] =
        ["-Wl,--defsym=__TEXT_REGION_LENGTH__=8M", "-Wl,--defsym=__DATA_REGION_LENGTH__=0xff00"];
    let action = &plan.actions[plan.linked];
    let output = action.output.with_extension("oversized");
    let mut again = invocation(plan, action);
    // The last of two outputs is the one that counts.
    again.args.extend(LARGEST.map(str::to_owned));
    again.args.extend(["-o".to_owned(), plan.layout.shown(&output)]);
    programs.linker.link(again).await.ok()?.success.then_some(output)
}

impl Shop {
    async fn act(&self, at: usize, path: u64, inputs: Vec<Hash>) -> Result<Ended, BuildError> {
        let action = &self.plan.actions[at];
        let ready = Instant::now();
        let is_kept = match action.kind {
            Kind::Compile | Kind::Archive => true,
            Kind::Link | Kind::Convert => !self.plan.is_own,
            Kind::Hook => false,
        };
        if !is_kept {
            if action.kind != Kind::Hook {
                // What it reads is taken down, and its place made free: nothing of it is ever found.
                self.librarian.look(at, inputs).await?;
            }
            return self.always(action, path, ready).await;
        }
        loop {
            if self.slots.is_closed() {
                return Ok(Ended::NotStarted);
            }
            let key = match self.librarian.look(at, inputs.clone()).await? {
                Looked::Hit(made, began) => {
                    let span = Span { ready, began, ended: Instant::now(), cached: true };
                    return Ok(Ended::Made { made, span });
                }
                Looked::Miss(key) => key,
            };
            let Ok(slot) = self.slots.acquire().await else { return Ok(Ended::NotStarted) };
            let worker = self.pool.worker(path).await;
            if self.slots.is_closed() {
                return Ok(Ended::NotStarted);
            }
            // Only now: who leads runs, and does not wait behind others for a worker, with followers behind it.
            let _leads = match self.pool.enter(key).await {
                Entered::Lead(lead) => lead,
                Entered::Follow(mut running) => {
                    drop((slot, worker));
                    // Its sender says nothing: it ends.
                    while running.changed().await.is_ok() {}
                    continue;
                }
            };
            // Another build may have made it while this one waited for a worker.
            if let Looked::Hit(made, began) = self.librarian.look(at, inputs.clone()).await? {
                let span = Span { ready, began, ended: Instant::now(), cached: true };
                return Ok(Ended::Made { made, span });
            }
            let (began, started_ns) = (Instant::now(), now_ns());
            // Closed before the slot is free again: those that wait for it are not started.
            let printed = self.execute(action).await.inspect_err(|_| self.slots.close())?;
            let span = Span { ready, began, ended: Instant::now(), cached: false };
            // What follows is reading and hashing: the next compiler starts meanwhile.
            drop((slot, worker));
            let made = self.librarian.keep(at, key, started_ns, printed).await?;
            return Ok(Ended::Made { made, span });
        }
    }

    /// What is kept nowhere is always run. What it made is other actions' to read.
    async fn always(&self, action: &Action, path: u64, ready: Instant) -> Result<Ended, BuildError> {
        let Ok(_slot) = self.slots.acquire().await else { return Ok(Ended::NotStarted) };
        let _worker = self.pool.worker(path).await;
        if self.slots.is_closed() {
            return Ok(Ended::NotStarted);
        }
        let began = Instant::now();
        let printed = self.execute(action).await.inspect_err(|_| self.slots.close())?;
        let span = Span { ready, began, ended: Instant::now(), cached: false };
        Ok(Ended::Made { made: Made { output: hash_bytes(b""), printed, settled: true }, span })
    }

    async fn execute(&self, action: &Action) -> Result<String, BuildError> {
        let mut invocation = invocation(&self.plan, action);
        self.watcher.command(|| invocation.line()).await;
        // No part of the action: it changes what is printed, and not what is made.
        invocation.args.extend(colour::flag(action).map(Into::into));
        let outcome = match action.kind {
            Kind::Compile | Kind::Archive => self.programs.compiler.compile(invocation).await?,
            Kind::Link | Kind::Convert | Kind::Hook => self.programs.linker.link(invocation).await?,
        };
        let _held = &self.lock;
        match outcome {
            Outcome { success: true, printed, .. } => Ok(printed),
            Outcome { mut printed, how, .. } => {
                if printed.is_empty() {
                    printed = format!("{} ended with {how}\n", action.program.display());
                }
                Err(BuildError::Refused { what: action.what.clone(), verb: action.kind.verb(), printed })
            }
        }
    }
}
