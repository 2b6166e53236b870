//! Why there is no program.

use std::io;
use std::path::{Path, PathBuf};

use farmhand_api::{Problem, ProblemClass, plain};
use farmhand_project::ManifestError;
use farmhand_project::platformio::FlagsError;
use farmhand_runtime::HelperError;
use thiserror::Error;

use crate::inputs::InputError;
use crate::properties::{PropertiesError, UnknownBoard};

/// Lines of a compiler's output that go with a problem: all were shown as they came.
const DETAIL_LINES_MAX: usize = 12;

/// Why there is no program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The board, or a file of its core.
    #[error(transparent)]
    Board(#[from] PropertiesError),
    /// There is nothing to compile.
    #[error("there is no {what} in {}", folder.display())]
    NoSource {
        /// What was looked for.
        what: &'static str,
        /// Where.
        folder: PathBuf,
    },
    /// A sketch is written for a core.
    #[error("{board} has no Arduino core to build a sketch with")]
    NoCore {
        /// The board.
        board: String,
    },
    /// There are several linker scripts.
    #[error("there are {} linker scripts: {}", scripts.len(), scripts.join(", "))]
    Scripts {
        /// As the linker would be told them.
        scripts: Vec<String>,
    },
    /// A package cannot be had: the installer's words.
    #[error("{}", .0.message)]
    Package(Box<Problem>),
    /// Two packages of a project's offer the same.
    #[error("{one} and {other} both offer {offer}")]
    TwoOffer {
        /// What.
        offer: String,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// Two packages of a project's set the same variable.
    #[error("{one} and {other} both set {variable} in the environment")]
    TwoSay {
        /// Which.
        variable: String,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// A package of a project's is not what it is said to be.
    #[error("{package} is said to offer {offer}, and has no {what}")]
    NotOffered {
        /// Which.
        package: String,
        /// What.
        offer: String,
        /// What is not in it.
        what: String,
    },
    /// A tool that should be on this machine is not.
    #[error("{what} is not there")]
    Missing {
        /// What.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// Flags of `platformio.ini` that are none.
    #[error("{what} of [env:{environment}]: {source}")]
    Flags {
        /// The option.
        what: &'static str,
        /// The environment.
        environment: String,
        /// What is wrong with them.
        source: FlagsError,
    },
    /// A core that a project needs in a version that nobody has.
    #[error("there is no core {core} {wanted}")]
    NoVersion {
        /// Whose, and of what.
        core: String,
        /// The version.
        wanted: String,
    },
    /// A library of a sketch's profile that a person does not have.
    #[error("there is no library {name:?}{}", version_of(.found))]
    NotInstalled {
        /// As the profile has it.
        name: String,
        /// A version that is there, and will not do.
        found: Option<String>,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// A library that a project needs and that is nowhere.
    #[error("there is no library {name:?}{}", version_of(.found))]
    NoLibrary {
        /// As the project has it.
        name: String,
        /// A version that is there, and will not do.
        found: Option<String>,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// A library's `library.json` that is none.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A compiler, an archiver or a linker refused.
    #[error("{what} does not {verb}")]
    Refused {
        /// The file.
        what: String,
        /// `compile`, `link`, ...
        verb: &'static str,
        /// What was printed, as written.
        printed: String,
    },
    /// The program does not fit.
    #[error("the program has {bytes} bytes; {board} has room for {bytes_max}")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The board's.
        bytes_max: u64,
        /// The board.
        board: String,
    },
    /// The program does not even fit the chip, and it cannot be told how large it is.
    #[error("the program is larger than the chip's memory; {board} has room for {bytes_max} bytes of flash")]
    Overflows {
        /// The board's.
        bytes_max: u64,
        /// The board.
        board: String,
    },
    /// Its variables do not fit.
    #[error("the program's variables take {bytes} bytes of RAM; {board} has {bytes_max}")]
    TooMuchData {
        /// Its bytes.
        bytes: u64,
        /// The board's.
        bytes_max: u64,
        /// The board.
        board: String,
    },
    /// The project's own build command failed.
    #[error("`{command}` failed: {how}")]
    Command {
        /// The command line.
        command: String,
        /// Its status, or that it took too long.
        how: String,
        /// The end of what it printed.
        printed: String,
    },
    /// A command did what it was for, and there is no program.
    #[error("`{command}` ended well, and there is no {}", path.display())]
    NotLeft {
        /// The command.
        command: String,
        /// Where the program should be.
        path: PathBuf,
    },
    /// What should be the program is none.
    #[error("{}: {why}", path.display())]
    NoArtifact {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A tool could not be run, or took too long.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// Another build holds the folder.
    #[error("another build has held {} for {waited_s} s", folder.display())]
    Held {
        /// The build folder.
        folder: PathBuf,
        /// How long.
        waited_s: u64,
    },
    /// A build runs in a folder that was to be removed.
    #[error("a build runs in {}; nothing was removed", folder.display())]
    Building {
        /// The build folder.
        folder: PathBuf,
    },
    /// What a killed build's own command had begun cannot be ended.
    #[error("what a killed build in {} had begun does not end", folder.display())]
    LeftBehind {
        /// The build folder.
        folder: PathBuf,
    },
    /// Another process collects the cache.
    #[error("another process collects {} already", folder.display())]
    Collecting {
        /// The cache's folder.
        folder: PathBuf,
    },
    /// What a tool was given was written over meanwhile.
    #[error("{} was written over while it was being built with", path.display())]
    Overwritten {
        /// What.
        path: PathBuf,
    },
    /// A project's own build command asks for what waits for it.
    #[error("{what} is under way, and waits for the command that asks for it again")]
    Nested {
        /// What.
        what: String,
    },
    /// What was to be removed, or built in, is not what a build left.
    #[error("{} is not farmhand's: {why}; it is left as it is", path.display())]
    NotOurs {
        /// What.
        path: PathBuf,
        /// How that is known.
        why: &'static str,
    },
    /// What the project's own build command reads is not there.
    #[error("build.inputs: {0}")]
    Input(#[from] InputError),
    /// This machine was named as a board, and nothing says what is built for it.
    #[error(
        "board \"native\" stands for this machine, which only an environment of platformio.ini builds for"
    )]
    NativeBoard,
    /// A rule that we hold to ourselves was broken.
    #[error("internal: {0}")]
    Internal(String),
}

/// As compilers say it (strerror(3) of ENOSPC).
const FULL: &str = "No space left on device";
const ROOM: &str = "make room, and build again: what is done is kept (`farmhand cache gc` and `farmhand packages gc` free some)";

impl BuildError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether a link failed for want of memory, as binutils say it.
    pub(crate) fn is_overflow(&self) -> bool {
        const SAYS: [&str; 3] = ["will not fit in region `", "is not within region `", "' overflowed by "];
        matches!(self, Self::Refused { verb: "link", printed, .. }
            if SAYS.iter().any(|words| printed.contains(words)))
    }

    fn class_and_code(&self) -> (ProblemClass, &'static str) {
        use ProblemClass::{Build, Configuration, Infra, Package};
        match self {
            Self::Board(PropertiesError::Read { .. }) => (Package, "F401"),
            Self::Board(_) => (Configuration, "F402"),
            Self::NoSource { .. } | Self::NoCore { .. } | Self::Scripts { .. } => (Configuration, "F403"),
            Self::NativeBoard => (Configuration, "F402"),
            Self::Package(problem) => (problem.class, "F404"),
            Self::Missing { .. } => (Package, "F405"),
            // The compiler's words for what is no fault of the program's.
            Self::Refused { printed, .. } if printed.contains(FULL) => (Infra, "F406"),
            Self::Refused { .. } => (Build, "F406"),
            Self::TooLarge { .. } | Self::Overflows { .. } => (Build, "F407"),
            Self::TooMuchData { .. } => (Build, "F408"),
            Self::Command { .. } => (Build, "F409"),
            Self::NoArtifact { .. } | Self::NotLeft { .. } => (Build, "F410"),
            Self::Helper(HelperError::Missing { .. }) => (Package, "F411"),
            Self::Helper(_) => (Infra, "F412"),
            Self::Held { .. } => (ProblemClass::Busy, "F413"),
            Self::Building { .. } => (ProblemClass::Busy, "F419"),
            Self::LeftBehind { .. } => (Infra, "F425"),
            Self::NotOurs { .. } => (Configuration, "F420"),
            Self::Collecting { .. } => (ProblemClass::Busy, "F421"),
            Self::Nested { .. } => (Configuration, "F422"),
            Self::Overwritten { .. } => (Infra, "F424"),
            Self::Input(InputError::Read { source, .. }) if is_refused(source) => {
                (ProblemClass::Permission, "F418")
            }
            Self::Input(_) => (Configuration, "F418"),
            Self::Io { source, .. } if is_refused(source) => (ProblemClass::Permission, "F414"),
            Self::Io { .. } => (Infra, "F414"),
            Self::Internal(_) => (Infra, "F415"),
            Self::Flags { .. } => (Configuration, "F450"),
            Self::TwoOffer { .. } | Self::TwoSay { .. } => (Configuration, "F453"),
            Self::NotOffered { .. } => (Configuration, "F454"),
            Self::NoLibrary { .. } => (Package, "F451"),
            Self::NoVersion { .. } => (Package, "F457"),
            Self::NotInstalled { .. } => (Package, "F458"),
            Self::Manifest { .. } => (Configuration, "F452"),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::Board(PropertiesError::Unknown(UnknownBoard { nearest, .. })) if !nearest.is_empty() => {
                vec![format!("did you mean {}?", nearest.join(", or "))]
            }
            Self::NoArtifact { path, .. } if path.is_file() => {
                vec!["a program is an ELF or an Intel HEX file, whatever its name".into()]
            }
            Self::NativeBoard => {
                vec![
                    "platformio.ini with [env:native] and `platform = native`, as examples/native has it"
                        .into(),
                ]
            }
            Self::NotLeft { .. } => {
                vec!["`artifact` of [build] in farmhand.toml names the file that the command leaves".into()]
            }
            Self::Missing { help, .. } => vec![help.clone()],
            Self::NoVersion { core, wanted } => vec![
                format!(
                    "install it: `arduino-cli core install {core}@{wanted}`, or Arduino's boards manager"
                ),
                "or leave the version out of sketch.yaml: what is there is taken then".into(),
            ],
            Self::NotInstalled { folders, .. } => {
                let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                let mut help = vec![
                    "install it with Arduino's library manager, or name its folder in sketch.yaml: `- dir: ../NAME`"
                        .to_owned(),
                ];
                help.extend((!folders.is_empty()).then(|| format!("looked for in {}", folders.join(", "))));
                help
            }
            Self::NoLibrary { name, .. } if name.starts_with("file://") || name.starts_with("symlink://") => {
                vec!["there is no such folder: a path in `lib_deps` begins at the project's".into()]
            }
            Self::NoLibrary { folders, .. } => {
                let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                vec![
                    "put it into the project's `lib`, or have PlatformIO install it: `pio pkg install`"
                        .into(),
                    format!("looked for in {}", folders.join(", ")),
                ]
            }
            Self::TwoOffer { one, offer, .. } => {
                vec![format!("take {offer} out of the `offers` of one: of [package.{one}], for example")]
            }
            Self::TwoSay { one, .. } => {
                vec![format!("leave it out of the `environment` of one: of [package.{one}], for example")]
            }
            Self::NotOffered { package, .. } => vec![
                format!("look at `offers` of [package.{package}], and at `strip`"),
                format!("farmhand packages why {package} says where it lies"),
            ],
            Self::NoCore { .. } => {
                vec!["build a tree of C or C++ with start-up code of its own (`source`)".into()]
            }
            Self::Scripts { scripts } => {
                vec![format!(
                    "say which: `link-flags = [\"-T{}\"]`",
                    scripts.first().map_or("", String::as_str)
                )]
            }
            Self::Io { source, .. } if is_refused(source) => {
                vec![
                    "a build reads the project, and writes to .farmhand in it, or to the farm's own folder"
                        .into(),
                ]
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => vec![ROOM.into()],
            Self::Refused { printed, .. } if printed.contains(FULL) => vec![ROOM.into()],
            Self::Overwritten { .. } => {
                vec!["build again; does another program write to the build's folder?".into()]
            }
            Self::Nested { .. } => {
                vec![
                    "a [build] command may have farmhand build other projects, in folders of their own"
                        .into(),
                ]
            }
            Self::Collecting { .. } => vec!["try again when it has ended".into()],
            Self::Building { .. } => vec!["wait until it has ended, or cancel it".into()],
            Self::LeftBehind { .. } => vec![
                "look for processes with FARMHAND_COMMAND in their environment: one of them waits for a disk, perhaps".into(),
            ],
            Self::NotOurs { path, .. } => {
                vec![format!("look at {}, and remove it yourself if nothing in it is wanted", path.display())]
            }
            Self::TooLarge { .. } | Self::Overflows { .. } => {
                vec!["leave out what is not needed, or use a larger board".into()]
            }
            Self::Helper(HelperError::Missing { program }) => {
                vec![format!("it was there when the build was planned: put {program} back, or build again")]
            }
            _ => Vec::new(),
        }
    }
}

impl From<BuildError> for Problem {
    fn from(error: BuildError) -> Self {
        if let BuildError::Package(problem) = error {
            return *problem;
        }
        let (class, code) = error.class_and_code();
        let detail = match &error {
            BuildError::Refused { printed, .. } => first_errors(&plain(printed)),
            BuildError::Command { printed, .. } => last_lines(&plain(printed)),
            _ => Vec::new(),
        };
        let (message, help) = (error.to_string(), error.help());
        Self { class, code: code.into(), message, detail, help, place: None }
    }
}

fn version_of(found: &Option<String>) -> String {
    found.as_ref().map_or_else(String::new, |version| format!(": {version} is there, and will not do"))
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The lines that say what is wrong; where none says so, the first.
fn first_errors(printed: &str) -> Vec<String> {
    let is_error = |line: &&str| {
        ["error:", "Error:", "undefined reference", "overflowed", "will not fit", "multiple definition"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut lines: Vec<_> = printed.lines().filter(is_error).take(DETAIL_LINES_MAX).collect();
    if lines.is_empty() {
        lines = printed.lines().take(DETAIL_LINES_MAX).collect();
    }
    lines.into_iter().map(str::to_owned).collect()
}

fn last_lines(printed: &str) -> Vec<String> {
    let lines: Vec<_> = printed.lines().collect();
    lines[lines.len().saturating_sub(DETAIL_LINES_MAX)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_compilers_own_lines() {
        let printed = "a.ino: In function 'void f()':\na.ino:3:5: error: 'x' was not declared\n   x;\n   ^\n";
        let error = BuildError::Refused { what: "a.ino".into(), verb: "compile", printed: printed.into() };
        let problem = Problem::from(error);
        assert_eq!(problem.class, ProblemClass::Build);
        assert_eq!(problem.message, "a.ino does not compile");
        assert_eq!(problem.detail, ["a.ino:3:5: error: 'x' was not declared"]);
    }
}
