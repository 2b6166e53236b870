//! Folders, copied.

use std::fs;
use std::io;
use std::path::Path;

/// What farmhand keeps in a project.
const OURS: &str = ".farmhand";

/// Copies a folder, links as links.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    copy_less(from, to, None)
}

/// Copies a project, less what was built in it.
pub fn copy_project(from: &Path, to: &Path) -> io::Result<()> {
    copy_less(from, to, Some(OURS))
}

fn copy_less(from: &Path, to: &Path, less: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if less.is_some_and(|less| entry.file_name() == less) {
            continue;
        }
        if kind.is_dir() {
            copy_less(&entry.path(), &target, less)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
