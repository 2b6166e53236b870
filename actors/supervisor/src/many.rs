//! Many builds with no farm: one pool of workers, and one order, over all of them.

use std::path::Path;
use std::sync::Arc;

use farmhand_api::{EventBody, Job, Problem, ProblemClass};
use farmhand_compiler::{BuildEnv, Pool, Programs, Telling, build};
use farmhand_messages::compiler::{BuildWish, Built, ENVIRONMENTS_DIR};
use farmhand_runtime::Paths;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::alone::Library;

/// Steps of a build that may wait for who watches.
const STEPS: usize = 64;
/// Builds that are planned at once: enough that no worker waits for a plan, and that what they share is asked for together.
const PLANNED_AT_ONCE: usize = 64;

/// One of many builds.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What is built.
    pub job: Job,
    /// The environment of the project that it is for, where all of them are built: each has a folder of its own.
    pub environment: Option<String>,
    /// How much of it is told.
    pub telling: Telling,
}

impl Wanted {
    fn wish(&self) -> Result<BuildWish, Problem> {
        let mut wish = BuildWish::of(&self.job);
        if let Some(environment) = &self.environment {
            check_name(environment)?;
            wish.build_dir = Path::new(&self.job.project).join(ENVIRONMENTS_DIR).join(environment);
        }
        Ok(wish)
    }
}

/// Builds all that is wanted, on so many workers (0: one for each core). What several of them need, such as a core, is
/// compiled once. `home` (absolute) is a farm's folder, whether a farm runs there or not. Each step and each end says
/// which build it is of, by its place in `wanted`. Dropped, it ends its compilers.
pub async fn build_many(
    home: &Path,
    wanted: Vec<Wanted>,
    workers: usize,
    progress: mpsc::Sender<(usize, ManyEvent)>,
) {
    let (paths, pool) = (Paths::new(home), Pool::start(workers));
    let planned = Arc::new(Semaphore::new(PLANNED_AT_ONCE));
    let mut builds: JoinSet<()> = JoinSet::new();
    for (at, wanted) in wanted.into_iter().enumerate() {
        let (paths, pool, planned, progress) =
            (paths.clone(), pool.clone(), planned.clone(), progress.clone());
        builds.spawn(async move {
            // The semaphore is never closed.
            let _turn = planned.acquire_owned().await;
            let built = one(paths, pool, &wanted, at, &progress).await;
            let _nobody_watches = progress.send((at, ManyEvent::Ended(Box::new(built)))).await;
        });
    }
    drop(progress);
    while builds.join_next().await.is_some() {}
}

/// Something happened in one of many builds.
#[derive(Debug, Clone)]
pub enum ManyEvent {
    /// A step.
    Step(EventBody),
    /// It ended: nothing more comes of it.
    Ended(Box<Result<Built, Problem>>),
}

async fn one(
    paths: Paths,
    pool: Pool,
    wanted: &Wanted,
    at: usize,
    progress: &mpsc::Sender<(usize, ManyEvent)>,
) -> Result<Built, Problem> {
    let (installs, mut installed) = mpsc::channel(STEPS);
    let (packages, _held) = Library::new(paths.packages(), installs);
    let packages = Arc::new(packages);
    let env = BuildEnv {
        paths,
        pool,
        packages,
        programs: Programs::default(),
        is_farm: false,
        telling: wanted.telling,
    };
    let (steps, mut told) = mpsc::channel(STEPS);
    let wish = wanted.wish()?;
    let work = async move {
        let built = build(&env, &wish, Some(steps)).await;
        built.map_err(Problem::from)
    };
    let pass_on = async {
        loop {
            let body = tokio::select! {
                Some(step) = told.recv() => EventBody::Build(step),
                Some(step) = installed.recv() => step,
                else => return,
            };
            let _nobody_watches = progress.send((at, ManyEvent::Step(body))).await;
        }
    };
    tokio::join!(work, pass_on).0
}

/// Whether a folder can be called as an environment is.
fn check_name(environment: &str) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    if environment.chars().all(is_plain) && !environment.starts_with('.') && !environment.is_empty() {
        return Ok(());
    }
    Err(Problem {
        class: ProblemClass::Configuration,
        code: "F024".into(),
        message: format!("[env.{environment}] has no folder to be built in: none can be called so"),
        detail: Vec::new(),
        help: vec!["call it by letters, digits, - and _".into()],
        place: None,
    })
}
