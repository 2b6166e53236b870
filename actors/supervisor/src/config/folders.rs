//! Folders: a farm's, the user's, a project's.

use std::path::{Path, PathBuf};

use super::PROJECT_FILE;
use super::error::{ConfigError, Fault};

/// A farm's folder: `FARMHAND_HOME`, or the XDG data folder's. None where nothing says whose home it is.
#[must_use]
pub fn home(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // What is not absolute is ignored (XDG Base Directory Specification).
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    set("FARMHAND_HOME")
        .or_else(|| data.map(|data| data.join("farmhand")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/farmhand")))
}

/// The user's own settings.
#[must_use]
pub fn user_config(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| set("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("farmhand/config.toml"))
}

/// What a command is about: a project's folder, or a file that is built already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its folder, as the user named it.
    pub folder: PathBuf,
    /// The file, where one was named.
    pub artifact: Option<PathBuf>,
}

impl Project {
    /// Finds what is meant: a folder is a project, a sketch's main file too, a file is an artifact, nothing is the nearest folder upwards that
    /// has settings.
    pub fn find(
        path: Option<&Path>,
        project_dir: Option<&Path>,
        working: &Path,
    ) -> Result<Self, ConfigError> {
        let nowhere = |fault| Err(ConfigError::nowhere(fault));
        if let Some(folder) = project_dir
            && !folder.is_dir()
        {
            return nowhere(Fault::NotThere(folder.to_owned()));
        }
        let around = || project_dir.map_or_else(|| upwards(working), Path::to_owned);
        match (path, project_dir) {
            (Some(path), Some(folder)) if path.is_dir() => {
                nowhere(Fault::TwoFolders(folder.to_owned(), path.to_owned()))
            }
            (Some(path), None) if path.is_dir() => Ok(Self { folder: path.to_owned(), artifact: None }),
            // A sketch may be named by its main file, as in Arduino's own tools.
            (Some(path), None) if is_main_file(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Ok(Self { folder: folder.unwrap_or(Path::new(".")).to_owned(), artifact: None })
            }
            (Some(path), _) if path.is_file() && is_source(path) => nowhere(Fault::Source(path.to_owned())),
            (Some(path), _) if path.is_file() => {
                Ok(Self { folder: around(), artifact: Some(path.to_owned()) })
            }
            (Some(path), _) => nowhere(Fault::NotThere(path.to_owned())),
            (None, _) => Ok(Self { folder: around(), artifact: None }),
        }
    }
}

/// A sketch's main file has its folder's name (Arduino's sketch specification).
#[must_use]
pub fn is_main_file(path: &Path) -> bool {
    let named = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = named.parent().and_then(Path::file_name);
    path.is_file() && path.extension().is_some_and(|end| end == "ino") && named.file_stem() == folder
}

/// A file that a program is made of; none that is built.
fn is_source(path: &Path) -> bool {
    const ENDS: &[&str] =
        &["ino", "c", "cc", "cpp", "cxx", "h", "hpp", "S", "s", "rs", "toml", "ini", "yaml"];
    path.extension().and_then(|end| end.to_str()).is_some_and(|end| ENDS.contains(&end))
}

/// The nearest folder that has settings, shown as seen from the working folder.
fn upwards(working: &Path) -> PathBuf {
    let found = working.ancestors().enumerate().find(|(_, folder)| {
        [PROJECT_FILE, super::platformio::FILE].iter().any(|file| folder.join(file).is_file())
    });
    match found {
        Some((0, _)) | None => PathBuf::from("."),
        Some((up, _)) => std::iter::repeat_n("..", up).collect(),
    }
}
