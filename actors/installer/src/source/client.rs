//! What the clients of other registries are run with, and what their complaints come down to.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use farmhand_runtime::{Ended, Helper};
use tokio::process::Command;

use super::Desk;
use crate::InstallError;

/// For one run of a client that fetches.
const FETCH_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// Lines of a client that are shown.
const LINES_MAX: usize = 6;

/// What clients say where nobody answers them.
const OFFLINE: &[&str] = &[
    "Could not resolve",
    "Couldn't connect",
    "Could not connect",
    "connect to host",
    "Failed to connect",
    "unable to connect",
    "Connection refused",
    "Connection timed out",
    "Network is unreachable",
    "No route to host",
    "Temporary failure in name resolution",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ENOTFOUND",
    "ECONNREFUSED",
    "ENETUNREACH",
    "ETIMEDOUT",
    "EAI_AGAIN",
];

impl Desk<'_> {
    /// The first of these programs that this machine has.
    pub(super) fn client(&self, names: &[&str], how: &'static str) -> Result<PathBuf, InstallError> {
        let found = names.iter().find_map(|name| self.config.find(name, self.name, Vec::new).ok());
        found.ok_or_else(|| InstallError::NoTool {
            package: self.name.to_owned(),
            client: names.first().copied().unwrap_or_default().to_owned(),
            how,
        })
    }

    /// Runs a client; what it printed, where it did well.
    pub(super) async fn run(&self, client: &str, mut command: Command) -> Result<Ended, InstallError> {
        command.env("LC_ALL", "C").stdin(Stdio::null());
        let ended = Helper::run(command, FETCH_DEADLINE)
            .await
            .map_err(|source| InstallError::Helper { package: self.name.to_owned(), source })?;
        if ended.status.success() {
            return Ok(ended);
        }
        let words = String::from_utf8_lossy(&ended.stderr);
        let (package, detail) = (self.name.to_owned(), complaints(&words));
        if words.contains("No space left on device") || words.contains("ENOSPC") {
            return Err(InstallError::DiskFull { path: self.shelf.fetched() });
        }
        if OFFLINE.iter().any(|phrase| words.contains(phrase)) {
            return Err(InstallError::Offline { package, detail });
        }
        Err(InstallError::Client { package, client: client.to_owned(), detail })
    }
}

/// The lines that a person wants: those that say what is wrong, or else the last.
fn complaints(words: &str) -> Vec<String> {
    let marks = ["error", "ERR!", "fatal", "ERROR", "Expected sha256", "Got  "];
    let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut told: Vec<String> =
        lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).map(str::to_owned).collect();
    if told.is_empty() {
        told.extend(lines().next_back().map(str::to_owned));
    }
    told.dedup();
    told.truncate(LINES_MAX);
    told
}
