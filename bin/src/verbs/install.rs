//! `install`: what a board needs, or what is named.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use farmhand::equip_alone;
use farmhand::packages::{Installed, LOCK_FILE, LockMode, PackageSpec, Packages, shelf_name};
use farmhand::protocol::{
    Answer, Event, EventBody, EventSeq, Goal, InstallEvent, InstalledView, Item, Job, Problem, ProblemClass,
    Request, Source, Toolchain,
};
use farmhand::transport::{ClientError, Reply};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::with_farm;
use crate::args::{BuildFlags, Cli, Global};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::reach::Reach;
use crate::screen::Screen;
use crate::settle::settle;
use crate::table::columns;
use crate::term::Term;
use crate::units::bytes;

/// Between two steps of an installation: a mirror that says nothing is given up by the farm itself, earlier.
const STEP: Duration = Duration::from_secs(41 * 60);

/// What is asked for.
pub(crate) struct Wish<'a> {
    pub(crate) packages: &'a [String],
    pub(crate) bundle: Option<&'a Path>,
    /// For each of the project's environments.
    pub(crate) all: bool,
    pub(crate) flags: &'a BuildFlags,
}

/// Steps of an installation that may wait for who watches.
const STEPS: usize = 64;

pub(crate) fn run(cli: &Cli, term: &Term, wish: &Wish<'_>) -> Result<u8, Failed> {
    // What is wrong in the settings is told with their path as it was typed.
    project::load(&cli.global, None, wish.flags.flags())?;
    let folder = project::folder(&cli.global)?;
    let declared = project::all_packages(&cli.global, &folder)?;
    if let Some(bundle) = wish.bundle.filter(|bundle| bundle.exists()) {
        return from_bundle(cli, term, wish, bundle, (&folder, &declared));
    }
    let environments =
        if wish.packages.is_empty() { environments(&cli.global, wish.all)? } else { Vec::new() };
    let is_declared = |name: &String| declared.iter().any(|spec| spec.name == *name);
    let (own, others): (Vec<_>, Vec<_>) = wish.packages.iter().cloned().partition(is_declared);
    let others = others.iter().map(|package| absolute(package)).collect::<Result<Vec<_>, _>>()?;
    let own = match wish.packages.is_empty() {
        true => of_named_environment(&cli.global, wish.flags)?,
        false => Some(own),
    };
    let mut installed: Vec<InstalledView> = Vec::new();
    let mut add = |views: Vec<InstalledView>| {
        for view in views {
            if installed.iter().all(|known| known.path != view.path) {
                installed.push(view);
            }
        }
    };
    // What nobody declares any more is in no lock.
    let is_known = !declared.is_empty() || folder.join(LOCK_FILE).exists();
    if is_known && own.as_ref().is_none_or(|own| !own.is_empty()) {
        let own = own.unwrap_or_default();
        add(declared_by(cli, term, wish.flags.locked, &folder, &declared, &own)?);
    }
    if !others.is_empty() {
        add(by_farm(cli, term, others, None)?);
    }
    for global in &environments {
        add(of_environment(cli, global, term, wish.flags, &declared)?);
    }
    if cli.global.dry_run {
        return Ok(exit::PASSED);
    }
    if let Some(bundle) = wish.bundle {
        let store = super::packages::store(&cli.global)?;
        let packed: Vec<_> = store.list_of(installed.iter().map(|view| Path::new(&view.path)));
        let length = store.pack(&packed, bundle).map_err(|error| Problem::from(&error))?;
        let what = format!("{} package{}", packed.len(), if packed.len() == 1 { "" } else { "s" });
        term.say(&crate::screen::step("packed", &what, &bundle.display().to_string(), &bytes(length)));
    }
    if installed.is_empty() {
        term.say("no package is needed");
    }
    tell(term, &installed);
    Ok(exit::PASSED)
}

/// What a bundle holds, and nothing that is not in it: that would be fetched.
fn from_bundle(
    cli: &Cli,
    term: &Term,
    wish: &Wish<'_>,
    bundle: &Path,
    (folder, declared): (&Path, &[PackageSpec]),
) -> Result<u8, Failed> {
    if cli.global.dry_run {
        term.answer(&crate::screen::step("install", &bundle.display().to_string(), "", ""));
        return Ok(exit::PASSED);
    }
    let installed = of_bundle(term, &super::packages::store(&cli.global)?, bundle, folder)?;
    tell(term, &installed);
    let own = of_named_environment(&cli.global, wish.flags)?;
    let is_meant = |spec: &&PackageSpec| own.as_ref().is_none_or(|own| own.contains(&spec.name));
    let is_there = |spec: &&PackageSpec| installed.iter().any(|view| view.name == shelf_name(spec));
    let missing: Vec<_> = declared
        .iter()
        .filter(is_meant)
        .filter(|spec| !is_there(spec))
        .map(|spec| spec.name.as_str())
        .collect();
    if !missing.is_empty() {
        let message =
            format!("{} has no {}, which the project declares", bundle.display(), missing.join(", "));
        let help = [
            "farmhand install --offline-bundle NEW-FILE packs what is declared now, where there is a network",
            "farmhand install fetches it",
        ];
        return Err(Failed::new(ProblemClass::Package, "F534", message, &help));
    }
    if declared.iter().any(|spec| is_meant(&spec)) {
        // With a lock that is there nothing else can be meant than what it pins.
        let is_locked = wish.flags.locked || folder.join(LOCK_FILE).exists();
        declared_by(cli, term, is_locked, folder, declared, &own.unwrap_or_default())?;
    }
    Ok(exit::PASSED)
}

