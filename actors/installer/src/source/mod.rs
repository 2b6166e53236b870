//! Where packages come from: one trait, and a file for each kind of source.

mod client;
mod debian;
mod git;
mod npm;
mod path;
mod pip;
mod reach;
mod url;

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_messages::packages::{PackageOrigin, PackageSpec};
use sha2::Digest;

use crate::apt::Sha256;
use crate::catalogue::{described, nearest};
use crate::config::Config;
use crate::offers::offering;
use crate::packages::Held;
use crate::progress::Progress;
use crate::record::{ArchiveRecord, CompletionRecord};
use crate::shelf::Shelf;
use crate::unpack::Unpacker;
use crate::{InstallError, local};

/// Where a package comes from.
#[async_trait]
pub(crate) trait PackageSource: Send + Sync {
    /// The package, where it is installed and that can be told without fetching anything.
    fn there(&self, shelf: &Shelf) -> Option<Installed>;

    /// Refuses what this machine lacks a client for: before anybody waits for anything.
    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        let _needs_none = desk;
        Ok(())
    }

    /// Fetches it and unpacks it into staging.
    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError>;

    /// Whether what was fetched is of use to the next try, where this one fails.
    fn resumes(&self) -> bool {
        true
    }
}

/// What an installation works with.
pub(crate) struct Desk<'a> {
    /// What the package is called.
    pub(crate) name: &'a str,
    /// The folder of all packages.
    pub(crate) packages: &'a Path,
    pub(crate) config: &'a Config,
    pub(crate) shelf: &'a Shelf,
    pub(crate) progress: &'a Progress,
}

/// What a source brought.
pub(crate) enum Brought {
    /// It is what is installed already.
    There(Installed),
    /// It is in staging.
    Unpacked {
        unpacker: Unpacker,
        record: Box<CompletionRecord>,
        /// What it must hold.
        must_exist: &'static [&'static str],
        /// Of its archives.
        bytes: u64,
    },
}

/// The source of what is wished for.
pub(crate) fn source_of(wish: &PackageWish) -> Result<Box<dyn PackageSource>, InstallError> {
    let debian = |name: &str| match described(name) {
        Some(description) => Ok(Box::new(debian::Debian(description)) as Box<dyn PackageSource>),
        None => Err(InstallError::UnknownName { name: name.to_owned(), nearest: nearest(name) }),
    };
    let path = |path: &Path, sha256, strip| {
        let source = local::Source::of(path, sha256)?;
        Ok(Box::new(path::FromPath { source, sha256, strip }) as Box<dyn PackageSource>)
    };
    match wish {
        PackageWish::Named(name) => debian(name),
        PackageWish::Offering(offer) => match offering(offer) {
            Some(description) => Ok(Box::new(debian::Debian(description))),
            None => Err(InstallError::NoOffer { offer: offer.clone() }),
        },
        PackageWish::Local { path: from, sha256 } => path(from, *sha256, false),
        PackageWish::Declared(spec) => match &spec.origin {
            PackageOrigin::Debian { package } => debian(package),
            PackageOrigin::Path { path: from, sha256 } => path(Path::new(from), *sha256, spec.strip),
            PackageOrigin::Url { urls, sha256 } => {
                let (urls, version) = (urls.clone(), version_of(spec, "url"));
                Ok(Box::new(url::Url { urls, sha256: *sha256, version, strip: spec.strip }))
            }
            PackageOrigin::Git { url, commit } => {
                let version = version_of(spec, commit.get(..12).unwrap_or(commit));
                Ok(Box::new(git::Git { url: url.clone(), commit: commit.clone(), version }))
            }
            PackageOrigin::GitReference { url, reference } => Ok(Box::new(git::Reference {
                url: url.clone(),
                reference: reference.clone(),
                version: spec.version.clone(),
            })),
            PackageOrigin::Pip { project, version, sha256 } => Ok(Box::new(pip::Pip {
                project: project.clone(),
                version: version.clone(),
                sha256: *sha256,
                strip: spec.strip,
            })),
            PackageOrigin::Npm { project, version, sha256 } => {
                Ok(Box::new(npm::Npm { project: project.clone(), version: version.clone(), sha256: *sha256 }))
            }
        },
    }
}

