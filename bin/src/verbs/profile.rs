//! `profile`: what is known of models, whether a file of it is right, and which one a device is.

use std::path::{Path, PathBuf};

use farmhand::config::ConfigError;
use farmhand::profiles::{Folders, read_profile};
use farmhand::protocol::{Answer, DeviceSelect, ProbeView, Problem, ProblemClass, ProfileView, Request};
use serde_json::{Value, json};

use super::bootloader::{converse, place};
use super::{block_on, with_farm};
use crate::args::{Cli, Global, ProfileVerb};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::reach::Reach;
use crate::screen::printable;
use crate::table::table;
use crate::term::Term;

/// A profile is a page of text; what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(cli: &Cli, term: &Term, what: &ProfileVerb) -> Result<u8, Failed> {
    match what {
        ProfileVerb::List => with_farm(cli, async |reach| list(reach, term, &cli.global).await),
        ProfileVerb::Check { files } => check(&cli.global, term, files),
        ProfileVerb::Probe => probe(&cli.global, term),
    }
}

async fn list(reach: &mut Reach, term: &Term, global: &Global) -> Result<u8, Failed> {
    let project = Some(project::folder(global)?.display().to_string());
    let Answer::Profiles(profiles, wrong) = reach.ask(Request::Profiles { project }).await? else {
        return Ok(exit::PASSED);
    };
    if term.json {
        let one = |view: &ProfileView| {
            json!({ "id": view.id, "title": view.title, "origin": view.origin, "usb": view.usb,
                "probes": view.probes, "boot": view.boot })
        };
        let profiles: Vec<_> = profiles.iter().map(one).collect();
        let wrong: Vec<_> = wrong.iter().map(json::problem).collect();
        term.answer(&json!({ "profiles": profiles, "wrong": wrong }));
        return Ok(exit::PASSED);
    }
    term.text(&listed(&profiles));
    for problem in wrong {
        Failed(Box::new(problem)).say(term.colour_err);
    }
    Ok(exit::PASSED)
}

fn listed(profiles: &[ProfileView]) -> String {
    let row = |view: &ProfileView| {
        let usb = if view.usb.is_empty() { "-".to_owned() } else { view.usb.join(" ") };
        vec![view.id.clone(), view.title.clone(), usb, view.origin.clone()]
    };
    table(&["ID", "TITLE", "USB", "FROM"], &profiles.iter().map(row).collect::<Vec<_>>())
}

/// Needs no farm: what is in a file is known from the file.
fn check(global: &Global, term: &Term, files: &[PathBuf]) -> Result<u8, Failed> {
    let files = if files.is_empty() { own_files(global)? } else { files.to_owned() };
    if files.is_empty() {
        term.say("there is no profile of your own; name a file: farmhand profile check FILE.toml");
        return Ok(exit::PASSED);
    }
    let mut code = exit::PASSED;
    let mut checked = Vec::new();
    for file in &files {
        match one(file) {
            Ok(id) if term.json => checked.push(json!({ "file": file, "id": id, "ok": true })),
            Ok(id) => term.answer(&format!("ok  {id}  {}", file.display())),
            Err(failed) => {
                code = exit::of(failed.0.class);
                let problem = json::problem(&failed.0);
                checked.push(json!({ "file": file, "ok": false, "problem": problem }));
                failed.say(term.colour_err);
            }
        }
    }
    if term.json {
        term.answer(&json!(checked));
    }
    Ok(code)
}

/// Reads one; its id.
fn one(file: &Path) -> Result<String, Failed> {
    let missing =
        || Failed::usage(format!("there is no file {}", file.display()), &["farmhand profile list"]);
    let about = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(),
        _ => Failed::io(file.display(), &error),
    })?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(Failed::usage(format!("{} is no file of a profile", file.display()), &[]));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Failed::io(file.display(), &error))?;
    let id = file.file_stem().unwrap_or_default().to_string_lossy();
    let profile = read_profile(&id, &file.display().to_string(), &text);
    let profile = profile.map_err(|error: ConfigError| Failed(Box::new(Problem::from(error))))?;
    Ok(profile.id)
}

