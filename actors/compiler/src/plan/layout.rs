//! Where a build happens.

use std::path::{Path, PathBuf};

/// The name of the folder that farmhand keeps in a project.
pub(crate) const OURS: &str = ".farmhand";

/// Where a build happens: compilers run in the project's folder and are told relative paths, so that what they say,
/// and what they make, does not depend on where the project lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Where compilers run.
    pub(crate) project: PathBuf,
    /// The sketch's or tree's folder.
    pub(crate) source: PathBuf,
    /// Where objects go.
    pub(crate) build: PathBuf,
}

impl Layout {
    /// The project is the folder that holds ours, or would (`wished`), if the sources lie in it; otherwise the sources'
    /// own.
    pub(crate) fn new(source: &Path, wished: &Path, build: &Path) -> Self {
        let ours = wished.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == OURS));
        let project =
            ours.and_then(Path::parent).filter(|project| source.starts_with(project)).unwrap_or(source);
        Self { project: project.to_owned(), source: source.to_owned(), build: build.to_owned() }
    }

    /// A path as compilers are told it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(&self.project) {
            Ok(below) if below.as_os_str().is_empty() => ".".into(),
            Ok(below) => below.to_string_lossy().into_owned(),
            Err(_) => path.to_string_lossy().into_owned(),
        }
    }

    /// A source as its object is named, told from a folder; one that lies elsewhere, from the project or from the root, in a folder
    /// that is hidden: none of that name is a source's.
    pub(crate) fn name(&self, source: &Path, below: &Path) -> String {
        if let Ok(told) = source.strip_prefix(below) {
            return told.to_string_lossy().into_owned();
        }
        let told = source.strip_prefix(&self.project).unwrap_or(source);
        format!(".outside/{}", told.to_string_lossy().trim_start_matches('/'))
    }

    /// A path that a compiler told.
    pub(crate) fn whole(&self, shown: &str) -> PathBuf {
        self.project.join(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_the_project() {
        let new = |source: &str, wished: &str, build: &str| {
            Layout::new(Path::new(source), Path::new(wished), Path::new(build))
        };
        let layout = new("/h/p/sketch", "/h/p/.farmhand/build", "/h/p/.farmhand/build");
        assert_eq!(layout.project, Path::new("/h/p"));
        assert_eq!(layout.shown(Path::new("/h/p/sketch/a.ino")), "sketch/a.ino");
        assert_eq!(layout.shown(Path::new("/h/p/.farmhand/build/x.o")), ".farmhand/build/x.o");
        assert_eq!(layout.shown(Path::new("/opt/x.h")), "/opt/x.h");
        assert_eq!(layout.shown(Path::new("/h/p")), ".");
        assert_eq!(layout.whole("sketch/a.ino"), Path::new("/h/p/sketch/a.ino"));
        let read_only = new("/h/p/sketch", "/h/p/.farmhand/build", "/farm/builds/1");
        assert_eq!(read_only.project, Path::new("/h/p"));
        assert_eq!(read_only.shown(Path::new("/farm/builds/1/x.o")), "/farm/builds/1/x.o");
        let name = |source: &str| layout.name(Path::new(source), Path::new("/h/p/sketch"));
        assert_eq!(
            [name("/h/p/sketch/a/b.c"), name("/h/p/o/b.c"), name("/x/b.c")],
            ["a/b.c", ".outside/o/b.c", ".outside/x/b.c"]
        );
        let elsewhere = new("/h/p/sketch", "/tmp/build", "/tmp/build");
        assert_eq!(elsewhere.project, Path::new("/h/p/sketch"));
        let other = new("/q/sketch", "/h/p/.farmhand/build", "/h/p/.farmhand/build");
        assert_eq!(other.project, Path::new("/q/sketch"));
    }
}
