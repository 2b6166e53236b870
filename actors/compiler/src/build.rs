//! A build, from the wish to the artifact: needs no actor and no store.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_api::BuildEvent;
use farmhand_messages::compiler::{BuildWish, Built};
use farmhand_records::v1::Source;
use farmhand_runtime::Paths;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;

use crate::cache::{ObjectStore, Sources};
use crate::fingerprint::{self, Finished};
use crate::plan::{Packages, Plan, Tools, compile_commands, plan_sketch, plan_tree};
use crate::run::{Pool, Watcher, link_oversized, run};
use crate::{BuildError, artifact, command};

/// Another build of the same project may be a whole one, with downloads before it.
const LOCK_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Between two looks at a lock that another process holds: the kernel tells nobody.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// What a build needs around it.
#[derive(Clone)]
pub struct BuildEnv {
    /// The farm's folders: objects and artifacts are kept there.
    pub paths: Paths,
    /// The workers.
    pub pool: Pool,
    /// Where toolchains come from.
    pub packages: Arc<dyn Packages>,
}

impl fmt::Debug for BuildEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildEnv")
            .field("paths", &self.paths)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// Builds what is wished for. Dropped, it ends its compilers; safe to begin again.
pub async fn build(
    env: &BuildEnv,
    wish: &BuildWish,
    progress: Option<mpsc::Sender<BuildEvent>>,
) -> Result<Built, BuildError> {
    let mut started = Instant::now();
    let watcher = Watcher(progress);
    let built = match look(&env.paths, wish).await? {
        Some(built) => built,
        None => make(env, wish, &watcher, &mut started).await?,
    };
    let done = BuildEvent::Done {
        unchanged: built.unchanged,
        compiled: built.compiled,
        cached: built.cached,
        image_bytes: built.image_bytes,
        image_bytes_max: built.image_bytes_max,
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    watcher.done(done).await;
    Ok(built)
}

/// Work that reads files, in a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BuildError::Internal(error.to_string())),
    }
}

async fn look(paths: &Paths, wish: &BuildWish) -> Result<Option<Built>, BuildError> {
    let (paths, wish) = (paths.clone(), wish.clone());
    blocking(move || Ok(fingerprint::unchanged(&paths, &wish))).await
}

async fn make(
    env: &BuildEnv,
    wish: &BuildWish,
    watcher: &Watcher,
    started: &mut Instant,
) -> Result<Built, BuildError> {
    match &wish.build.source {
        Source::Artifact(file) => take(env, PathBuf::from(file), wish).await,
        Source::Command(folder, line, file) => {
            command::run(Path::new(folder), line, watcher).await?;
            take(env, Path::new(folder).join(file), wish).await
        }
        Source::Sketch(_) | Source::Tree(_) => compile(env, wish, watcher, started).await,
    }
}

/// Takes a file as it is. How much room the board has is known where its core is installed; a file does not need one.
async fn take(env: &BuildEnv, file: PathBuf, _wish: &BuildWish) -> Result<Built, BuildError> {
    let paths = env.paths.clone();
    let kept = blocking(move || artifact::keep(&paths, &file)).await?;
    Ok(Built {
        artifact: kept.path,
        hash: kept.hash,
        image_bytes: kept.image_bytes,
        image_bytes_max: 0,
        unchanged: false,
        compiled: 0,
        cached: 0,
    })
}

