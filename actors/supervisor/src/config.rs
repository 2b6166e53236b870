//! Configuration: where settings come from, and the job that a project's settings make.
//!
//! In order: flags, the environment (`FARMHAND_*`), `farmhand.local.toml`, `farmhand.toml`, the user's own
//! `config.toml`, built in. They are merged key by key, and each value keeps where it came from. All that is found is
//! checked when it is read, whether it is used or not: a misspelt key is an error, with its place and the nearest
//! one.

mod error;
mod farm_file;
mod file;
mod folders;
mod job;
mod nearest;
mod package;
mod place;
mod platformio;
mod schema;
mod sketch_yaml;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, Fault};
pub use farm_file::{append_device, read_devices};
pub(crate) use file::{as_they_stand, parse, table, text_of};
pub use folders::{Project, home, is_main_file, user_config};
pub use nearest::nearest;
use package::read_packages;
pub(crate) use place::Text;
pub use platformio::Note;
pub use schema::{Key, Kind, keys};
pub use value::{Element, Value, size};

use farmhand_api::{PackageSpec, Place};

/// A project's settings.
const PROJECT_FILE: &str = "farmhand.toml";
/// Settings of this machine, not in version control: ports, serial numbers.
const LOCAL_FILE: &str = "farmhand.local.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag, such as `--board`.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A place in a file.
    File(Place),
    /// Nobody said anything.
    BuiltIn,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::File(Place { file, line, column }) => write!(f, "{file}:{line}:{column}"),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// A value, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub value: Value,
    /// Where it was said.
    pub origin: Origin,
    /// Which layer said it; 0 is the strongest.
    layer: usize,
}

/// A flag that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key it sets, such as `test.timeout`.
    pub key: &'static str,
    /// As it is typed, such as `--timeout`.
    pub flag: &'static str,
    /// Its values; several only where the key is a list.
    pub values: Vec<String>,
}

/// What settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Those of the command line.
    pub flags: Vec<Flag>,
    /// The environment's variables: name and value.
    pub variables: Vec<(String, String)>,
    /// The project's folder, as the user named it.
    pub project: Option<PathBuf>,
    /// The user's own file.
    pub user: Option<PathBuf>,
    /// Which `[env.NAME]` of the files lies over the rest of its file.
    pub environment: Option<String>,
}

/// Settings, merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    settings: BTreeMap<&'static str, Setting>,
    platformio: PlatformIo,
    sketch: sketch_yaml::Sketch,
    /// All that the project declares, and what `lib_deps` of its environments is fetched from.
    packages: Vec<PackageSpec>,
}

/// What a project's `platformio.ini` makes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum PlatformIo {
    /// There is none.
    #[default]
    None,
    /// An environment.
    One(Box<platformio::Environment>),
    /// One of these, and nobody says which.
    Several(Vec<String>),
}

type Layer = Vec<(&'static str, Value, Origin)>;

impl Config {
    /// Reads and merges. Files that are not there say nothing.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = vec![of_flags(&sources.flags)?, of_variables(&sources.variables)?];
        let project =
            sources.project.iter().flat_map(|folder| [folder.join(LOCAL_FILE), folder.join(PROJECT_FILE)]);
        let mut named = Vec::new();
        let mut chosen = false;
        let mut file = |path: &Path, layers: &mut Vec<Layer>| -> Result<(), ConfigError> {
            let Some(mut read) = file::read(path)? else { return Ok(()) };
            if Some(path) != sources.user.as_deref() {
                only_what_is_a_projects(&read)?;
            }
            if let Some(environment) = &sources.environment {
                if let Some(over) = read.environments.remove(environment) {
                    chosen = true;
                    layers.push(over);
                }
                named.extend(read.environments.into_keys());
            }
            layers.push(read.settings);
            Ok(())
        };
        for path in project {
            file(&path, &mut layers)?;
        }
        let platformio = platformio_of(sources)?;
        let packages = all_packages(sources)?;
        let other = match &platformio {
            PlatformIo::One(environment) => Some(environment.layer.clone()),
            _ => None,
        };
        layers.extend(other);
        let sketch = match (&platformio, &sources.project) {
            (PlatformIo::None, Some(folder)) => {
                sketch_yaml::read(folder, sources.environment.as_deref())?.unwrap_or_default()
            }
            _ => sketch_yaml::Sketch::default(),
        };
        layers.push(sketch.layer.clone());
        if let Some(path) = &sources.user {
            file(path, &mut layers)?;
        }
        if let PlatformIo::Several(names) = &platformio {
            named.extend(names.iter().cloned());
        }
        named.extend(sketch.profiles.iter().cloned());
        chosen |= matches!(platformio, PlatformIo::One(_)) || sketch.is_named;
        if let (Some(environment), false) = (&sources.environment, chosen) {
            return Err(ConfigError::no_environment(environment, &named));
        }
        layers.push(schema::built_in());
        let mut settings = BTreeMap::new();
        for (layer, said) in layers.into_iter().enumerate() {
            for (key, value, origin) in said {
                settings.entry(key).or_insert(Setting { value, origin, layer });
            }
        }
        Ok(Self { settings, sketch, platformio, packages })
    }

    /// What of the project's `platformio.ini` is not done as it says.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        match &self.platformio {
            PlatformIo::One(environment) => &environment.notes,
            _ => &[],
        }
    }

    /// The names of all `[env.NAME]` of the files, sorted.
    pub fn environments(sources: &Sources) -> Result<Vec<String>, ConfigError> {
        let project =
            sources.project.iter().flat_map(|folder| [folder.join(LOCAL_FILE), folder.join(PROJECT_FILE)]);
        let mut names = std::collections::BTreeSet::new();
        for path in project.chain(sources.user.clone()) {
            names.extend(file::read(&path)?.into_iter().flat_map(|read| read.environments.into_keys()));
        }
        if let Some(folder) = &sources.project
            && let Some(project) = platformio::Project::read(folder, &sources.variables)?
        {
            names.extend(project.environments());
        } else if let Some(folder) = &sources.project {
            names.extend(sketch_yaml::profiles(folder)?);
        }
        Ok(names.into_iter().collect())
    }

    /// The environments of `platformio.ini` that are meant where nobody names one: `default_envs`, or all.
    pub fn meant(sources: &Sources) -> Result<Vec<String>, ConfigError> {
        let Some(folder) = &sources.project else { return Ok(Vec::new()) };
        let project = platformio::Project::read(folder, &sources.variables)?;
        project.map_or_else(|| Ok(Vec::new()), |project| project.chosen())
    }

    /// One setting.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// All that are set, by key.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.settings.iter().map(|(&key, setting)| (key, setting))
    }
}

