//! The libraries of a profile of `sketch.yaml`: what it names, and nothing else of a person's.

use std::path::{Path, PathBuf};

use farmhand_records::v1::{ProfileLibrary, ProfileSource};

use super::CoreKit;
use super::libraries::Shelves;
use super::library::{Home, Rules};
use crate::BuildError;
use crate::cache::Sources;

impl Shelves {
    /// Keeps to the libraries of a profile; those that come with the core are there for all.
    pub(super) fn keep_to(
        &mut self,
        profile: &ProfileSource,
        kit: &CoreKit,
        sources: &mut Sources,
    ) -> Result<(), BuildError> {
        let all = self.folders.clone();
        self.folders.retain(|folder| !kit.libraries.contains(folder));
        for library in &profile.libraries {
            let (name, version) = match library {
                ProfileLibrary::Folder(folder) => {
                    let folder = PathBuf::from(folder);
                    if !folder.is_dir() {
                        let name = folder.display().to_string();
                        return Err(BuildError::NotInstalled { name, found: None, folders: Vec::new() });
                    }
                    self.single.push(folder);
                    continue;
                }
                ProfileLibrary::Named(name, version) => (name, version.as_deref()),
            };
            let mut other = None;
            let will_do = |home: &Home| version.is_none_or(|version| home.manifest.version == version);
            let mut there = None;
            for home in all.iter().flat_map(|folder| called(sources, folder, name)) {
                if there.is_none() && will_do(&home) {
                    there = Some(home.folder);
                } else {
                    other.get_or_insert(home.manifest.version);
                }
            }
            match there {
                // One that comes with the core is on a shelf already.
                Some(folder)
                    if all.iter().any(|shelf| folder.starts_with(shelf) && self.folders.contains(shelf)) => {}
                Some(folder) => self.single.push(folder),
                None => {
                    let version = version.map(|version| format!(" ({version})")).unwrap_or_default();
                    let name = format!("{name}{version}");
                    return Err(BuildError::NotInstalled { name, found: other, folders: all });
                }
            }
        }
        Ok(())
    }
}

/// The libraries of a shelf that are called so; of one that cannot be read nothing is known.
fn called(sources: &mut Sources, shelf: &Path, name: &str) -> Vec<Home> {
    let names = if shelf.is_dir() { sources.names(shelf, &[]).unwrap_or_default() } else { Vec::new() };
    let folders = names.iter().filter_map(|name| name.strip_suffix('/')).map(|name| shelf.join(name));
    let homes: Vec<_> =
        folders.filter_map(|folder| Home::read(sources, &folder, Rules::Arduino).ok()).collect();
    homes.into_iter().filter(|home| home.is(name)).collect()
}
