//! A wheel, by pip: only what is built already, for nothing of a package is run to install it.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::Installed;
use tokio::process::Command;

use super::npm::{check_hash, the_file};
use super::{Brought, Desk, OneArchive, PackageSource};
use crate::InstallError;
use crate::apt::Sha256;
use crate::packages::Held;
use crate::shelf::Shelf;

const CLIENTS: &[&str] = &["pip", "pip3"];
const HOW: &str = "install pip: on Debian, apt install python3-pip";

pub(super) struct Pip {
    pub(super) project: String,
    pub(super) version: String,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) strip: bool,
}

impl Pip {
    fn key(&self) -> String {
        let strip = if self.strip { " strip" } else { "" };
        format!("pip {}=={}{strip}", self.project, self.version)
    }
}

/// The hashes that pip tells where they differ: `Expected sha256 ...`, `Got        ...`.
fn told_of_hash(error: InstallError, desk: &Desk<'_>, project: &str) -> InstallError {
    let InstallError::Client { detail, .. } = &error else { return error };
    let hash = |mark: &str| {
        let line = detail.iter().find_map(|line| line.split_once(mark))?.1;
        line.split_whitespace().find(|word| word.len() == 64).map(str::to_owned)
    };
    match (hash("Expected sha256"), hash("Got")) {
        (Some(expected), Some(found)) => InstallError::WrongHash {
            file: PathBuf::from(format!("{} ({project})", desk.name)),
            expected,
            found,
        },
        _ => error,
    }
}

#[async_trait]
impl PackageSource for Pip {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        match self.sha256 {
            Some(sha256) => shelf.installed(Some(super::identity(sha256, self.strip))),
            None => shelf.asked_for_as(&self.key()),
        }
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        desk.client(CLIENTS, HOW).map(drop)
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let pip = desk.client(CLIENTS, HOW)?;
        let folder = desk.empty_folder()?;
        desk.progress.of(&self.version, 1).stage(InstallStage::Fetch, 0, 0);
        // Without the hash of each, pip would take whatever its index gives.
        let hash = self.sha256.map(|sha256| format!(" --hash=sha256:{}", Sha256(sha256)));
        let wish = format!("{}=={}{}\n", self.project, self.version, hash.unwrap_or_default());
        let (list, wheels) = (folder.join("wish.txt"), folder.join("wheels"));
        fs::write(&list, wish).map_err(|error| InstallError::io("write", &list, error))?;
        let mut command = Command::new(&pip);
        command.args(["download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries=1"]);
        command.args(["--timeout=20", "--no-deps", "--only-binary=:all:", "--dest"]);
        command.arg(&wheels).arg("-r").arg(&list);
        desk.run("pip", command).await.map_err(|error| told_of_hash(error, desk, &self.project))?;
        let file = the_file(desk.name, "pip", &wheels, ".whl")?;
        let sha256 = check_hash(&file, self.sha256, held).await?;
        let archive = OneArchive {
            original: file.clone(),
            file,
            sha256,
            version: &self.version,
            strip: self.strip,
            source: Some(self.key()),
        };
        desk.one_archive(held, archive).await
    }

    fn resumes(&self) -> bool {
        false
    }
}
