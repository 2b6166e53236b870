//! `compile-many` and `build --all`: many builds, one pool, one order.

mod find;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use farmhand::protocol::{BuildEvent, Event, EventBody, EventSeq, Goal, Job, Problem, ProblemClass};
use farmhand::{Built, ManyEvent, Wanted, build_many};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::block_on;
use super::cache::collect_behind;
use crate::args::{BuildFlags, Global};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::screen::{Screen, size_of};
use crate::settle::{settle, tell_moved};
use crate::signals::Signals;
use crate::table::table;
use crate::term::Term;
use crate::units::{now_unix_ms, took};

/// Steps that may wait to be shown.
const STEPS: usize = 256;

/// One of them, and what came of it.
struct One {
    /// As it was named.
    name: String,
    wanted: Option<Wanted>,
    outcome: Option<Result<Built, Problem>>,
}

/// `compile-many FOLDER...`
pub(crate) fn sketches(
    global: &Global,
    term: &Term,
    named: &[PathBuf],
    list: Option<&Path>,
    flags: &BuildFlags,
) -> Result<u8, Failed> {
    let job = |folder: &Path| project::job(global, term, Some(folder), flags.flags(), Goal::Build);
    let one = |folder: PathBuf| of(term, folder.display().to_string(), job(&folder), None);
    let all = find::all(named, list)?.into_iter().map(one).collect();
    run(global, term, "sketch", all, flags.locked)
}

/// `build --all`
pub(crate) fn all(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    flags: &BuildFlags,
) -> Result<u8, Failed> {
    let names = project::some_environments(global, path)?;
    named(global, term, path, names, flags, BTreeSet::new())
}

/// `build`, where `default_envs` has several; `told` are the notes that were told of the project.
pub(crate) fn named(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    names: Vec<String>,
    flags: &BuildFlags,
    mut told: BTreeSet<String>,
) -> Result<u8, Failed> {
    let mut all = Vec::new();
    for name in names {
        let global = Global { environment: Some(name.clone()), ..global.clone() };
        let job = project::job_of_several(&global, term, path, flags.flags(), Goal::Build, &mut told);
        all.push(of(term, name.clone(), job, Some(name)));
    }
    run(global, term, "environment", all, flags.locked)
}

fn of(term: &Term, name: String, job: Result<Job, Failed>, environment: Option<String>) -> One {
    match job {
        Ok(job) => {
            One { name, wanted: Some(Wanted { job, environment, telling: term.telling() }), outcome: None }
        }
        Err(failed) => One { name, wanted: None, outcome: Some(Err(*failed.0)) },
    }
}

fn run(global: &Global, term: &Term, what: &str, mut all: Vec<One>, is_locked: bool) -> Result<u8, Failed> {
    if global.dry_run {
        for one in &all {
            term.answer(&format!("  build    {}", one.name));
        }
        return Ok(exit::PASSED);
    }
    let began = Instant::now();
    let home = project::home(global)?;
    tell_moved(global, term, all.iter().filter_map(|one| Some(&one.wanted.as_ref()?.job)))?;
    for one in &mut all {
        if let Some(wanted) = &mut one.wanted
            && let Err(failed) = settle(global, term, &mut wanted.job, is_locked)
        {
            (one.wanted, one.outcome) = (None, Some(Err(*failed.0)));
        }
    }
    let workers = global.jobs.map_or(0, |jobs| jobs as usize);
    // Which of all each build is.
    let places: Vec<usize> = (0..all.len()).filter(|&at| all[at].wanted.is_some()).collect();
    let wanted: Vec<Wanted> = places.iter().filter_map(|&at| all[at].wanted.clone()).collect();
    let cancelled = block_on(async {
        let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
        let (progress, mut steps) = mpsc::channel(STEPS);
        let mut screen = Screen::new(term);
        let building = build_many(&home, wanted, workers, progress);
        tokio::pin!(building);
        let mut building_ended = false;
        loop {
            tokio::select! {
                () = &mut building, if !building_ended => building_ended = true,
                step = steps.recv() => match step {
                    Some((place, event)) => show(term, &mut screen, &mut all, places[place], event),
                    None => break,
                },
                _signal = signals.next() => {
                    screen.end();
                    return Ok(true);
                }
            }
        }
        screen.end();
        Ok(false)
    })?;
    if cancelled {
        if term.json {
            term.answer(&results(exit::CANCELLED, what, &all, began));
        }
        return Ok(exit::CANCELLED);
    }
    let code = tell(term, what, &all, began);
    collect_behind(&home);
    Ok(code)
}

