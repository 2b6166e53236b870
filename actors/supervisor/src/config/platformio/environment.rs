//! One environment, as a source of a build and a layer of settings.

use std::path::Path;

use farmhand_api::{EnvironmentSource, LIB_ARCHIVE, LIB_COMPAT, LibraryMode, LibraryWish};
use farmhand_project::platformio::{Dependency, Found, Origin as From, flags as flags_of, substituted};

use super::board::{Board, platform_wanted};
use super::honoured::not_honoured;
use super::names::Itself;
use super::{Environment, Note, Project};
use crate::config::error::{ConfigError, Fault};
use crate::config::job::text_of;
use crate::config::schema;
use crate::config::value;
use crate::config::{Layer, nearest};

/// How libraries are looked for, and PlatformIO's words for it.
const MODES: &[(&str, LibraryMode)] = &[
    ("off", LibraryMode::Off),
    ("chain", LibraryMode::Chain),
    ("deep", LibraryMode::Deep),
    ("chain+", LibraryMode::ChainPlus),
    ("deep+", LibraryMode::DeepPlus),
];
const BUILD_TYPES: &[&str] = &["release", "test", "debug"];
/// By which sources know that they are built for a debugger.
const DEBUG_MACRO: &str = "-D__PLATFORMIO_BUILD_DEBUG__";

