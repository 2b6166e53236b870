//! `install`: what a board needs, or what is named.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use farmhand::equip_alone;
use farmhand::packages::{Installed, LOCK_FILE, LockMode, PackageSpec, Packages};
use farmhand::protocol::{
    Answer, Event, EventBody, EventSeq, Goal, InstallEvent, InstalledView, Item, Job, Problem, Request,
    Source,
};
use farmhand::transport::{ClientError, Reply};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::with_farm;
use crate::args::{BuildFlags, Cli};
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
    pub(crate) flags: &'a BuildFlags,
}

/// Steps of an installation that may wait for who watches.
const STEPS: usize = 64;

pub(crate) fn run(cli: &Cli, term: &Term, wish: &Wish<'_>) -> Result<u8, Failed> {
    let (project, config) = project::load(&cli.global, None, wish.flags.flags())?;
    let board = match config.get("board").map(|setting| &setting.value) {
        Some(farmhand::config::Value::Text(board)) => Some(board.clone()),
        _ => None,
    };
    let folder = project::folder(&cli.global)?;
    let declared = project::all_packages(&cli.global, &folder)?;
    let is_declared = |name: &String| declared.iter().any(|spec| spec.name == *name);
    let (own, others): (Vec<_>, Vec<_>) = wish.packages.iter().cloned().partition(is_declared);
    let others = others.iter().map(|package| absolute(package)).collect::<Result<Vec<_>, _>>()?;
    let all = wish.packages.is_empty();
    let mut installed = Vec::new();
    let from_bundle = wish.bundle.filter(|bundle| bundle.exists());
    if let (Some(bundle), false) = (from_bundle, cli.global.dry_run) {
        installed = of_bundle(term, &super::packages::store(&cli.global)?, bundle, &folder)?;
    }
    // What nobody declares any more is in no lock.
    let is_known = !declared.is_empty() || folder.join(LOCK_FILE).exists();
    if is_known && (all || !own.is_empty()) {
        if cli.global.dry_run {
            let names = declared.iter().map(|spec| &spec.name).filter(|name| all || own.contains(name));
            let names: Vec<_> = names.map(String::as_str).collect();
            term.answer(&crate::screen::step("install", &names.join(", "), "", ""));
        } else {
            let store = super::packages::store(&cli.global)?;
            let mode = if wish.flags.locked { LockMode::Locked } else { LockMode::Follow };
            let ours = of_project(term, &store, &folder, &declared, &own, mode)?;
            if mode == LockMode::Locked {
                let paths = ours.iter().map(|view| Path::new(&view.path));
                store.check_whole(&store.list_of(paths)).map_err(|error| Problem::from(&error))?;
            }
            // What came out of the bundle is told as that.
            installed.extend(ours.into_iter().filter(|_| from_bundle.is_none()));
        }
    }
    // A project that declares its packages and names no board needs none of a board's.
    let of_board = all && (board.is_some() || declared.is_empty());
    if cli.global.dry_run && (of_board || !others.is_empty()) {
        let what = if others.is_empty() {
            board.unwrap_or_else(|| "what a board needs".into())
        } else {
            others.join(", ")
        };
        term.answer(&crate::screen::step("install", &what, "", ""));
    } else if of_board || !others.is_empty() {
        let request = Request::Install { packages: others, board };
        let others = with_farm(cli, async |reach| ask(reach, term, request).await)?;
        installed.extend(others.into_iter().filter(|_| from_bundle.is_none()));
    }
    // What its sources ask for beside that: a C library, another compiler.
    if of_board
        && !cli.global.dry_run
        && let Some(mut job) = config.job(&project, Goal::Build).ok().filter(is_compiled)
    {
        settle(&cli.global, term, &mut job, wish.flags.locked)?;
        let asked_for = of_build(cli, term, &job)?;
        let is_told = |view: &InstalledView| installed.iter().any(|known| known.path == view.path);
        let more: Vec<_> =
            asked_for.into_iter().filter(|view| from_bundle.is_none() && !is_told(view)).collect();
        installed.extend(more);
    }
    if let (Some(bundle), None, false) = (wish.bundle, from_bundle, cli.global.dry_run) {
        let store = super::packages::store(&cli.global)?;
        let packed: Vec<_> = store.list_of(installed.iter().map(|view| Path::new(&view.path)));
        let length = store.pack(&packed, bundle).map_err(|error| Problem::from(&error))?;
        let what = format!("{} packages", packed.len());
        term.say(&crate::screen::step("packed", &what, &bundle.display().to_string(), &bytes(length)));
    }
    if !cli.global.dry_run {
        tell(term, &installed);
    }
    Ok(exit::PASSED)
}

/// Whether compilers of ours build it.
pub(crate) fn is_compiled(job: &Job) -> bool {
    matches!(
        job.build.source,
        Source::Sketch(_) | Source::Tree(_) | Source::Environment(_) | Source::Profile(_)
    )
}

/// What a build of the project is made with, installed here likewise.
fn of_build(cli: &Cli, term: &Term, job: &Job) -> Result<Vec<InstalledView>, Failed> {
    let home = project::home(&cli.global)?;
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