fn version_of(spec: &PackageSpec, otherwise: &str) -> String {
    spec.version.clone().unwrap_or_else(|| otherwise.to_owned())
}

/// What tells a package from others made of the same archive: what was left out of it.
pub(crate) fn identity(archive: [u8; 32], strip: bool) -> [u8; 32] {
    if strip {
        sha2::Sha256::new().chain_update(archive).chain_update(b"strip").finalize().into()
    } else {
        archive
    }
}

impl Desk<'_> {
    /// Something to unpack with, into staging. `total` is what an archive says that it unpacks to; 0 where none does.
    pub(crate) fn unpacker(&self, held: &Held, total: u64) -> Result<Unpacker, InstallError> {
        let progress = self.progress.clone();
        // What an archive says of itself is about right: the bar stays within it.
        let step = move |bytes: u64| {
            let done = if total == 0 { bytes } else { bytes.min(total) };
            progress.step(InstallStage::Unpack, done, total);
        };
        Ok(Unpacker::new(self.shelf.staging()?, self.config.limits, held.given_up.clone(), step))
    }

    /// The same, where another step is told meanwhile.
    pub(crate) fn quiet_unpacker(&self, held: &Held) -> Result<Unpacker, InstallError> {
        Ok(Unpacker::new(self.shelf.staging()?, self.config.limits, held.given_up.clone(), |_| {}))
    }

    /// The record of a package that is one archive, of that many bytes.
    pub(crate) fn record_of(&self, archive: &OneArchive<'_>, bytes: u64) -> CompletionRecord {
        let OneArchive { sha256, version, strip, source, .. } = archive;
        let one = ArchiveRecord {
            name: self.name.to_owned(),
            version: (*version).to_owned(),
            bytes,
            sha256: Sha256(*sha256).to_string(),
        };
        let mut record = CompletionRecord::new(self.name, version, identity(*sha256, *strip), vec![one]);
        record.source.clone_from(source);
        record
    }

    /// An empty folder for a client to fetch into, within the package's own.
    pub(crate) fn empty_folder(&self) -> Result<PathBuf, InstallError> {
        let folder = self.shelf.fetched();
        crate::shelf::remove_all(&folder).map_err(|error| InstallError::io("remove", &folder, error))?;
        fs::create_dir_all(&folder).map_err(|error| InstallError::io("make", &folder, error))?;
        Ok(folder)
    }

    /// Unpacks one archive, which is all of the package. `original` is its name in errors.
    pub(crate) async fn one_archive(
        &self,
        held: &Held,
        archive: OneArchive<'_>,
    ) -> Result<Brought, InstallError> {
        if let Some(installed) = self.shelf.installed(Some(identity(archive.sha256, archive.strip))) {
            return Ok(Brought::There(installed));
        }
        let file = &archive.file;
        let bytes = fs::metadata(file).map_err(|error| InstallError::io("look at", file, error))?.len();
        let record = Box::new(self.record_of(&archive, bytes));
        self.progress.of(archive.version, 1).stage(InstallStage::Unpack, 0, 0);
        let mut unpacker = self.unpacker(held, 0)?;
        if archive.strip {
            unpacker.strip();
        }
        let OneArchive { original, file, .. } = archive;
        let unpacker = local::unpack(self.config, self.name, original, file, unpacker, held).await?;
        Ok(Brought::Unpacked { unpacker, record, must_exist: &[], bytes })
    }
}

/// An archive that is all of a package.
pub(crate) struct OneArchive<'a> {
    /// Its name in errors.
    pub(crate) original: PathBuf,
    /// Where it is.
    pub(crate) file: PathBuf,
    /// What it is: checked.
    pub(crate) sha256: [u8; 32],
    pub(crate) version: &'a str,
    /// All of it is in one folder, which is left out.
    pub(crate) strip: bool,
    /// What it was asked for as, where its hash does not say it.
    pub(crate) source: Option<String>,
}
