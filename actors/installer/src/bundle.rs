//! All that a project needs in one file, for machines without a network: a tar of an index and, for each package,
//! what it unpacked to. What is installed from it is held to the hashes of its index, and by the rules of any archive.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use farmhand_api::{InstallEvent, InstallStage};
use farmhand_messages::installer::Installed;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tar::{Builder, Header};

use crate::apt::Sha256;
use crate::pack::pack;
use crate::packages::{Held, in_thread};
use crate::progress::Progress;
use crate::project::check_with_lock;
use crate::record::CompletionRecord;
use crate::shelf::Shelf;
use crate::source::{Brought, Desk, PackageSource};
use crate::unpack::read_tree;
use crate::{InstallError, Lease, Packages};

const INDEX: &str = "farmhand-bundle.json";
/// Of the index's shape.
const FORMAT: u32 = 1;
/// The index of a thousand packages has 1 MB.
const INDEX_BYTES_MAX: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Index {
    format: u32,
    packages: Vec<CompletionRecord>,
}

fn bad(path: &Path, why: impl ToString) -> InstallError {
    InstallError::BadBundle { path: path.to_owned(), why: why.to_string() }
}

fn member(record: &CompletionRecord) -> String {
    format!("{}/{}.tar.gz", record.name, record.folder())
}

impl Packages {
    /// Packs installed packages into a new file; gives its length. Blocks: all of them are read.
    pub fn pack(&self, installed: &[Installed], file: &Path) -> Result<u64, InstallError> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let write_error = |error| InstallError::io("write", file, error);
        let mut leases = Vec::new();
        let mut index = Index { format: FORMAT, packages: Vec::new() };
        for one in installed {
            leases.push(Lease::take(one)?);
            let record = Shelf::record_of(&one.prefix).and_then(|path| CompletionRecord::read(&path));
            let mut record = record.ok_or_else(|| damaged(one))?;
            let tree = Sha256(read_tree(&one.prefix)?.0).to_string();
            if record.tree.get_or_insert_with(|| tree.clone()) != &tree {
                return Err(damaged(one));
            }
            index.packages.push(record);
        }
        // For others to read, as far as the umask says.
        let mode = fs::Permissions::from_mode(0o666);
        let whole = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(write_error)?;
        let mut bundle = Builder::new(BufWriter::new(whole));
        let text = serde_json::to_vec_pretty(&index).map_err(|error| bad(file, error))?;
        append(&mut bundle, INDEX, text.len() as u64, &*text).map_err(write_error)?;
        for (one, record) in installed.iter().zip(&index.packages) {
            let mut packed = tempfile::tempfile_in(folder).map_err(write_error)?;
            pack_folder(&one.prefix, &mut packed).map_err(write_error)?;
            let length = packed.stream_position().map_err(write_error)?;
            packed.seek(SeekFrom::Start(0)).map_err(write_error)?;
            append(&mut bundle, &member(record), length, packed).map_err(write_error)?;
        }
        let done = || -> io::Result<u64> {
            let whole = bundle.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            whole.as_file().sync_all()?;
            let length = whole.as_file().metadata()?.len();
            whole.persist(file)?;
            farmhand_runtime::sync_dir(folder)?;
            Ok(length)
        };
        done().map_err(write_error)
    }

    /// Installs all that a bundle holds, as far as a project's lock says nothing else of it. Nothing is fetched.
    pub async fn install_bundle(
        &self,
        file: &Path,
        project: &Path,
        progress: impl Fn(InstallEvent) + Send + Sync + 'static,
    ) -> Result<Vec<Installed>, InstallError> {
        let progress: Arc<dyn Fn(InstallEvent) + Send + Sync> = Arc::new(progress);
        let mut installed = Vec::new();
        let members = members(file)?;
        check_with_lock(project, members.iter().map(|(record, _, _)| record))?;
        for (record, at, length) in members {
            let name = record.name.clone();
            let progress = Progress::new(&name, Arc::clone(&progress));
            let source = Bundled { bundle: file.to_owned(), at, length, record };
            installed.push(self.by_source(&name, Box::new(source), None, &progress).await?);
        }
        Ok(installed)
    }
}

