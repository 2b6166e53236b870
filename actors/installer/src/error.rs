//! Everything that can go wrong with an installation, and how it is told to people.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_api::{Place, Problem, ProblemClass};
use farmhand_runtime::HelperError;
use thiserror::Error;

use crate::secrets::without_passwords;
use crate::unpack::{WINDOW_BYTES_MAX, XZ_KIB_MAX, told};

/// Why a package is not installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// farmhand describes no package of that name.
    #[error("no package is called `{name}`")]
    UnknownName {
        /// As asked for.
        name: String,
        /// The name that was meant, perhaps.
        nearest: Option<String>,
    },
    /// Nothing that farmhand describes offers what a build asks for.
    #[error("no package of farmhand's offers {offer}")]
    NoOffer {
        /// What was asked for.
        offer: String,
    },
    /// A repository has no branch, tag or commit of that name.
    #[error("install {package}: {url} has no {reference}")]
    NoReference {
        /// What was to be installed.
        package: String,
        /// The repository.
        url: String,
        /// What was looked for.
        reference: String,
    },
    /// This machine has no client for Debian's archive.
    #[error("install {package}: `{client}` is not on this machine's PATH")]
    NoClient {
        /// What was to be installed.
        package: String,
        /// The program that is not there.
        client: String,
        /// The programs that the package would have brought.
        programs: Vec<String>,
    },
    /// Where it comes from is out of reach.
    #[error("install {package}: its server cannot be reached")]
    Offline {
        /// What was to be installed.
        package: String,
        /// The client's own words.
        detail: Vec<String>,
    },
    /// This machine has no client for a source that a project names.
    #[error("install {package}: `{client}` is not on this machine's PATH")]
    NoTool {
        /// What was to be installed.
        package: String,
        /// The program that is not there.
        client: String,
        /// How it is had.
        how: &'static str,
    },
    /// Servers that answered, and do not serve it.
    #[error("install {package}: no server has it")]
    NotServed {
        /// What was to be installed.
        package: String,
        /// What each said.
        detail: Vec<String>,
    },
    /// A project's lock that cannot be read.
    #[error("{}: {why}", .path.display())]
    BadLock {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where.
        place: Option<Place>,
    },
    /// A project's lock would change, and was to stay as it is.
    #[error("{} would change, and is locked: {name}: {why}", .path.display())]
    LockChanges {
        /// Which file.
        path: PathBuf,
        /// Which package.
        name: String,
        /// What is new.
        why: &'static str,
    },
    /// A package is not what a project's lock pins.
    #[error("{name} is not what {} pins", .path.display())]
    NotAsLocked {
        /// Which file.
        path: PathBuf,
        /// Which package.
        name: String,
        /// What the lock says, in hexadecimal.
        expected: String,
        /// What it is, in hexadecimal.
        found: String,
    },
    /// A package is not what was installed.
    #[error("{name} is not what was installed: {}", .path.display())]
    Damaged {
        /// Which.
        name: String,
        /// Where it is.
        path: PathBuf,
    },
    /// A file that is no bundle, or a damaged one.
    #[error("{}: not a bundle: {why}", .path.display())]
    BadBundle {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The sources that this machine is configured for do not have it.
    #[error("install {package}: this machine's apt sources do not have it")]
    NotInArchive {
        /// What was to be installed.
        package: String,
        /// The client's own words.
        detail: Vec<String>,
    },
    /// The client failed, and why is in its own words only.
    #[error("install {package}: {client} failed")]
    Client {
        /// What was to be installed.
        package: String,
        /// Which program.
        client: String,
        /// Its own words.
        detail: Vec<String>,
    },
    /// What the client printed is not what it prints.
    #[error("install {package}: cannot read what {client} prints: {line}")]
    Gibberish {
        /// What was to be installed.
        package: String,
        /// Which program.
        client: String,
        /// The line, or what is missing.
        line: String,
    },
    /// The bytes are not those that were promised.
    #[error("{}: has the wrong SHA-256", .file.display())]
    WrongHash {
        /// Which file.
        file: PathBuf,
        /// What it must be, in hexadecimal.
        expected: String,
        /// What it is, in hexadecimal.
        found: String,
    },
    /// An archive holds something that no package may hold.
    #[error("{}: refused `{entry}`: {why}", .archive.display())]
    Refused {
        /// Which archive.
        archive: PathBuf,
        /// The entry in it.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An archive unpacks to more than any package may.
    #[error("{}: unpacks to more than {what}", .archive.display())]
    TooBig {
        /// Which archive.
        archive: PathBuf,
        /// The bound, with its unit.
        what: String,
    },
    /// An archive that would have its reader hold more than any package may.
    #[error("{}: unpacking it would take more memory than any package may have", .archive.display())]
    TooHungry {
        /// Which archive.
        archive: PathBuf,
    },
    /// An archive that cannot be read.
    #[error("{}: not a readable archive: {source}", .archive.display())]
    BadArchive {
        /// Which archive.
        archive: PathBuf,
        /// The reader's words.
        source: io::Error,
    },
    /// What was unpacked is not the package that was described.
    #[error("install {package}: `{missing}` is not in what was unpacked")]
    Incomplete {
        /// Which package.
        package: String,
        /// A file that must be there.
        missing: String,
    },
    /// There is no room left.
    #[error("no space left on the disk that holds {}", .path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Nothing arrived for too long.
    #[error("install {package}: nothing arrived for {} s", .quiet.as_secs())]
    Stalled {
        /// What was to be installed.
        package: String,
        /// For how long.
        quiet: Duration,
    },
    /// The whole took too long.
    #[error("install {package}: not done within {} min", .deadline.as_secs() / 60)]
    Deadline {
        /// What was to be installed.
        package: String,
        /// How long it had.
        deadline: Duration,
    },
    /// There is no such local file or folder.
    #[error("{}: is not there", .path.display())]
    NoSuchFile {
        /// As asked for.
        path: PathBuf,
    },
    /// A local file of a kind that is not unpacked.
    #[error("{}: not a package: an archive or a folder is", .path.display())]
    UnknownKind {
        /// As asked for.
        path: PathBuf,
    },
    /// A file that holds no archive.
    #[error("{}: holds no archive that can be unpacked", .path.display())]
    NoArchive {
        /// Which file.
        path: PathBuf,
    },
    /// A hash was given for a folder.
    #[error("{}: is a folder, and `sha256` is for files", .path.display())]
    HashOfFolder {
        /// As asked for.
        path: PathBuf,
    },
    /// A helper could not be run.
    #[error("install {package}: {source}")]
    Helper {
        /// What was to be installed.
        package: String,
        /// Why.
        source: HelperError,
    },
    /// As many wait as may.
    #[error("install {package}: {waiting} others wait for it already")]
    Busy {
        /// What was to be installed.
        package: String,
        /// How many.
        waiting: usize,
    },
    /// The installation was given up by its owner.
    #[error("install {package}: interrupted")]
    Interrupted {
        /// What was to be installed.
        package: String,
    },
    /// A download that is longer than any package may be.
    #[error("{url}: sends more than {bytes_max} bytes, the most that a package may have")]
    EndlessDownload {
        /// Where from.
        url: String,
        /// The bound.
        bytes_max: u64,
    },
}

impl InstallError {
    /// The system's error while doing `what` to `path`; a full disk is named as such.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        // It may be of a package's file: an archive chose how that is called.
        let path = PathBuf::from(told(path.as_os_str().as_encoded_bytes()));
        if is_full(&source) {
            return Self::DiskFull { path };
        }
        Self::Io { what, path, source }
    }

    /// An archive's error; one that is of its window, and not of its bytes, is named as such.
    pub(crate) fn archive(archive: &Path, source: io::Error) -> Self {
        let archive = archive.to_owned();
        if source.kind() == io::ErrorKind::OutOfMemory {
            return Self::TooHungry { archive };
        }
        // The reader's words may have a name in them.
        let words = source.to_string();
        let source = match words.contains(char::is_control) {
            true => io::Error::new(source.kind(), told(words.as_bytes())),
            false => source,
        };
        Self::BadArchive { archive, source }
    }

    /// Both are out of reach: told as one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        if let (Self::Offline { detail, .. }, Self::Offline { package, detail: others }) = (&mut self, other)
        {
            detail.push(format!("nor can that of {package}"));
            detail.extend(others.into_iter().filter(|line| !detail.contains(line)).collect::<Vec<_>>());
        }
        self
    }

    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownName { .. } => "F501",
            Self::NoClient { .. } => "F502",
            Self::Offline { .. } => "F503",
            Self::NotInArchive { .. } => "F504",
            Self::Client { .. } => "F505",
            Self::Gibberish { .. } => "F506",
            Self::WrongHash { .. } => "F507",
            Self::Refused { .. } => "F508",
            Self::TooBig { .. } => "F509",
            Self::BadArchive { .. } => "F510",
            Self::Incomplete { .. } => "F511",
            Self::DiskFull { .. } => "F512",
            Self::Io { .. } => "F513",
            Self::Stalled { .. } => "F514",
            Self::Deadline { .. } => "F515",
            Self::NoSuchFile { .. } => "F516",
            Self::UnknownKind { .. } => "F517",
            Self::HashOfFolder { .. } => "F518",
            Self::Helper { .. } => "F519",
            Self::Busy { .. } => "F520",
            Self::Interrupted { .. } => "F521",
            Self::NoArchive { .. } => "F522",
            Self::NoTool { .. } => "F523",
            Self::NotServed { .. } => "F524",
            Self::BadLock { .. } => "F525",
            Self::LockChanges { .. } => "F526",
            Self::NotAsLocked { .. } => "F527",
            Self::Damaged { .. } => "F528",
            Self::BadBundle { .. } => "F529",
            Self::NoOffer { .. } => "F530",
            Self::NoReference { .. } => "F531",
            Self::TooHungry { .. } => "F532",
            Self::EndlessDownload { .. } => "F533",
        }
    }

    /// Decides the exit code.
    #[must_use]
    pub fn class(&self) -> ProblemClass {
        match self {
            Self::UnknownName { .. }
            | Self::NoSuchFile { .. }
            | Self::UnknownKind { .. }
            | Self::HashOfFolder { .. } => ProblemClass::Usage,
            Self::BadLock { .. } | Self::LockChanges { .. } => ProblemClass::Configuration,
            Self::NoClient { .. }
            | Self::NoOffer { .. }
            | Self::NoReference { .. }
            | Self::TooHungry { .. }
            | Self::NotAsLocked { .. }
            | Self::Damaged { .. }
            | Self::BadBundle { .. }
            | Self::NoTool { .. }
            | Self::Offline { .. }
            | Self::NotServed { .. }
            | Self::NotInArchive { .. }
            | Self::Client { .. }
            | Self::Gibberish { .. }
            | Self::WrongHash { .. }
            | Self::Refused { .. }
            | Self::TooBig { .. }
            | Self::EndlessDownload { .. }
            | Self::BadArchive { .. }
            | Self::NoArchive { .. }
            | Self::Incomplete { .. }
            | Self::Stalled { .. }
            | Self::Deadline { .. } => ProblemClass::Package,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ProblemClass::Permission
            }
            Self::DiskFull { .. } | Self::Io { .. } | Self::Helper { .. } | Self::Interrupted { .. } => {
                ProblemClass::Infra
            }
            Self::Busy { .. } => ProblemClass::Busy,
        }
    }

    fn detail(&self) -> Vec<String> {
        match self {
            Self::Offline { detail, .. }
            | Self::NotServed { detail, .. }
            | Self::NotInArchive { detail, .. }
            | Self::Client { detail, .. } => detail.clone(),
            Self::WrongHash { expected, found, .. } | Self::NotAsLocked { expected, found, .. } => {
                vec![format!("expected {expected}"), format!("found    {found}")]
            }
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Vec<String> {
        match self {
            Self::UnknownName { nearest, .. } => {
                let mut help: Vec<_> =
                    nearest.iter().map(|nearest| format!("did you mean `{nearest}`?")).collect();
                help.push(format!("there are: {}", crate::names().collect::<Vec<_>>().join(", ")));
                help
            }
            Self::NoSuchFile { .. } => {
                vec!["`path` of a [package.NAME] begins at the folder of farmhand.toml".into()]
            }
            Self::NoClient { programs, .. } => {
                let programs = if programs.is_empty() {
                    "install dpkg, or unpack the package and give its folder".to_owned()
                } else {
                    format!("put {} on the PATH, and set `toolchain = \"system\"`", programs.join(", "))
                };
                vec![programs]
            }
            Self::Offline { .. } | Self::Stalled { .. } => vec![
                "check the network and the proxy that is configured, and try again: what is fetched is kept"
                    .into(),
                "what is installed already works without a network".into(),
            ],
            Self::LockChanges { .. } => vec!["without --locked, `farmhand install` writes it".into()],
            Self::NotAsLocked { .. } => vec![
                "`farmhand packages verify` says whether it was damaged".into(),
                "what is declared by `path` has perhaps been edited: `farmhand install` takes it as it is now".into(),
            ],
            Self::Damaged { .. } => vec!["farmhand packages verify --discard, and install it again".into()],
            Self::BadBundle { .. } => {
                vec!["farmhand install --offline-bundle NEW-FILE packs one, where there is a network".into()]
            }
            Self::TooHungry { .. } => vec![format!(
                "xz may have {} MiB, zstd a window of {} MiB: pack it with less (`xz -9`, `zstd --long=27` at most)",
                XZ_KIB_MAX >> 10,
                WINDOW_BYTES_MAX >> 20
            )],
            Self::NoOffer { offer } => {
                vec![format!("declare one: `[package.NAME]` with `offers = [\"{offer}\"]`")]
            }
            Self::BadLock { .. } => vec![
                "take it from version control again, or remove it: `farmhand install` writes a new one"
                    .into(),
            ],
            Self::Client { client, .. } => {
                vec![format!(
                    "`{client}` says so itself: its own settings and `{client} --version` are where to look"
                )]
            }
            Self::Refused { archive, .. } | Self::TooBig { archive, .. } if archive.is_dir() => {
                vec!["nothing of it is installed: take out of the folder what no package may hold".into()]
            }
            Self::Refused { .. } | Self::TooBig { .. } | Self::BadArchive { .. } => {
                vec!["nothing of it is installed; whoever made the archive can pack it otherwise".into()]
            }
            Self::NoReference { .. } => vec!["say a branch, a tag or a commit in full behind `#`".into()],
            Self::NoTool { how, .. } => vec![(*how).to_owned()],
            Self::NotServed { .. } => vec!["what is fetched is kept; `mirrors` names other servers".into()],
            Self::EndlessDownload { .. } => {
                vec!["look at the address: `mirrors` names other servers of the same".into()]
            }
            Self::NotInArchive { .. } => vec![
                "look at /etc/apt/sources.list and sources.list.d: on Ubuntu, `universe` must be among them"
                    .into(),
            ],
            Self::NoArchive { .. } => {
                vec!["tar (plain or with gzip, xz, zstd or bzip2), zip and deb are unpacked, told by their content".into()]
            }
            Self::DiskFull { .. } => vec!["make room, and try again: nothing half-installed is left".into()],
            Self::Io { .. } => vec!["nothing half-installed is left: once that is mended, try again".into()],
            Self::WrongHash { .. } => vec!["fetch the file again, or give the hash that it has".into()],
            _ => Vec::new(),
        }
    }
}

/// Whether the system says that there is no room: on the disk, in the user's share of it, or in a file.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl From<&InstallError> for Problem {
    fn from(error: &InstallError) -> Self {
        let shown = |lines: Vec<String>| lines.iter().map(|line| without_passwords(line)).collect();
        Self {
            class: error.class(),
            code: error.code().into(),
            message: without_passwords(&error.to_string()),
            detail: shown(error.detail()),
            help: shown(error.help()),
            place: match error {
                InstallError::BadLock { place, .. } => place.clone(),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_full_disk_is_named_as_such() {
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            let error = InstallError::io("write", Path::new("/x/y"), errno.into());
            assert_eq!(error.to_string(), "no space left on the disk that holds /x/y");
            assert_eq!((error.class(), error.code()), (ProblemClass::Infra, "F512"));
        }
        let error = InstallError::io("write", Path::new("/x/y"), Errno::ACCESS.into());
        assert_eq!(error.class(), ProblemClass::Permission);
    }

    #[test]
    fn no_password_is_told() {
        let url = "https://me:secret@host/a.tar".to_owned();
        let error = InstallError::EndlessDownload { url, bytes_max: 1 };
        let problem = Problem::from(&error);
        assert!(problem.message.starts_with("https://me:***@host/a.tar: "), "{}", problem.message);
    }
}
