//! `clean`: what builds left in a project, removed.

use std::path::Path;

use farmhand::clean_project;
use farmhand::protocol::Goal;
use serde_json::json;

use crate::args::Global;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::term::Term;
use crate::units::bytes;

pub(crate) fn run(global: &Global, term: &Term, path: Option<&Path>) -> Result<u8, Failed> {
    if let Some(file) = path.filter(|path| path.is_file()) {
        let message = format!("{} is a file, and no project", file.display());
        return Err(Failed::usage(message, &["farmhand clean FOLDER"]));
    }
    let folder = project::folder_of(global, path)?;
    let named = match &global.environment {
        Some(name) => {
            let (project, config) = project::load(global, path, Vec::new())?;
            Some((name, config.job(&project, Goal::Build)?))
        }
        None => None,
    };
    let environment = named.as_ref().map(|(name, job)| (name.as_str(), job));
    let cleaned = clean_project(&project::home(global)?, &folder, environment, global.dry_run)?;
    if term.json {
        term.answer(&json::done(json!({ "dry_run": global.dry_run, "folders": cleaned.folders,
            "files": cleaned.files, "bytes": cleaned.bytes, "freed_bytes": cleaned.freed_bytes })));
        return Ok(exit::PASSED);
    }
    if cleaned.folders.is_empty() {
        term.answer(&format!("clean    nothing to remove in {}", folder.display()));
        return Ok(exit::PASSED);
    }
    for folder in &cleaned.folders {
        let verb = if global.dry_run { "would remove" } else { "removed" };
        term.answer(&format!("{verb}  {}", folder.display()));
    }
    let freed = bytes(cleaned.freed_bytes);
    let verb = if global.dry_run { "would free  " } else { "freed    " };
    let kept = match cleaned.bytes - cleaned.freed_bytes {
        0 => String::new(),
        kept => format!("; {} more are in the cache too, and stay there", bytes(kept)),
    };
    let files = if cleaned.files == 1 { "file" } else { "files" };
    term.answer(&format!("{verb}{freed} ({} {files}){kept}", cleaned.files));
    Ok(exit::PASSED)
}
