//! Where one package lies: `packages/NAME/`.
//!
//! - `VERSION-HASH12/` is the package: for Debian's archives, what they would unpack to `/`;
//! - `VERSION-HASH12.complete` is its completion record, beside it so that no archive can bring one;
//! - `.project-*` say which projects asked for it; `packages/.leases/NAME@VERSION-HASH12` is locked by whoever uses it;
//! - `.lock` is held by whoever installs it;
//! - `.staging-*` and `.fetched/` are an installation under way: the first is swept, the second taken up again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farmhand_messages::installer::Installed;
use farmhand_runtime::{Failpoint, failpoint, replace_file, sync_dir};

use crate::InstallError;
use crate::apt::Sha256;
use crate::catalogue::{described, matches};
use crate::record::CompletionRecord;

const RECORD: &str = "complete";

/// One package's place.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(crate) fn new(packages: &Path, name: &str) -> Self {
        Self { folder: packages.join(name) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder.join(".lock")
    }

    /// Where archives are fetched to. It outlives a dead installation: the next one goes on from there.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.folder.join(".fetched")
    }

    /// The newest that is complete; of that hash, where one is given.
    pub(crate) fn installed(&self, hash: Option<[u8; 32]>) -> Option<Installed> {
        self.newest(|record| {
            hash.is_none_or(|hash| Sha256::from_hex(&record.hash).is_some_and(|of| of.0 == hash))
        })
    }

    /// The newest that is complete and was asked for as that.
    pub(crate) fn asked_for_as(&self, source: &str) -> Option<Installed> {
        self.newest(|record| record.source.as_deref() == Some(source))
    }

    /// The records of all that is complete.
    pub(crate) fn complete(&self) -> Vec<CompletionRecord> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = entries.filter(|path| path.extension().is_some_and(|extension| extension == RECORD));
        records.filter_map(|path| CompletionRecord::read(&path)).collect()
    }

    /// The record of what lies there.
    pub(crate) fn record_of(prefix: &Path) -> Option<PathBuf> {
        let name = prefix.file_name()?.to_str()?;
        Some(prefix.parent()?.join(format!("{name}.{RECORD}")))
    }

    fn newest(&self, wanted: impl Fn(&CompletionRecord) -> bool) -> Option<Installed> {
        let mut records: Vec<_> = self.complete().into_iter().filter(wanted).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.installed_unix_ms));
        records.into_iter().find_map(|record| {
            let prefix = self.folder.join(record.folder());
            let whole = match described(&record.name) {
                Some(description) => missing(&prefix, description.must_exist).is_none(),
                None => prefix.is_dir(),
            };
            if whole { record.installed(prefix, true) } else { None }
        })
    }

    /// Removes what a dead installation left: staging, and folders without a record. Only with the lock held.
    pub(crate) fn sweep(&self) -> Result<(), InstallError> {
        let read_error = |error| InstallError::io("read", &self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(read_error)? {
            let path = entry.map_err(read_error)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let abandoned = if name.starts_with('.') {
                name.starts_with(".staging-")
            } else if path.is_dir() {
                !self.record(name).is_file()
            } else {
                // A record that was being written, or one of what is not there.
                let of = name.strip_suffix(RECORD).and_then(|name| name.strip_suffix('.'));
                name.ends_with(".new") || of.is_some_and(|of| !self.folder.join(of).is_dir())
            };
            if abandoned {
                tracing::info!(path = %path.display(), "swept what an ended installation left");
                remove_all(&path).map_err(|error| InstallError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// A new, empty folder to unpack into; removed on drop unless it was committed.
    pub(crate) fn staging(&self) -> Result<Staging, InstallError> {
        tempfile::Builder::new()
            .prefix(".staging-")
            .disable_cleanup(true)
            .tempdir_in(&self.folder)
            .map(Staging)
            .map_err(|error| InstallError::io("make a folder in", &self.folder, error))
    }

    /// Makes what is in staging the package. All of it is synced already. Only with the lock held.
    pub(crate) fn commit(
        &self,
        staging: Staging,
        record: &CompletionRecord,
    ) -> Result<Installed, InstallError> {
        let folder = record.folder();
        let prefix = self.folder.join(&folder);
        let record_path = self.record(&folder);
        let folder_error = |error| InstallError::io("rename into", &prefix, error);
        if prefix.exists() {
            // Complete once, and damaged since: it stops being installed before it goes.
            remove_all(&record_path).map_err(|error| InstallError::io("remove", &record_path, error))?;
            remove_all(&prefix).map_err(|error| InstallError::io("remove", &prefix, error))?;
        }
        failpoint(Failpoint::InstallBeforeRename);
        fs::rename(staging.0.path(), &prefix).map_err(folder_error)?;
        // It is not there any more: nothing is left to remove.
        drop(staging);
        sync_dir(&self.folder).map_err(folder_error)?;
        failpoint(Failpoint::InstallAfterRename);
        if let Err(error) = replace_file(&record_path, &record.to_bytes()) {
            // Without its record it is nothing: the room is wanted, perhaps, and the next one would sweep it.
            let _swept_otherwise = remove_all(&prefix);
            return Err(InstallError::io("write", &record_path, error));
        }
        Ok(record.clone().installed(prefix, false).expect("a record that was just made can be read"))
    }

    fn record(&self, folder: &str) -> PathBuf {
        self.folder.join(format!("{folder}.{RECORD}"))
    }
}

/// A folder that is being unpacked into.
#[derive(Debug)]
pub(crate) struct Staging(tempfile::TempDir);

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_all(self.path()) {
            // The next who installs it sweeps, and tells why where that fails, too.
            tracing::warn!(path = %self.path().display(), %error, "what was not installed is not removed");
        }
    }
}

/// Removes a file or a folder; that there is none is fine.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => gone(remove_tree(path)),
        Ok(_) => gone(fs::remove_file(path)),
        Err(error) => gone(Err(error)),
    }
}

