//! A build, from the wish to the artifact: needs no actor and no store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_api::BuildEvent;
use farmhand_messages::compiler::{BuildWish, Built, Sizes};
use farmhand_records::v1::Source;
use farmhand_runtime::Paths;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;

use crate::artifact::Ram;
use crate::cache::{ObjectStore, Outlines, Sources};
use crate::clean::LOCK;
use crate::fingerprint::{self, Finished};
use crate::inputs::input_files;
use crate::nested::Nest;
use crate::orphans::Run;
use crate::place::{build_folder, is_elsewhere};
use crate::plan::{Layout, OURS, Packages, Plan, Supply, Tools, compile_commands, support};
use crate::prepare::prepare;
use crate::report::{self, BuildReport, Span, Step, keep_said, last_said, steps};
use crate::run::{Pool, Programs, Telling, Watcher, link_oversized, run};
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
    /// Who runs compilers and linkers.
    pub programs: Programs,
    /// Whether a farm builds: what a project's own command asks it to wait for would wait for the command.
    pub is_farm: bool,
    /// How much of a build is told.
    pub telling: Telling,
}

impl BuildEnv {
    fn farm(&self) -> Option<&Path> {
        self.is_farm.then(|| self.paths.home())
    }
}

impl fmt::Debug for BuildEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildEnv")
            .field("paths", &self.paths)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// Builds. An embedding program may bring its own.
#[async_trait::async_trait]
pub trait BuildOrchestrator: Send + Sync {
    /// Builds what is wished for, and tells of it. Dropped, it ends what it began; safe to begin again.
    async fn build(
        &self,
        wish: &BuildWish,
        progress: Option<mpsc::Sender<BuildEvent>>,
    ) -> Result<Built, BuildError>;
}

#[async_trait::async_trait]
impl BuildOrchestrator for BuildEnv {
    async fn build(
        &self,
        wish: &BuildWish,
        progress: Option<mpsc::Sender<BuildEvent>>,
    ) -> Result<Built, BuildError> {
        build(self, wish, progress).await
    }
}

