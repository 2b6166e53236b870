//! Arduino's own project files: `sketch.yaml` (Arduino CLI documentation, "Sketch project file"), and where its programs keep things.

use serde::Deserialize;

use crate::ManifestError;

/// Where Arduino's programs keep things, as far as somebody told them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directories {
    /// What the boards manager installs.
    pub data: Option<String>,
    /// The sketchbook.
    pub user: Option<String>,
}

#[derive(Default, Deserialize)]
struct CliSettings {
    #[serde(default)]
    directories: CliDirectories,
}

#[derive(Default, Deserialize)]
struct CliDirectories {
    data: Option<String>,
    user: Option<String>,
}

impl Directories {
    /// Reads `arduino-cli.yaml`; what is none says nothing.
    #[must_use]
    pub fn from_cli(text: &str) -> Self {
        let CliDirectories { data, user } =
            serde_saphyr::from_str::<CliSettings>(text).unwrap_or_default().directories;
        let said = |value: Option<String>| value.filter(|value| !value.is_empty());
        Self { data: said(data), user: said(user) }
    }

    /// Reads `preferences.txt` of Arduino's editor before its version 2: lines `key=value`.
    #[must_use]
    pub fn from_preferences(text: &str) -> Self {
        let user = text.lines().find_map(|line| line.trim().strip_prefix("sketchbook.path="));
        let user = user.map(str::trim).filter(|path| !path.is_empty());
        Self { data: None, user: user.map(str::to_owned) }
    }
}

/// What a sketch says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SketchFile {
    /// Its board, where no profile says.
    pub board: Option<String>,
    /// Its port, likewise.
    pub port: Option<String>,
    /// The profile that counts where nobody names one.
    pub default_profile: Option<String>,
    /// Profiles, in the file's order.
    pub profiles: Vec<Profile>,
}

/// All that a sketch is built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its board.
    pub board: Option<String>,
    /// Its port.
    pub port: Option<String>,
    /// Its cores: `vendor:architecture`, and the version that it must be.
    pub cores: Vec<(String, Option<String>)>,
    /// Its libraries.
    pub libraries: Vec<ProfileLibrary>,
}

/// A library of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileLibrary {
    /// By its name, and the version that it must be.
    Named(String, Option<String>),
    /// In a folder, from the sketch's.
    Folder(String),
}

#[derive(Default, Deserialize)]
struct File {
    default_fqbn: Option<String>,
    default_port: Option<String>,
    default_profile: Option<String>,
    profiles: Option<std::collections::BTreeMap<String, Option<FileProfile>>>,
}

#[derive(Default, Deserialize)]
struct FileProfile {
    fqbn: Option<String>,
    port: Option<String>,
    platforms: Option<Vec<FilePlatform>>,
    libraries: Option<Vec<FileLibrary>>,
}

#[derive(Deserialize)]
struct FilePlatform {
    platform: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileLibrary {
    Named(String),
    Folder { dir: String },
    Dependency { dependency: String },
}

impl SketchFile {
    /// Reads `sketch.yaml`; what Arduino's programs alone need is passed over.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        // A file of nothing, or of remarks, says nothing.
        let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            let why = error.to_string();
            // The library shows the place again, in a picture of several lines.
            let why = why.lines().next().unwrap_or_default().trim().to_owned();
            ManifestError { line: usize::try_from(line).unwrap_or(usize::MAX), why }
        })?;
        let file = file.unwrap_or_default();
        let profile = |(name, profile): (String, Option<FileProfile>)| {
            let profile = profile.unwrap_or_default();
            let cores = profile.platforms.unwrap_or_default();
            let libraries = profile.libraries.unwrap_or_default();
            Profile {
                name,
                board: profile.fqbn,
                port: profile.port,
                cores: cores.iter().map(|platform| pinned(&platform.platform)).collect(),
                libraries: libraries.into_iter().map(ProfileLibrary::from).collect(),
            }
        };
        Ok(Self {
            board: file.default_fqbn,
            port: file.default_port,
            default_profile: file.default_profile,
            profiles: file.profiles.unwrap_or_default().into_iter().map(profile).collect(),
        })
    }
}

impl From<FileLibrary> for ProfileLibrary {
    fn from(library: FileLibrary) -> Self {
        match library {
            FileLibrary::Folder { dir } => Self::Folder(dir),
            FileLibrary::Named(text) | FileLibrary::Dependency { dependency: text } => {
                let (name, version) = pinned(&text);
                Self::Named(name, version)
            }
        }
    }
}

/// `NAME (VERSION)`, or a name alone.
fn pinned(text: &str) -> (String, Option<String>) {
    match text.trim().strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
        Some((name, version)) => (name.trim().to_owned(), Some(version.trim().to_owned())),
        None => (text.trim().to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
default_fqbn: arduino:avr:nano:cpu=atmega168
default_profile: mega
profiles:
  uno:
    notes: on the desk
    fqbn: arduino:avr:uno
    port: /dev/ttyACM0
    port_config:
      baudrate: 9600
    platforms:
      - platform: arduino:avr (1.8.6)
      - platform: acme:avr
        platform_index_url: https://example.org/index.json
    libraries:
      - Servo (1.2.1)
      - Ethernet
      - dir: ../Own
      - dependency: Deep (2.0)
  mega:
    fqbn: arduino:avr:mega
";

    #[test]
    fn a_sketch_with_profiles() {
        let file = SketchFile::parse(FILE).unwrap();
        assert_eq!(file.board.as_deref(), Some("arduino:avr:nano:cpu=atmega168"));
        assert_eq!(file.default_profile.as_deref(), Some("mega"));
        let uno = file.profiles.iter().find(|profile| profile.name == "uno").unwrap();
        assert_eq!(
            (uno.board.as_deref(), uno.port.as_deref()),
            (Some("arduino:avr:uno"), Some("/dev/ttyACM0"))
        );
        let pin = |version: &str| Some(version.to_owned());
        assert_eq!(uno.cores, [("arduino:avr".into(), pin("1.8.6")), ("acme:avr".into(), None)]);
        let named = |name: &str, version| ProfileLibrary::Named(name.into(), version);
        let expect = [
            named("Servo", pin("1.2.1")),
            named("Ethernet", None),
            ProfileLibrary::Folder("../Own".into()),
            named("Deep", pin("2.0")),
        ];
        assert_eq!(uno.libraries, expect);
        assert_eq!(SketchFile::parse("").unwrap(), SketchFile::default());
        assert_eq!(SketchFile::parse("# nothing\n").unwrap(), SketchFile::default());
        let silent = SketchFile::parse("profiles:\n  a:\n  b:\n    platforms:\n    libraries:\n").unwrap();
        assert_eq!(silent.profiles.len(), 2);
        assert_eq!(SketchFile::parse("profiles:\n").unwrap(), SketchFile::default());
        let wrong = SketchFile::parse("profiles:\n  uno:\n    fqbn: [a, b]\n").unwrap_err();
        assert_eq!(wrong.line, 3, "{wrong}");
    }

    #[test]
    fn where_things_are_kept() {
        let cli = "board_manager:\n  additional_urls: []\ndirectories:\n  data: /d\n  user: \"\"\n";
        let expect = Directories { data: Some("/d".into()), user: None };
        assert_eq!(Directories::from_cli(cli), expect);
        assert_eq!(Directories::from_cli("]["), Directories::default());
        let preferences = "editor.font=x\nsketchbook.path=/home/p/Arduino \n";
        assert_eq!(Directories::from_preferences(preferences).user.as_deref(), Some("/home/p/Arduino"));
    }
}
