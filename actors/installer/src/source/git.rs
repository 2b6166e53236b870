//! A commit of a git repository: its files, without its history, by the same rules as any archive.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::Installed;
use tokio::process::Command;

use super::{Brought, Desk, OneArchive, PackageSource};
use crate::InstallError;
use crate::packages::{Held, in_thread};
use crate::shelf::Shelf;
use crate::unpack::hash_file;

const HOW: &str = "install git: on Debian, apt install git";

pub(super) struct Git {
    pub(super) url: String,
    pub(super) commit: String,
    pub(super) version: String,
}

impl Git {
    /// A commit is its content: wherever it comes from, it is the same.
    fn key(&self) -> String {
        format!("git {}", self.commit)
    }

    fn command(&self, git: &Path, repository: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(git);
        // Whatever the user's own settings say, each object is checked as it arrives.
        command.args(["-c", "fetch.fsckObjects=true", "-c", "gc.auto=0", "-c", "protocol.ext.allow=never"]);
        command.arg("-C").arg(repository).args(args);
        command.env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        command
    }
}

#[async_trait]
impl PackageSource for Git {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        shelf.asked_for_as(&self.key())
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        desk.client(&["git"], HOW).map(drop)
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let git = desk.client(&["git"], HOW)?;
        let folder = desk.empty_folder()?;
        let git_at = |args: &[&str]| self.command(&git, &folder, args);
        desk.progress.of(&self.version, 1).stage(InstallStage::Fetch, 0, 0);
        desk.run("git", git_at(&["init", "--quiet", "--bare"])).await?;
        let one = git_at(&["fetch", "--quiet", "--no-tags", "--depth=1", "--", &self.url, &self.commit]);
        match desk.run("git", one).await {
            Ok(_) => {}
            // Some servers give nothing but branches and tags: then all of it is fetched.
            Err(InstallError::Client { .. }) => {
                let all = [
                    "fetch",
                    "--quiet",
                    "--",
                    &self.url,
                    "+refs/heads/*:refs/heads/*",
                    "+refs/tags/*:refs/tags/*",
                ];
                desk.run("git", git_at(&all)).await?;
            }
            Err(error) => return Err(error),
        }
        let file = folder.join("archive.tar");
        let mut archive = git_at(&["archive", "--format=tar"]);
        archive.arg("-o").arg(&file).arg(format!("{}^{{tree}}", self.commit));
        desk.run("git", archive).await?;
        let hashed = file.clone();
        let (sha256, _bytes) = in_thread(held.clone(), move || hash_file(&hashed, |_, _| Ok(()))).await?;
        let archive = OneArchive {
            original: PathBuf::from(&self.url),
            file,
            sha256,
            version: &self.version,
            strip: false,
            source: Some(self.key()),
        };
        desk.one_archive(held, archive).await
    }

    fn resumes(&self) -> bool {
        false
    }
}