/// Builds what is wished for. Dropped, it ends its compilers; safe to begin again.
pub async fn build(
    env: &BuildEnv,
    wish: &BuildWish,
    progress: Option<mpsc::Sender<BuildEvent>>,
) -> Result<Built, BuildError> {
    let mut started = Instant::now();
    let watcher = Watcher { to: progress, telling: env.telling };
    let built = match look(&env.paths, wish, &watcher).await? {
        Some(built) => built,
        None => make(env, wish, &watcher, &mut started).await?,
    };
    let done = BuildEvent::Done {
        unchanged: built.unchanged,
        compiled: built.compiled,
        cached: built.cached,
        image_bytes: built.sizes.image_bytes,
        image_bytes_max: built.sizes.image_bytes_max,
        data_bytes: built.sizes.data_bytes,
        data_bytes_max: built.sizes.data_bytes_max,
        before: built.before.map(|before| (before.image_bytes, before.data_bytes)),
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

/// What was built, where nothing has changed since; what compilers printed then is told again.
async fn look(paths: &Paths, wish: &BuildWish, watcher: &Watcher) -> Result<Option<Built>, BuildError> {
    let (paths, wish) = (paths.clone(), wish.clone());
    let unchanged = blocking(move || {
        let built = fingerprint::unchanged(&paths, &wish);
        Ok(built.map(|built| (built, last_said(&paths, &wish))))
    });
    let Some((built, said)) = unchanged.await? else { return Ok(None) };
    for printed in said {
        watcher.printed(&printed).await;
    }
    Ok(Some(built))
}

async fn make(
    env: &BuildEnv,
    wish: &BuildWish,
    watcher: &Watcher,
    started: &mut Instant,
) -> Result<Built, BuildError> {
    match &wish.build.source {
        Source::Artifact(file) => take(env, PathBuf::from(file)).await,
        Source::Command(folder, line, file) => {
            let at = hold(&env.paths, wish, watcher).await?;
            let given = given(env, wish).await?;
            let nest = Nest::around().of_farm(env.farm()).holding(&at.folder)?;
            let line = (Path::new(folder), line.as_str());
            run_alone(env, wish, line, &at, nest, &given, watcher).await?;
            take(env, command::left(line, file)?).await
        }
        Source::CommandOf(folder, line, file, inputs) => {
            let own = Own { folder: Path::new(folder), line, file, inputs };
            run_own(env, wish, &own, watcher).await
        }
        _ => compile(env, wish, watcher, started).await,
    }
}

/// What a project's own build command has in its environment from the packages that the project declares.
async fn given(env: &BuildEnv, wish: &BuildWish) -> Result<BTreeMap<String, String>, BuildError> {
    Supply::new(&*env.packages, wish.build.toolchain.packages()).environment().await
}

/// Takes a file as it is. How much room the board has is known where its core is installed; a file does not need one.
async fn take(env: &BuildEnv, file: PathBuf) -> Result<Built, BuildError> {
    let paths = env.paths.clone();
    let kept = blocking(move || artifact::keep(&paths, &file)).await?;
    let data_bytes = artifact::data_bytes(&kept.path, Ram::Written).unwrap_or(0);
    let sizes = Sizes { image_bytes: kept.image_bytes, data_bytes, ..Sizes::default() };
    let (artifact, hash) = (kept.path, kept.hash);
    Ok(Built { artifact, hash, sizes, before: None, unchanged: false, compiled: 0, cached: 0 })
}

/// A project's own build command, and what it says of it.
struct Own<'a> {
    folder: &'a Path,
    line: &'a str,
    file: &'a str,
    inputs: &'a [String],
}

/// Runs a project's own build command, once nothing is left of a run that was killed.
async fn run_alone(
    env: &BuildEnv,
    wish: &BuildWish,
    line: (&Path, &str),
    at: &Held,
    nest: Nest,
    given: &BTreeMap<String, String>,
    watcher: &Watcher,
) -> Result<(), BuildError> {
    let (folder, lock) = (at.folder.clone(), at.lock.clone());
    let this = blocking(move || {
        // Whoever asked may be gone before it ends: nobody else begins until then.
        let _held = lock;
        Run::begin(&folder)
    })
    .await?;
    command::run(&env.pool, wish.build.jobs, line, (nest, this), given, watcher).await
}

/// Runs a project's own build command, and takes down what it read.
async fn run_own(
    env: &BuildEnv,
    wish: &BuildWish,
    own: &Own<'_>,
    watcher: &Watcher,
) -> Result<Built, BuildError> {
    let at = hold(&env.paths, wish, watcher).await?;
    // Whoever held it may have built the same.
    if let Some(built) = look(&env.paths, wish, watcher).await? {
        return Ok(built);
    }
    let (folder, inputs, at_folder) = (own.folder.to_owned(), own.inputs.to_vec(), at.folder.clone());
    // Before it runs: what changes while it does is another build's.
    let sources = blocking(move || {
        let mut sources = Sources::new();
        for file in input_files(&folder, &inputs)? {
            sources.hash(&file).map_err(BuildError::io("read", &file))?;
        }
        fingerprint::forget(&at.folder).map_err(BuildError::io("remove from", &at.folder))?;
        Ok((sources, at))
    });
    let (sources, at) = sources.await?;
    let given = given(env, wish).await?;
    let began = Instant::now();
    let nest = Nest::around().of_farm(env.farm()).holding(&at_folder)?;
    let line = (own.folder, own.line);
    run_alone(env, wish, line, &at, nest, &given, watcher).await?;
    let ended = Instant::now();
    let left = command::left(line, own.file)?;
    let mut built = take(env, left.clone()).await?;
    let span = Span { ready: began, began, ended, cached: false };
    let mut report =
        BuildReport::new(&wish.board, began, 1, vec![Step::new(own.line, "run", &[], span, began)]);
    (report.sizes, report.elf) = (built.sizes, Some(left.clone()));
    let (paths, wish) = (env.paths.clone(), wish.clone());
    blocking(move || {
        built.before = tell(&report, &at.folder);
        let finished =
            Finished { sources: &sources, tools: &[], found: &[], outputs: &[left], built: &built };
        if let Err(error) = fingerprint::write(&paths, &wish, &finished) {
            tracing::debug!(%error, "no fingerprint");
        }
        drop(at);
        Ok(built)
    })
    .await
}

/// A build folder that is ours alone, as long as the lock is held.
pub(crate) struct Held {
    pub(crate) folder: PathBuf,
    /// All that is in it, a build has put there.
    pub(crate) is_ours: bool,
    lock: Arc<File>,
}

/// Holds the folder of a build; says so where it is not the project's own, when it is used first.
pub(crate) async fn hold(paths: &Paths, wish: &BuildWish, watcher: &Watcher) -> Result<Held, BuildError> {
    let folder = build_folder(paths, wish);
    Nest::around().holding(&folder)?;
    if is_elsewhere(wish, &folder) && !folder.exists() {
        let note = format!("the project is read only: its build is kept in {}", folder.display());
        watcher.note(note).await;
    }
    if let Some(file) = folder.ancestors().find(|there| there.exists()).filter(|there| !there.is_dir()) {
        return Err(BuildError::NotOurs { path: file.to_owned(), why: "it is no folder" });
    }
    let is_ours = is_ours(&folder);
    let lock = Arc::new(lock(&folder).await?);
    keep_out_of_git(&folder);
    Ok(Held { folder, is_ours, lock })
}

/// Whether a build folder, and that of ours that it is in, are folders, and hold nothing that was there before a build.
fn is_ours(folder: &Path) -> bool {
    let is_link = |folder: &Path| folder.symlink_metadata().is_ok_and(|about| about.is_symlink());
    let ours = folder.ancestors().position(|folder| folder.file_name().is_some_and(|name| name == OURS));
    if folder.ancestors().take(ours.unwrap_or(0) + 1).any(is_link) {
        return false;
    }
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    !folder.exists() || folder.join(LOCK).is_file() || is_empty()
}

/// What is ours in a project is nobody's to commit.
fn keep_out_of_git(folder: &Path) {
    let ours = folder.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == OURS));
    if let Some(ours) = ours
        && let Ok(mut file) = File::options().write(true).create_new(true).open(ours.join(".gitignore"))
    {
        let _it_would_only_be_seen = file.write_all(b"*\n");
    }
}

