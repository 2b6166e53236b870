//! The shared libraries of programs that a guest runs, as the host's loader finds them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::parts::MissingParts;

/// What `programs` need, by name in the guest, with `LD_LIBRARY_PATH` set so. The loader itself is among them, by its
/// absolute path.
pub(crate) fn libraries(
    programs: &[PathBuf],
    library_path: Option<&str>,
) -> Result<BTreeMap<String, PathBuf>, MissingParts> {
    let mut command = Command::new("ldd");
    command.args(programs).env("LC_ALL", "C");
    match library_path {
        Some(path) => command.env("LD_LIBRARY_PATH", path),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
    let listed = command.output().map_err(|source| MissingParts::Read { path: "ldd".into(), source })?;
    let mut all = BTreeMap::new();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [name, "=>", "not", "found"] => return Err(MissingParts::Library(name.to_owned())),
            [name, "=>", path, _] => {
                all.insert(name.to_owned(), PathBuf::from(path));
            }
            // The loader has no other name; the kernel's own page has no file.
            [path, _]
                if Path::new(path).is_absolute() && Path::new(path).extension() != Some(OsStr::new(":")) =>
            {
                all.insert(path.to_owned(), PathBuf::from(path));
            }
            _ => {}
        }
    }
    Ok(all)
}
