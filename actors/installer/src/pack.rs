//! A folder as one tar.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, HeaderMode};

/// Packs what is in a folder, and of that what has a wanted name. The same content, the same bytes: by name, without times and
/// owners.
pub(crate) fn pack<W: Write>(folder: &Path, into: W, wanted: impl Fn(&OsStr) -> bool) -> io::Result<W> {
    let mut tar = Builder::new(into);
    tar.mode(HeaderMode::Deterministic);
    tar.follow_symlinks(false);
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let mut entries = fs::read_dir(folder.join(&below))?.collect::<io::Result<Vec<_>>>()?;
        entries.retain(|entry| wanted(&entry.file_name()));
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            tar.append_path_with_name(entry.path(), &path)?;
            if entry.file_type()?.is_dir() {
                open.push(path);
            }
        }
    }
    tar.into_inner()
}
