//! What a package came to, as one hash: noted as it is unpacked, and read again when somebody asks whether it is
//! still that.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::hash_file;
use crate::InstallError;

/// A thing below a package's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Folder,
    File { executable: bool, content: [u8; 32] },
    Link(PathBuf),
}

/// All that is below a package's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<PathBuf, Leaf>);

impl Tree {
    pub(super) fn note(&mut self, path: &Path, leaf: Leaf) {
        self.0.insert(path.to_owned(), leaf);
    }

    /// A second name of a file.
    pub(super) fn note_same(&mut self, path: &Path, as_of: &Path) {
        if let Some(leaf) = self.0.get(as_of).cloned() {
            self.note(path, leaf);
        }
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (path, leaf) in &self.0 {
            text(&mut hash, path.as_os_str().as_bytes());
            match leaf {
                Leaf::Folder => hash.update(b"d"),
                Leaf::File { executable, content } => {
                    hash.update(if *executable { b"x" } else { b"f" });
                    hash.update(content);
                }
                Leaf::Link(target) => {
                    hash.update(b"l");
                    text(&mut hash, target.as_os_str().as_bytes());
                }
            }
        }
        hash.finalize().into()
    }
}

/// The hash of what is below a folder, and how many bytes its files have. Blocks: it reads all of them.
pub(crate) fn read_tree(folder: &Path) -> Result<([u8; 32], u64), InstallError> {
    let mut tree = Tree::default();
    let mut bytes = 0;
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let full = folder.join(&below);
        let read_error = |error| InstallError::io("read", &full, error);
        for entry in fs::read_dir(&full).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            let path = below.join(entry.file_name());
            let there = entry.metadata().map_err(read_error)?;
            let leaf = if there.is_dir() {
                open.push(path.clone());
                Leaf::Folder
            } else if there.is_symlink() {
                Leaf::Link(fs::read_link(entry.path()).map_err(read_error)?)
            } else {
                let (content, length) = hash_file(&entry.path(), |_, _| Ok(()))?;
                bytes += length;
                Leaf::File { executable: there.permissions().mode() & 0o100 != 0, content }
            };
            tree.note(&path, leaf);
        }
    }
    Ok((tree.hash(), bytes))
}