fn damaged(installed: &Installed) -> InstallError {
    InstallError::Damaged { name: installed.name.clone(), path: installed.prefix.clone() }
}

fn append(bundle: &mut Builder<impl Write>, name: &str, length: u64, content: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(length);
    bundle.append_data(&mut header, name, content)
}

fn pack_folder(folder: &Path, into: &mut File) -> io::Result<()> {
    let into = GzEncoder::new(BufWriter::new(into), Compression::fast());
    pack(folder, into, |_| true)?.finish()?.flush()
}

/// What a bundle holds: each record, and where its archive is.
fn members(file: &Path) -> Result<Vec<(CompletionRecord, u64, u64)>, InstallError> {
    let opened = File::open(file).map_err(|error| InstallError::io("read", file, error))?;
    let there = opened.metadata().map_err(|error| InstallError::io("read", file, error))?.len();
    let mut bundle = tar::Archive::new(BufReader::new(opened));
    let mut entries = bundle.entries_with_seek().map_err(|error| bad(file, error))?;
    let index = entries.next().ok_or_else(|| bad(file, "it is empty"))?.map_err(|error| bad(file, error))?;
    if index.path_bytes() != INDEX.as_bytes() || index.size() > INDEX_BYTES_MAX {
        return Err(bad(file, "it is no bundle of farmhand's"));
    }
    let index: Index = serde_json::from_reader(index).map_err(|error| bad(file, error))?;
    if index.format != FORMAT {
        return Err(bad(file, format!("it is of format {}, and this farmhand reads {FORMAT}", index.format)));
    }
    let mut members = Vec::new();
    for record in index.packages {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
        let is_name = record.name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !is_name || !record.name.bytes().all(plain) || !record.is_readable() {
            return Err(bad(file, format!("its index names a package {:?}", record.name)));
        }
        let entry = entries.next().ok_or_else(|| bad(file, format!("{} is missing", record.name)))?;
        let entry = entry.map_err(|error| bad(file, error))?;
        if entry.path_bytes() != member(&record).as_bytes() {
            return Err(bad(file, format!("{} is not where it should be", record.name)));
        }
        if entry.raw_file_position() + entry.size() > there {
            return Err(bad(file, format!("it is cut short: it ends within {}", record.name)));
        }
        members.push((record, entry.raw_file_position(), entry.size()));
    }
    Ok(members)
}

/// A package within a bundle.
struct Bundled {
    bundle: PathBuf,
    at: u64,
    length: u64,
    record: CompletionRecord,
}

#[async_trait]
impl PackageSource for Bundled {
    fn there(&self, shelf: &Shelf) -> Option<Installed> {
        shelf.installed(Some(Sha256::from_hex(&self.record.hash)?.0))
    }

    async fn bring(&self, desk: &Desk<'_>, held: &Held) -> Result<Brought, InstallError> {
        desk.progress.of(&self.record.version, 1).stage(InstallStage::Unpack, 0, 0);
        let mut unpacker = desk.unpacker(held, 0)?;
        let (bundle, at, length) = (self.bundle.clone(), self.at, self.length);
        let unpack = move || {
            let read_error = |error| InstallError::io("read", &bundle, error);
            let mut file = File::open(&bundle).map_err(read_error)?;
            file.seek(SeekFrom::Start(at)).map_err(read_error)?;
            unpacker.tar(&bundle, GzDecoder::new(BufReader::new(file.take(length))))?;
            Ok(unpacker)
        };
        let unpacker = in_thread(held.clone(), unpack).await.map_err(|error| match error {
            InstallError::BadArchive { archive, source } => {
                bad(&archive, format!("{} in it is damaged: {source}", self.record.name))
            }
            other => other,
        })?;
        let found = Sha256(unpacker.tree()).to_string();
        if self.record.tree.as_ref() != Some(&found) {
            let why = format!("{} in it is not what its index says", self.record.name);
            return Err(bad(&self.bundle, why));
        }
        let record = Box::new(self.record.clone());
        Ok(Brought::Unpacked { unpacker, record, must_exist: &[], bytes: self.length })
    }
}
