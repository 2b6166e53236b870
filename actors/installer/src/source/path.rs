//! A file or a folder of this machine.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use farmhand_messages::installer::Installed;

use super::{Brought, Desk, OneArchive, PackageSource, identity};
use crate::apt::Sha256;
use crate::packages::{Held, in_thread};
use crate::record::{ArchiveRecord, CompletionRecord};
use crate::shelf::Shelf;
use crate::unpack::Format;
use crate::{InstallError, local};

const VERSION: &str = "local";

pub(super) struct FromPath {
    pub(super) source: local::Source,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) strip: bool,
}

#[async_trait]
impl PackageSource for FromPath {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        self.sha256.and_then(|hash| shelf.installed(Some(identity(hash, self.strip))))
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        match &self.source {
            local::Source::Folder(folder) => self.folder(folder.clone(), desk, held).await,
            local::Source::File(path) => self.file(path.clone(), desk, held).await,
        }
    }

    /// A copy of a file that is there anyway need not be taken up again.
    fn resumes(&self) -> bool {
        false
    }
}

impl FromPath {
    async fn folder(&self, folder: PathBuf, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        if desk.packages.canonicalize().is_ok_and(|store| store.starts_with(&folder)) {
            let why = io::Error::other("farmhand's own packages lie in it");
            return Err(InstallError::io("copy", &folder, why));
        }
        let mut unpacker = desk.unpacker(held, 0)?;
        let copy = move || {
            let copied = unpacker.copy_folder(&folder)?;
            Ok((unpacker, copied))
        };
        let (unpacker, (hash, bytes)) = in_thread(held.clone(), copy).await?;
        if let Some(installed) = desk.shelf.installed(Some(hash)) {
            return Ok(Brought::There(installed));
        }
        let archive = ArchiveRecord {
            name: desk.name.to_owned(),
            version: VERSION.to_owned(),
            bytes,
            sha256: Sha256(hash).to_string(),
        };
        let record = Box::new(CompletionRecord::new(desk.name, VERSION, hash, vec![archive]));
        Ok(Brought::Unpacked { unpacker, record, must_exist: &[], bytes })
    }

    async fn file(&self, path: PathBuf, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let copy = desk.shelf.fetched().join(local::COPY);
        let copied = local::copy(path.clone(), copy.clone(), desk.progress.clone(), held.clone());
        let (hash, _bytes) = copied.await?;
        if let Some(expected) = self.sha256.filter(|expected| *expected != hash) {
            let (expected, found) = (Sha256(expected).to_string(), Sha256(hash).to_string());
            return Err(InstallError::WrongHash { file: path, expected, found });
        }
        let mut version = VERSION.to_owned();
        if Format::of(&copy)? == Some(Format::Deb) {
            let dpkg_deb = desk.config.find("dpkg-deb", desk.name, Vec::new)?;
            version = local::deb_version(&dpkg_deb, desk.name, &copy).await?;
        }
        let archive = OneArchive {
            original: path,
            file: copy,
            sha256: hash,
            version: &version,
            strip: self.strip,
            source: None,
        };
        desk.one_archive(held, archive).await
    }
}
