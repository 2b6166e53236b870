//! `sketch.yaml`: what a sketch says of itself to Arduino's programs, below the settings of `farmhand.toml`.

use std::path::Path;

use farmhand_api::{Place, ProfileLibrary, ProfileSource};
use farmhand_project::arduino::{self, SketchFile};

use super::error::{ConfigError, Fault};
use super::file::text_of;
use super::{Layer, Origin, job, schema, shown, value};

/// Its names; the first that is there counts.
const FILES: &[&str] = &["sketch.yaml", "sketch.yml"];

/// What a sketch says of itself, as far as one of its profiles was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    pub(super) layer: Layer,
    /// All of its profiles.
    pub(super) profiles: Vec<String>,
    /// The one that counts, where it is built with more than a board.
    pub(super) chosen: Option<ProfileSource>,
    /// The one that was asked for is there.
    pub(super) is_named: bool,
}

/// The names of a sketch's profiles.
pub(super) fn profiles(folder: &Path) -> Result<Vec<String>, ConfigError> {
    let file = open(folder)?;
    Ok(file.into_iter().flat_map(|(_, _, file)| file.profiles).map(|profile| profile.name).collect())
}

/// Reads it: the profile that is `named`, or the one that it says counts, or the only one.
pub(super) fn read(folder: &Path, named: Option<&str>) -> Result<Option<Sketch>, ConfigError> {
    let Some((path, text, file)) = open(folder)? else { return Ok(None) };
    let profiles: Vec<_> = file.profiles.iter().map(|profile| profile.name.clone()).collect();
    let only = || (file.board.is_none() && profiles.len() == 1).then(|| profiles[0].clone());
    let wanted = match named {
        // It may be one of farmhand.toml's.
        Some(name) => profiles.iter().any(|profile| profile == name).then(|| name.to_owned()),
        None => file.default_profile.clone().or_else(only),
    };
    let origin = |said: &str| Origin::File(place_of(&path, &text, said));
    let chosen = file.profiles.iter().find(|profile| Some(&profile.name) == wanted.as_ref());
    if let (None, Some(name), None) = (chosen, &wanted, named) {
        let mut error = ConfigError::no_environment(name, &profiles);
        error.origin = origin(name);
        return Err(error);
    }
    if let Some(profile) = chosen.filter(|profile| !is_plain(&profile.name)) {
        let why = "a profile's name has letters, digits and - _ . only: a folder is called by it".to_owned();
        let fault = Fault::Value { key: format!("profiles.{}", profile.name), why, nearest: None };
        return Err(ConfigError::at(fault, origin(&profile.name)));
    }
    let mut sketch = Sketch { profiles, is_named: named.is_some() && chosen.is_some(), ..Sketch::default() };
    let board = chosen.and_then(|profile| profile.board.as_ref()).or(file.board.as_ref());
    let port = chosen.and_then(|profile| profile.port.as_ref()).or(file.port.as_ref());
    for (key, said) in [("board", board), ("port", port)] {
        let Some(said) = said else { continue };
        let key = schema::key(key).expect("a key of ours");
        let value = value::from_text(key, said).map_err(|fault| ConfigError::at(fault, origin(said)))?;
        sketch.layer.push((key.path, value, origin(said)));
    }
    let pins = chosen.filter(|profile| !profile.cores.is_empty() || !profile.libraries.is_empty());
    sketch.chosen = pins.map(|profile| source(folder, profile)).transpose()?;
    Ok(Some(sketch))
}

fn source(folder: &Path, profile: &arduino::Profile) -> Result<ProfileSource, ConfigError> {
    let whole = folder.canonicalize().map_err(|error| ConfigError::read(folder, &error))?;
    let library = |library: &arduino::ProfileLibrary| {
        Ok(match library {
            arduino::ProfileLibrary::Named(name, version) => {
                ProfileLibrary::Named(name.clone(), version.clone())
            }
            arduino::ProfileLibrary::Folder(below) => {
                ProfileLibrary::Folder(job::text_of(&whole.join(below))?)
            }
        })
    };
    Ok(ProfileSource {
        folder: job::text_of(&whole)?,
        name: profile.name.clone(),
        cores: profile.cores.clone(),
        libraries: profile.libraries.iter().map(library).collect::<Result<_, _>>()?,
    })
}

fn open(folder: &Path) -> Result<Option<(std::path::PathBuf, String, SketchFile)>, ConfigError> {
    for name in FILES {
        let path = folder.join(name);
        let Some(text) = text_of(&path)? else { continue };
        let file = SketchFile::parse(&text).map_err(|error| {
            let line = u32::try_from(error.line).unwrap_or(u32::MAX);
            ConfigError::in_file(Fault::Syntax(error.why), Place { file: shown(&path), line, column: 1 })
        })?;
        return Ok(Some((path, text, file)));
    }
    Ok(None)
}

/// As Arduino's programs have names of profiles (Arduino CLI documentation, "Sketch project file").
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// Where it is said: the first line that has it.
fn place_of(path: &Path, text: &str, said: &str) -> Place {
    let line = text.lines().position(|line| line.contains(said)).unwrap_or(0) + 1;
    Place { file: shown(path), line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 }
}
