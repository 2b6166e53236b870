//! The program that is measured.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use farmhand::config::{Config, Project, Sources};
use farmhand::protocol::{Goal, Problem};
use farmhand_compiler::{BuildWish, Commands, Packages, planned};
use farmhand_installer::{Installed, PackageWish, install};
use farmhand_runtime::Paths;

use crate::Failure;
use crate::programs;
use crate::set_up::SetUp;

/// `farmhand`, and the home that it is given.
pub(crate) struct Farmhand {
    program: PathBuf,
    home: PathBuf,
}

impl Farmhand {
    /// Built, if need be, with the packages that a build takes.
    pub(crate) async fn new(set_up: &SetUp) -> Result<Self, Failure> {
        for package in ["avr-gcc", "arduino-avr"] {
            set_up.package(package).await?;
        }
        Ok(Self { program: programs::built("farmhand")?, home: set_up.home() })
    }

    /// `farmhand build`, in a project.
    pub(crate) fn build(&self, project: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["build", "--jobs", super::JOBS]).current_dir(project);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.env("FARMHAND_HOME", &self.home);
        command
    }

    /// `farmhand compile-many`, of a folder.
    pub(crate) fn many(&self, folder: &Path) -> Command {
        let command = self.build(folder);
        let mut many = Command::new(command.get_program());
        many.args(["compile-many", ".", "--jobs", super::JOBS]).current_dir(folder);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => many.env(name, value),
                None => many.env_remove(name),
            };
        }
        many
    }

    /// All that was looked up of the toolchain too.
    pub(crate) fn forget_toolchain(&self) -> Result<(), Failure> {
        self.forget_objects()?;
        Ok(std::fs::remove_dir_all(Paths::new(&self.home).objects())?)
    }

    /// Every object and every program that was built before.
    pub(crate) fn forget_objects(&self) -> Result<(), Failure> {
        forget_objects(&Paths::new(&self.home))
    }

    /// What it would run.
    pub(crate) async fn commands(&self, project: &Path) -> Result<Commands, Failure> {
        let found = Project::find(Some(project), None, project).map_err(|error| error.to_string())?;
        let sources = Sources { project: Some(found.folder.clone()), ..Sources::default() };
        let config = Config::load(&sources).map_err(|error| error.to_string())?;
        let job = config.job(&found, Goal::Build).map_err(|error| error.to_string())?;
        let paths = Paths::new(&self.home);
        let shelf = Shelf(paths.packages());
        Ok(planned(&paths, &shelf, &BuildWish::of(&job)).await?)
    }
}

/// What is known of a toolchain's own programs, which are hashed once on a machine: no object.
const TOOLCHAIN: [&str; 2] = ["parts", "tools"];

/// Makes a farm's builds begin from nothing but a toolchain that is known.
pub(crate) fn forget_objects(paths: &Paths) -> Result<(), Failure> {
    let kept = |path: &Path| path.file_name().is_some_and(|name| TOOLCHAIN.iter().any(|kept| name == *kept));
    let mut all = vec![paths.home().join("artifacts")];
    for entry in std::fs::read_dir(paths.objects()).into_iter().flatten() {
        all.push(entry?.path());
    }
    all.retain(|path| !kept(path));
    for path in all {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn is_ours(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("FARMHAND_")
}

struct Shelf(PathBuf);

#[async_trait]
impl Packages for Shelf {
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem> {
        install(&self.0, &wish, |_| ()).await.map_err(|error| Problem::from(&error))
    }
}
