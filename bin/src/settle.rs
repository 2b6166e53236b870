//! Before something is built: the packages that its project declares are installed, each as `farmhand.lock` pins it. What is
//! not pinned yet is resolved, and pinned.

use std::path::Path;

use farmhand::packages::{LockMode, locked};
use farmhand::protocol::{Job, Problem};

use crate::args::Global;
use crate::failed::Failed;
use crate::project;
use crate::term::Term;
use crate::verbs::{install, packages};

/// Has what a job is built with installed; `is_locked`: or nothing, where the lock would change.
pub(crate) fn settle(global: &Global, term: &Term, job: &mut Job, is_locked: bool) -> Result<(), Failed> {
    let farmhand::protocol::Toolchain::Chosen(tools) = &mut job.build.toolchain else { return Ok(()) };
    let store = packages::store(global)?;
    let folder = Path::new(&job.project);
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
