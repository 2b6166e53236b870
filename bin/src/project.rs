//! The project and its settings, as the command line gives them.

use std::path::{Path, PathBuf};

use farmhand::config::{self, Config, Flag, Project, Sources};
use farmhand::protocol::{Goal, Job, ProblemClass};

use crate::args::{BuildFlags, Global, RunFlags};
use crate::failed::Failed;

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
    let sources = Sources {
        flags: all,
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("FARMHAND_"))
            .collect(),
        project: Some(project.folder.clone()),
        user: config::user_config(variable),
        environment: global.environment.clone(),
    };
    let config = Config::load(&sources)?;
    Ok((project, config))
}

/// The job that is asked for.
pub(crate) fn job(global: &Global, path: Option<&Path>, flags: Vec<Flag>, goal: Goal) -> Result<Job, Failed> {
    let (project, config) = load(global, path, flags)?;
    Ok(config.job(&project, goal)?)
}

impl BuildFlags {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let one = |key, flag, value: &Option<String>| {
            value.clone().map(|value| Flag { key, flag, values: vec![value] })
        };
        let all =
            [one("board", "--board", &self.board), one("build.toolchain", "--toolchain", &self.toolchain)];
        all.into_iter().flatten().collect()
    }
}

impl RunFlags {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let mut flags = self.build.flags();
        let mut add = |key, flag, values: Vec<String>| {
            if !values.is_empty() {
                flags.push(Flag { key, flag, values });
            }
        };
        let one = |value: &Option<String>| value.iter().cloned().collect();
        add("flash.once", "--once", if self.once { vec!["true".into()] } else { Vec::new() });
        add("test.expect", "--expect", self.expect.clone());
        add("test.fail-on", "--fail-on", self.fail_on.clone());
        add("test.timeout", "--timeout", one(&self.timeout));
        add("test.on-gap", "--on-gap", one(&self.on_gap));
        add("monitor.baud", "--baud", one(&self.baud));
        add("run.infra-retries", "--infra-retries", one(&self.infra_retries));
        flags
    }
}
