//! Files that are new or old, never half.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::backend::Fault;

/// How many damaged things are kept beside a store; whoever has more must look first.
const ASIDE_MAX: u32 = 16;

/// A name in `root` that is not taken: `STEM.1` and on.
pub(crate) fn free_name(root: &Path, stem: &str) -> Result<PathBuf, Fault> {
    (1..=ASIDE_MAX).map(|n| root.join(format!("{stem}.{n}"))).find(|path| !path.exists()).ok_or_else(|| {
        Fault::Io {
            what: "set aside in",
            path: root.to_owned(),
            detail: format!("{ASIDE_MAX} of {stem} are there already: move them away"),
        }
    })
}

/// What was made or renamed in this folder stays so after a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Fault> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|error| Fault::io("sync", folder, &error))
}

/// `bytes` in the place of `path`: beside it, synced, renamed, the folder synced.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        // The next opening sweeps it as well.
        let _ = fs::remove_file(&new);
        Fault::io("replace", path, &error)
    })?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}
