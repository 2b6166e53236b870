//! An archive from a server, by its hash.

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
    pub(super) sha256: [u8; 32],
    pub(super) version: String,
    pub(super) strip: bool,
}

#[async_trait]
impl PackageSource for Url {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        shelf.installed(Some(identity(self.sha256, self.strip)))
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let file = desk.shelf.fetched().join(Sha256(self.sha256).to_string());
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
        let (bytes, unpacked) = (fetched?, unpacked?);
        let original = PathBuf::from(self.urls.first().map_or("", String::as_str));
        let (sha256, version, strip) = (self.sha256, self.version.as_str(), self.strip);
        let archive = OneArchive { original, file, sha256, version, strip, source: None };
        match unpacked {
            Some(unpacker) => {
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