impl Project {
    /// What is said of one environment.
    pub(in super::super) fn environment(&self, name: &str) -> Result<Environment, ConfigError> {
        let of = |option: &str| self.config.of(name, option, self).map_err(|error| self.wrong(&error));
        let several =
            |option: &str| of(option).map(|found| found.map(|found| found.several()).unwrap_or_default());
        let place = self.config.place_of(name);
        // It is a folder's name too.
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            let why = "a name has letters, digits, `_` and `-`".to_owned();
            let fault = Fault::Value { key: format!("[env:{name}]"), why, nearest: None };
            return Err(ConfigError::at(fault, self.origin(place)));
        }
        let Some(platform) = of("platform")? else {
            let why = format!("[env:{name}] does not say which");
            let fault = Fault::Value { key: "platform".into(), why, nearest: None };
            return Err(ConfigError::at(fault, self.origin(place)));
        };
        let board_said = of("board")?;
        let mut board = self.board(&platform, board_said.as_ref())?;
        self.overrides(name, &mut board)?;
        // What nobody says a library may say itself.
        if let Some(archive) = of(LIB_ARCHIVE)?.filter(|found| found.at.is_some()) {
            let is_so = truth(&archive).map_err(|fault| ConfigError::at(fault, self.origin(archive.at)))?;
            board.properties.push((LIB_ARCHIVE.into(), if is_so { "yes" } else { "no" }.into()));
        }
        let mode = self.word(name, LIB_COMPAT, &["off", "soft", "strict"])?;
        board.properties.push((LIB_COMPAT.into(), format!("{mode} {}", platform_wanted(&platform.text).0)));
        let frameworks = of("framework")?;
        let framework = frameworks.as_ref().map(Found::several).unwrap_or_default();
        if let Some(other) = framework.iter().find(|framework| *framework != "arduino") {
            let why = format!("{other:?} is not known; there is arduino");
            let fault = Fault::Value { key: "framework".into(), why, nearest: None };
            return Err(ConfigError::at(fault, self.origin(frameworks.and_then(|found| found.at))));
        }
        let itself = Itself {
            name,
            platform: &platform.text,
            board: board_said.as_ref().map_or("", |said| &said.text),
            frameworks: &framework,
        };
        let mut notes = Vec::new();
        // What is no flags is told here, where its line is known.
        let mut replaced = |option: &str, as_flags: bool| -> Result<Vec<String>, ConfigError> {
            let Some(found) = of(option)? else { return Ok(Vec::new()) };
            let mut texts = found.several();
            for text in &mut texts {
                let known = |name: &str| self.stands_for(&itself, name).ok().flatten();
                // Within these quotes a value stands as it is.
                let within = if as_flags { text.clone() } else { format!("'{text}'") };
                let substituted = substituted(&within, known);
                for (name, at) in substituted.unknown.iter().filter_map(|name| Some((name, found.at?))) {
                    let text = format!("${name} in {option} is not replaced: farmhand knows no such name");
                    notes.push(Note { place: self.place(at), text });
                }
                *text = substituted.text;
                if !as_flags {
                    *text = text[1..text.len() - 1].to_owned();
                }
            }
            if !as_flags {
                return Ok(texts);
            }
            match texts.iter().find_map(|text| flags_of(text).err()) {
                Some(error) => {
                    let fault = Fault::Value { key: option.into(), why: error.to_string(), nearest: None };
                    Err(ConfigError::at(fault, self.origin(found.at)))
                }
                None => Ok(texts),
            }
        };
        let sources = self.project_folder("src_dir")?;
        let filter = self.filter_of(&sources, &replaced("build_src_filter", false)?.join(" "));
        let extra_shelves = replaced("lib_extra_dirs", false)?;
        let mut words_of = |option: &str| replaced(option, true);
        let mut flags = words_of("build_flags")?;
        if self.word(name, "build_type", BUILD_TYPES)? == "debug" {
            flags.extend(words_of("debug_build_flags")?);
            flags.push(DEBUG_MACRO.to_owned());
        }
        let words: Vec<_> = MODES.iter().map(|(word, _)| *word).collect();
        let mode = self.word(name, "lib_ldf_mode", &words)?;
        let mode = MODES.iter().find(|(word, _)| *word == mode).map_or(LibraryMode::Chain, |(_, mode)| *mode);
        let source = EnvironmentSource {
            folder: text_of(&self.folder)?,
            name: name.to_owned(),
            sources: text_of(&sources)?,
            include: text_of(&self.project_folder("include_dir")?)?,
            filter,
            arduino: !framework.is_empty(),
            unlisted: board.unlisted,
            board: board.properties,
            flags,
            own_flags: words_of("build_src_flags")?,
            unflags: words_of("build_unflags")?,
            libraries: LibraryWish {
                mode,
                folders: self.shelves(name, extra_shelves)?,
                ignore: several("lib_ignore")?,
                needed: several("lib_deps")?.iter().map(|needed| self.needed(needed)).collect(),
            },
        };
        let at = board_said.as_ref().and_then(|board| board.at).or(platform.at);
        let layer = self.layer(name, &board.name, at)?;
        notes.extend(self.notes(name));
        notes.sort_by_key(|note| (note.place.file.clone(), note.place.line));
        Ok(Environment { layer, source, board: board.name, notes })
    }

    /// Settings of ours that an environment's options are.
    fn layer(
        &self,
        name: &str,
        board: &str,
        at: Option<farmhand_project::platformio::Place>,
    ) -> Result<Layer, ConfigError> {
        let mut layer = Layer::new();
        let mut set = |key: &str, option: &str, text: &str, origin: super::Origin| {
            let key = schema::key(key).expect("a key of ours");
            let as_written = |fault| match fault {
                Fault::Value { why, nearest, .. } => Fault::Value { key: option.to_owned(), why, nearest },
                other => other,
            };
            let value = value::from_text(key, text)
                .map_err(|fault| ConfigError::at(as_written(fault), origin.clone()))?;
            layer.push((key.path, value, origin));
            Ok(())
        };
        set("board", "board", board, self.origin(at))?;
        let of = |option: &str| self.config.of(name, option, self).map_err(|error| self.wrong(&error));
        if let Some(speed) = of("monitor_speed")? {
            // Where nobody says anything it is PlatformIO's own.
            let at = speed.at.or(self.config.place_of(name));
            set("monitor.baud", "monitor_speed", &speed.text, self.origin(at))?;
        }
        // A pattern, or an address, is no port.
        if let Some(port) = of("upload_port")?.filter(|port| is_port(&port.text)) {
            set("port", "upload_port", &port.text, self.origin(port.at))?;
        }
        Ok(layer)
    }

    /// What `board_build.` and `board_upload.` say otherwise than the board.
    fn overrides(&self, name: &str, board: &mut Board) -> Result<(), ConfigError> {
        for (option, _) in self.config.options(name, self) {
            let key = match option {
                "board_mcu" => Some("build.mcu".to_owned()),
                "board_f_cpu" => Some("build.f_cpu".to_owned()),
                other => other
                    .strip_prefix("board_")
                    .filter(|rest| rest.contains('.'))
                    .map(|rest| rest.replace("upload.maximum_ram_size", "upload.maximum_data_size")),
            };
            let Some(key) = key else { continue };
            let found = self.config.of(name, option, self).map_err(|error| self.wrong(&error))?;
            board.properties.extend(found.map(|found| (key, found.text)));
        }
        Ok(())
    }

    /// An option that takes one of some words.
    fn word(&self, name: &str, option: &str, words: &[&str]) -> Result<String, ConfigError> {
        let found = self.config.of(name, option, self).map_err(|error| self.wrong(&error))?;
        // PlatformIO has a default for each.
        let Some(found) = found else { return Ok(String::new()) };
        if words.contains(&found.text.as_str()) {
            return Ok(found.text);
        }
        let near = nearest(&found.text, words.iter().copied()).map(str::to_owned);
        let why = format!("it wants {}, not {:?}", words.join(", "), found.text);
        let fault = Fault::Value { key: option.to_owned(), why, nearest: near };
        Err(ConfigError::at(fault, self.origin(found.at)))
    }

    /// Folders of libraries, as PlatformIO looks into them: the project's own first, then what it installed for the environment, what is
    /// named, and what is there for all projects.
    fn shelves(&self, name: &str, extra: Vec<String>) -> Result<Vec<String>, ConfigError> {
        let mut folders =
            vec![self.project_folder("lib_dir")?, self.project_folder("libdeps_dir")?.join(name)];
        folders.extend(extra.iter().map(|folder| self.path(folder)));
        folders.push(self.project_folder("globallib_dir")?);
        folders.iter().map(|folder| text_of(folder)).collect()
    }

    /// A filter whose patterns begin at the root, told from the folder of sources as all others are.
    fn filter_of(&self, sources: &Path, filter: &str) -> String {
        let below = |folder: &Path| format!("<{}/", folder.display());
        let up = sources.strip_prefix(&self.folder).map_or(0, |below| below.components().count());
        let filter = filter.replace(&below(sources), "<");
        if up == 0 { filter } else { filter.replace(&below(&self.folder), &format!("<{}", "../".repeat(up))) }
    }

    /// One of `lib_deps`; a folder is told from the root.
    pub(super) fn needed(&self, needed: &str) -> String {
        match Dependency::parse(needed).origin {
            From::Folder(folder) => format!("file://{}", self.path(&folder).display()),
            // `OWNER/NAME` of the registry, unless there is such a folder.
            From::Registry { .. } if needed.contains('/') && self.path(needed).exists() => {
                format!("file://{}", self.path(needed).display())
            }
            _ => needed.to_owned(),
        }
    }

    /// What is not done as it is said.
    fn notes(&self, name: &str) -> Vec<Note> {
        let mut notes = Vec::new();
        for (option, at) in self.config.options(name, self) {
            if let (Some(why), Some(at)) = (not_honoured(option), at) {
                notes.push(Note { place: self.place(at), text: format!("{option} is not honoured: {why}") });
            }
        }
        if let Ok(Some(port)) = self.config.of(name, "upload_port", self)
            && let Some(at) = port.at.filter(|_| !is_port(&port.text))
        {
            let text = format!("upload_port is not honoured: {:?} is not the name of a port", port.text);
            notes.push(Note { place: self.place(at), text });
        }
        notes
    }
}

/// Yes or no, as PlatformIO takes it.
fn truth(found: &Found) -> Result<bool, Fault> {
    match found.text.to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => {
            let why = format!("{:?} is neither yes nor no", found.text);
            Err(Fault::Value { key: LIB_ARCHIVE.into(), why, nearest: None })
        }
    }
}

fn is_port(text: &str) -> bool {
    text.starts_with('/') && !text.contains(['*', '?', '['])
}
