//! A build with no farm, no store and no actor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use farmhand_api::{EventBody, Job, Problem};
use farmhand_compiler::{
    Anatomy, BuildEnv, BuildReport, Cleaned, CollectWish, Collected, Packages, Pool, Programs, Telling,
    UsedLibrary, anatomy, build, clean, equip, last_report, last_said, planned, unchanged,
};
use farmhand_installer::{Installed, Lease, PackageWish, install};
use farmhand_messages::compiler::{BuildWish, Built, ENVIRONMENTS_DIR};
use farmhand_runtime::Paths;
use tokio::sync::mpsc;

/// Steps of a build that may wait for who watches.
const STEPS: usize = 64;
/// Packages that one build asks for: a toolchain, a library, cores.
const LEASES: usize = 64;

/// The program, where nothing that it was made of has changed since it was built. Takes a few milliseconds and needs no
/// runtime.
#[must_use]
pub fn build_unchanged(home: &Path, job: &Job) -> Option<Built> {
    unchanged(&Paths::new(home), &BuildWish::of(job))
}

/// What the last build of a job's program did, and how large it came out; none where it was not built yet.
#[must_use]
pub fn build_report(home: &Path, job: &Job) -> Option<BuildReport> {
    last_report(&Paths::new(home), &BuildWish::of(job))
}

/// What compilers printed in the last build of a job's program: where nothing has changed, it still holds.
#[must_use]
pub fn build_said(home: &Path, job: &Job) -> Vec<String> {
    last_said(&Paths::new(home), &BuildWish::of(job))
}

/// What takes the room in a linked program, with its largest symbols.
pub fn program_anatomy(program: &Path, symbols_max: usize) -> Result<Anatomy, Problem> {
    anatomy(program, symbols_max).map_err(Problem::from)
}

/// Removes the build folders of a project (absolute), or of one environment of it, or says what it would remove. Needs no
/// runtime.
pub fn clean_project(
    home: &Path,
    project: &Path,
    environment: Option<(&str, &Job)>,
    dry_run: bool,
) -> Result<Cleaned, Problem> {
    // Alone it is built where its job says, and with all the others in the folder of its name.
    let folders = environment
        .map(|(name, job)| [BuildWish::of(job).build_dir, project.join(ENVIRONMENTS_DIR).join(name)]);
    let only = folders.as_ref().map(<[_; 2]>::as_slice);
    clean(&Paths::new(home), project, only, dry_run).map_err(Problem::from)
}

/// Whether it is time to collect the cache of objects, where it may have so many bytes. Costs next to nothing.
#[must_use]
pub fn cache_is_due(home: &Path, limit_bytes: u64) -> bool {
    farmhand_compiler::cache_is_due(&Paths::new(home), limit_bytes)
}

/// Counts the cache of objects, and removes what was used longest ago where it is too large; builds go on meanwhile.
/// Needs no runtime, and blocks on the disk.
pub fn collect_cache(home: &Path, wish: CollectWish) -> Result<Collected, Problem> {
    farmhand_compiler::collect_cache(&Paths::new(home), wish, &|| false).map_err(Problem::from)
}

/// Builds a job's program; what it needs is installed first. `home` (absolute) is a farm's folder, whether a farm runs
/// there or not: packages, objects and artifacts are shared with it. Dropped, it ends its compilers.
pub async fn build_alone(
    home: &Path,
    job: &Job,
    telling: Telling,
    progress: mpsc::Sender<EventBody>,
) -> Result<Built, Problem> {
    let paths = Paths::new(home);
    // Until the end of this build, nobody collects what it is built with.
    let (packages, _held) = Library::new(paths.packages(), progress.clone());
    let packages = Arc::new(packages);
    let env = BuildEnv {
        paths,
        pool: Pool::for_jobs(job.build.jobs),
        packages,
        programs: Programs::default(),
        is_farm: false,
        telling,
    };
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

/// The libraries that a job's program uses, and why. What its board needs is installed first, and nothing is compiled.
pub async fn libraries_alone(
    home: &Path,
    job: &Job,
    progress: mpsc::Sender<EventBody>,
) -> Result<Vec<UsedLibrary>, Problem> {
    let paths = Paths::new(home);
    let (packages, _held) = Library::new(paths.packages(), progress);
    let planned = planned(&paths, &packages, &BuildWish::of(job)).await.map_err(Problem::from)?;
    Ok(planned.libraries)
}

/// Installs all that a job's program is built with, and gives it in the order in which a build asks for it.
pub async fn equip_alone(
    home: &Path,
    job: &Job,
    progress: mpsc::Sender<EventBody>,
) -> Result<Vec<Installed>, Problem> {
    let paths = Paths::new(home);
    let (packages, _held) = Library::new(paths.packages(), progress);
    let (to, mut installed) = mpsc::channel(LEASES);
    let asked = Asked { packages, to };
    let equipped = equip(&paths, &asked, &BuildWish::of(job)).await.map_err(Problem::from);
    installed.close();
    let mut all: Vec<Installed> = Vec::new();
    while let Some(one) = installed.recv().await {
        if all.iter().all(|known| known.prefix != one.prefix) {
            all.push(one);
        }
    }
    equipped.map(|()| all)
}

/// The installer, and what it was asked for.
struct Asked {
    packages: Library,
    to: mpsc::Sender<Installed>,
}

#[async_trait]
impl Packages for Asked {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        let installed = self.packages.install(wish).await?;
        // As many as a build may ask for fit.
        let _one_too_many = self.to.try_send(installed.clone());
        Ok(installed)
    }
}

/// The installer, as a library.
pub(crate) struct Library {
    folder: PathBuf,
    progress: mpsc::Sender<EventBody>,
    leases: mpsc::Sender<Lease>,
}

impl Library {
    /// The installer, and what holds leases on all that it installs: as long as that is kept, nobody collects what is built with.
    pub(crate) fn new(folder: PathBuf, progress: mpsc::Sender<EventBody>) -> (Self, mpsc::Receiver<Lease>) {
        let (leases, held) = mpsc::channel(LEASES);
        (Self { folder, progress, leases }, held)
    }
}

#[async_trait]
impl Packages for Library {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        let progress = self.progress.clone();
        let step = move |step| {
            // A full channel loses steps, never the answer.
            let _nobody_watches = progress.try_send(EventBody::Install(step));
        };
        let installed = install(&self.folder, &wish, step).await.map_err(|error| Problem::from(&error))?;
        // A folder that cannot be locked is another user's, who is not to collect what others build with.
        if let Ok(Some(lease)) = Lease::take(&installed) {
            let _held_by_the_build = self.leases.try_send(lease);
        }
        Ok(installed)
    }
}