/// The user's, and the project's.
fn own_files(global: &Global) -> Result<Vec<PathBuf>, Failed> {
    let (project, _) = project::load(global, None, Vec::new())?;
    let folders = Folders::of(Some(&project.folder), |name| std::env::var(name).ok());
    let mut files = Vec::new();
    for folder in [folders.user, folders.project].into_iter().flatten() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failed::io(folder.display(), &error)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut these: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
        these.sort();
        files.extend(these);
    }
    Ok(files)
}

fn probe(global: &Global, term: &Term) -> Result<u8, Failed> {
    let (_, config) = project::load(global, None, Vec::new())?;
    let project = Some(project::folder(global)?.display().to_string());
    let device = match config.select()? {
        DeviceSelect::Named(name) => Some(place(name.as_str())),
        DeviceSelect::Port(port) => Some(place(&port)),
        DeviceSelect::Board => None,
    };
    let mut reach = Reach::new(global)?;
    block_on(async move {
        let done = converse(&mut reach, term, Request::Probe { device, project }, |_| false).await;
        reach.close().await;
        let Answer::Probed(view) = done? else { return Ok(exit::PASSED) };
        if term.json {
            let asked: serde_json::Map<String, Value> =
                view.asked.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            term.answer(&json!({ "asked": asked, "fits": view.fits }));
        } else {
            term.text(&probed(&view));
        }
        if view.fits.is_empty() {
            let failed = no_fit(&view);
            failed.say(term.colour_err);
            return Ok(exit::of(failed.0.class));
        }
        Ok(exit::PASSED)
    })
}

/// No model that is known: what was asked of it says what to write down.
fn no_fit(view: &ProbeView) -> Failed {
    let why = match view.asked.len() {
        0 => "nothing that is known of models asks anything of such a device".to_owned(),
        1 => "the one variable that was asked is of no model that is known".to_owned(),
        count => format!("the {count} variables that were asked are of no model that is known"),
    };
    let help = [
        "farmhand fastboot getvar all shows what it says of itself",
        "write that down as profiles/NAME.toml of the project, then: farmhand profile check",
    ];
    Failed::new(ProblemClass::NoDevice, "F273", format!("no profile fits this device: {why}"), &help)
}

fn probed(view: &ProbeView) -> String {
    if view.asked.is_empty() && view.fits.is_empty() {
        return String::new();
    }

    let row = |(name, value): &(String, Option<String>)| {
        let value = value.as_ref().map_or_else(|| "(it does not know it)".into(), |value| printable(value));
        vec![name.clone(), value]
    };
    let mut text = table(&["VARIABLE", "VALUE"], &view.asked.iter().map(row).collect::<Vec<_>>());
    if !view.fits.is_empty() {
        text.push_str(&format!("fits  {}\n", view.fits.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn profiles_are_a_table() {
        let view = |id: &str, title: &str, usb: &[&str], origin: &str| ProfileView {
            id: id.into(),
            title: title.into(),
            origin: origin.into(),
            usb: usb.iter().map(|&id| id.to_owned()).collect(),
            probes: Vec::new(),
            boot: String::new(),
        };
        let profiles = [
            view("arrow-db410c", "DragonBoard 410c", &["18d1:d00d"], "built in"),
            view("mine", "My phone", &[], "profiles/mine.toml"),
        ];
        assert_snapshot!(listed(&profiles), @r"
        ID            TITLE             USB        FROM
        arrow-db410c  DragonBoard 410c  18d1:d00d  built in
        mine          My phone          -          profiles/mine.toml
        ");
    }

    #[test]
    fn a_probe_says_what_it_asked_and_what_fits() {
        let asked =
            vec![("product".into(), Some("sdm845\u{1b}[2J".into())), ("partition-type:op2".into(), None)];
        let view = ProbeView { asked, fits: vec!["oneplus-fajita".into()] };
        assert_snapshot!(probed(&view), @"
        VARIABLE            VALUE
        product             sdm845␛[2J
        partition-type:op2  (it does not know it)
        fits  oneplus-fajita
        ");
        assert_eq!(probed(&ProbeView::default()), "");
    }
}
