//! The project and its settings, as the command line gives them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use farmhand::config::{self, Config, Flag, Project, Sources};
use farmhand::packages::PackageSpec;
use farmhand::protocol::{Goal, Job, ProblemClass};

use crate::args::{BuildFlags, Global, RunFlags, WatchFlags};
use crate::failed::Failed;
use crate::term::Term;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The farm's folder, absolute.
pub(crate) fn home(global: &Global) -> Result<PathBuf, Failed> {
    let home = global.home.clone().or_else(|| config::home(variable));
    let nowhere = || {
        let help = ["FARMHAND_HOME=/some/folder farmhand ..."];
        Failed::new(ProblemClass::Configuration, "F018", "nothing says which folder is the farm's", &help)
    };
    let home = home.ok_or_else(nowhere)?;
    std::path::absolute(&home).map_err(|error| Failed::io(home.display(), &error))
}

/// How large the cache of objects may grow, in bytes.
pub(crate) fn cache_bytes() -> Result<u64, Failed> {
    Ok(config::cache_bytes(variable, config::user_config(variable))?)
}

/// The folder of the project that one stands in, or that was named: the nearest upwards that has settings, or else the working
/// folder. Absolute.
pub(crate) fn folder(global: &Global) -> Result<PathBuf, Failed> {
    folder_of(global, None)
}

/// As [`folder`], or the one that was named.
pub(crate) fn folder_of(global: &Global, path: Option<&Path>) -> Result<PathBuf, Failed> {
    let working = std::env::current_dir().map_err(|error| Failed::io("the working folder", &error))?;
    let project = Project::find(path, global.project_dir.as_deref(), &working)?;
    working.join(&project.folder).canonicalize().map_err(|error| Failed::io("the project's folder", &error))
}

/// What is meant, and what is set.
pub(crate) fn load(
    global: &Global,
    path: Option<&Path>,
    flags: Vec<Flag>,
) -> Result<(Project, Config), Failed> {
    let working = std::env::current_dir().map_err(|error| Failed::io("the working folder", &error))?;
    let project = Project::find(path, global.project_dir.as_deref(), &working)?;
    let mut all = flags;
    let mut add = |key, flag, value: Option<String>| {
        all.extend(value.map(|value| Flag { key, flag, values: vec![value] }));
    };
    // A device is named, or said by where it is: `tcp:HOST` is no name.
    let is_place = |device: &&String| device.contains([':', '/']);
    let (place, name) = match &global.device {
        device if device.as_ref().is_some_and(|device| is_place(&device)) => (device.clone(), None),
        device => (None, device.clone()),
    };
    add("port", "--device", place);
    add("port", "--port", global.port.clone());
    add("device", "--device", name);
    add("build.jobs", "--jobs", global.jobs.map(|jobs| jobs.to_string()));
    let sources = sources(global, &project, all);
    let config = Config::load(&sources)?;
    Ok((project, config))
}

fn sources(global: &Global, project: &Project, flags: Vec<Flag>) -> Sources {
    Sources {
        flags,
        // All of them: `platformio.ini` may ask for any (`${sysenv.NAME}`).
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        project: Some(project.folder.clone()),
        user: config::user_config(variable),
        environment: global.environment.clone(),
    }
}

/// All packages of the project in a folder.
pub(crate) fn all_packages(global: &Global, folder: &Path) -> Result<Vec<PackageSpec>, Failed> {
    let project = Project { folder: folder.to_owned(), artifact: None };
    Ok(config::all_packages(&sources(global, &project, Vec::new()))?)
}

/// The names of the project's environments.
pub(crate) fn environments(global: &Global, path: Option<&Path>) -> Result<Vec<String>, Failed> {
    let working = std::env::current_dir().map_err(|error| Failed::io("the working folder", &error))?;
    let project = Project::find(path, global.project_dir.as_deref(), &working)?;
    Ok(Config::environments(&sources(global, &project, Vec::new()))?)
}

/// The names of the project's environments, where it has any.
pub(crate) fn some_environments(global: &Global, path: Option<&Path>) -> Result<Vec<String>, Failed> {
    let names = environments(global, path)?;
    if names.is_empty() {
        let message = "the project has no environment: neither [env.NAME] in farmhand.toml nor [env:NAME] in platformio.ini";
        return Err(Failed::usage(message, &["without --all"]));
    }
    Ok(names)
}

/// The environments of `platformio.ini` that are meant where nobody names one.
pub(crate) fn meant(global: &Global, path: Option<&Path>) -> Result<Vec<String>, Failed> {
    let working = std::env::current_dir().map_err(|error| Failed::io("the working folder", &error))?;
    let project = Project::find(path, global.project_dir.as_deref(), &working)?;
    Ok(Config::meant(&sources(global, &project, Vec::new()))?)
}

/// The job that is asked for.
pub(crate) fn job(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    flags: Vec<Flag>,
    goal: Goal,
) -> Result<Job, Failed> {
    job_of_several(global, term, path, flags, goal, &mut BTreeSet::new())
}

/// The job that is asked for, one of several of a project: `told` are the notes of those before it.
pub(crate) fn job_of_several(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    flags: Vec<Flag>,
    goal: Goal,
    told: &mut BTreeSet<String>,
) -> Result<Job, Failed> {
    let (project, config) = load(global, path, flags)?;
    tell_notes(term, &config, told);
    Ok(config.job(&project, goal)?)
}

/// What of `platformio.ini` is not done as it says: once a command, each with its line. What was `told` is not said again.
pub(crate) fn tell_notes(term: &Term, config: &Config, told: &mut BTreeSet<String>) {
    for note in config.notes() {
        let place = &note.place;
        let line = format!("note: {}:{}: {}", place.file, place.line, note.text);
        if !term.events && !told.contains(&line) {
            term.say(&line);
            told.insert(line);
        }
    }
}

/// A setting that was said; none where it was not.
pub(crate) fn flag(
    key: &'static str,
    flag: &'static str,
    values: impl IntoIterator<Item = String>,
) -> Option<Flag> {
    let values: Vec<_> = values.into_iter().collect();
    (!values.is_empty()).then_some(Flag { key, flag, values })
}

impl BuildFlags {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let all = [
            flag("board", "--board", self.board.clone()),
            flag("build.toolchain", "--toolchain", self.toolchain.clone()),
        ];
        all.into_iter().flatten().collect()
    }
}

impl WatchFlags {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let all = [
            flag("test.expect", "--expect", self.expect.clone()),
            flag("test.fail-on", "--fail-on", self.fail_on.clone()),
            flag("test.timeout", "--timeout", self.timeout.clone()),
            flag("monitor.baud", "--baud", self.baud.clone()),
        ];
        all.into_iter().flatten().collect()
    }
}

impl RunFlags {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let own = [
            flag("flash.once", "--once", self.once.then(|| "true".to_owned())),
            flag("test.on-gap", "--on-gap", self.on_gap.clone()),
            flag("run.infra-retries", "--infra-retries", self.infra_retries.clone()),
        ];
        let mut flags = self.build.flags();
        flags.extend(self.watch.flags());
        flags.extend(own.into_iter().flatten());
        flags
    }
}
