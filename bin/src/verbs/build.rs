//! `build`: no farm, no store; and where there is nothing to do, no runtime.

mod libraries;
mod size;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farmhand::protocol::{BuildEvent, Event, EventBody, EventSeq, Goal, Job, Source};
use farmhand::{BuildReport, Built, Sizes, build_alone, build_report, build_said, build_unchanged};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::cache::collect_behind;
use super::install::is_compiled;
use super::{block_on, many, plan};
use crate::args::{BuildFlags, Global};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::screen::{Screen, size_of};
use crate::settle::{settle, tell_moved};
use crate::signals::Signals;
use crate::term::Term;
use crate::timings;
use crate::units::{now_unix_ms, took};

/// Steps that may wait to be shown.
const STEPS: usize = 256;
/// The code of "the project has several environments".
const SEVERAL: &str = "F022";
/// What was said last is shown within this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is shown beside the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Show {
    pub(crate) size: bool,
    pub(crate) timings: bool,
    /// Which libraries are used, and nothing else.
    pub(crate) libraries: bool,
}

impl Show {
    fn is_of_one(self) -> bool {
        self.size || self.timings || self.libraries
    }
}

pub(crate) fn run(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    shown: Show,
    flags: &BuildFlags,
) -> Result<u8, Failed> {
    let began = Instant::now();
    let mut told = BTreeSet::new();
    let job = project::job_of_several(global, term, path, flags.flags(), Goal::Build, &mut told);
    let mut job = match job {
        // Several are meant, where nobody names one.
        Err(failed) if failed.0.code == SEVERAL && !shown.is_of_one() => {
            return match project::meant(global, path)? {
                names if names.len() > 1 => many::named(global, term, path, names, flags, told),
                _ => Err(failed),
            };
        }
        job => job?,
    };
    if matches!(job.build.source, Source::Boot(_)) {
        let message = "nothing is built here: what [boot] boots is there already";
        return Err(Failed::usage(message, &["farmhand boot"]));
    }
    if global.dry_run {
        return Ok(plan::show(term, &job));
    }
    let home = project::home(global)?;
    if shown.libraries {
        if !is_compiled(&job) {
            let message = "no library is looked for here: the project's own command builds it";
            return Err(Failed::usage(message, &["farmhand build"]));
        }
        settle(global, term, &mut job, flags.locked)?;
        return block_on(libraries::explain(term, &home, &job));
    }
    tell_moved(global, term, [&job])?;
    if flags.locked {
        settle(global, term, &mut job, true)?;
    }
    if let Some(built) = build_unchanged(&home, &job) {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut screen = Screen::of_project(term, &job.project);
        for text in build_said(&home, &job) {
            show(&mut screen, EventBody::Build(BuildEvent::Diagnostic { text }));
        }
        if !term.events {
            term.say(&crate::screen::step("build", "unchanged", "", &took(ms)));
        }
        return tell(term, &home, &job, &built, shown);
    }
    if !flags.locked {
        settle(global, term, &mut job, false)?;
    }
    block_on(async {
        let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
        let (progress, mut steps) = mpsc::channel(STEPS);
        let mut screen = Screen::of_project(term, &job.project);
        let building = build_alone(&home, &job, term.telling(), progress);
        tokio::pin!(building);
        let built = loop {
            tokio::select! {
                built = &mut building => break Ok(built),
                Some(body) = steps.recv() => show(&mut screen, body),
                signal = signals.next() => break Err(signal),
            }
        };
        while built.is_ok() {
            // A helper may keep the channel open for longer than anything is said in it.
            match timeout(LAST_WORDS, steps.recv()).await {
                Ok(Some(body)) => show(&mut screen, body),
                Ok(None) | Err(_) => break,
            }
        }
        screen.end();
        match built {
            Err(_) => {
                if term.json {
                    term.answer(&json::interrupted());
                }
                Ok(exit::CANCELLED)
            }
            Ok(Ok(built)) => {
                let told = tell(term, &home, &job, &built, shown);
                collect_behind(&home);
                told
            }
            Ok(Err(mut problem)) => {
                if screen.diagnosed {
                    problem.detail.clear();
                }
                problem.detail =
                    problem.detail.iter().map(|line| screen.clickable(line).into_owned()).collect();
                Err(problem.into())
            }
        }
    })
}

fn show(screen: &mut Screen, body: EventBody) {
    let event = Event { seq: EventSeq::default(), unix_ms: now_unix_ms(), session: None, device: None, body };
    screen.event(&event);
}

fn tell(term: &Term, home: &Path, job: &Job, built: &Built, shown: Show) -> Result<u8, Failed> {
    let report = if shown.size || shown.timings { build_report(home, job) } else { None };
    let anatomy = match shown.size {
        true => Some(size::of(report.as_ref().and_then(|report| report.elf.as_deref()), &built.artifact)?),
        false => None,
    };
    let page = match shown.timings {
        true => Some(write_timings(job, report.as_ref())?),
        false => None,
    };
    let Sizes { image_bytes, image_bytes_max, data_bytes, data_bytes_max } = built.sizes;
    if term.json {
        let before = built
            .before
            .map(|before| json!({ "image_bytes": before.image_bytes, "data_bytes": before.data_bytes }));
        let mut body = json!({ "artifact": built.artifact, "image_bytes": image_bytes,
            "image_bytes_max": image_bytes_max, "data_bytes": data_bytes, "data_bytes_max": data_bytes_max,
            "before": before, "unchanged": built.unchanged });
        if let Some(anatomy) = &anatomy {
            body["size"] = size::json(anatomy);
        }
        if let Some(page) = &page {
            body["timings"] = page.display().to_string().into();
        }
        term.answer(&json::done(body));
        return Ok(exit::PASSED);
    }
    if let Some(anatomy) = &anatomy {
        term.text(&size::text(anatomy, &built.sizes));
    }
    let artifact = built.artifact.display();
    term.answer(&format!("built  {artifact}  {}", size_of(image_bytes, image_bytes_max)));
    if let Some(page) = &page {
        term.answer(&format!("timings  {}", page.display()));
    }
    Ok(exit::PASSED)
}

/// Writes the page of the last build beside what it made.
fn write_timings(job: &Job, report: Option<&BuildReport>) -> Result<PathBuf, Failed> {
    let Some(report) = report else {
        return Err(Failed::usage("a file that is built already has no timings", &["farmhand build"]));
    };
    let project = Path::new(&job.project);
    let title = project.file_name().unwrap_or(project.as_os_str()).to_string_lossy();
    let path = report.folder.join("timings.html");
    std::fs::write(&path, timings::page(&title, report))
        .map_err(|error| Failed::io(path.display(), &error))?;
    Ok(path)
}
