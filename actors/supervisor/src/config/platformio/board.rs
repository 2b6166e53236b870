//! Which board of which core an environment means.

use std::fs;
use std::path::Path;

use farmhand_compiler::{
    BoardWish, PlatformIoBoard, PlatformIoError, platformio_board, platformio_packages, platformio_platform,
};
use farmhand_project::platformio::{Found, Place, board_named, board_properties};

use super::Project;
use crate::config::error::{ConfigError, Fault};

/// This machine.
pub(super) const NATIVE: &str = "native";

/// A board, as the compiler is told of it.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// `arduino:avr:uno`, `native`.
    pub(super) name: String,
    pub(super) unlisted: bool,
    pub(super) properties: Vec<(String, String)>,
}

/// Whose boards PlatformIO's platforms are.
const CORES: &[(&str, &str)] = &[("atmelavr", "arduino:avr")];

impl Project {
    pub(super) fn board(&self, platform: &Found, board: Option<&Found>) -> Result<Board, ConfigError> {
        let (name, requirement) = platform_wanted(&platform.text);
        if name == NATIVE {
            return Ok(Board { name: NATIVE.to_owned(), ..Board::default() });
        }
        let platforms = self.project_folder("platforms_dir")?;
        let known = CORES.iter().find(|(known, _)| *known == name);
        let installed = platformio_platform(&platforms, &name, requirement.as_deref());
        if known.is_none() && installed.is_none() {
            return Err(self.no_platform((&name, requirement.as_deref()), &platforms, platform.at));
        }
        let Some(board) = board else {
            let fault = Fault::NoBoard(self.folder.clone());
            return Err(ConfigError::at(fault, self.origin(platform.at)));
        };
        let file = format!("{}.json", board.text);
        let own = self.project_folder("boards_dir")?.join(&file);
        let (core, folder) = match (known, installed) {
            (Some((_, core)), _) => (core, platforms.join(&name)),
            (None, Some(folder)) => return self.board_of_installed(&folder, board, &own),
            (None, None) => return Err(self.no_platform((&name, None), &platforms, platform.at)),
        };
        if let Some(found) = read(&own)? {
            return Ok(Board { name: format!("{core}:{}", board.text), unlisted: true, properties: found });
        }
        if let Some(name) = board_named(&name, &board.text) {
            return Ok(Board { name: name.to_owned(), ..Board::default() });
        }
        // What PlatformIO itself installed knows more boards than a core does.
        let installed = folder.join("boards").join(&file);
        if let Some(found) = read(&installed)? {
            return Ok(Board { name: format!("{core}:{}", board.text), unlisted: true, properties: found });
        }
        // Or it is a whole name of Arduino's, of any core.
        if board.text.split(':').count() > 2 {
            return Ok(Board { name: board.text.clone(), ..Board::default() });
        }
        // Or it is the core's own name.
        Ok(Board { name: format!("{core}:{}", board.text), ..Board::default() })
    }

    fn no_platform(
        &self,
        (name, requirement): (&str, Option<&str>),
        platforms: &Path,
        at: Option<Place>,
    ) -> ConfigError {
        let entries = fs::read_dir(platforms).into_iter().flatten().flatten();
        let installed = entries.filter(|entry| entry.path().join("platform.json").is_file());
        let known = CORES.iter().map(|(name, _)| *name).chain([NATIVE]).map(str::to_owned);
        let mut known: Vec<String> =
            known.chain(installed.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
        known.sort();
        known.dedup();
        let others = known.iter().map(String::as_str).filter(|other| *other != name);
        let nearest = super::super::nearest(name, others).map(str::to_owned);
        let version = requirement.map(|requirement| format!(" {requirement}")).unwrap_or_default();
        let why = format!(
            "there is no core for {name:?}{version}: there is one for {}; platforms that PlatformIO installed \
             (pio pkg install -g -p {name}) are read in {}",
            known.join(", "),
            platforms.display()
        );
        let fault = Fault::Value { key: "platform".into(), why, nearest };
        ConfigError::at(fault, self.origin(at))
    }

    /// A board of a platform that PlatformIO installed, with its core and tools.
    fn board_of_installed(&self, platform: &Path, board: &Found, own: &Path) -> Result<Board, ConfigError> {
        let packages = self.project_folder("packages_dir")?;
        let looked_in = platformio_packages();
        // The compiler may be another process, which knows nothing of this file.
        if looked_in.as_ref() != Some(&packages) {
            let looked_in = looked_in.map(|folder| folder.display().to_string()).unwrap_or_default();
            let why = format!(
                "{} is not where farmhand finds PlatformIO's packages ({looked_in}): \
                 set PLATFORMIO_CORE_DIR or PLATFORMIO_PACKAGES_DIR, in the environment, instead",
                packages.display()
            );
            let fault = Fault::Value { key: "packages_dir".into(), why, nearest: None };
            return Err(ConfigError::at(fault, self.origin(board.at)));
        }
        let own = text_of(own)?;
        let wish = BoardWish { platform, packages: &packages, board: &board.text, own: own.as_deref() };
        match platformio_board(wish) {
            Ok(PlatformIoBoard { fqbn, properties }) => Ok(Board { name: fqbn, unlisted: false, properties }),
            Err(error) => {
                let why = format!("{error}, in {}", platform.display());
                let nearest = match error {
                    PlatformIoError::NoBoard { nearest, .. } => nearest,
                    _ => None,
                };
                let fault = Fault::Value { key: "board".into(), why, nearest };
                Err(ConfigError::at(fault, self.origin(board.at)))
            }
        }
    }
}

/// A file's text; none where there is no such file.
fn text_of(path: &Path) -> Result<Option<String>, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::read(path, &error)),
    }
}

fn read(path: &Path) -> Result<Option<Vec<(String, String)>>, ConfigError> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    board_properties(&text).map(Some).map_err(|error| {
        ConfigError::nowhere(Fault::Value {
            key: path.display().to_string(),
            why: error.to_string(),
            nearest: None,
        })
    })
}

/// `atmelavr` and `^5`, of `platformio/atmelavr@^5`; `atmelavr`, of `https://host/platform-atmelavr.git#v5`.
pub(super) fn platform_wanted(text: &str) -> (String, Option<String>) {
    let text = text.split('#').next().unwrap_or(text);
    let (text, requirement) = match text.split_once('@').filter(|_| !text.contains("://")) {
        Some((text, requirement)) => (text, Some(requirement.trim().to_owned())),
        None => (text, None),
    };
    let last = text.trim().trim_end_matches('/').rsplit('/').next().unwrap_or(text);
    let name = last.trim_end_matches(".git").trim_end_matches(".zip").trim_start_matches("platform-").trim();
    (name.to_owned(), requirement)
}

#[cfg(test)]
mod tests {
    use super::platform_wanted;

    #[test]
    fn a_platform_however_it_is_said() {
        for (text, version) in [
            ("atmelavr", None),
            ("atmelavr@5.1.0", Some("5.1.0")),
            ("atmelavr @ ~5", Some("~5")),
            ("platformio/atmelavr@^5", Some("^5")),
            ("https://example.org/platformio/platform-atmelavr.git#v5", None),
        ] {
            let wanted = platform_wanted(text);
            assert_eq!((wanted.0.as_str(), wanted.1.as_deref()), ("atmelavr", version), "{text}");
        }
    }
}
