//! What an installer may be told; all of it has one sensible value.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{InstallError, Limits};

/// Names a sources list of apt's own format that is used instead of the machine's.
pub const APT_SOURCES: &str = "FARMHAND_APT_SOURCES";

/// How packages are installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// A sources list in apt's format (`sources.list` or `.sources`), instead of those of the machine.
    pub apt_sources: Option<PathBuf>,
    /// Where programs are looked for, instead of the `PATH`.
    pub path: Option<OsString>,
    /// How much a package may unpack to.
    pub limits: Limits,
    /// How long a server may say nothing before it is asked again; 30 s where nothing is said.
    pub stall: Option<Duration>,
}

/// Longer than any healthy server is silent, and short enough to be waited for.
const STALL: Duration = Duration::from_secs(30);

impl Config {
    /// The machine's sources, or those that [`APT_SOURCES`] names.
    #[must_use]
    pub fn from_env() -> Self {
        Self { apt_sources: std::env::var_os(APT_SOURCES).map(PathBuf::from), ..Self::default() }
    }

    pub(crate) fn stall(&self) -> Duration {
        self.stall.unwrap_or(STALL)
    }

    /// Finds a client of `package`; `programs` are those that a machine without it needs on its PATH.
    pub(crate) fn find(
        &self,
        client: &str,
        package: &str,
        programs: impl FnOnce() -> Vec<String>,
    ) -> Result<PathBuf, InstallError> {
        let path = self.path.clone().or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        let found = std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(client))
            .find(|program| is_program(program));
        found.ok_or_else(|| InstallError::NoClient {
            package: package.to_owned(),
            client: client.to_owned(),
            programs: programs(),
        })
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
