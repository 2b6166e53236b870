//! A commit of a git repository: its files and its submodules', without their history, by the same rules as any archive.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::Installed;
use tokio::process::Command;

use super::{Brought, Desk, OneArchive, PackageSource};
use crate::InstallError;
use crate::pack::pack;
use crate::packages::{Held, in_thread};
use crate::shelf::Shelf;
use crate::unpack::hash_file;

const HOW: &str = "install git: on Debian, apt install git";

const SSH: &str = "ssh -o BatchMode=yes -o ConnectTimeout=2";

/// What a branch or a tag is now, and then that commit.
pub(super) struct Reference {
    pub(super) url: String,
    /// None: where the repository's `HEAD` is.
    pub(super) reference: Option<String>,
    pub(super) version: Option<String>,
}

#[async_trait]
impl PackageSource for Reference {
    /// It moves: only the repository can tell.
    fn there(&self, _shelf: &Shelf) -> Option<Installed> {
        None
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        desk.client(&["git"], HOW).map(drop)
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let commit = self.commit(desk).await?;
        let version = self.version.clone().unwrap_or_else(|| match &self.reference {
            Some(reference) if !is_commit(reference) => reference.clone(),
            _ => commit.chars().take(12).collect(),
        });
        let git = Git { url: self.url.clone(), commit, version };
        match git.there(desk.shelf) {
            Some(installed) => Ok(Brought::There(installed)),
            None => git.bring(desk, held).await,
        }
    }

    fn resumes(&self) -> bool {
        false
    }
}

impl Reference {
    /// Asks the repository; an annotated tag is the commit that it is of.
    async fn commit(&self, desk: &Desk<'_>) -> Result<String, InstallError> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        if is_commit(wanted) {
            return Ok(wanted.to_owned());
        }
        let git = desk.client(&["git"], HOW)?;
        desk.reach(&git, &self.url).await?;
        let told = desk.run("git", command(&git, Path::new("/"), &["ls-remote", "--", &self.url])).await?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let of = |name: &str| {
            let line = told.lines().filter_map(|line| line.split_once('\t')).find(|(_, of)| *of == name);
            line.map(|(commit, _)| commit.to_owned())
        };
        let names = [
            format!("refs/tags/{wanted}^{{}}"),
            format!("refs/tags/{wanted}"),
            format!("refs/heads/{wanted}"),
            wanted.to_owned(),
        ];
        names.iter().find_map(|name| of(name)).filter(|commit| is_commit(commit)).ok_or_else(|| {
            InstallError::NoReference {
                package: desk.name.to_owned(),
                url: self.url.clone(),
                reference: wanted.to_owned(),
            }
        })
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) struct Git {
    pub(super) url: String,
    pub(super) commit: String,
    pub(super) version: String,
}

impl Git {
    /// Fetches the commit into an empty repository: the package's folder for such things, and the repository's in it.
    async fn fetch(&self, desk: &Desk<'_>, git: &Path) -> Result<(PathBuf, PathBuf), InstallError> {
        let top = desk.empty_folder()?;
        let folder = top.join("tree");
        fs::create_dir(&folder).map_err(|error| InstallError::io("make", &folder, error))?;
        let git_at = |args: &[&str]| command(git, &folder, args);
        desk.progress.of(&self.version, 1).stage(InstallStage::Fetch, 0, 0);
        desk.run("git", git_at(&["init", "--quiet", "--template="])).await?;
        // Submodules may be named from here.
        desk.run("git", git_at(&["remote", "add", "origin", "--", &self.url])).await?;
        let one = git_at(&["fetch", "--quiet", "--no-tags", "--depth=1", "origin", &self.commit]);
        match desk.run("git", one).await {
            // Some servers give nothing but branches and tags: then all of it is fetched.
            Err(InstallError::Client { .. }) => {
                let branches = "+refs/heads/*:refs/remotes/origin/*";
                let all = ["fetch", "--quiet", "origin", branches, "+refs/tags/*:refs/tags/*"];
                desk.run("git", git_at(&all)).await?;
            }
            fetched => drop(fetched?),
        }
        Ok((top, folder))
    }

    /// Fetches what the commit names of other repositories, each at the commit that it names.
    async fn submodules(&self, desk: &Desk<'_>, git: &Path, folder: &Path) -> Result<(), InstallError> {
        // Those of a repository on this machine may be there too: git asks that this be said.
        let allowed =
            if self.url.starts_with("file://") || self.url.starts_with('/') { "always" } else { "user" };
        let allowed = format!("protocol.file.allow={allowed}");
        let update =
            ["-c", &*allowed, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
        match desk.run("git", command(git, folder, &update)).await {
            Err(InstallError::Client { .. }) => {
                desk.run("git", command(git, folder, &update[..update.len() - 1])).await.map(drop)
            }
            fetched => fetched.map(drop),
        }
    }

    /// A commit is its content: wherever it comes from, it is the same.
    fn key(&self) -> String {
        format!("git {}", self.commit)
    }
}

fn command(git: &Path, repository: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(git);
    // Whatever the user's own settings say, each object is checked as it arrives.
    command.args(["-c", "fetch.fsckObjects=true", "-c", "gc.auto=0", "-c", "protocol.ext.allow=never"]);
    // A commit is the same files for all, and nothing of the user's is run on the way.
    command.args(["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null"]);
    // A server that says nothing is given up, in bytes a second and in seconds.
    command.args(["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30"]);
    command.arg("-C").arg(repository).args(args);
    command.env("GIT_TERMINAL_PROMPT", "0").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    // Nobody is there to be asked, and who is offline is told within three seconds.
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", SSH);
    }
    command
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
        desk.reach(&git, &self.url).await?;
        let (top, folder) = self.fetch(desk, &git).await?;
        let git_at = |args: &[&str]| command(&git, &folder, args);
        desk.run("git", git_at(&["checkout", "--quiet", "--detach", &self.commit])).await?;
        if folder.join(".gitmodules").exists() {
            self.submodules(desk, &git, &folder).await?;
        }
        let file = top.join("archive.tar");
        let packed = file.clone();
        let packing = in_thread(held.clone(), move || {
            let failed = |error| InstallError::io("write", &packed, error);
            let archive = BufWriter::new(File::create_new(&packed).map_err(failed)?);
            pack(&folder, archive, |name| name != ".git").and_then(|mut end| end.flush()).map_err(failed)?;
            hash_file(&packed, |_, _| Ok(()))
        });
        let (sha256, _bytes) = packing.await?;
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
