//! `build`: no farm, no store; and where there is nothing to do, no runtime.

use std::path::Path;
use std::time::{Duration, Instant};

use farmhand::protocol::{Event, EventBody, EventSeq, Goal, Source};
use farmhand::{build_alone, build_unchanged};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{block_on, plan};
use crate::args::{BuildFlags, Global};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::screen::{Screen, size_of};
use crate::signals::Signals;
use crate::term::Term;
use crate::units::{now_unix_ms, took};

/// Steps that may wait to be shown.
const STEPS: usize = 256;
/// What was said last is shown within this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was built, as it is told.
struct Done {
    artifact: String,
    image_bytes: u64,
    image_bytes_max: u64,
    unchanged: bool,
}

pub(crate) fn run(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    flags: &BuildFlags,
) -> Result<u8, Failed> {
    let began = Instant::now();
    let job = project::job(global, path, flags.flags(), Goal::Build)?;
    if matches!(job.build.source, Source::Boot(_)) {
        let message = "nothing is built here: what [boot] boots is there already";
        return Err(Failed::usage(message, &["farmhand boot"]));
    }
    if global.dry_run {
        return Ok(plan::show(term, &job));
    }
    let home = project::home(global)?;
    if let Some(built) = build_unchanged(&home, &job) {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !term.events {
            term.say(&crate::screen::step("build", "unchanged", "", &took(ms)));
        }
        let artifact = built.artifact.display().to_string();
        let (image_bytes, image_bytes_max) = (built.image_bytes, built.image_bytes_max);
        return Ok(tell(term, &Done { artifact, image_bytes, image_bytes_max, unchanged: true }));
    }
    block_on(async {
        let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
        let (progress, mut steps) = mpsc::channel(STEPS);
        let mut screen = Screen::of_project(term, &job.project);
        let building = build_alone(&home, &job, progress);
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
            Err(_) => Ok(exit::CANCELLED),
            Ok(Ok(built)) => {
                let artifact = built.artifact.display().to_string();
                let (image_bytes, image_bytes_max) = (built.image_bytes, built.image_bytes_max);
                Ok(tell(term, &Done { artifact, image_bytes, image_bytes_max, unchanged: built.unchanged }))
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

fn tell(term: &Term, done: &Done) -> u8 {
    let Done { artifact, image_bytes, image_bytes_max, unchanged } = done;
    if term.json {
        term.answer(&json::done(json!({ "artifact": artifact, "image_bytes": image_bytes,
            "image_bytes_max": image_bytes_max, "unchanged": unchanged })));
    } else {
        term.answer(&format!("built  {artifact}  {}", size_of(*image_bytes, *image_bytes_max)));
    }
    exit::PASSED
}
