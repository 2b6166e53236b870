//! The files of a project.

use std::path::{Path, PathBuf};

use super::listing::{Listed, Listing};
use crate::BuildError;
use crate::cache::{Sources, recent_ns};

/// Folders that hold no sources, and very many files, where such a file lies beside them.
const NOT_SOURCES: &[(&str, &str)] = &[("node_modules/", "package.json"), ("target/", "Cargo.toml")];
/// Folders of a project that are looked into. Beyond it lies a home folder, not a project.
const FOLDERS_MAX: usize = 4096;

/// The files of a folder and those below it, as they were listed.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Absolute, folder by folder, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Their names.
    pub(crate) listed: Listed,
    /// The folders that were looked into, with all below them.
    pub(crate) folders: Vec<PathBuf>,
}

/// Lists a folder and what is below it; hidden names and `build` are left out.
pub(crate) fn scan(sources: &mut Sources, folder: &Path, build: &Path) -> Result<Scan, BuildError> {
    let recent = recent_ns();
    let mut found = Scan { folders: vec![folder.to_owned()], ..Scan::default() };
    let mut listing = Listing::new("listing");
    let mut folders = vec![(folder.to_owned(), Links::default())];
    let mut looked_into = 0;
    while let Some((at, links)) = folders.pop() {
        looked_into += 1;
        if looked_into > FOLDERS_MAX {
            tracing::warn!(folder = %folder.display(), "more than {FOLDERS_MAX} folders; the rest is not looked into");
            break;
        }
        let without: Vec<String> = (build.parent() == Some(&at))
            .then(|| build.file_name().map(|name| name.to_string_lossy().into_owned()))
            .flatten()
            .into_iter()
            .collect();
        let names = sources.names(&at, &without).map_err(BuildError::io("read", &at))?;
        let below = at.strip_prefix(folder).unwrap_or(&at);
        listing = listing.names(&below.to_string_lossy(), &names);
        for name in &names {
            match name.strip_suffix('/') {
                Some(_) if is_not_sources(name, &names) => {}
                Some(inner) => {
                    let inner = at.join(inner);
                    let links = if inner.is_symlink() { links.followed(&inner) } else { Some(links.clone()) };
                    folders.extend(links.map(|links| (inner, links)));
                }
                None => {
                    let file = at.join(name);
                    sources.note_if_recent(&file, recent);
                    found.files.push(file);
                }
            }
        }
    }
    found.files.sort();
    found.listed = listing.finish();
    Ok(found)
}

/// The links that were followed on the way to a folder: the real path of the folder in which each lies.
#[derive(Debug, Clone, Default)]
struct Links(Vec<PathBuf>);

impl Links {
    /// With one more; `None` where it leads to a folder that is around it, in which it would be met again.
    fn followed(&self, link: &Path) -> Option<Self> {
        let from = link.parent()?.canonicalize().ok()?;
        let to = link.canonicalize().ok()?;
        let mut links = self.0.clone();
        links.push(from);
        (!links.iter().any(|lies| lies.starts_with(&to))).then_some(Self(links))
    }
}

fn is_not_sources(name: &str, beside: &[String]) -> bool {
    NOT_SOURCES.iter().any(|(folder, sign)| *folder == name && beside.iter().any(|other| other == sign))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_unless_it_leads_back() {
        let folder = tempfile::tempdir().unwrap();
        let (project, other) = (folder.path().join("project"), folder.path().join("other"));
        for file in [project.join("a/one.c"), project.join("b/two.c"), other.join("deep/three.c")] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        symlink(&other, project.join("linked")).unwrap();
        symlink("..", project.join("a/up")).unwrap();
        symlink("../b", project.join("a/b")).unwrap();
        symlink("../a", project.join("b/a")).unwrap();
        symlink(&project, other.join("deep/back")).unwrap();
        symlink("nowhere", project.join("dangling")).unwrap();
        let found = scan(&mut Sources::new(), &project, &project.join("build")).unwrap();
        let below: Vec<_> = found.files.iter().map(|file| file.strip_prefix(&project).unwrap()).collect();
        let expected = ["a/b/two.c", "a/one.c", "b/a/one.c", "b/two.c", "dangling", "linked/deep/three.c"];
        assert_eq!(below, expected.map(Path::new));
    }
}