/// The packages of the environment that was named, by name; none where none was, or what it needs cannot be told.
fn of_named_environment(global: &Global, flags: &BuildFlags) -> Result<Option<Vec<String>>, Failed> {
    if global.environment.is_none() {
        return Ok(None);
    }
    let (project, config) = project::load(global, None, flags.flags())?;
    Ok(config.job(&project, Goal::Build).ok().map(|job| match job.build.toolchain {
        Toolchain::Chosen(tools) => tools.packages.into_iter().map(|spec| spec.name).collect(),
        _ => Vec::new(),
    }))
}

/// The environments that packages are for, each as flags that name it; as with `build`, those that are meant where nobody names
/// one.
fn environments(global: &Global, all: bool) -> Result<Vec<Global>, Failed> {
    let names = match all {
        true => project::some_environments(global, None)?,
        false if global.environment.is_some() => Vec::new(),
        false => project::meant(global, None)?,
    };
    let named = |name| Global { environment: Some(name), ..global.clone() };
    Ok(if names.is_empty() { vec![global.clone()] } else { names.into_iter().map(named).collect() })
}

/// What the project declares.
fn declared_by(
    cli: &Cli,
    term: &Term,
    is_locked: bool,
    folder: &Path,
    declared: &[PackageSpec],
    own: &[String],
) -> Result<Vec<InstalledView>, Failed> {
    if cli.global.dry_run {
        let names =
            declared.iter().map(|spec| &spec.name).filter(|name| own.is_empty() || own.contains(name));
        let names: Vec<_> = names.map(String::as_str).collect();
        term.answer(&crate::screen::step("install", &names.join(", "), "", ""));
        return Ok(Vec::new());
    }
    let store = super::packages::store(&cli.global)?;
    let mode = if is_locked { LockMode::Locked } else { LockMode::Follow };
    let ours = of_project(term, &store, folder, declared, own, mode)?;
    if mode == LockMode::Locked {
        let paths = ours.iter().map(|view| Path::new(&view.path));
        store.check_whole(&store.list_of(paths)).map_err(|error| Problem::from(&error))?;
    }
    Ok(ours)
}

/// What an environment's board needs, and what the sources ask for beside that: a C library, another compiler.
fn of_environment(
    cli: &Cli,
    global: &Global,
    term: &Term,
    flags: &BuildFlags,
    declared: &[PackageSpec],
) -> Result<Vec<InstalledView>, Failed> {
    let (project, config) = project::load(global, None, flags.flags())?;
    let board = match config.get("board").map(|setting| &setting.value) {
        Some(farmhand::config::Value::Text(board)) => Some(board.clone()),
        _ => None,
    };
    // A project that declares its packages and names no board needs none of a board's.
    if board.is_none() && !declared.is_empty() {
        return Ok(Vec::new());
    }
    let mut installed = by_farm(cli, term, Vec::new(), board)?;
    if !global.dry_run
        && let Some(mut job) = config.job(&project, Goal::Build).ok().filter(is_compiled)
    {
        settle(global, term, &mut job, flags.locked)?;
        installed.extend(of_build(global, term, &job)?);
    }
    Ok(installed)
}

/// Packages that the farm installs: those named, or else what a board needs.
fn by_farm(
    cli: &Cli,
    term: &Term,
    packages: Vec<String>,
    board: Option<String>,
) -> Result<Vec<InstalledView>, Failed> {
    if cli.global.dry_run {
        let what = match packages.is_empty() {
            true => board.unwrap_or_else(|| "what a board needs".into()),
            false => packages.join(", "),
        };
        term.answer(&crate::screen::step("install", &what, "", ""));
        return Ok(Vec::new());
    }
    with_farm(cli, async |reach| ask(reach, term, Request::Install { packages, board }).await)
}

/// Whether compilers of ours build it.
pub(crate) fn is_compiled(job: &Job) -> bool {
    matches!(
        job.build.source,
        Source::Sketch(_) | Source::Tree(_) | Source::Environment(_) | Source::Profile(_)
    )
}

