//! `packages`: what is installed on this machine. It needs no farm, and takes nothing from one that runs.

use std::time::UNIX_EPOCH;

use farmhand::Paths;
use farmhand::packages::{Keep, Packages, Stored, Verdict};
use farmhand::protocol::{Problem, ProblemClass};
use serde_json::{Value, json};

use crate::args::{Global, PackagesVerb};
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::project;
use crate::table::{columns, table};
use crate::term::Term;
use crate::units::{age, bytes, now_unix_ms};

pub(crate) fn run(global: &Global, term: &Term, what: &PackagesVerb) -> Result<u8, Failed> {
    let packages = store(global)?;
    match what {
        PackagesVerb::List => list(term, &packages),
        PackagesVerb::Why { name } => why(term, &packages, name),
        PackagesVerb::Verify { names, discard } => verify(term, &packages, names, *discard),
        PackagesVerb::Gc { keep_bytes, older_than } => {
            let keep = Keep { bytes: *keep_bytes, older_than: *older_than };
            let gone = packages.collect(keep, global.dry_run).map_err(|error| Problem::from(&error))?;
            let freed: u64 = gone.iter().map(|stored| stored.bytes).sum();
            if term.json {
                let all: Vec<_> = gone.iter().map(as_json).collect();
                term.answer(&json::done(
                    json!({ "collected": all, "bytes": freed, "dry_run": global.dry_run }),
                ));
                return Ok(exit::PASSED);
            }
            let word = if global.dry_run { "would go" } else { "collected" };
            let row = |stored: &Stored| vec![word.into(), named(stored), bytes(stored.bytes)];
            term.text(&columns(&gone.iter().map(row).collect::<Vec<_>>()));
            term.answer(&format!("{word}  {} packages, {}", gone.len(), bytes(freed)));
            for stored in packages.stored() {
                let why = match &stored.users[..] {
                    [] if stored.is_fresh() => "it was used a moment ago".to_owned(),
                    [] => continue,
                    _ => users(&stored),
                };
                term.say(&term.dim(&format!("kept  {}: {why}", named(&stored))));
            }
            Ok(exit::PASSED)
        }
    }
}

/// The store of this machine's farm, as the farm itself names it.
pub(crate) fn store(global: &Global) -> Result<Packages, Failed> {
    let folder = Paths::new(&project::home(global)?).packages();
    Ok(Packages::new(folder.canonicalize().unwrap_or(folder)))
}

fn named(stored: &Stored) -> String {
    format!("{} {}", stored.installed.name, stored.installed.version)
}

fn used_unix_ms(stored: &Stored) -> u64 {
    let since = stored.used.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn as_json(stored: &Stored) -> Value {
    json!({
        "name": stored.installed.name,
        "version": stored.installed.version,
        "path": stored.installed.prefix,
        "kind": stored.kind,
        "offers": stored.offers,
        "bytes": stored.bytes,
        "used_unix_ms": used_unix_ms(stored),
        "processes": stored.users,
        "projects": stored.projects,
    })
}

/// Who uses it: processes now, or projects.
fn users(stored: &Stored) -> String {
    match (&stored.users[..], &stored.projects[..]) {
        ([], []) => String::new(),
        ([], [one]) => one.display().to_string(),
        ([], many) => format!("{} projects", many.len()),
        (running, _) => {
            let running: Vec<_> = running.iter().map(|pid| process(*pid)).collect();
            format!("in use by {}", running.join(", "))
        }
    }
}

fn process(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} ({pid})", name.trim())
}

fn list(term: &Term, packages: &Packages) -> Result<u8, Failed> {
    let all = packages.stored();
    if term.json {
        term.answer(&json::done(json!({ "packages": all.iter().map(as_json).collect::<Vec<_>>() })));
        return Ok(exit::PASSED);
    }
    let now = now_unix_ms();
    let row = |stored: &Stored| {
        vec![
            stored.installed.name.clone(),
            stored.installed.version.clone(),
            stored.kind.clone().unwrap_or_else(|| "-".into()),
            bytes(stored.bytes),
            age(used_unix_ms(stored), now),
            users(stored),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    if rows.is_empty() {
        term.say("no package is installed: farmhand install");
    } else {
        term.text(&table(&["NAME", "VERSION", "KIND", "SIZE", "USED", "BY"], &rows));
    }
    Ok(exit::PASSED)
}

fn of_name<'a>(all: &'a [Stored], name: &str) -> Result<Vec<&'a Stored>, Failed> {
    let found: Vec<_> = all.iter().filter(|stored| stored.installed.name == name).collect();
    if found.is_empty() {
        return Err(Failed::usage(format!("no package {name} is installed"), &["farmhand packages list"]));
    }
    Ok(found)
}

fn why(term: &Term, packages: &Packages, name: &str) -> Result<u8, Failed> {
    let all = packages.stored();
    let found = of_name(&all, name)?;
    if term.json {
        term.answer(&json::done(json!({ "packages": found.into_iter().map(as_json).collect::<Vec<_>>() })));
        return Ok(exit::PASSED);
    }
    for stored in found {
        term.answer(&format!("{}  {}", named(stored), stored.installed.prefix.display()));
        let mut rows = Vec::new();
        let mut row = |what: &str, which: String| rows.push(vec![format!("  {what}"), which]);
        stored.projects.iter().for_each(|project| row("declared by", project.display().to_string()));
        stored.users.iter().for_each(|pid| row("in use by", process(*pid)));
        stored.offers.iter().for_each(|offer| row("offers", offer.clone()));
        if stored.projects.is_empty() && stored.kind.is_none() {
            row("asked for", "by name, or because a board needs it".into());
        }
        row("last used", age(used_unix_ms(stored), now_unix_ms()));
        term.text(&columns(&rows));
    }
    Ok(exit::PASSED)
}

fn verify(term: &Term, packages: &Packages, names: &[String], discard: bool) -> Result<u8, Failed> {
    let all = packages.stored();
    let mut chosen: Vec<&Stored> = Vec::new();
    for name in names {
        chosen.extend(of_name(&all, name)?);
    }
    if names.is_empty() {
        chosen = all.iter().collect();
    }
    let (mut rows, mut told, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for stored in chosen {
        let verdict = packages.verify(stored).map_err(|error| Problem::from(&error))?;
        let word = match verdict {
            Verdict::Whole => "whole",
            Verdict::Unknown => "unknown",
            Verdict::Damaged
                if discard && packages.discard(stored).map_err(|error| Problem::from(&error))? =>
            {
                "discarded"
            }
            Verdict::Damaged => {
                damaged.push(named(stored));
                "damaged"
            }
        };
        rows.push(vec![word.to_owned(), named(stored), stored.installed.prefix.display().to_string()]);
        told.push(
            json!({ "name": stored.installed.name, "version": stored.installed.version, "verdict": word }),
        );
    }
    if !term.json {
        term.text(&columns(&rows));
    }
    if damaged.is_empty() {
        if term.json {
            term.answer(&json::done(json!({ "packages": told })));
        }
        return Ok(exit::PASSED);
    }
    let help = ["farmhand packages verify --discard", "then install them again: farmhand install"];
    let mut failed = Failed::new(ProblemClass::Package, "F528", "packages are not what was installed", &help);
    failed.0.detail = damaged;
    Err(failed)
}
