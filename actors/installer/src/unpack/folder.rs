//! A local folder as a package: its hash, and its copy, by the same rules as an archive.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::path::{Target, link_target};
use super::{COPY_BYTES, Unpacker, told};
use crate::InstallError;

enum Kind {
    Folder,
    File { mode: u32 },
    Link { target: Target },
}

impl Unpacker {
    /// Copies what is in a folder, and gives the hash of what was copied: names, kinds, the owner's execute bit,
    /// contents and targets, in the order of the names.
    pub(crate) fn copy_folder(&mut self, from: &Path) -> Result<([u8; 32], u64), InstallError> {
        let mut hash = Sha256::new();
        let before = self.bytes;
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for (path, kind) in self.entries_of(from, &folder)? {
                self.still_wanted(from)?;
                let name = path.as_os_str().as_bytes();
                self.count().map_err(|error| error.of(from, name))?;
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name);
                let done = match kind {
                    Kind::Folder => {
                        hash.update(b"d");
                        folders.push(path.clone());
                        self.folder(&path)
                    }
                    Kind::Link { target } => {
                        hash.update(b"l");
                        let said = target.path.as_os_str().as_bytes();
                        hash.update((said.len() as u64).to_le_bytes());
                        hash.update(said);
                        self.symlink(&path, target)
                    }
                    Kind::File { mode } => {
                        hash.update(if mode & 0o100 == 0 { b"f" } else { b"x" });
                        let source = from.join(&path);
                        let file =
                            File::open(&source).map_err(|error| InstallError::io("read", &source, error))?;
                        let modified = file.metadata().and_then(|there| there.modified()).ok();
                        let mut content = Hashed { inner: file, hash: Sha256::new(), bytes: 0 };
                        let done = self.file(from, &path, mode, modified, &mut content);
                        hash.update(content.bytes.to_le_bytes());
                        hash.update(content.hash.finalize());
                        done
                    }
                };
                done.map_err(|error| error.of(from, name))?;
            }
        }
        self.settle(from)?;
        Ok((hash.finalize().into(), self.bytes - before))
    }

    fn entries_of(&self, from: &Path, folder: &Path) -> Result<Vec<(PathBuf, Kind)>, InstallError> {
        let full = from.join(folder);
        let read_error = |error| InstallError::io("read", &full, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&full).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            let path = folder.join(entry.file_name());
            let refused = |why| InstallError::Refused {
                archive: from.to_owned(),
                entry: told(path.as_os_str().as_bytes()),
                why,
            };
            let there = entry.metadata().map_err(read_error)?;
            let kind = if there.is_dir() {
                Kind::Folder
            } else if there.is_file() {
                Kind::File { mode: there.permissions().mode() }
            } else if there.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(read_error)?;
                if target.is_absolute() {
                    return Err(refused("its target is outside the package"));
                }
                let target = link_target(&path, target.as_os_str().as_bytes()).map_err(refused)?;
                Kind::Link { target }
            } else {
                return Err(refused("it is no file, folder or link"));
            };
            entries.push((path, kind));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(entries)
    }
}

/// Hashes what passes.
struct Hashed {
    inner: File,
    hash: Sha256,
    bytes: u64,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Hashes a file as it is read; `each` is told the bytes so far, and ends it with an error.
pub(crate) fn hash_file(
    path: &Path,
    mut each: impl FnMut(&[u8], u64) -> Result<(), InstallError>,
) -> Result<([u8; 32], u64), InstallError> {
    let read_error = |error| InstallError::io("read", path, error);
    let mut file = File::open(path).map_err(read_error)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((hash.finalize().into(), bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error)),
        };
        hash.update(&buffer[..count]);
        bytes += count as u64;
        each(&buffer[..count], bytes)?;
    }
}
