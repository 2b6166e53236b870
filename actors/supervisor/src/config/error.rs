//! What can be wrong with configuration.

use std::path::{Path, PathBuf};

use farmhand_api::{Place, Problem, ProblemClass};
use thiserror::Error;

use super::nearest::nearest;
use super::schema::{self, Key};
use super::{Origin, shown};

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A file that cannot be read.
    #[error("read {}: {why}", shown(.path))]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
        /// Access was refused.
        denied: bool,
    },
    /// Not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that is none.
    #[error("there is no key {key:?}{}", in_table(.table))]
    UnknownKey {
        /// As it is written.
        key: String,
        /// Where it stands; empty at the top.
        table: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// What can stand there.
        known: Vec<String>,
    },
    /// A value that the key does not take.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: String,
        /// What it wants.
        why: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// Not a regular expression.
    #[error("{text:?} is not a regular expression: {why}")]
    Regex {
        /// As it is written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two settings that do not go together.
    #[error("{one} and {other} do not go together: {why}")]
    Contradiction {
        /// One.
        one: String,
        /// The other, whose place it is.
        other: String,
        /// Why.
        why: &'static str,
    },
    /// Nothing says what to build.
    #[error("{} has nothing to build", shown(.0))]
    NothingToBuild(PathBuf),
    /// Nothing says for which board.
    #[error("no board is set for {}", shown(.0))]
    NoBoard(PathBuf),
    /// A folder or file that is not there.
    #[error("there is no file or folder {}", shown(.0))]
    NotThere(PathBuf),
    /// A path that cannot be told to a farm, or kept in a record.
    #[error("{} has a name that is not UTF-8", shown(.0))]
    NotText(PathBuf),
    /// A folder twice.
    #[error("two folders are given: {} and {}", shown(.0), shown(.1))]
    TwoFolders(PathBuf, PathBuf),
    /// A file of a project, in place of the project.
    #[error("{} is a file of a project, and no program that is built already", shown(.0))]
    Source(PathBuf),
    /// The project has no such environment.
    #[error("there is no environment {name}")]
    NoEnvironment {
        /// As it was asked for.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// A project's lock of packages: the installer's words.
    #[error("{}", .0.message)]
    Lock(Box<Problem>),
    /// `platformio.ini` has several environments, or `sketch.yaml` several profiles, and nobody says which is meant.
    #[error("the project has {} environments: {}", .0.len(), .0.join(", "))]
    WhichEnvironment(Vec<String>),
}

fn in_table(table: &str) -> String {
    if table.is_empty() { String::new() } else { format!(" in [{table}]") }
}

impl Fault {
    pub(super) fn value(key: &Key, why: String) -> Self {
        Self::Value { key: key.path.into(), why, nearest: None }
    }

    pub(super) fn word(key: &Key, text: &str, words: &[&str]) -> Self {
        let nearest = nearest(text, words.iter().copied()).map(str::to_owned);
        let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let why = format!("it wants {}, not {text:?}", words.join(" or "));
        Self::Value { key: key.path.into(), why, nearest }
    }

    pub(super) fn unknown(table: &str, key: &str) -> Self {
        let known = schema::inside(table);
        // Right key, wrong table: say which.
        let elsewhere = || {
            let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
            let name = nearest(key, schema::keys().iter().map(|key| last(key.path)))?;
            let path = schema::keys().iter().map(|key| key.path).find(|path| last(path) == name)?;
            Some(path.rsplit_once('.').map_or(path.to_owned(), |(table, name)| format!("[{table}] {name}")))
        };
        let nearest = nearest(key, known.iter().copied()).map(str::to_owned).or_else(elsewhere);
        let known = known.into_iter().map(str::to_owned).collect();
        Self::UnknownKey { key: key.into(), table: table.into(), nearest, known }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "F010",
            Self::Syntax(_) => "F011",
            Self::UnknownKey { .. } => "F012",
            Self::Value { .. } => "F013",
            Self::Regex { .. } => "F014",
            Self::Contradiction { .. } => "F015",
            Self::NothingToBuild(_) => "F016",
            Self::NoBoard(_) => "F017",
            Self::NotThere(_) | Self::TwoFolders(..) | Self::Source(_) => "F018",
            Self::NoEnvironment { .. } => "F019",
            Self::NotText(_) => "F021",
            Self::WhichEnvironment(_) => "F022",
            // Its own is told.
            Self::Lock(_) => "F525",
        }
    }

    fn class(&self) -> ProblemClass {
        match self {
            Self::Read { denied: true, .. } => ProblemClass::Permission,
            Self::NotThere(_) | Self::TwoFolders(..) | Self::Source(_) | Self::WhichEnvironment(_) => {
                ProblemClass::Usage
            }
            _ => ProblemClass::Configuration,
        }
    }

    fn help(&self) -> Vec<String> {
        let meant = |word: &String| format!("did you mean {word}?");
        match self {
            Self::UnknownKey { nearest: Some(word), .. }
            | Self::Value { nearest: Some(word), .. }
            | Self::NoEnvironment { nearest: Some(word), .. } => vec![meant(word)],
            Self::WhichEnvironment(names) => names
                .first()
                .map(|name| format!("say which: -e {name}; `farmhand build --all` builds them all"))
                .into_iter()
                .collect(),
            Self::UnknownKey { known, .. } | Self::NoEnvironment { known, .. } if !known.is_empty() => {
                vec![format!("there are: {}", known.join(", "))]
            }
            Self::Regex { .. } => {
                vec!["a literal . ( [ { * + ? | \\ ^ $ is written with a \\ before it".into()]
            }
            Self::NothingToBuild(_) => {
                vec![
                    "put a sketch (.ino) there, or set sketch, source, or command and artifact in [build]"
                        .into(),
                    "or image in [boot], where something is booted from memory".into(),
                    "farmhand init writes a sketch to begin with, where there is none".into(),
                ]
            }
            Self::Source(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                vec![format!("name the project's folder: {}", shown(folder.unwrap_or(Path::new("."))))]
            }
            Self::NotText(_) => vec!["rename it, or use another folder".into()],
            Self::NoBoard(_) => {
                vec!["farmhand init".into(), "or once: --board arduino:avr:uno".into()]
            }
            _ => Vec::new(),
        }
    }
}

