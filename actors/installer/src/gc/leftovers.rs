//! What was fetched of a package and never became one: a download that ended in the middle is taken up again by the next who
//! asks for the package, and lies there until somebody does.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use farmhand_messages::installer::Installed;

use super::{Stored, bytes_of};
use crate::InstallError;
use crate::lock::{Hold, Lock};
use crate::shelf::{Shelf, remove_all};

/// What stands where a package has its version.
const NO_VERSION: &str = "(half fetched)";

/// What lies there, told as a package.
pub(super) fn left(shelf: &Shelf) -> Option<Stored> {
    let fetched = shelf.fetched();
    let used = touched(&fetched)?;
    let installed = Installed {
        name: shelf.folder().file_name()?.to_str()?.to_owned(),
        version: NO_VERSION.to_owned(),
        hash: [0; 32],
        environment: Default::default(),
        already: true,
        archives: Vec::new(),
        prefix: fetched,
    };
    let bytes = bytes_of(&installed.prefix);
    let (users, projects, offers) = (Vec::new(), Vec::new(), Vec::new());
    Some(Stored { installed, kind: None, offers, bytes, used, users, projects })
}

/// When anything below a folder was written to last; none where nothing is in it.
fn touched(folder: &Path) -> Option<SystemTime> {
    let (mut last, mut open) = (None, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(there) = entry.metadata() else { continue };
            if there.is_dir() {
                open.push(entry.path());
            } else {
                last = last.max(there.modified().ok());
            }
        }
    }
    last
}

/// Whether somebody installs that package now.
pub(super) fn is_in_use(shelf: &Shelf) -> bool {
    // Where it cannot be told, it is.
    !matches!(Lock::try_take(&shelf.lock(), Hold::Alone), Ok(Some(_)))
}

/// Removes it, unless somebody installs that package, or did since it was looked at.
pub(super) fn remove(shelf: &Shelf, seen: &Stored) -> Result<bool, InstallError> {
    let taken = Lock::try_take(&shelf.lock(), Hold::Alone);
    let Some(_held) = taken.map_err(|error| InstallError::io("lock", &shelf.lock(), error))? else {
        return Ok(false);
    };
    let fetched = shelf.fetched();
    if touched(&fetched).is_none_or(|last| last > seen.used) {
        return Ok(false);
    }
    remove_all(&fetched).map_err(|error| InstallError::io("remove", &fetched, error))?;
    Ok(true)
}
