//! Which sketches are meant.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use farmhand::config::is_main_file;

use crate::failed::Failed;

/// Deeper than any collection of sketches; a link may lead in a circle.
const DEPTH_MAX: usize = 16;

/// The folders of all that is named, each once, in the order of their names where one name means several.
pub(super) fn all(named: &[PathBuf], list: Option<&Path>) -> Result<Vec<PathBuf>, Failed> {
    let mut named = named.to_vec();
    if let Some(list) = list {
        named.extend(lines(list)?);
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for name in named {
        let before = found.len();
        let folders = match name.parent() {
            Some(folder) if is_main_file(&name) => {
                vec![if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }]
            }
            _ if name.exists() => vec![name.clone()],
            _ => matching(&name)?,
        };
        for folder in folders {
            below(&folder, 0, &mut found);
        }
        if found.len() == before {
            let message = format!("there is no sketch in {}", name.display());
            return Err(Failed::usage(
                message,
                &["a sketch is a folder with a file of its name: blink/blink.ino"],
            ));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    Ok(found)
}

fn lines(list: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut text = String::new();
    let read = match list.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(list).map(|read| text = read),
    };
    read.map_err(|error| Failed::io(list.display(), &error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(PathBuf::from).collect())
}

/// What a pattern means, for those who have no shell.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failed> {
    let nothing = || Failed::usage(format!("there is no {}", pattern.display()), &[]);
    let text = pattern.to_str().ok_or_else(nothing)?;
    let paths = glob::glob(text).map_err(|error| Failed::usage(format!("{text}: {error}"), &[]))?;
    Ok(paths.flatten().filter(|path| path.is_dir()).collect())
}

/// A project or a sketch itself; where it is neither, all below it.
fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_project(folder) {
        found.push(folder.to_owned());
        return;
    }
    if depth >= DEPTH_MAX {
        return;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    for folder in folders.iter().filter(|path| !is_hidden(path)) {
        below(folder, depth + 1, found);
    }
}

fn is_project(folder: &Path) -> bool {
    // `.` has no name of its own.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let sketch = whole.file_name().map(|name| folder.join(name).with_added("ino"));
    let has = |file: &&str| folder.join(file).is_file();
    ["farmhand.toml", "platformio.ini"].iter().any(has) || sketch.is_some_and(|sketch| sketch.is_file())
}

trait WithAdded {
    fn with_added(&self, end: &str) -> PathBuf;
}

impl WithAdded for PathBuf {
    /// `a.b` as `a.b.ino`: a sketch's name may have a dot.
    fn with_added(&self, end: &str) -> PathBuf {
        let mut name = self.clone().into_os_string();
        name.push(".");
        name.push(end);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sketches_and_projects_and_those_below_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for file in [
            "x/b.1/b.1.ino",
            "x/a/a.ino",
            "x/a/examples/inner/inner.ino",
            "x/p/farmhand.toml",
            "x/none/other.ino",
            "x/.hidden/.hidden.ino",
            "y/c/c.ino",
        ] {
            std::fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            std::fs::write(at(file), "").unwrap();
        }
        let found = |named: &[PathBuf], list| all(named, list).unwrap();
        assert_eq!(found(&[at("x")], None), [at("x/a"), at("x/b.1"), at("x/p")]);
        assert_eq!(found(&[at("x/a"), at("x")], None), [at("x/a"), at("x/b.1"), at("x/p")]);
        assert_eq!(found(&[at("*/c")], None), [at("y/c")], "a pattern that no shell has read");
        let list = at("list");
        std::fs::write(&list, format!("# mine\n{}\n\n", at("y").display())).unwrap();
        assert_eq!(found(&[], Some(&list)), [at("y/c")]);
        assert_eq!(found(&[at("x/a/a.ino"), at("x/a")], None), [at("x/a")], "by its main file");
        assert!(all(&[at("x/none")], None).is_err());
        assert!(all(&[at("x/none/other.ino")], None).is_err());
        assert!(all(&[at("z*")], None).is_err());
    }
}
