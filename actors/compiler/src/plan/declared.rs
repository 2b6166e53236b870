//! Libraries that a project declares as packages: each is one library, or a folder of several.

use std::path::{Path, PathBuf};

use farmhand_project::platformio::Dependency;
use farmhand_records::v1::PackageSpec;

use super::library::{Home, Rules, is_header};
use crate::BuildError;
use crate::cache::Sources;

/// What a library has in its own folder.
const MARKS: &[&str] = &["library.properties", "library.json", "src/"];

/// A package of libraries.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredLibrary {
    /// What a library is called that is all of it.
    name: String,
    /// The words of `lib_deps` that it is there for.
    needed_as: Option<String>,
    /// What the project calls it.
    package: String,
    /// Where it lies.
    pub(crate) folder: PathBuf,
}

impl DeclaredLibrary {
    pub(crate) fn new(spec: &PackageSpec, folder: PathBuf) -> Self {
        let name = match &spec.needed_as {
            Some(words) => Dependency::parse(words).name,
            None => spec.name.clone(),
        };
        Self { name, needed_as: spec.needed_as.clone(), package: spec.name.clone(), folder }
    }

    /// What it is called in keys: where it lies is no part of them.
    pub(crate) fn root(&self) -> String {
        format!("library-{}", self.package)
    }

    /// Its libraries.
    pub(crate) fn homes(&self, sources: &mut Sources, rules: Rules) -> Result<Vec<Home>, BuildError> {
        let names = sources.names(&self.folder, &[]).map_err(BuildError::io("read", &self.folder))?;
        let is_one = names.iter().any(|name| MARKS.contains(&name.as_str()) || is_header(Path::new(name)));
        let mut homes = Vec::new();
        if is_one {
            homes.push(Home { called: Some(self.name.clone()), ..Home::read(sources, &self.folder, rules)? });
        } else {
            for name in names.iter().filter_map(|name| name.strip_suffix('/')) {
                homes.push(Home::read(sources, &self.folder.join(name), rules)?);
            }
        }
        for home in &mut homes {
            home.needed_as.clone_from(&self.needed_as);
        }
        Ok(homes)
    }
}
