//! A tarball, by npm: nothing of it is run.

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::Installed;
use tokio::process::Command;

use super::{Brought, Desk, OneArchive, PackageSource};
use crate::InstallError;
use crate::apt::Sha256;
use crate::packages::{Held, in_thread};
use crate::shelf::Shelf;
use crate::unpack::hash_file;

const HOW: &str = "install npm: on Debian, apt install npm";

pub(super) struct Npm {
    pub(super) project: String,
    pub(super) version: String,
    pub(super) sha256: Option<[u8; 32]>,
}

impl Npm {
    fn key(&self) -> String {
        format!("npm {}@{}", self.project, self.version)
    }
}

#[async_trait]
impl PackageSource for Npm {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        match self.sha256 {
            Some(sha256) => shelf.installed(Some(super::identity(sha256, true))),
            None => shelf.asked_for_as(&self.key()),
        }
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        desk.client(&["npm"], HOW).map(drop)
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let npm = desk.client(&["npm"], HOW)?;
        let folder = desk.empty_folder()?;
        desk.progress.of(&self.version, 1).stage(InstallStage::Fetch, 0, 0);
        let mut command = Command::new(&npm);
        command.args(["pack", "--loglevel=error", "--ignore-scripts", "--fetch-retries=1"]);
        // Who is offline is told within three seconds, and not after the ten that npm waits for another try.
        command.args([
            "--fetch-retry-mintimeout=300",
            "--fetch-retry-maxtimeout=300",
            "--fetch-timeout=60000",
        ]);
        command.arg("--pack-destination").arg(&folder);
        command.arg("--").arg(format!("{}@{}", self.project, self.version)).current_dir(&folder);
        desk.run("npm", command).await?;
        let file = the_file(desk.name, "npm", &folder, ".tgz")?;
        let sha256 = check_hash(&file, self.sha256, held).await?;
        // All of a tarball of npm's is in `package/`, or in one folder of another name.
        let archive = OneArchive {
            original: file.clone(),
            file,
            sha256,
            version: &self.version,
            strip: true,
            source: Some(self.key()),
        };
        desk.one_archive(held, archive).await
    }

    fn resumes(&self) -> bool {
        false
    }
}

/// The one file that a client fetched.
pub(super) fn the_file(
    package: &str,
    client: &str,
    folder: &Path,
    ending: &str,
) -> Result<PathBuf, InstallError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        _ => Err(InstallError::Gibberish {
            package: package.to_owned(),
            client: client.to_owned(),
            line: format!("it should have fetched one {ending}"),
        }),
    }
}

/// What a file is; an error where it is not what it must be.
pub(super) async fn check_hash(
    file: &Path,
    expected: Option<[u8; 32]>,
    held: &Held,
) -> Result<[u8; 32], InstallError> {
    let hashed = file.to_owned();
    let (found, _bytes) = in_thread(held.clone(), move || hash_file(&hashed, |_, _| Ok(()))).await?;
    match expected.filter(|expected| *expected != found) {
        None => Ok(found),
        Some(expected) => Err(InstallError::WrongHash {
            file: file.to_owned(),
            expected: Sha256(expected).to_string(),
            found: Sha256(found).to_string(),
        }),
    }
}
