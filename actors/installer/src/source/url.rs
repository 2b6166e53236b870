//! An archive from a server, by its hash, or, until it is locked, by its address.

use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use farmhand_messages::installer::Installed;

use super::{Brought, Desk, OneArchive, PackageSource, identity};
use crate::InstallError;
use crate::apt::Sha256;
use crate::fetch::{Growing, Wanted, fetch, growing, part_of};
use crate::packages::{Held, in_thread};
use crate::shelf::Shelf;
use crate::unpack::{Format, Unpacker};

/// What is read of an arriving file at once.
const READ_BYTES: usize = 128 << 10;

pub(super) struct Url {
    pub(super) urls: Vec<String>,
    /// None until it is locked.
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) version: String,
    pub(super) strip: bool,
}

/// The name of what arrives and has no hash yet.
const UNKNOWN: &str = "first";

impl Url {
    /// What it is asked for as, where no hash says it.
    fn key(&self) -> Option<String> {
        let strip = if self.strip { " strip" } else { "" };
        let url = self.urls.first().filter(|_| self.sha256.is_none())?;
        Some(format!("url {url}{strip}"))
    }
}

#[async_trait]
impl PackageSource for Url {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        match self.sha256 {
            Some(sha256) => shelf.installed(Some(identity(sha256, self.strip))),
            None => shelf.asked_for_as(&self.key()?),
        }
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let name = self.sha256.map_or_else(|| UNKNOWN.to_owned(), |hash| Sha256(hash).to_string());
        let file = desk.shelf.fetched().join(name);
        let wanted = Wanted {
            package: desk.name,
            urls: &self.urls,
            sha256: self.sha256,
            file: file.clone(),
            bytes_max: desk.config.limits.bytes_max,
            stall: desk.config.stall(),
        };
        let (arrivals, growing) = growing(part_of(&file));
        let mut unpacker = desk.quiet_unpacker(held)?;
        if self.strip {
            unpacker.strip();
        }
        // What arrives is unpacked as it does, into staging: nobody sees that before the hash is right.
        let unpacking = in_thread(held.clone(), move || Ok(unpack_growing(growing, unpacker)));
        let (fetched, unpacked) = tokio::join!(fetch(&wanted, arrivals, desk.progress, held), unpacking);
        let ((bytes, sha256), unpacked) = (fetched?, unpacked?);
        let original = PathBuf::from(self.urls.first().map_or("", String::as_str));
        let (version, strip) = (self.version.as_str(), self.strip);
        let archive = OneArchive { original, file, sha256, version, strip, source: self.key() };
        match unpacked {
            Some(unpacker) => {
                // Another address of the same.
                if let Some(installed) = desk.shelf.installed(Some(identity(sha256, strip))) {
                    return Ok(Brought::There(installed));
                }
                let record = Box::new(desk.record_of(&archive, bytes));
                Ok(Brought::Unpacked { unpacker, record, must_exist: &[], bytes })
            }
            // It began again in between, or is of a kind that is read from its end; or it is refused, and that is
            // told with its name.
            None => desk.one_archive(held, archive).await,
        }
    }
}

/// Unpacks a tar while it arrives; none where that does not succeed.
fn unpack_growing(mut growing: Growing, mut unpacker: Unpacker) -> Option<Unpacker> {
    let mut head = Vec::with_capacity(Format::HEAD_BYTES);
    growing.by_ref().take(Format::HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    let Some(Format::Tar(squeezed)) = Format::of_head(&head) else { return None };
    let arriving = BufReader::with_capacity(READ_BYTES, Cursor::new(head).chain(growing));
    unpacker.squeezed(Path::new("a download"), arriving, squeezed).ok()?;
    Some(unpacker)
}
