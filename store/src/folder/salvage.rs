//! A table that does not open: its log without its snapshot.
//!
//! sled's snapshot is where its log stood at the last opening, and it refuses a log that is damaged before that point.
//! Without the snapshot it reads the log from the start, up to the damage: an older table, which the marks bring up to
//! date.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    files::{free_name, sync_folder},
    table::Table,
};
use crate::{OpenError, backend::Fault};

/// Sets the table of a locked store aside and puts what can be read of its log in its place. Answers where the old one
/// is, and whether anything could be read. Only a copy is ever tried on.
pub(crate) fn salvage(root: &Path) -> Result<(PathBuf, bool), OpenError> {
    let table = root.join("sled");
    let trial = root.join("sled.salvage");
    let old = free_name(root, "sled.damaged")?;
    remove(&trial)?;
    copy_log(&table, &trial).map_err(|error| Fault::io("copy to", &trial, &error))?;
    let readable = Table::open(&trial, Instant::now()).is_ok_and(|table| {
        let scanned = table.scan(&[]).is_ok();
        table.sync().is_ok() && table.close().is_ok() && scanned
    });
    fs::rename(&table, &old).map_err(|error| Fault::io("set aside", &table, &error))?;
    if readable {
        fs::rename(&trial, &table).map_err(|error| Fault::io("rename", &trial, &error))?;
    }
    sync_folder(root)?;
    remove(&trial)?;
    Ok((old, readable))
}

fn remove(trial: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(trial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::io("remove", trial, &error)),
        _ => Ok(()),
    }
}

/// The database and its configuration. We make no blobs.
fn copy_log(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for name in ["db", "conf"] {
        match fs::copy(from.join(name), to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
