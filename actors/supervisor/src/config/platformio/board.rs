//! Which board of which core an environment means.

use std::fs;
use std::path::Path;

use farmhand_compiler::{PlatformIoBoard, platformio_board};
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
        let name = platform_name(&platform.text);
        if name == NATIVE {
            return Ok(Board { name: NATIVE.to_owned(), ..Board::default() });
        }
        let platforms = self.project_folder("platforms_dir")?;
        let known = CORES.iter().find(|(known, _)| *known == name);
        if known.is_none() && !platforms.join(&name).join("platform.json").is_file() {
            return Err(self.no_platform(&name, &platforms, platform.at));
        }
        let Some(board) = board else {
            let fault = Fault::NoBoard(self.folder.clone());
            return Err(ConfigError::at(fault, self.origin(platform.at)));
        };
        let file = format!("{}.json", board.text);
        let own = self.project_folder("boards_dir")?.join(&file);
        let Some((_, core)) = known else {
            return self.board_of_installed(&platforms.join(&name), board, &own);
        };
        if let Some(found) = read(&own)? {
            return Ok(Board { name: format!("{core}:{}", board.text), unlisted: true, properties: found });
        }
        if let Some(name) = board_named(&name, &board.text) {
            return Ok(Board { name: name.to_owned(), ..Board::default() });
        }
        // What PlatformIO itself installed knows more boards than a core does.
        let installed = platforms.join(&name).join("boards").join(&file);
        if let Some(found) = read(&installed)? {
            return Ok(Board { name: format!("{core}:{}", board.text), unlisted: true, properties: found });
        }
        // Or it is the core's own name.
        Ok(Board { name: format!("{core}:{}", board.text), ..Board::default() })
    }

    fn no_platform(&self, name: &str, platforms: &Path, at: Option<Place>) -> ConfigError {
        let entries = fs::read_dir(platforms).into_iter().flatten().flatten();
        let installed = entries.filter(|entry| entry.path().join("platform.json").is_file());
        let known = CORES.iter().map(|(name, _)| *name).chain([NATIVE]).map(str::to_owned);
        let mut known: Vec<String> =
            known.chain(installed.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
        known.sort();
        known.dedup();
        let nearest = super::super::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let why = format!(
            "there is no core for {name:?}: there is one for {}; platforms that PlatformIO installed are read in {}",
            known.join(", "),
            platforms.display()
        );
        let fault = Fault::Value { key: "platform".into(), why, nearest };
        ConfigError::at(fault, self.origin(at))
    }

    /// A board of a platform that PlatformIO installed, with its core and tools.
    fn board_of_installed(&self, platform: &Path, board: &Found, own: &Path) -> Result<Board, ConfigError> {
        let packages = self.project_folder("packages_dir")?;
        let own = text_of(own)?;
        match platformio_board((platform, &packages), &board.text, own.as_deref()) {
            Ok(PlatformIoBoard { fqbn, properties }) => Ok(Board { name: fqbn, unlisted: false, properties }),
            Err(error) => {
                let why = format!("{error}, in {}", platform.display());
                let fault = Fault::Value { key: "board".into(), why, nearest: None };
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

/// `atmelavr`, of `platformio/atmelavr@^5`, `https://host/platform-atmelavr.git#v5`.
fn platform_name(text: &str) -> String {
    let text = text.split('#').next().unwrap_or(text);
    let is_place = text.contains("://");
    let text = if is_place { text } else { text.split('@').next().unwrap_or(text) };
    let last = text.trim().trim_end_matches('/').rsplit('/').next().unwrap_or(text);
    last.trim_end_matches(".git").trim_end_matches(".zip").trim_start_matches("platform-").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::platform_name;

    #[test]
    fn a_platform_however_it_is_said() {
        for text in [
            "atmelavr",
            "atmelavr@5.1.0",
            "atmelavr @ ~5",
            "platformio/atmelavr@^5",
            "https://example.org/platformio/platform-atmelavr.git#v5",
        ] {
            assert_eq!(platform_name(text), "atmelavr", "{text}");
        }
    }
}
