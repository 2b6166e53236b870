//! `platformio.ini`: a project's settings as PlatformIO has them, below those of `farmhand.toml`.

mod board;
mod environment;
mod fetched;
mod honoured;
mod names;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use farmhand_api::{EnvironmentSource, Place};
use farmhand_project::platformio::{self as pio, Ini, Surroundings};

use super::error::{ConfigError, Fault};
use super::file::text_of;
use super::{Layer, Origin, shown};

/// Its name.
pub(super) const FILE: &str = "platformio.ini";
/// Files that files take in: more than anybody has.
const FILES_MAX: usize = 64;

/// Something that is told of a file once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What.
    pub text: String,
}

/// What `platformio.ini` says of one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) layer: Layer,
    pub(super) source: EnvironmentSource,
    /// As `board` is said in `layer`.
    pub(super) board: String,
    pub(super) notes: Vec<Note>,
}

/// A project with a `platformio.ini`.
pub(super) struct Project {
    folder: PathBuf,
    files: Vec<String>,
    config: pio::Config,
    variables: Vec<(String, String)>,
}

impl Project {
    /// Reads it, and the files that it takes in; none where there is no such file.
    pub(super) fn read(folder: &Path, variables: &[(String, String)]) -> Result<Option<Self>, ConfigError> {
        let path = folder.join(FILE);
        let Some(text) = text_of(&path)? else { return Ok(None) };
        let whole = folder.canonicalize().map_err(|error| ConfigError::read(folder, &error))?;
        let config = pio::Config::default();
        let mut project = Self { folder: whole, files: Vec::new(), config, variables: variables.to_vec() };
        project.push(&path, &text)?;
        project.take_in()?;
        Ok(Some(project))
    }

    fn push(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let number = self.files.len();
        self.files.push(shown(path));
        let ini = Ini::parse(text, number).map_err(|error| {
            ConfigError::in_file(Fault::Syntax(error.to_string()), self.place(error.at()))
        })?;
        self.config.push(ini);
        Ok(())
    }

    /// What `extra_configs` names, and what that names in turn.
    fn take_in(&mut self) -> Result<(), ConfigError> {
        let mut read = vec![self.folder.join(FILE)];
        loop {
            let found = self.of_project("extra_configs")?;
            let patterns = found.map(|found| found.several()).unwrap_or_default();
            let whole = |pattern: &String| self.path(pattern).to_string_lossy().into_owned();
            let paths = patterns
                .iter()
                .flat_map(|pattern| glob::glob(&whole(pattern)).into_iter().flatten().flatten());
            let Some(next) = paths.filter(|path| path.is_file()).find(|path| !read.contains(path)) else {
                return Ok(());
            };
            read.push(next.clone());
            if read.len() > FILES_MAX {
                return Err(ConfigError::nowhere(Fault::Syntax(format!(
                    "{FILE} takes in more than {FILES_MAX} files"
                ))));
            }
            let text = text_of(&next)?.unwrap_or_default();
            self.push(&next, &text)?;
        }
    }

    /// The names of its environments.
    pub(super) fn environments(&self) -> Vec<String> {
        self.config.environments().map(str::to_owned).collect()
    }

    /// Those that are meant where none is named: `default_envs`, or all.
    pub(super) fn chosen(&self) -> Result<Vec<String>, ConfigError> {
        let all = self.environments();
        let Some(found) = self.of_project("default_envs")? else { return Ok(all) };
        let names = found.several();
        for name in &names {
            if !all.contains(name) {
                let mut error = ConfigError::no_environment(name, &all);
                if let Some(at) = found.at {
                    error.origin = Origin::File(self.place(at));
                }
                return Err(error);
            }
        }
        Ok(if names.is_empty() { all } else { names })
    }

    fn place(&self, at: pio::Place) -> Place {
        let file = self.files.get(at.file).cloned().unwrap_or_default();
        Place { file, line: u32::try_from(at.line).unwrap_or(u32::MAX), column: 1 }
    }

    fn origin(&self, at: Option<pio::Place>) -> Origin {
        at.map_or(Origin::BuiltIn, |at| Origin::File(self.place(at)))
    }

    fn wrong(&self, error: &pio::ConfigError) -> ConfigError {
        ConfigError::at(Fault::Syntax(error.to_string()), self.origin(error.at()))
    }

    fn of_project(&self, option: &str) -> Result<Option<pio::Found>, ConfigError> {
        self.config.of_project(option, self).map_err(|error| self.wrong(&error))
    }

    /// A path as it is written there: from the project's folder, or a person's own.
    fn path(&self, text: &str) -> PathBuf {
        match text.strip_prefix('~') {
            Some(rest) => {
                PathBuf::from(self.variable("HOME").unwrap_or_default()).join(rest.trim_start_matches('/'))
            }
            None => self.folder.join(text),
        }
    }

    /// A folder of the project's.
    fn project_folder(&self, option: &str) -> Result<PathBuf, ConfigError> {
        // PlatformIO has a default for each.
        let found = self.of_project(option)?.map(|found| found.text).unwrap_or_default();
        Ok(self.path(&found))
    }
}

impl Surroundings for Project {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
    }

    fn built_in(&self, name: &str) -> Option<String> {
        match name {
            "PROJECT_DIR" => Some(self.folder.to_string_lossy().into_owned()),
            // What names a project in a folder of many: any name that no other has.
            "PROJECT_HASH" => {
                let name = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Some(format!("{name}-{}", pio::project_hash(&self.folder.to_string_lossy())))
            }
            "UNIX_TIME" => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                Some(since.map_or(0, |since| since.as_secs()).to_string())
            }
            _ => None,
        }
    }

    fn core_dir(&self) -> String {
        format!("{}/.platformio", self.variable("HOME").unwrap_or_default())
    }
}