/// That something is not there is fine.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder, however deep: folders in it are moved up into it first. So it holds one descriptor, not one a
/// level as `fs::remove_dir_all` does, and names none by a path that is longer than may be.
fn remove_tree(root: &Path) -> io::Result<()> {
    let mut open = vec![root.to_owned()];
    let mut moved = 0_u64;
    while let Some(folder) = open.pop() {
        let is_root = folder == root;
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                gone(fs::remove_file(entry.path()))?;
            } else if is_root {
                open.push(entry.path());
            } else {
                open.push(move_up(&entry.path(), root, &mut moved)?);
            }
        }
        if !is_root {
            gone(fs::remove_dir(&folder))?;
        }
    }
    gone(fs::remove_dir(root))
}

/// Moves a folder to where none is yet; gives where that is.
fn move_up(folder: &Path, root: &Path, moved: &mut u64) -> io::Result<PathBuf> {
    loop {
        let to = root.join(format!(".going-{moved}"));
        *moved += 1;
        match fs::rename(folder, &to) {
            // One that a removal before this one left, or the archive itself brought.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            renamed => return renamed.map(|()| to),
        }
    }
}

/// The first of `patterns` that no file below `folder` has.
pub(crate) fn missing<'a>(folder: &Path, patterns: &[&'a str]) -> Option<&'a str> {
    patterns.iter().copied().find(|pattern| !exists(folder, pattern))
}

fn exists(folder: &Path, pattern: &str) -> bool {
    let (first, rest) = pattern.split_once('/').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let goes_on = |path: &Path| rest.map_or_else(|| path.exists(), |rest| exists(path, rest));
    if !first.contains('*') {
        return goes_on(&folder.join(first));
    }
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_str().is_some_and(|name| matches(first, name)) && goes_on(&entry.path())
    })
}

