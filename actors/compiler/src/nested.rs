//! A build within a build: a project's own build command may have farmhand build other projects. What would wait for itself
//! is refused: the same command again, a folder that is held until the command ends, and a farm that waits for it.
//!
//! What a command is in is said in its environment, and so in that of all that it runs.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::BuildError;
use crate::cache::{Hash, Hasher};
use crate::orphans::RUN;

/// Marks of what is under way, with a comma between them.
const UNDER_WAY: &str = "FARMHAND_BUILDS";
/// The folder of the farm that waits for the command.
const FARM: &str = "FARMHAND_FARM_BUILDS";

/// What a command is in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nest {
    marks: Vec<String>,
    farm: Option<PathBuf>,
}

impl Nest {
    /// What this process is in.
    pub(crate) fn around() -> Self {
        let marks = std::env::var(UNDER_WAY).unwrap_or_default();
        let marks = marks.split(',').filter(|mark| !mark.is_empty()).map(str::to_owned).collect();
        Self { marks, farm: std::env::var_os(FARM).map(PathBuf::from) }
    }

    /// A farm waits, besides.
    pub(crate) fn of_farm(self, farm: Option<&Path>) -> Self {
        Self { farm: farm.map(Path::to_owned).or(self.farm), ..self }
    }

    /// A build folder is held, besides; refused where it is held already.
    pub(crate) fn holding(self, folder: &Path) -> Result<Self, BuildError> {
        let mark = mark(Hasher::new("folder").part(real(folder).as_os_str().as_encoded_bytes()).finish());
        self.with(mark, || format!("a build in {}", folder.display()))
    }

    /// A command is run, besides; refused where it is under way already.
    pub(crate) fn running(self, folder: &Path, line: &str) -> Result<Self, BuildError> {
        let folder_bytes = real(folder);
        let key = Hasher::new("command").part(folder_bytes.as_os_str().as_encoded_bytes()).part(line);
        self.with(mark(key.finish()), || format!("`{line}` in {}", folder.display()))
    }

    fn with(mut self, mark: String, what: impl FnOnce() -> String) -> Result<Self, BuildError> {
        if self.marks.contains(&mark) {
            return Err(BuildError::Nested { what: what() });
        }
        self.marks.push(mark);
        Ok(self)
    }

    /// Tells a command.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(UNDER_WAY, self.marks.join(","));
        if let Some(farm) = &self.farm {
            command.env(FARM, farm);
        }
    }
}

/// A short name of it: there are never many.
fn mark(hash: Hash) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    there.map_or_else(
        || path.to_owned(),
        |(above, real)| real.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
    )
}

/// Whether the farm in a folder waits for a build command that this process is a part of: what waits for that farm would
/// wait for itself.
#[must_use]
pub fn is_waited_for(home: &Path) -> bool {
    Nest::around().farm.is_some_and(|farm| real(&farm) == real(home))
}

/// Has a process that outlives the command know nothing of it.
pub fn leave_nest(command: &mut std::process::Command) {
    command.env_remove(UNDER_WAY).env_remove(FARM).env_remove(RUN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_wait_for_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("a")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        let nest = Nest::default().holding(&at("a/build")).unwrap().running(&at("a"), "make").unwrap();
        assert!(nest.clone().holding(&at("link/build")).is_err(), "by another name");
        assert!(nest.clone().running(&at("a"), "make").is_err());
        assert!(nest.clone().running(&at("a"), "make other").is_ok());
        assert!(nest.clone().holding(&at("b/build")).is_ok());
        assert!(nest.running(&at("b"), "make").is_ok());
    }
}
