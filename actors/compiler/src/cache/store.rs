//! Objects by their hash, and the manifests by which they are found.
//!
//! Nothing here is synced: what a crash leaves of an object does not have its hash, and is made again.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_runtime::{Failpoint, failpoint};
use serde::{Deserialize, Serialize};

use super::usage::{note_use, note_written};
use super::{Hash, UNFINISHED, hash_bytes};

/// Raised when what a manifest says, or what goes into a key, changes.
const FORMAT: &str = "m2";
/// Variants of one action that are kept: the newest push out the oldest.
const ENTRIES_MAX: usize = 16;

/// One way an action came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What the compiler read beside its arguments: paths with their roots hidden, and what they held.
    pub(crate) files: Vec<(String, Hash)>,
    /// Folders in which another file of the same name would have been found first, and their names' hash.
    pub(crate) folders: Vec<(String, Hash)>,
    /// Files of the project that are called as one of these, and are no headers by their names: their places' hash.
    pub(crate) namesakes: Hash,
    /// What it read asks which files there are: then all of these count.
    pub(crate) asks: bool,
    /// The output's hash.
    pub(crate) output: Hash,
    /// What the compiler printed, with roots hidden.
    pub(crate) printed: String,
}

impl Entry {
    /// Whether both were made of the same files, among the same others.
    fn is_of_the_same(&self, other: &Self) -> bool {
        let of = |entry: &Self| (entry.namesakes, entry.asks);
        of(self) == of(other) && self.files == other.files && self.folders == other.folders
    }
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
        let body = self.sealed(&self.place(FORMAT, key));
        body.and_then(|body| postcard::from_bytes(&body).ok()).unwrap_or_default()
    }

    /// Adds what came of an action.
    pub(crate) fn remember(&self, key: &Hash, entry: Entry) -> io::Result<()> {
        let mut entries = self.manifest(key);
        entries.retain(|old| !old.is_of_the_same(&entry));
        entries.insert(0, entry);
        entries.truncate(ENTRIES_MAX);
        let body = postcard::to_stdvec(&entries).map_err(io::Error::other)?;
        self.seal(&self.place(FORMAT, key), &body)?;
        failpoint(Failpoint::ObjectRemembered);
        Ok(())
    }

    /// What was put there with its hash; none where it is not what was put there. It counts as used.
    #[must_use]
    pub(crate) fn sealed(&self, path: &Path) -> Option<Vec<u8>> {
        let (bytes, _) = read_used(path).ok()?;
        let (sum, body) = bytes.split_at_checked(32)?;
        (hash_bytes(body) == sum).then(|| body.to_owned())
    }

    /// Puts a small file there, with its hash.
    pub(crate) fn seal(&self, path: &Path, body: &[u8]) -> io::Result<()> {
        write_whole(path, &[&hash_bytes(body), body])?;
        note_written(&self.folder, body.len() as u64);
        Ok(())
    }

    /// Takes a finished output into the cache; it holds `bytes`. The file becomes read-only: it may be shared.
    pub(crate) fn publish(&self, output: &Path, bytes: &[u8], hash: &Hash) -> io::Result<()> {
        let object = self.object(hash);
        failpoint(Failpoint::ObjectMade);
        if let Ok(there) = File::open(&object) {
            note_use(&there);
            return Ok(());
        }
        fs::create_dir_all(object.parent().unwrap_or(&self.folder))?;
        let mode = fs::metadata(output)?.permissions().mode() & 0o555;
        fs::set_permissions(output, fs::Permissions::from_mode(mode))?;
        match fs::hard_link(output, &object) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            // Another file system, or too many links.
            Err(_) => write_whole(&object, &[bytes])?,
        }
        note_written(&self.folder, bytes.len() as u64);
        failpoint(Failpoint::ObjectKept);
        Ok(())
    }

    /// Puts an object at `output`. False where it is not there, or is not what its name says: that one is removed.
    pub(crate) fn deliver(&self, hash: &Hash, output: &Path) -> io::Result<bool> {
        let object = self.object(hash);
        // From here on nobody who collects it takes it from us.
        let Ok((bytes, mode)) = read_used(&object) else { return Ok(false) };
        if hash_bytes(&bytes) != *hash {
            tracing::warn!(object = %object.display(), "a cached object is damaged; it is made again");
            remove(&object)?;
            return Ok(false);
        }
        remove(output)?;
        failpoint(Failpoint::ObjectWanted);
        if fs::hard_link(&object, output).is_err() {
            fs::write(output, &bytes)?;
            fs::set_permissions(output, fs::Permissions::from_mode(mode & 0o555))?;
        }
        failpoint(Failpoint::ObjectDelivered);
        Ok(true)
    }
}

/// A file of the cache and its mode; it counts as used.
fn read_used(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    note_use(&file);
    Ok((bytes, file.metadata()?.permissions().mode()))
}

/// Puts a small file there whole or not at all. Who is killed meanwhile leaves one beside it, which is collected.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    for part in parts {
        file.write_all(part)?;
    }
    failpoint(Failpoint::FileUnfinished);
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes files of a folder that were begun so long ago, and not finished.
pub(crate) fn sweep_unfinished(folder: &Path, age: Duration) {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let begun = entry.metadata().and_then(|about| about.modified());
        let is_old = begun.is_ok_and(|at| now.duration_since(at).unwrap_or_default() >= age);
        if is_old && entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            let _gone_already = fs::remove_file(entry.path());
        }
    }
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
        let hash = hash_bytes(b"object");
        store.publish(&made, b"object", &hash).unwrap();
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
            namesakes: [0; 32],
            asks: false,
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