fn show(term: &Term, screen: &mut Screen, all: &mut [One], at: usize, event: ManyEvent) {
    let project = all[at].wanted.as_ref().map_or_else(String::new, |wanted| wanted.job.project.clone());
    let body = match event {
        ManyEvent::Ended(outcome) => {
            all[at].outcome = Some(*outcome);
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let done = all.iter().filter(|one| one.outcome.is_some()).count();
            let what = all[at].name.clone();
            EventBody::Build(BuildEvent::Progress { done: count(done), total: count(all.len()), what })
        }
        // How far one of many is, and how it ended, is in the bar and in the table.
        ManyEvent::Step(EventBody::Build(BuildEvent::Progress { .. })) => return,
        ManyEvent::Step(EventBody::Build(BuildEvent::Done { .. })) if !term.events => return,
        ManyEvent::Step(body) => body,
    };
    screen.turn_to(&project);
    let event = Event { seq: EventSeq::default(), unix_ms: now_unix_ms(), session: None, device: None, body };
    screen.event_of(&event, &all[at].name);
}

/// How bad it is: what is ours or the machine's is worse than what is the program's.
fn badness(class: ProblemClass) -> u8 {
    match class {
        ProblemClass::Build | ProblemClass::Firmware => 1,
        ProblemClass::Configuration | ProblemClass::Usage | ProblemClass::NoDevice => 2,
        ProblemClass::Busy => 3,
        ProblemClass::Permission => 4,
        ProblemClass::Package => 5,
        ProblemClass::Infra | ProblemClass::Unknown | ProblemClass::Cancelled => 6,
    }
}

fn tell(term: &Term, what: &str, all: &[One], began: Instant) -> u8 {
    let failed = |one: &One| {
        one.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).map(|problem| problem.class)
    };
    let worst = all.iter().filter_map(failed).max_by_key(|&class| badness(class));
    let code = worst.map_or(exit::PASSED, exit::of);
    if term.json {
        term.answer(&results(code, what, all, began));
        return code;
    }
    let built = built(all);
    let compiled: u32 = built.iter().map(|built| built.compiled).sum();
    let cached: u32 = built.iter().map(|built| built.cached).sum();
    let rows: Vec<_> = all.iter().map(row).collect();
    term.text(&table(&[what, "result", "compiled", "cached", "program", "data"], &rows));
    for next in nexts(all) {
        term.say(&format!("  next: {next}"));
    }
    let failures = all.len() - built.len();
    let end = if failures == 0 { String::new() } else { format!(", {failures} failed") };
    term.answer(&format!(
        "built  {} of {}{end}  {compiled} files compiled, {cached} from the cache  {}",
        built.len(),
        all.len(),
        took(since(began))
    ));
    code
}

/// What may be done about what is wrong with some of them, each once; what a compiler said is told already.
fn nexts(all: &[One]) -> BTreeSet<&str> {
    let problems = all.iter().filter_map(|one| one.outcome.as_ref()?.as_ref().err());
    let told = problems.filter(|problem| problem.class != ProblemClass::Build);
    told.flat_map(|problem| problem.help.iter().map(String::as_str)).collect()
}

fn built(all: &[One]) -> Vec<&Built> {
    all.iter().filter_map(|one| one.outcome.as_ref()?.as_ref().ok()).collect()
}

/// Milliseconds.
fn since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The last line for a machine, of as many as have ended.
fn results(code: u8, what: &str, all: &[One], began: Instant) -> Value {
    let built = built(all);
    let results: Vec<Value> = all.iter().map(|one| result(what, one)).collect();
    let compiled: u32 = built.iter().map(|built| built.compiled).sum();
    let cached: u32 = built.iter().map(|built| built.cached).sum();
    json::many(
        code,
        json!({ "results": results, "compiled": compiled, "cached": cached, "elapsed_ms": since(began) }),
    )
}

fn row(one: &One) -> Vec<String> {
    let name = one.name.clone();
    match &one.outcome {
        Some(Ok(built)) => {
            let how = if built.unchanged { "unchanged" } else { "built" };
            let sizes = built.sizes;
            let data = if sizes.data_bytes_max == 0 {
                String::new()
            } else {
                size_of(sizes.data_bytes, sizes.data_bytes_max)
            };
            let program = size_of(sizes.image_bytes, sizes.image_bytes_max);
            vec![name, how.into(), built.compiled.to_string(), built.cached.to_string(), program, data]
        }
        Some(Err(problem)) => vec![name, format!("{}: {}", problem.code, problem.message)],
        None => vec![name, "not built".into()],
    }
}

fn result(what: &str, one: &One) -> Value {
    match &one.outcome {
        Some(Ok(built)) => {
            json!({ what: one.name, "ok": true, "artifact": built.artifact, "unchanged": built.unchanged,
            "compiled": built.compiled, "cached": built.cached, "image_bytes": built.sizes.image_bytes,
            "image_bytes_max": built.sizes.image_bytes_max, "data_bytes": built.sizes.data_bytes,
            "data_bytes_max": built.sizes.data_bytes_max })
        }
        Some(Err(problem)) => json!({ what: one.name, "ok": false, "problem": json::problem(problem) }),
        None => json!({ what: one.name, "ok": false }),
    }
}