async fn compile(
    env: &BuildEnv,
    wish: &BuildWish,
    watcher: &Watcher,
    started: &mut Instant,
) -> Result<Built, BuildError> {
    let Held { folder, is_ours, lock } = hold(&env.paths, wish, watcher).await?;
    // Whoever held it may have built the same.
    if let Some(built) = look(&env.paths, wish, watcher).await? {
        return Ok(built);
    }
    let objects = ObjectStore::new(env.paths.objects());
    let tools = Tools::get(wish, &*env.packages, &objects).await?;
    // The toolchain's installation is told, and timed, as its own.
    *started = Instant::now();
    let origin = *started;
    prepare(wish, &tools, (&folder, is_ours), watcher).await?;
    let (plan, sources, tools, last) = {
        let (paths, wish, objects) = (env.paths.clone(), wish.clone(), objects.clone());
        blocking(move || {
            let last = fingerprint::last_hash(&paths, &wish);
            fingerprint::forget(&folder).map_err(BuildError::io("remove from", &folder))?;
            let mut sources = Sources::knowing(Outlines::load(&objects, &folder));
            tools.watch(&mut sources)?;
            let plan = plan(&wish, &folder, &tools, &mut sources)?;
            sources.outlines().keep(&objects, &folder);
            write_commands(&plan)?;
            Ok((Arc::new(plan), sources, tools, last))
        })
        .await?
    };
    for library in plan.libraries.iter().filter(|library| !library.passed_over.is_empty()) {
        let keys = library.passed_over.join("`, `");
        watcher.note(format!("{}: `{keys}` of its library.json is not followed", library.name)).await;
    }
    let ran = run(
        plan.clone(),
        (&env.pool, &env.programs),
        objects,
        sources,
        wish.build.jobs,
        watcher,
        lock.clone(),
    )
    .await;
    let is_other = |file: &&PathBuf| **file != plan.actions[plan.artifact].output && file.is_file();
    if let (Ok(_), Some(file)) = (&ran, plan.upload_file.as_ref().filter(is_other)) {
        watcher.note(format!("what the core's own uploader takes: {}", plan.layout.shown(file))).await;
    }
    let ran = match ran {
        Err(error) if error.is_overflow() && plan.bytes_max != 0 => {
            return Err(too_large(&plan, &env.programs).await);
        }
        ran => ran?,
    };
    let (paths, wish) = (env.paths.clone(), wish.clone());
    blocking(move || {
        let _held = lock;
        let output = |at: usize| plan.actions[at].output.clone();
        let data_bytes = check_data(&plan, &output(plan.linked))?;
        let kept = artifact::keep(&paths, &output(plan.artifact))?;
        // What a core has run behind the link may change the program, and is there for that.
        if !plan.is_own && kept.hash.0 != ran.outputs[plan.artifact] {
            return Err(BuildError::NoArtifact {
                path: output(plan.artifact),
                why: "it was changed while it was being built".into(),
            });
        }
        if plan.bytes_max != 0 && kept.image_bytes > plan.bytes_max {
            let (bytes, bytes_max) = (kept.image_bytes, plan.bytes_max);
            return Err(BuildError::TooLarge { bytes, bytes_max, board: plan.board.clone() });
        }
        let sizes = Sizes {
            image_bytes: kept.image_bytes,
            image_bytes_max: plan.bytes_max,
            data_bytes,
            data_bytes_max: plan.data_bytes_max,
        };
        let mut report = BuildReport::new(&plan.board, origin, ran.workers, steps(&plan, &ran.spans, origin));
        (report.sizes, report.elf) = (sizes, Some(output(plan.linked)));
        let built = Built {
            artifact: kept.path,
            hash: kept.hash,
            sizes,
            before: tell(&report, &plan.layout.build),
            unchanged: ran.compiled == 0 && last == Some(kept.hash),
            compiled: ran.compiled,
            cached: ran.cached,
        };
        let mut outputs = vec![output(plan.linked), output(plan.artifact)];
        outputs.extend(plan.upload_file.iter().filter(|file| file.is_file()).cloned());
        let said = keep_said(&plan.layout.build, &ran.printed);
        said.map_err(BuildError::io("write to", &plan.layout.build))?;
        if ran.settled && !tools.is_opaque {
            let finished = Finished {
                sources: &ran.sources,
                tools: &tools.files,
                found: &tools.found,
                outputs: &outputs,
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
async fn too_large(plan: &Plan, programs: &Programs) -> BuildError {
    let (board, bytes_max) = (plan.board.clone(), plan.bytes_max);
    let Some(elf) = link_oversized(plan, programs).await else {
        return BuildError::Overflows { bytes_max, board };
    };
    let data = check_data(plan, &elf);
    match (data, artifact::image_bytes(&elf)) {
        (Err(error), _) => error,
        (Ok(_), Some(bytes)) if bytes > bytes_max => BuildError::TooLarge { bytes, bytes_max, board },
        _ => BuildError::Overflows { bytes_max, board },
    }
}

/// Where a build whose things go to `build` happens.
pub(crate) fn layout_of(wish: &BuildWish, build: &Path) -> Layout {
    let folder = match &wish.build.source {
        Source::Sketch(folder) | Source::Tree(folder) => folder,
        Source::Environment(of) => &of.folder,
        Source::Profile(of) => &of.folder,
        _ => return Layout::new(Path::new(""), &wish.build_dir, build),
    };
    Layout::new(Path::new(folder), &wish.build_dir, build)
}

/// What is run for a build whose things go to `build`.
pub(crate) fn plan(
    wish: &BuildWish,
    build: &Path,
    tools: &Tools,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let layout = layout_of(wish, build);
    let plan = support(&wish.board)?.plan(wish, layout, tools, sources)?;
    // What two would write, either could be remembered as.
    let mut outputs = BTreeSet::new();
    match plan.actions.iter().find(|action| !outputs.insert(&action.output)) {
        Some(twice) => Err(BuildError::Internal(format!("{} would be made twice", twice.output.display()))),
        None => Ok(plan),
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

/// The RAM that a program's variables take: 0 where that is not known.
fn check_data(plan: &Plan, elf: &Path) -> Result<u64, BuildError> {
    let bytes_max = plan.data_bytes_max;
    let ram = if bytes_max == 0 { Ram::Written } else { Ram::Variables };
    match artifact::data_bytes(elf, ram) {
        Some(bytes) if bytes_max != 0 && bytes > bytes_max => {
            Err(BuildError::TooMuchData { bytes, bytes_max, board: plan.board.clone() })
        }
        bytes => Ok(bytes.unwrap_or(0)),
    }
}

/// Keeps a report; how large the same was before, where it was built for the same board.
fn tell(report: &BuildReport, folder: &Path) -> Option<Sizes> {
    let before = report::read(folder).filter(|before| before.board == report.board);
    // A build without a report is a build all the same.
    if let Err(error) = report.write(folder) {
        tracing::debug!(%error, "no report");
    }
    before.map(|before| before.sizes)
}

/// Holds a build folder: one build at a time, in this process and others.
async fn lock(folder: &Path) -> Result<File, BuildError> {
    let path = folder.join(LOCK);
    let mut file = open_lock(folder, &path)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_there(&file, &path) => return Ok(file),
            // The folder was removed while we waited for it (`clean`): that lock keeps nobody out any more.
            Ok(()) if started.elapsed() < LOCK_DEADLINE => file = open_lock(folder, &path)?,
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_DEADLINE => {
                tokio::time::sleep(LOCK_AGAIN).await;
            }
            Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BuildError::Held {
                    folder: folder.to_owned(),
                    waited_s: LOCK_DEADLINE.as_secs(),
                });
            }
            Err(errno) => return Err(BuildError::Io { doing: "lock", path, source: errno.into() }),
        }
    }
}

fn open_lock(folder: &Path, path: &Path) -> Result<File, BuildError> {
    let open = || {
        fs::create_dir_all(folder).map_err(BuildError::io("make the folder", folder))?;
        File::options().create(true).append(true).open(path).map_err(BuildError::io("open", path))
    };
    // It may be removed between the two steps.
    open().or_else(|_| open())
}

/// Whether `path` is the file that was opened.
fn is_there(file: &File, path: &Path) -> bool {
    let now = fs::metadata(path);
    file.metadata().is_ok_and(|held| now.is_ok_and(|now| (now.dev(), now.ino()) == (held.dev(), held.ino())))
}
