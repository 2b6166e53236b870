//! What a build would run, as it would run it: for those who do the same by other means.

use std::collections::BTreeMap;
use std::path::PathBuf;

use farmhand_messages::compiler::BuildWish;
use farmhand_runtime::Paths;

use crate::BuildError;
use crate::build::plan;
use crate::build::{blocking, hold};
use crate::cache::{ObjectStore, Outlines, Sources};
use crate::plan::{Packages, Tools, UsedLibrary};
use crate::run::Watcher;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program (absolute).
    pub program: PathBuf,
    /// Its arguments; paths are relative to [`Commands::folder`] where they lie in it.
    pub args: Vec<String>,
    /// What it reads: files that it is told to, and other commands' outputs (absolute).
    pub inputs: Vec<PathBuf>,
    /// What it makes (absolute).
    pub output: PathBuf,
    /// Where it says what else it read, as rules for `make` (absolute).
    pub depfile: Option<PathBuf>,
}

/// All of a build, in no order but that of who reads what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// Where they run.
    pub folder: PathBuf,
    /// The whole of their environment.
    pub environment: BTreeMap<String, String>,
    /// What is run.
    pub commands: Vec<Command>,
    /// Libraries that are used, each behind what led to it.
    pub libraries: Vec<UsedLibrary>,
}

/// Has all installed that a build is made with.
pub async fn equip(paths: &Paths, packages: &dyn Packages, wish: &BuildWish) -> Result<(), BuildError> {
    Tools::get(wish, packages, &ObjectStore::new(paths.objects())).await.map(drop)
}

/// The commands of a build. What they need is installed, and what farmhand itself writes, such as a sketch's C++, is
/// written; nothing is run.
pub async fn planned(
    paths: &Paths,
    packages: &dyn Packages,
    wish: &BuildWish,
) -> Result<Commands, BuildError> {
    let objects = ObjectStore::new(paths.objects());
    let tools = Tools::get(wish, packages, &objects).await?;
    let held = hold(paths, wish, &Watcher::default()).await?;
    let wish = wish.clone();
    blocking(move || {
        let mut sources = Sources::knowing(Outlines::load(&objects, &held.folder));
        let plan = plan(&wish, &held.folder, &tools, &mut sources)?;
        sources.outlines().keep(&objects, &held.folder);
        let outputs: Vec<_> = plan.actions.iter().map(|action| action.output.clone()).collect();
        let command = |action: crate::plan::Action| Command {
            inputs: action
                .sources
                .into_iter()
                .chain(action.from.iter().map(|&from| outputs[from].clone()))
                .collect(),
            program: action.program,
            args: action.args,
            output: action.output,
            depfile: action.depfile,
        };
        Ok(Commands {
            folder: plan.layout.project,
            environment: plan.environment,
            libraries: plan.libraries,
            commands: plan.actions.into_iter().map(command).collect(),
        })
    })
    .await
}
