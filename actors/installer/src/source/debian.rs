//! Debian's archive, without root.

use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use farmhand_api::InstallStage;
use farmhand_messages::installer::Installed;
use sha2::Digest;

use super::{Brought, Desk, PackageSource};
use crate::InstallError;
use crate::apt::{Apt, Archive, Fetched, Resolved, Sha256};
use crate::catalogue::Description;
use crate::deb::unpack_deb;
use crate::packages::{Held, in_thread};
use crate::record::{ArchiveRecord, CompletionRecord};
use crate::shelf::{Shelf, remove_all};
use crate::unpack::hash_file;

pub(super) struct Debian(pub(super) &'static Description);

#[async_trait]
impl PackageSource for Debian {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        shelf.installed(None)
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), InstallError> {
        Apt::new(desk.packages, self.0, desk.config).map(drop)
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        let apt = Apt::new(desk.packages, self.0, desk.config)?;
        desk.progress.stage(InstallStage::Resolve, 0, 0);
        let archives = self.fetched(&apt, desk, held).await?;
        let record = record_of(self.0, &archives);
        let progress = desk.progress.of(&record.version, archives.len());
        let desk = Desk { progress: &progress, ..*desk };

        let unpacked = archives.iter().map(|archive| archive.indexed.unpacked_bytes).sum();
        let mut unpacker = desk.unpacker(held, unpacked)?;
        let dpkg_deb = desk.config.find("dpkg-deb", desk.name, Vec::new)?;
        progress.stage(InstallStage::Unpack, 0, unpacked);
        for archive in &archives {
            let file = desk.shelf.fetched().join(&archive.file);
            unpacker = unpack_deb(&dpkg_deb, desk.name, file, unpacker, held).await?;
        }
        let bytes = archives.iter().map(|archive| archive.indexed.bytes).sum();
        Ok(Brought::Unpacked { unpacker, record: Box::new(record), must_exist: self.0.must_exist, bytes })
    }
}

impl Debian {
    /// The archives of a package, on disk and as the signed index says.
    async fn fetched(
        &self,
        apt: &Apt<'_>,
        desk: &Desk<'_>,
        held: &Held,
    ) -> Result<Vec<Archive>, InstallError> {
        let (description, shelf, progress) = (self.0, desk.shelf, desk.progress);
        let package = description.name;
        let start = SystemTime::now();
        let mut again = false;
        loop {
            // An index may be behind its archive; one that was fetched before this run is fetched again, once.
            let complaints = apt.refresh(again.then_some(start)).await?;
            let last = again || !complaints.is_empty() || apt.is_fresh(Some(start));
            again = true;
            let archives = match apt.resolve(description).await? {
                Resolved::All(archives) => archives,
                Resolved::NotThere(_) if !last => continue,
                Resolved::NotThere(detail) if complaints.is_empty() => {
                    return Err(InstallError::NotInArchive { package: package.into(), detail });
                }
                Resolved::NotThere(_) => {
                    return Err(InstallError::Offline { package: package.into(), detail: complaints });
                }
            };
            let total = archives.iter().map(|archive| archive.indexed.bytes).sum();
            let version = version_of(description, &archives);
            let progress = progress.of(&version, archives.len());
            progress.stage(InstallStage::Fetch, 0, total);
            // A second try where the first one took up a file that was damaged since.
            let mut wrong = None;
            for _ in 0..2 {
                let into = shelf.fetched();
                let step = |bytes: u64| progress.step(InstallStage::Fetch, bytes.min(total), total);
                match apt.fetch(&archives, &into, step).await? {
                    Fetched::All => {}
                    Fetched::Gone(_) if !last => {
                        wrong = None;
                        break;
                    }
                    Fetched::Gone(error) => return Err(error),
                }
                match check_hashes(into, archives.clone(), held.clone()).await? {
                    None => {
                        progress.stage(InstallStage::Fetch, total, total);
                        return Ok(archives);
                    }
                    Some(error) => wrong = Some(error),
                }
            }
            if let Some(error) = wrong {
                return Err(error);
            }
        }
    }
}

/// Checks what was fetched against the signed index. A file that is wrong is removed; the first is told.
async fn check_hashes(
    folder: PathBuf,
    archives: Vec<Archive>,
    held: Held,
) -> Result<Option<InstallError>, InstallError> {
    in_thread(held, move || {
        let mut first = None;
        for archive in &archives {
            let file = folder.join(&archive.file);
            let (hash, _bytes) = hash_file(&file, |_, _| Ok(()))?;
            if hash != archive.indexed.sha256 {
                remove_all(&file).map_err(|error| InstallError::io("remove", &file, error))?;
                let (expected, found) =
                    (Sha256(archive.indexed.sha256).to_string(), Sha256(hash).to_string());
                first.get_or_insert(InstallError::WrongHash { file, expected, found });
            }
        }
        Ok(first)
    })
    .await
}

fn record_of(description: &Description, archives: &[Archive]) -> CompletionRecord {
    let record = |archive: &Archive| ArchiveRecord {
        name: archive.indexed.name.clone(),
        version: archive.indexed.version.clone(),
        bytes: archive.indexed.bytes,
        sha256: Sha256(archive.indexed.sha256).to_string(),
    };
    let records: Vec<_> = archives.iter().map(record).collect();
    let mut hashes: Vec<_> = archives.iter().map(|archive| archive.indexed.sha256).collect();
    hashes.sort_unstable();
    let hash = hashes.iter().fold(sha2::Sha256::new(), |hash, archive| hash.chain_update(archive));
    CompletionRecord::new(
        description.name,
        &version_of(description, archives),
        hash.finalize().into(),
        records,
    )
}

/// The first root's, without its epoch, which only orders it.
fn version_of(description: &Description, archives: &[Archive]) -> String {
    let main = archives.iter().find(|archive| archive.indexed.name == description.roots[0]);
    let version = main.map_or("", |archive| archive.indexed.version.as_str());
    version.split_once(':').map_or(version, |(_epoch, version)| version).to_owned()
}
