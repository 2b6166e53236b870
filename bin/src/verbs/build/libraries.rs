//! `build --explain-libs`: which libraries are used, and why.

use std::path::Path;

use farmhand::libraries_alone;
use farmhand::protocol::Job;
use serde_json::json;
use tokio::sync::mpsc;

use super::show;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::screen::Screen;
use crate::table;
use crate::term::Term;

/// Steps of an installation that may wait to be shown.
const STEPS: usize = 64;

pub(super) async fn explain(term: &Term, home: &Path, job: &Job) -> Result<u8, Failed> {
    let (progress, mut steps) = mpsc::channel(STEPS);
    let mut screen = Screen::of_project(term, &job.project);
    let finding = libraries_alone(home, job, progress);
    tokio::pin!(finding);
    let found = loop {
        tokio::select! {
            found = &mut finding => break found,
            Some(body) = steps.recv() => show(&mut screen, body),
        }
    };
    screen.end();
    let found = found?;
    let short = |folder: &Path| folder.strip_prefix(&job.project).unwrap_or(folder).display().to_string();
    let because = |text: &str| text.replace(&format!("{}/", job.project), "");
    if term.json {
        let all: Vec<_> = found
            .iter()
            .map(|it| json!({ "name": it.name, "folder": it.folder, "because": because(&it.because) }))
            .collect();
        term.answer(&json::done(json!({ "libraries": all })));
    } else if found.is_empty() {
        term.answer(&"no libraries are used");
    } else {
        let rows = found.iter().map(|it| vec![it.name.clone(), because(&it.because), short(&it.folder)]);
        term.text(&table::table(&["LIBRARY", "BECAUSE", "FOLDER"], &rows.collect::<Vec<_>>()));
    }
    Ok(exit::PASSED)
}
