//! Whether a folder that a project declares as a package has changed since it was installed: what is built with is the copy that its
//! lock pins.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use farmhand_messages::packages::{PackageOrigin, PackageSpec};

use crate::Packages;
use crate::packages::shelf_name;
use crate::shelf::Shelf;

/// Of a folder no more entries are compared: nobody waits for that before each build.
const ENTRIES_MAX: usize = 20_000;
/// Likewise, of what has another time than its copy, in bytes.
const READ_BYTES_MAX: u64 = 64 << 20;
/// Of a file's mode, what a copy keeps: whether its owner may run it.
const RUNS: u32 = 0o100;

impl Packages {
    /// Those of a project's packages whose folders are not any more what is installed as their lock pins them. Blocks: it looks at all
    /// that is in them, and reads what may have changed.
    #[must_use]
    pub fn moved<'a>(&self, specs: &'a [PackageSpec]) -> Vec<&'a PackageSpec> {
        specs.iter().filter(|spec| self.has_moved(spec)).collect()
    }

    fn has_moved(&self, spec: &PackageSpec) -> bool {
        let (PackageOrigin::Path { path, .. }, Some(hash)) = (&spec.origin, spec.locked) else {
            return false;
        };
        let folder = Path::new(path);
        let Some(there) = Shelf::new(self.folder(), shelf_name(spec)).installed(Some(hash)) else {
            return false;
        };
        // What cannot be compared is no reason to say that it differs.
        folder.is_dir() && !spec.strip && is_same(folder, &there.prefix).is_ok_and(|same| !same)
    }
}

fn is_same(folder: &Path, copy: &Path) -> io::Result<bool> {
    let (mut folders, mut seen, mut read) = (vec![PathBuf::new()], 0, 0);
    while let Some(below) = folders.pop() {
        let names = names(&copy.join(&below))?;
        if self::names(&folder.join(&below))? != names {
            return Ok(false);
        }
        seen += names.len();
        if seen > ENTRIES_MAX {
            return Ok(true);
        }
        for name in names {
            let path = below.join(name);
            let (one, other) = (folder.join(&path), copy.join(&path));
            let (about, copied) = (fs::symlink_metadata(&one)?, fs::symlink_metadata(&other)?);
            if about.file_type() != copied.file_type() {
                return Ok(false);
            }
            if about.is_dir() {
                folders.push(path);
            } else if about.is_symlink() {
                let target = fs::read_link(&one)?;
                // One that begins at the root is written otherwise.
                if target.is_relative() && target != fs::read_link(&other)? {
                    return Ok(false);
                }
            } else if about.is_file() {
                let runs = |about: &Metadata| about.permissions().mode() & RUNS;
                if about.len() != copied.len() || runs(&about) != runs(&copied) {
                    return Ok(false);
                }
                if about.modified()? == copied.modified()? {
                    continue;
                }
                read += about.len();
                if read > READ_BYTES_MAX {
                    return Ok(true);
                }
                if !has_same_content(&one, &other)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Of two files of one length.
fn has_same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let len = left.len().min(right.len());
        if left[..len] != right[..len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(len);
        other.consume(len);
    }
}

/// All names but that of a repository, which changes with each look at it.
fn names(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let all = fs::read_dir(folder)?.map(|entry| Ok(PathBuf::from(entry?.file_name())));
    all.filter(|name| !name.as_ref().is_ok_and(|name| name == Path::new(".git"))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    /// Guard: each comparison in `is_same`.
    #[test]
    fn what_makes_a_folder_another_one() {
        let above = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = above.path().join(name);
            fs::create_dir_all(folder.join("bin")).unwrap();
            fs::create_dir_all(folder.join(".git")).unwrap();
            fs::write(folder.join("bin/tool"), "one").unwrap();
            symlink("tool", folder.join("bin/link")).unwrap();
            folder
        };
        let copy = make("copy");
        let is_another = |name: &str, change: &dyn Fn(&Path)| {
            let folder = make(name);
            let then = fs::metadata(copy.join("bin/tool")).unwrap().modified().unwrap();
            File::open(folder.join("bin/tool")).unwrap().set_modified(then).unwrap();
            assert!(is_same(&folder, &copy).unwrap(), "{name}, before it");
            change(&folder);
            !is_same(&folder, &copy).unwrap()
        };
        let mode = |folder: &Path, mode| {
            fs::set_permissions(folder.join("bin/tool"), fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(is_another("content", &|folder| fs::write(folder.join("bin/tool"), "two").unwrap()));
        assert!(is_another("length", &|folder| fs::write(folder.join("bin/tool"), "three").unwrap()));
        assert!(is_another("name", &|folder| fs::write(folder.join("bin/new"), "").unwrap()));
        assert!(is_another("gone", &|folder| fs::remove_file(folder.join("bin/tool")).unwrap()));
        assert!(is_another("kind", &|folder| {
            fs::remove_file(folder.join("bin/link")).unwrap();
            fs::write(folder.join("bin/link"), "").unwrap();
        }));
        assert!(is_another("target", &|folder| {
            fs::remove_file(folder.join("bin/link")).unwrap();
            symlink("other", folder.join("bin/link")).unwrap();
        }));
        assert!(is_another("mode", &|folder| mode(folder, 0o744)));
        assert!(!is_another("others", &|folder| mode(folder, 0o600)), "what no copy keeps");
        assert!(!is_another("git", &|folder| fs::write(folder.join(".git/index"), "").unwrap()));
        let touched = |folder: &Path| {
            File::open(folder.join("bin/tool")).unwrap().set_modified(SystemTime::now()).unwrap();
        };
        assert!(!is_another("touched", &touched));
    }
}