/// The folders of shared libraries below a prefix: `usr/lib/TRIPLET`, whatever this machine's triplet is.
pub(crate) fn library_folders(prefix: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for above in ["usr/lib", "lib"] {
        let mut folders = vec![above.to_owned()];
        let below = fs::read_dir(prefix.join(above)).into_iter().flatten().flatten();
        folders.extend(
            below
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| name.contains("-linux-"))
                .map(|name| format!("{above}/{name}")),
        );
        folders.retain(|folder| exists(&prefix.join(folder), "*.so") || has_soname(&prefix.join(folder)));
        folders.sort();
        found.extend(folders);
    }
    found
}

fn has_soname(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(|name| name.contains(".so.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(shelf: &Shelf, version: &str) -> Installed {
        let staging = shelf.staging().unwrap();
        fs::write(staging.path().join("file"), version).unwrap();
        shelf.commit(staging, &CompletionRecord::new("x", version, [7; 32], Vec::new())).unwrap()
    }

    #[test]
    fn what_has_no_record_is_not_there_and_is_swept() {
        let packages = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(packages.path(), "x");
        fs::create_dir(shelf.folder()).unwrap();
        let made = made(&shelf, "1:2~3");
        assert_eq!(made.prefix.file_name().unwrap(), "1_2_3-070707070707");
        assert_eq!(shelf.installed(None).unwrap(), Installed { already: true, ..made.clone() });
        assert!(shelf.installed(Some([8; 32])).is_none());

        fs::create_dir(shelf.folder().join(".staging-dead")).unwrap();
        fs::create_dir(shelf.folder().join("9-000000000000")).unwrap();
        fs::create_dir(shelf.fetched()).unwrap();
        fs::write(shelf.folder().join("9-000000000000.complete.1.new"), "{").unwrap();
        fs::write(shelf.folder().join("8-000000000000.complete"), "{").unwrap();
        shelf.sweep().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(shelf.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".fetched", "1_2_3-070707070707", "1_2_3-070707070707.complete"]);

        fs::remove_file(shelf.folder().join("1_2_3-070707070707.complete")).unwrap();
        assert!(shelf.installed(None).is_none());
        shelf.sweep().unwrap();
        assert!(!made.prefix.exists());
    }

    #[test]
    fn what_was_damaged_is_replaced() {
        let packages = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(packages.path(), "x");
        fs::create_dir(shelf.folder()).unwrap();
        let first = made(&shelf, "1");
        fs::remove_dir_all(&first.prefix).unwrap();
        assert!(shelf.installed(None).is_none());
        assert_eq!(made(&shelf, "1"), first);
        assert_eq!(made(&shelf, "1"), first);
        assert!(shelf.installed(None).is_some());
    }

    #[test]
    fn a_record_of_another_shape_is_none() {
        let packages = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(packages.path(), "x");
        fs::create_dir(shelf.folder()).unwrap();
        made(&shelf, "1");
        let path = shelf.record("1-070707070707");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        assert!(shelf.installed(None).is_none());
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(shelf.installed(None).is_none());
    }

    #[test]
    fn finds_libraries_of_any_triplet() {
        let prefix = tempfile::tempdir().unwrap();
        for (folder, file) in [
            ("usr/lib/riscv64-linux-gnu", "liba.so.1"),
            ("usr/lib/avr", "libb.a"),
            ("usr/lib/gcc", "plugin.so"),
            ("lib/aarch64-linux-gnu", "libz.so"),
        ] {
            fs::create_dir_all(prefix.path().join(folder)).unwrap();
            fs::write(prefix.path().join(folder).join(file), "").unwrap();
        }
        assert_eq!(library_folders(prefix.path()), ["usr/lib/riscv64-linux-gnu", "lib/aarch64-linux-gnu"]);
        assert_eq!(missing(prefix.path(), &["usr/lib/*/liba.so.*", "lib"]), None);
        assert_eq!(missing(prefix.path(), &["lib", "usr/lib/*/libq.so"]), Some("usr/lib/*/libq.so"));
    }
}
