//! Where a build leaves its things: in the project, or, where the project may not be written, with the farm.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_runtime::Paths;
use rustix::fs::{Access, access};

use crate::cache::hash_bytes;

/// Below the farm's folder: one folder for each project that is read only.
const BUILDS: &str = "builds";

/// The folder of a build.
pub(crate) fn build_folder(paths: &Paths, wish: &BuildWish) -> PathBuf {
    folder_for(paths, &wish.build_dir)
}

/// The folder of a build that is wished for in one.
pub(crate) fn folder_for(paths: &Paths, wished: &Path) -> PathBuf {
    choose(paths, wished, may_write)
}

/// Whether that is not the one that was wished for.
pub(crate) fn is_elsewhere(wish: &BuildWish, folder: &Path) -> bool {
    folder != wish.build_dir
}

fn choose(paths: &Paths, wished: &Path, may_write: impl Fn(&Path) -> bool) -> PathBuf {
    let there = wished.ancestors().find(|folder| folder.exists());
    // A file that is in the way is told of where the folder is made.
    if there.is_none_or(|there| !there.is_dir() || may_write(there)) {
        return wished.to_owned();
    }
    let hash = hash_bytes(wished.as_os_str().as_encoded_bytes());
    let key: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    paths.home().join(BUILDS).join(key)
}

/// As the system says: a read-only file system refuses root too.
fn may_write(folder: &Path) -> bool {
    access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_that_may_not_be_written_is_built_with_the_farm() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new("/farm");
        let wished = |name: &str| folder.path().join(name).join(".farmhand/build");
        assert_eq!(choose(&paths, &wished("a"), |_| true), wished("a"));
        let asked = |path: &Path| {
            assert_eq!(path, folder.path(), "the nearest that is there");
            false
        };
        let (a, b) = (choose(&paths, &wished("a"), asked), choose(&paths, &wished("b"), |_| false));
        assert!(a.starts_with("/farm/builds") && b.starts_with("/farm/builds"));
        assert_ne!(a, b, "each project has its own");
        assert_eq!(a, choose(&paths, &wished("a"), |_| false), "and keeps it");
    }
}
