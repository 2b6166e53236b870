//! Objects by their hash, and the manifests by which they are found.
//!
//! Nothing here is synced: what a crash leaves of an object does not have its hash, and is made again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Hash, hash_bytes};

/// Raised when what a manifest says, or what goes into a key, changes.
const FORMAT: &str = "m1";
/// Variants of one action that are kept: the newest push out the oldest.
const ENTRIES_MAX: usize = 16;

/// One way an action came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What the compiler read beside its arguments: paths with their roots hidden, and what they held.
    pub(crate) files: Vec<(String, Hash)>,
    /// Folders in which another file of the same name would have been found first, and their names' hash.
    pub(crate) folders: Vec<(String, Hash)>,
    /// The output's hash.
    pub(crate) output: Hash,
    /// What the compiler printed, with roots hidden.
    pub(crate) printed: String,
}

/// The cache's folder.
#[derive(Debug, Clone)]
pub(crate) struct ObjectStore {
    folder: PathBuf,
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ObjectStore {
    /// The cache in `folder`.
    #[must_use]
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where something of a kind with this hash is kept.
    #[must_use]
    pub(crate) fn place(&self, kind: &str, hash: &Hash) -> PathBuf {
        let name = hex(hash);
        self.folder.join(kind).join(&name[..2]).join(&name[2..])
    }

    fn object(&self, hash: &Hash) -> PathBuf {
        self.place("o", hash)
    }

    /// What is known of an action: newest first. A damaged manifest is none.
    #[must_use]
    pub(crate) fn manifest(&self, key: &Hash) -> Vec<Entry> {
        let Ok(bytes) = fs::read(self.place(FORMAT, key)) else { return Vec::new() };
        match bytes.split_at_checked(32) {
            Some((sum, body)) if hash_bytes(body) == sum => postcard::from_bytes(body).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Adds what came of an action.
    pub(crate) fn remember(&self, key: &Hash, entry: Entry) -> io::Result<()> {
        let mut entries = self.manifest(key);
        entries.retain(|old| old.files != entry.files || old.folders != entry.folders);
        entries.insert(0, entry);
        entries.truncate(ENTRIES_MAX);
        let body = postcard::to_stdvec(&entries).map_err(io::Error::other)?;
        let sum = hash_bytes(&body);
        self.write(&self.place(FORMAT, key), &[&sum, &body])
    }

    /// Puts a small file there whole or not at all.
    pub(crate) fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Takes a finished output into the cache, and answers its hash. The file becomes read-only: it may be shared.
    pub(crate) fn publish(&self, output: &Path) -> io::Result<Hash> {
        let hash = hash_bytes(&fs::read(output)?);
        let object = self.object(&hash);
        if object.exists() {
            return Ok(hash);
        }
        fs::create_dir_all(object.parent().unwrap_or(&self.folder))?;
        fs::set_permissions(output, fs::Permissions::from_mode(read_only(output)?))?;
        match fs::hard_link(output, &object) {
            Ok(()) => Ok(hash),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(hash),
            // Another file system, or too many links.
            Err(_) => {
                let bytes = fs::read(output)?;
                self.write(&object, &[&bytes])?;
                Ok(hash)
            }
        }
    }

    /// Puts an object at `output`. False where it is not there, or is not what its name says: that one is removed.
    pub(crate) fn deliver(&self, hash: &Hash, output: &Path) -> io::Result<bool> {
        let object = self.object(hash);
        let Ok(bytes) = fs::read(&object) else { return Ok(false) };
        if hash_bytes(&bytes) != *hash {
            tracing::warn!(object = %object.display(), "a cached object is damaged; it is made again");
            fs::remove_file(&object)?;
            return Ok(false);
        }
        remove(output)?;
        if fs::hard_link(&object, output).is_err() {
            fs::write(output, &bytes)?;
            fs::set_permissions(output, fs::Permissions::from_mode(read_only(&object)?))?;
        }
        Ok(true)
    }
}

fn read_only(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o555)
}

/// Removes a file, if it is there: an output may be shared with the cache, and must not be written through.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_shared_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::new(folder.path().join("objects"));
        let (made, wanted) = (folder.path().join("made.o"), folder.path().join("wanted.o"));
        fs::write(&made, "object").unwrap();
        let hash = store.publish(&made).unwrap();
        assert!(store.deliver(&hash, &wanted).unwrap());
        assert!(store.deliver(&hash, &wanted).unwrap(), "over what is there");
        assert_eq!(fs::read(&wanted).unwrap(), b"object");

        let object = store.object(&hash);
        fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&object, "damage").unwrap();
        assert!(!store.deliver(&hash, &wanted).unwrap());
        assert!(!object.exists(), "it is not offered again");
        assert!(!store.deliver(&[7; 32], &wanted).unwrap(), "what never was");
    }

    #[test]
    fn a_manifest_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::new(folder.path().to_owned());
        let entry = |n: u8| Entry {
            files: vec![("a.h".into(), [n; 32])],
            folders: vec![],
            output: [n; 32],
            printed: String::new(),
        };
        for n in 0..20 {
            store.remember(&[1; 32], entry(n)).unwrap();
        }
        store.remember(&[1; 32], entry(19)).unwrap();
        let entries = store.manifest(&[1; 32]);
        assert_eq!(entries.len(), ENTRIES_MAX);
        assert_eq!(entries[0], entry(19));

        let path = store.place(FORMAT, &[1; 32]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.manifest(&[1; 32]), [], "damaged");
    }
}
