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

/// No installed file has these: others may write to it, or it runs as its owner or group.
const NO_FILES_MODE: u32 = 0o6022;

/// A thing below a package's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Folder,
    File {
        executable: bool,
        content: [u8; 32],
    },
    Link {
        target: PathBuf,
        /// Its archive said it from the root.
        from_root: bool,
    },
    /// What nothing that was installed is: it makes another hash, whatever there was. It is not read, for that may take
    /// for ever.
    Odd,
}

/// All that is below a package's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    leaves: BTreeMap<PathBuf, Leaf>,
    names_bytes: usize,
}

impl Tree {
    /// What lies there now.
    pub(super) fn note(&mut self, path: &Path, leaf: Leaf) {
        let bytes = |leaf: &Leaf| match leaf {
            Leaf::Link { target, .. } => target.as_os_str().len(),
            Leaf::Folder | Leaf::File { .. } | Leaf::Odd => 0,
        };
        self.names_bytes += path.as_os_str().len() + bytes(&leaf);
        if let Some(before) = self.leaves.insert(path.to_owned(), leaf) {
            self.names_bytes -= path.as_os_str().len() + bytes(&before);
        }
    }

    /// Something else is kept that names are in.
    pub(super) fn hold(&mut self, bytes: usize) {
        self.names_bytes += bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    pub(super) fn leaf(&self, path: &Path) -> Option<&Leaf> {
        self.leaves.get(path)
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        matches!(self.leaf(path), Some(Leaf::Folder))
    }

    /// Of all paths, and all targets of links.
    pub(super) fn names_bytes(&self) -> usize {
        self.names_bytes
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (path, leaf) in &self.leaves {
            text(&mut hash, path.as_os_str().as_bytes());
            match leaf {
                Leaf::Folder => hash.update(b"d"),
                Leaf::File { executable, content } => {
                    hash.update(if *executable { b"x" } else { b"f" });
                    hash.update(content);
                }
                Leaf::Link { target, .. } => {
                    hash.update(b"l");
                    text(&mut hash, target.as_os_str().as_bytes());
                }
                Leaf::Odd => hash.update(b"?"),
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
                let target = fs::read_link(entry.path()).map_err(read_error)?;
                Leaf::Link { target, from_root: false }
            } else if !there.is_file() || there.permissions().mode() & NO_FILES_MODE != 0 {
                Leaf::Odd
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
