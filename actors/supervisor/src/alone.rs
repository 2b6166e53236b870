//! A build with no farm, no store and no actor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use farmhand_api::{EventBody, Job, Problem};
use farmhand_compiler::{BuildEnv, Packages, Pool, build, unchanged};
use farmhand_installer::{Installed, PackageWish, install};
use farmhand_messages::compiler::{BuildWish, Built};
use farmhand_runtime::Paths;
use tokio::sync::mpsc;

/// Steps of a build that may wait for who watches.
const STEPS: usize = 64;

/// The program, where nothing that it was made of has changed since it was built. Takes a few milliseconds and needs no
/// runtime.
#[must_use]
pub fn build_unchanged(home: &Path, job: &Job) -> Option<Built> {
    unchanged(&Paths::new(home), &BuildWish::of(job))
}

/// Builds a job's program; what it needs is installed first. `home` (absolute) is a farm's folder, whether a farm runs
/// there or not: packages, objects and artifacts are shared with it. Dropped, it ends its compilers.
pub async fn build_alone(
    home: &Path,
    job: &Job,
    progress: mpsc::Sender<EventBody>,
) -> Result<Built, Problem> {
    let paths = Paths::new(home);
    let packages = Arc::new(Library { folder: paths.packages(), progress: progress.clone() });
    let env = BuildEnv { paths, pool: Pool::start(0), packages };
    let (steps, mut told) = mpsc::channel(STEPS);
    let wish = BuildWish::of(job);
    let work = async {
        let built = build(&env, &wish, Some(steps)).await;
        built.map_err(Problem::from)
    };
    let pass_on = async {
        while let Some(step) = told.recv().await {
            let _nobody_watches = progress.send(EventBody::Build(step)).await;
        }
    };
    tokio::join!(work, pass_on).0
}

/// The installer, as a library.
struct Library {
    folder: PathBuf,
    progress: mpsc::Sender<EventBody>,
}

#[async_trait]
impl Packages for Library {
    async fn install(&self, name: &str) -> Result<Installed, Problem> {
        let progress = self.progress.clone();
        let wish = PackageWish::Named(name.into());
        let step = move |step| {
            // A full channel loses steps, never the answer.
            let _nobody_watches = progress.try_send(EventBody::Install(step));
        };
        install(&self.folder, &wish, step).await.map_err(|error| Problem::from(&error))
    }
}
