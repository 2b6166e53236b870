//! What a project says that its own build command reads: files, folders and globs.
//!
//! A folder stands for all that is below it. Hidden names count only where a pattern names them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError, glob_with};
use thiserror::Error;

use crate::cache::Hasher;

/// Files of one build. Beyond it lies a home folder, not a project.
const FILES_MAX: usize = 100_000;
/// `*` stays within a folder, and means no hidden name.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
/// Variables that name a terminal, a shell or a login, and change from one to the next: no build depends on them.
/// What farmhand is told by its own is in the wish.
const NOT_INPUTS: &[&str] = &[
    "_",
    "COLORTERM",
    "COLUMNS",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "LINES",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "TERM",
    "WAYLAND_DISPLAY",
    "WINDOWID",
];
const NOT_INPUTS_PREFIXES: &[&str] =
    &["FARMHAND_", "SSH_", "STY", "TERM_", "TMUX", "VTE_", "WEZTERM_", "XDG_SESSION_", "XDG_RUNTIME_"];

/// Why a pattern names no input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputError {
    /// Nothing is called so.
    #[error("{pattern:?} matches no file or folder in {}", folder.display())]
    Nothing {
        /// As it is written.
        pattern: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Not a pattern.
    #[error("{pattern:?} is no pattern: {why}")]
    Pattern {
        /// As it is written.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It names very many files.
    #[error("{pattern:?} names more than {FILES_MAX} files")]
    TooMany {
        /// As it is written.
        pattern: String,
    },
    /// A pipe, a socket or a device: it has no content that could be compared.
    #[error("{} is neither a file nor a folder", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Whether a pattern names something in `folder`. Reads folders, and no file.
pub fn check_input(folder: &Path, pattern: &str) -> Result<(), InputError> {
    named(folder, pattern).map(drop)
}

/// All files that the patterns name, sorted.
pub(crate) fn input_files(folder: &Path, patterns: &[String]) -> Result<BTreeSet<PathBuf>, InputError> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        for path in named(folder, pattern)? {
            collect(&path, pattern, &mut Vec::new(), &mut files)?;
        }
    }
    Ok(files)
}

/// A hash of the environment that the command is given.
pub(crate) fn environment(mut hasher: Hasher) -> Hasher {
    let counts = |name: &str| {
        !NOT_INPUTS.contains(&name) && !NOT_INPUTS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| counts(&name.to_string_lossy())).collect();
    variables.sort();
    for (name, value) in variables {
        hasher = hasher.part(name.as_encoded_bytes()).part(value.as_encoded_bytes());
    }
    hasher
}

/// What a pattern names: a file or folder of just that name, or all that match.
fn named(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, InputError> {
    let path = folder.join(pattern);
    if !pattern.is_empty() && path.exists() {
        return Ok(vec![path]);
    }
    let not_a_pattern = |error: PatternError| InputError::Pattern { pattern: pattern.into(), why: error.msg };
    // The folder's own name is no pattern.
    let whole = match Path::new(pattern).is_absolute() {
        true => pattern.to_owned(),
        false => format!("{}/{pattern}", Pattern::escape(&folder.to_string_lossy())),
    };
    let mut paths = Vec::new();
    for found in glob_with(&whole, OPTIONS).map_err(not_a_pattern)? {
        let read =
            |error: glob::GlobError| InputError::Read { path: error.path().to_owned(), source: error.into() };
        paths.push(found.map_err(read)?);
        if paths.len() > FILES_MAX {
            return Err(InputError::TooMany { pattern: pattern.into() });
        }
    }
    if pattern.is_empty() || paths.is_empty() {
        return Err(InputError::Nothing { pattern: pattern.into(), folder: folder.to_owned() });
    }
    Ok(paths)
}

/// A file, or all below a folder. `above` are the folders around it: a link to one of them is not followed.
fn collect(
    path: &Path,
    pattern: &str,
    above: &mut Vec<PathBuf>,
    files: &mut BTreeSet<PathBuf>,
) -> Result<(), InputError> {
    let read = |source: io::Error| InputError::Read { path: path.to_owned(), source };
    let about = fs::metadata(path).map_err(read)?;
    if !about.is_dir() && !about.is_file() {
        return Err(InputError::NoFile { path: path.to_owned() });
    }
    if !about.is_dir() {
        files.insert(path.to_owned());
        return match files.len() > FILES_MAX {
            true => Err(InputError::TooMany { pattern: pattern.into() }),
            false => Ok(()),
        };
    }
    let real = path.canonicalize().map_err(read)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // A link that leads nowhere, or a file that is gone again, is nothing that could be read.
        // A pipe, a socket or a device has no content that could be compared, and may never end.
        let counts = |about: fs::Metadata| about.is_dir() || about.is_file();
        if !is_hidden && fs::metadata(entry.path()).is_ok_and(counts) {
            collect(&entry.path(), pattern, above, files)?;
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("a[b]*").tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[track_caller]
    fn check(folder: &Path, patterns: &[&str], expect: &[&str]) {
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let files = input_files(folder, &patterns).unwrap();
        let shown: Vec<_> = files.iter().map(|file| file.strip_prefix(folder).unwrap_or(file)).collect();
        assert_eq!(shown, expect.iter().map(Path::new).collect::<Vec<_>>(), "{patterns:?}");
    }

    #[test]
    fn files_folders_and_globs() {
        let folder =
            tree(&["src/a.rs", "src/b/c.rs", "src/b/d.txt", "src/.hidden", ".git/x", "top.rs", "odd[1].rs"]);
        let at = folder.path();
        check(at, &["src"], &["src/a.rs", "src/b/c.rs", "src/b/d.txt"]);
        check(at, &["src/**/*.rs"], &["src/a.rs", "src/b/c.rs"]);
        check(at, &["*.rs"], &["odd[1].rs", "top.rs"]);
        check(at, &["src/*"], &["src/a.rs", "src/b/c.rs", "src/b/d.txt"]);
        check(at, &["odd[1].rs"], &["odd[1].rs"]);
        check(at, &["src/.hidden", "top.rs", "top.*"], &["src/.hidden", "top.rs"]);
        check(at, &[at.join("top.rs").to_str().unwrap()], &["top.rs"]);
    }

    #[test]
    fn what_names_nothing_is_said() {
        let folder = tree(&["a"]);
        for wrong in ["b", "*.rs", "", "a/b", "[", "**x"] {
            assert!(check_input(folder.path(), wrong).is_err(), "{wrong:?}");
        }
        check_input(folder.path(), "a").unwrap();
    }

    /// A pipe would be read for ever.
    #[test]
    fn what_is_no_file_is_passed_over_and_named_where_it_is_meant() {
        let folder = tree(&["src/a"]);
        let pipe = folder.path().join("src/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("src/socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("src/zero")).unwrap();
        check(folder.path(), &["src"], &["src/a"]);
        let meant = input_files(folder.path(), &["src/pipe".into()]);
        assert!(matches!(meant, Err(InputError::NoFile { path }) if path == pipe));
    }

    #[test]
    fn a_link_to_a_folder_around_it_is_not_followed() {
        let folder = tree(&["src/a"]);
        std::os::unix::fs::symlink("..", folder.path().join("src/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("src/gone")).unwrap();
        check(folder.path(), &["src"], &["src/a"]);
    }
}