/// What a build of the project is made with, installed here likewise.
fn of_build(global: &Global, term: &Term, job: &Job) -> Result<Vec<InstalledView>, Failed> {
    let home = project::home(global)?;
    super::block_on(async {
        let (progress, mut told) = mpsc::channel(STEPS);
        let mut screen = Screen::new(term);
        let work = equip_alone(&home, job, progress);
        tokio::pin!(work);
        let installed = loop {
            tokio::select! {
                installed = &mut work => break installed,
                Some(body) = told.recv() => screen.event(&event(body)),
            }
        };
        screen.end();
        Ok(installed?.into_iter().map(view).collect())
    })
}

/// What a project declares, installed here: it needs no farm, and shares the store of one that runs.
pub(crate) fn of_project(
    term: &Term,
    store: &Packages,
    folder: &Path,
    declared: &[PackageSpec],
    wanted: &[String],
    mode: LockMode,
) -> Result<Vec<InstalledView>, Failed> {
    super::block_on(async {
        let outcome = watched(term, |step| store.install_project(folder, declared, wanted, mode, step)).await;
        let installed = outcome.map_err(|error| Problem::from(&error))?;
        Ok(installed.into_iter().map(view).collect())
    })
}

/// Shows the steps of an installation.
async fn watched<T, F: Future<Output = T>>(
    term: &Term,
    start: impl FnOnce(Box<dyn Fn(InstallEvent) + Send + Sync>) -> F,
) -> T {
    let (steps, mut told) = mpsc::channel(STEPS);
    let work = start(Box::new(move |step: InstallEvent| {
        // A full channel loses steps, never the answer.
        let _nobody_watches = steps.try_send(step);
    }));
    let mut screen = Screen::new(term);
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Some(step) = told.recv() => screen.event(&event(EventBody::Install(step))),
        }
    };
    screen.end();
    outcome
}

/// What a bundle holds, installed here.
fn of_bundle(
    term: &Term,
    store: &Packages,
    bundle: &Path,
    folder: &Path,
) -> Result<Vec<InstalledView>, Failed> {
    super::block_on(async {
        let outcome = watched(term, |step| store.install_bundle(bundle, folder, step)).await;
        Ok(outcome.map_err(|error| Problem::from(&error))?.into_iter().map(view).collect())
    })
}

fn event(body: EventBody) -> Event {
    Event {
        seq: EventSeq::default(),
        unix_ms: crate::units::now_unix_ms(),
        session: None,
        device: None,
        body,
    }
}

fn view(installed: Installed) -> InstalledView {
    InstalledView {
        name: installed.name,
        version: installed.version,
        path: installed.prefix.display().to_string(),
        already: installed.already,
    }
}

/// A path as the farm sees it, which has another working folder.
fn absolute(package: &str) -> Result<String, Failed> {
    let path = Path::new(package);
    if !package.contains('/') && !path.exists() {
        return Ok(package.to_owned());
    }
    let path = path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::usage(format!("there is no file {package}"), &[]),
        _ => Failed::io(package, &error),
    })?;
    Ok(path.display().to_string())
}

async fn ask(reach: &mut Reach, term: &Term, request: Request) -> Result<Vec<InstalledView>, Failed> {
    let client = reach.client().await?;
    let mut replies = client.stream(request).await?;
    let mut screen = Screen::new(term);
    let answer = loop {
        let reply = timeout(STEP, replies.next()).await.unwrap_or(Err(ClientError::NoAnswer(STEP)));
        match reply {
            Ok(Some(Reply::Item(Item::Event(event)))) => screen.event(&event),
            Ok(Some(Reply::Item(_))) => {}
            Ok(Some(Reply::Done(answer))) => break answer,
            Ok(None) => return Err(ClientError::Lost.into()),
            Err(error) => {
                screen.end();
                return Err(error.into());
            }
        }
    };
    screen.end();
    match answer {
        Answer::Installed(installed) => Ok(installed),
        _ => Ok(Vec::new()),
    }
}

fn tell(term: &Term, installed: &[InstalledView]) {
    if term.json {
        let one = |view: &InstalledView| json!({ "name": view.name, "version": view.version, "path": view.path, "already": view.already });
        term.answer(&json::done(json!({ "installed": installed.iter().map(one).collect::<Vec<_>>() })));
    } else {
        let row = |view: &InstalledView| {
            let how = if view.already { "there already" } else { "installed" };
            vec![
                how.into(),
                format!("{} {}", view.name, view.version).trim_end().to_owned(),
                view.path.clone(),
            ]
        };
        term.text(&columns(&installed.iter().map(row).collect::<Vec<_>>()));
    }
}