/// All packages of a project: those that its settings declare, and those that its environments' `lib_deps` are fetched from.
pub fn all_packages(sources: &Sources) -> Result<Vec<PackageSpec>, ConfigError> {
    let Some(folder) = sources.project.as_ref().and_then(|folder| folder.canonicalize().ok()) else {
        return Ok(Vec::new());
    };
    let mut packages = read_packages(&folder)?;
    if let Some(project) = platformio::Project::read(&folder, &sources.variables)? {
        packages.extend(project.fetched());
    }
    Ok(packages)
}

/// What a project's file says of what is all projects' is a mistake.
fn only_what_is_a_projects(read: &file::Read) -> Result<(), ConfigError> {
    let all = read.environments.values().chain([&read.settings]).flatten();
    let theirs = all.into_iter().find(|(key, ..)| *key == schema::CACHE);
    theirs.map_or(Ok(()), |(_, _, origin)| {
        let why = "the cache is all projects': set it in your own config.toml, or in FARMHAND_CACHE_BYTES";
        let key = schema::key(schema::CACHE).expect("it is a key");
        Err(ConfigError::at(Fault::value(key, why.into()), origin.clone()))
    })
}

/// How large the cache of objects may grow, in bytes: as the environment says, or the user's own settings.
pub fn cache_bytes(
    variable: impl Fn(&str) -> Option<String>,
    user: Option<PathBuf>,
) -> Result<u64, ConfigError> {
    let key = schema::key(schema::CACHE).expect("it is a key").variable();
    let variables = variable(&key).map(|text| (key, text)).into_iter().collect();
    let config = Config::load(&Sources { variables, user, ..Sources::default() })?;
    match config.get(schema::CACHE).map(|setting| &setting.value) {
        Some(Value::Size(bytes)) => Ok(*bytes),
        _ => Ok(farmhand_compiler::CACHE_BYTES),
    }
}

/// The environment that is asked for, or meant where none is.
fn platformio_of(sources: &Sources) -> Result<PlatformIo, ConfigError> {
    let Some(folder) = &sources.project else { return Ok(PlatformIo::None) };
    let Some(project) = platformio::Project::read(folder, &sources.variables)? else {
        return Ok(PlatformIo::None);
    };
    let chosen = match &sources.environment {
        Some(name) if project.environments().contains(name) => vec![name.clone()],
        // It may be one of farmhand.toml's.
        Some(_) => return Ok(PlatformIo::Several(project.environments())),
        None => project.chosen()?,
    };
    match &chosen[..] {
        [name] => project.environment(name).map(|environment| PlatformIo::One(Box::new(environment))),
        _ => Ok(PlatformIo::Several(chosen)),
    }
}

fn of_flags(flags: &[Flag]) -> Result<Layer, ConfigError> {
    let read = |flag: &Flag| {
        let key = schema::key(flag.key).expect("flags set keys of the schema");
        let value = value::from_words(key, &flag.values)
            .map_err(|fault| ConfigError::at(fault, Origin::Flag(flag.flag)))?;
        Ok((key.path, value, Origin::Flag(flag.flag)))
    };
    flags.iter().map(read).collect()
}

fn of_variables(variables: &[(String, String)]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new();
    for key in keys() {
        let name = key.variable();
        let Some((_, text)) = variables.iter().find(|(given, _)| *given == name) else { continue };
        let value = value::from_text(key, text)
            .map_err(|fault| ConfigError::at(fault, Origin::Variable(name.clone())))?;
        layer.push((key.path, value, Origin::Variable(name)));
    }
    Ok(layer)
}

/// A path as people write it: without a leading `./`.
pub(crate) fn shown(path: &Path) -> String {
    match path.strip_prefix(".") {
        Ok(here) if here.as_os_str().is_empty() => "this folder".into(),
        Ok(below) => below.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests;
