//! The libraries that come with a core: used where one of their headers is included.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Language;
use super::scan::scan;
use crate::BuildError;
use crate::cache::Sources;
use crate::sketch::{Include, includes};

/// A library that is used.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// Its folder's name.
    pub(crate) name: String,
    /// Its folders of headers.
    pub(crate) include: Vec<PathBuf>,
    /// What is compiled of it.
    pub(crate) sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
}

/// The headers that files name.
pub(crate) fn headers_named(sources: &mut Sources, files: &[PathBuf]) -> Result<Vec<Include>, BuildError> {
    let mut named = Vec::new();
    for file in files {
        named.extend(includes(&sources.read_text(file).map_err(BuildError::io("read", file))?));
    }
    Ok(named)
}

/// The libraries of a core that `wanted` leads to, and those that they lead to, each after what named it.
pub(crate) fn libraries(
    sources: &mut Sources,
    core: &Path,
    wanted: Vec<Include>,
    is_own: impl Fn(&str) -> bool,
) -> Result<Vec<Library>, BuildError> {
    let folder = core.join("libraries");
    if wanted.is_empty() || !folder.is_dir() {
        return Ok(Vec::new());
    }
    let by_header = by_header(sources, &folder)?;
    let mut used: Vec<Library> = Vec::new();
    let mut names: Vec<String> =
        wanted.into_iter().map(|include| include.name).filter(|name| !is_own(name)).collect();
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        next += 1;
        let Some(home) = by_header.get(&name) else { continue };
        if used.iter().any(|library| folder.join(&library.name) == *home) {
            continue;
        }
        let library = library(sources, home)?;
        let files: Vec<_> = library.sources.iter().chain(&library.headers).cloned().collect();
        names.extend(headers_named(sources, &files)?.into_iter().map(|include| include.name));
        used.push(library);
    }
    Ok(used)
}

/// Which library's folder has a header.
fn by_header(sources: &mut Sources, folder: &Path) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    let mut found = BTreeMap::new();
    for name in sources.names(folder, &[]).map_err(BuildError::io("read", folder))? {
        let Some(name) = name.strip_suffix('/') else { continue };
        let home = folder.join(name);
        let headers = headers_folder(&home);
        for file in sources.names(&headers, &[]).map_err(BuildError::io("read", &headers))? {
            if [".h", ".hpp", ".hh"].iter().any(|end| file.ends_with(end)) {
                found.entry(file).or_insert_with(|| home.clone());
            }
        }
    }
    Ok(found)
}

/// A library of today's layout has all in `src`; an older one in its own folder and `utility`.
fn headers_folder(home: &Path) -> PathBuf {
    let src = home.join("src");
    if src.is_dir() { src } else { home.to_owned() }
}

fn library(sources: &mut Sources, home: &Path) -> Result<Library, BuildError> {
    let headers = headers_folder(home);
    let utility = home.join("utility");
    let mut include = vec![headers.clone()];
    let mut files = Vec::new();
    if headers == home {
        let mut folders = vec![headers];
        if utility.is_dir() {
            include.push(utility.clone());
            folders.push(utility);
        }
        for folder in folders {
            let names = sources.names(&folder, &[]).map_err(BuildError::io("read", &folder))?;
            files.extend(names.iter().filter(|name| !name.ends_with('/')).map(|name| folder.join(name)));
        }
    } else {
        files = scan(sources, &headers, Path::new("/"))?.files;
    }
    let is_header =
        |path: &Path| path.extension().is_some_and(|end| end == "h" || end == "hpp" || end == "hh");
    Ok(Library {
        name: home.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        include,
        sources: files.iter().filter(|path| Language::of(path).is_some()).cloned().collect(),
        headers: files.into_iter().filter(|path| is_header(path)).collect(),
    })
}
