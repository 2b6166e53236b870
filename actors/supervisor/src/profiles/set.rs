//! All profiles, and those of a device.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use farmhand_api::Problem;
use farmhand_messages::fastboot::{ANY, Profile};

use super::builtin::BUILT_IN;
use super::read::read_profile;
use crate::config::{ConfigError, shown, text_of};
use crate::problems::no_profile;

/// Where profiles are looked for, besides those built in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// The user's.
    pub user: Option<PathBuf>,
    /// The project's: it wins.
    pub project: Option<PathBuf>,
}

impl Folders {
    /// The user's by the environment, and a project's beside its `farmhand.toml`.
    #[must_use]
    pub fn of(project: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            user: crate::config::user_config(variable).map(|file| file.with_file_name("profiles")),
            project: project.map(|folder| folder.join("profiles")),
        }
    }
}

/// What a device shows itself as before it is asked anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// `vendor:product` in lower-case hexadecimal; none over a network.
    pub usb: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its port path.
    pub port_path: Option<String>,
}

/// How many of a profile's demands on the identity hold; none where one does not.
#[must_use]
pub fn holds(profile: &Profile, seen: &Seen) -> Option<usize> {
    let identity = &profile.identity;
    let usb = (!identity.usb.is_empty()).then(|| {
        seen.usb.as_ref().is_some_and(|id| identity.usb.iter().any(|one| one.eq_ignore_ascii_case(id)))
    });
    let serial = identity.serial.as_ref().map(|serial| seen.serial.as_ref() == Some(serial));
    let port_path = identity.port_path.as_ref().map(|path| seen.port_path.as_ref() == Some(path));
    let demands: Vec<bool> = [usb, serial, port_path].into_iter().flatten().collect();
    demands.iter().all(|&held| held).then_some(demands.len())
}

/// All profiles, by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profiles {
    profiles: BTreeMap<String, Profile>,
    damaged: Vec<ConfigError>,
}

impl Profiles {
    /// Those that farmhand knows by itself.
    #[must_use]
    pub fn built_in() -> Self {
        let mut all = Self::default();
        for (id, text) in BUILT_IN {
            all.add(id, "built in", text);
        }
        all
    }

    /// Built in, the user's, the project's. What is damaged is in [`Profiles::damaged`].
    #[must_use]
    pub fn load(folders: &Folders) -> Self {
        let mut all = Self::built_in();
        for folder in [&folders.user, &folders.project].into_iter().flatten() {
            all.add_folder(folder);
        }
        all
    }

    /// Adds those of a folder, in place of earlier ones. Where there is no such folder there are none.
    pub(crate) fn add_folder(&mut self, folder: &Path) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.damaged.push(ConfigError::read(folder, &error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => paths.push(entry.path()),
                Err(error) => self.damaged.push(ConfigError::read(folder, &error)),
            }
        }
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "toml")) {
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            match text_of(path) {
                Ok(Some(text)) => self.add(&id, &shown(path), &text),
                // It was deleted since.
                Ok(None) => {}
                Err(error) => {
                    self.profiles.remove(&*id);
                    self.damaged.push(error);
                }
            }
        }
    }

    /// Adds the profile of a file, in place of an earlier one.
    pub fn add(&mut self, id: &str, file: &str, text: &str) {
        match read_profile(id, file, text) {
            Ok(profile) => {
                self.profiles.insert(id.into(), profile);
            }
            Err(error) => {
                self.profiles.remove(id);
                self.damaged.push(error);
            }
        }
    }

    /// All of them, by id.
    pub fn all(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// The files that are no good.
    #[must_use]
    pub fn damaged(&self) -> &[ConfigError] {
        &self.damaged
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Profile> {
        self.profiles.get(id)
    }

    /// That of a board; none: nothing is known of [`ANY`]. An error where it is damaged: nobody boots, or writes, by what
    /// somebody meant to replace; and where there is none, for what no profile is called somebody has misspelt.
    pub(crate) fn of(&self, board: &str) -> Result<Option<Profile>, Problem> {
        if let Some(profile) = self.profiles.get(board) {
            return Ok(Some(profile.clone()));
        }
        let is_it = |problem: &Problem| {
            let file = problem.place.as_ref().map(|place| Path::new(&place.file));
            file.and_then(Path::file_stem).is_some_and(|id| id == board)
        };
        let mut damaged = self.damaged.iter().cloned().map(Problem::from);
        match damaged.find(is_it) {
            Some(problem) => Err(problem),
            None if board == ANY => Ok(None),
            None => Err(no_profile(board, self.profiles.keys().map(String::as_str))),
        }
    }

    /// Those that a device can be, by what it shows.
    #[must_use]
    pub fn candidates(&self, seen: &Seen) -> Vec<&Profile> {
        self.profiles.values().filter(|it| holds(it, seen).is_some()).collect()
    }
}
