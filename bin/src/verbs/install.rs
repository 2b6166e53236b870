//! `install`: what a board needs, or what is named.

use std::path::Path;
use std::time::Duration;

use farmhand::protocol::{Answer, InstalledView, Item, Request};
use farmhand::transport::{ClientError, Reply};
use serde_json::json;
use tokio::time::timeout;

use super::with_farm;
use crate::args::{BuildFlags, Cli};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::reach::Reach;
use crate::screen::Screen;
use crate::table::columns;
use crate::term::Term;

/// Between two steps of an installation: a mirror that says nothing is given up by the farm itself, earlier.
const STEP: Duration = Duration::from_secs(41 * 60);

pub(crate) fn run(cli: &Cli, term: &Term, packages: &[String], flags: &BuildFlags) -> Result<u8, Failed> {
    let (_, config) = project::load(&cli.global, None, flags.flags())?;
    let board = match config.get("board").map(|setting| &setting.value) {
        Some(farmhand::config::Value::Text(board)) => Some(board.clone()),
        _ => None,
    };
    let packages = packages.iter().map(|package| absolute(package)).collect::<Result<Vec<_>, _>>()?;
    if cli.global.dry_run {
        let what = if packages.is_empty() {
            board.unwrap_or_else(|| "what a board needs".into())
        } else {
            packages.join(", ")
        };
        term.answer(&crate::screen::step("install", &what, "", ""));
        return Ok(exit::PASSED);
    }
    with_farm(cli, async |reach| ask(reach, term, Request::Install { packages, board }).await)
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

async fn ask(reach: &mut Reach, term: &Term, request: Request) -> Result<u8, Failed> {
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
    let Answer::Installed(installed) = answer else { return Ok(exit::PASSED) };
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
    Ok(exit::PASSED)
}
