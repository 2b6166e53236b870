//! Before something is built: the packages that its project declares are installed, each as `farmhand.lock` pins it. What is
//! not pinned yet is resolved, and pinned.

use std::path::Path;

use farmhand::packages::{LockMode, PackageSpec, check_declared, locked};
use farmhand::protocol::{Job, Problem, Toolchain};

use crate::args::Global;
use crate::failed::Failed;
use crate::project;
use crate::term::Term;
use crate::verbs::{install, packages};

/// Says which folders that projects declare as packages are not any more what is built with, each once.
pub(crate) fn tell_moved<'a>(
    global: &Global,
    term: &Term,
    jobs: impl IntoIterator<Item = &'a Job>,
) -> Result<(), Failed> {
    if term.events {
        return Ok(());
    }
    let mut told: Vec<PackageSpec> = Vec::new();
    for job in jobs {
        let Toolchain::Chosen(tools) = &job.build.toolchain else { continue };
        let new: Vec<_> = tools.packages.iter().filter(|spec| !told.contains(spec)).cloned().collect();
        for moved in packages::store(global)?.moved(&new) {
            let name = &moved.name;
            term.say(&format!(
                "note: {name} has changed since farmhand.lock pinned it, and is built with as it was; farmhand install takes it as it is now"
            ));
        }
        told.extend(new);
    }
    Ok(())
}

/// Has what a job is built with installed; `is_locked`: or nothing, where the lock would change.
pub(crate) fn settle(global: &Global, term: &Term, job: &mut Job, is_locked: bool) -> Result<(), Failed> {
    let folder = Path::new(&job.project);
    if is_locked {
        let all = project::all_packages(global, folder)?;
        check_declared(folder, &all).map_err(|error| Problem::from(&error))?;
    }
    let Toolchain::Chosen(tools) = &mut job.build.toolchain else { return Ok(()) };
    let store = packages::store(global)?;
    if store.has_all_locked(folder, &tools.packages) {
        return Ok(());
    }
    // The lock is of all that the project declares, whatever of it is needed now.
    let all = project::all_packages(global, folder)?;
    let wanted: Vec<_> = tools.packages.iter().map(|spec| spec.name.clone()).collect();
    let mode = if is_locked { LockMode::Locked } else { LockMode::Follow };
    install::of_project(term, &store, folder, &all, &wanted, mode)?;
    tools.packages = locked(folder, &tools.packages).map_err(|error| Problem::from(&error))?;
    Ok(())
}