/// What is wrong, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct ConfigError {
    /// What.
    pub fault: Box<Fault>,
    /// Where.
    pub origin: Origin,
}

impl ConfigError {
    pub(super) fn at(fault: Fault, origin: Origin) -> Self {
        Self { fault: Box::new(fault), origin }
    }

    pub(crate) fn in_file(fault: Fault, place: Place) -> Self {
        Self::at(fault, Origin::File(place))
    }

    pub(super) fn nowhere(fault: Fault) -> Self {
        Self::at(fault, Origin::BuiltIn)
    }

    pub(crate) fn read(path: &Path, error: &std::io::Error) -> Self {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        Self::nowhere(Fault::Read { path: path.to_owned(), why: error.to_string(), denied })
    }

    pub(super) fn no_environment(name: &str, known: &[String]) -> Self {
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let known = known.to_vec();
        Self::at(Fault::NoEnvironment { name: name.into(), nearest, known }, Origin::Flag("--environment"))
    }
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        let ConfigError { fault, origin } = error;
        let fault = match *fault {
            Fault::Lock(problem) => return *problem,
            fault => Box::new(fault),
        };
        let said = match (&origin, fault.as_ref()) {
            // The flag is the key.
            (Origin::Flag(flag), Fault::Value { why, .. }) => format!("{flag}: {why}"),
            (Origin::Flag(_) | Origin::Variable(_), fault) => format!("{origin}: {fault}"),
            (Origin::File(_) | Origin::BuiltIn, fault) => fault.to_string(),
        };
        Self {
            class: if matches!(origin, Origin::Flag(_)) { ProblemClass::Usage } else { fault.class() },
            code: fault.code().into(),
            message: said,
            detail: Vec::new(),
            help: fault.help(),
            place: if let Origin::File(place) = origin { Some(place) } else { None },
        }
    }
}