async fn compile(
    env: &BuildEnv,
    wish: &BuildWish,
    watcher: &Watcher,
    started: &mut Instant,
) -> Result<Built, BuildError> {
    let lock = Arc::new(lock(&wish.build_dir).await?);
    // Whoever held it may have built the same.
    if let Some(built) = look(&env.paths, wish).await? {
        return Ok(built);
    }
    let objects = ObjectStore::new(env.paths.objects());
    let tools = Tools::get(&wish.board, wish.build.toolchain, &*env.packages, &objects).await?;
    // The toolchain's installation is told, and timed, as its own.
    *started = Instant::now();
    let (plan, sources, tools, last) = {
        let (paths, wish) = (env.paths.clone(), wish.clone());
        blocking(move || {
            let last = fingerprint::last_hash(&paths, &wish);
            fingerprint::forget(&wish.build_dir).map_err(BuildError::io("remove from", &wish.build_dir))?;
            let mut sources = Sources::new();
            tools.watch(&mut sources)?;
            let plan = plan(&wish, &tools, &mut sources)?;
            write_commands(&plan)?;
            Ok((Arc::new(plan), sources, tools, last))
        })
        .await?
    };
    let ran = run(plan.clone(), &env.pool, objects, sources, wish.build.jobs, watcher, lock.clone()).await;
    let ran = match ran {
        Err(error) if error.is_overflow() => return Err(too_large(&plan).await),
        ran => ran?,
    };
    let (paths, wish) = (env.paths.clone(), wish.clone());
    blocking(move || {
        let _held = lock;
        let output = |at: usize| plan.actions[at].output.clone();
        check_data(&plan, &output(plan.linked))?;
        let kept = artifact::keep(&paths, &output(plan.artifact))?;
        if kept.hash.0 != ran.outputs[plan.artifact] {
            return Err(BuildError::NoArtifact {
                path: output(plan.artifact),
                why: "it was changed while it was being built".into(),
            });
        }
        if plan.bytes_max != 0 && kept.image_bytes > plan.bytes_max {
            let (bytes, bytes_max) = (kept.image_bytes, plan.bytes_max);
            return Err(BuildError::TooLarge { bytes, bytes_max, board: plan.board.clone() });
        }
        let built = Built {
            artifact: kept.path,
            hash: kept.hash,
            image_bytes: kept.image_bytes,
            image_bytes_max: plan.bytes_max,
            unchanged: ran.compiled == 0 && last == Some(kept.hash),
            compiled: ran.compiled,
            cached: ran.cached,
        };
        if ran.settled {
            let finished = Finished {
                sources: &ran.sources,
                tools: &tools.files,
                found: &tools.found,
                outputs: &[output(plan.linked), output(plan.artifact)],
                built: &built,
            };
            // A path that is not UTF-8 cannot be taken down: then every build looks again.
            if let Err(error) = fingerprint::write(&paths, &wish, &finished) {
                tracing::debug!(%error, "no fingerprint");
            }
        }
        Ok(built)
    })
    .await
}

/// What is told of a program that the linker refused for its size.
async fn too_large(plan: &Plan) -> BuildError {
    let (board, bytes_max) = (plan.board.clone(), plan.bytes_max);
    let Some(elf) = link_oversized(plan).await else { return BuildError::Overflows { bytes_max, board } };
    let data = check_data(plan, &elf);
    match (data, artifact::image_bytes(&elf)) {
        (Err(error), _) => error,
        (Ok(()), Some(bytes)) if bytes > bytes_max => BuildError::TooLarge { bytes, bytes_max, board },
        _ => BuildError::Overflows { bytes_max, board },
    }
}

pub(crate) fn plan(wish: &BuildWish, tools: &Tools, sources: &mut Sources) -> Result<Plan, BuildError> {
    match &wish.build.source {
        Source::Sketch(folder) => plan_sketch(wish, Path::new(folder), tools, sources),
        Source::Tree(folder) => plan_tree(wish, Path::new(folder), tools, sources),
        Source::Artifact(_) | Source::Command(..) => Err(BuildError::Internal("nothing to plan".into())),
    }
}

fn write_commands(plan: &Plan) -> Result<(), BuildError> {
    let path = plan.layout.build.join("compile_commands.json");
    let text = compile_commands(plan);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(&path, text).map_err(BuildError::io("write", &path))
}

fn check_data(plan: &Plan, elf: &Path) -> Result<(), BuildError> {
    let bytes_max = plan.data_bytes_max;
    match artifact::data_bytes(elf) {
        Some(bytes) if bytes_max != 0 && bytes > bytes_max => {
            Err(BuildError::TooMuchData { bytes, bytes_max, board: plan.board.clone() })
        }
        _ => Ok(()),
    }
}

/// Holds a build folder: one build at a time, in this process and others.
async fn lock(folder: &Path) -> Result<File, BuildError> {
    fs::create_dir_all(folder).map_err(BuildError::io("make the folder", folder))?;
    let path = folder.join("lock");
    let file =
        File::options().create(true).append(true).open(&path).map_err(BuildError::io("open", &path))?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_DEADLINE => {
                tokio::time::sleep(LOCK_AGAIN).await;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BuildError::Held {
                    folder: folder.to_owned(),
                    waited_s: LOCK_DEADLINE.as_secs(),
                });
            }
            Err(errno) => return Err(BuildError::Io { doing: "lock", path, source: errno.into() }),
        }
    }
}
