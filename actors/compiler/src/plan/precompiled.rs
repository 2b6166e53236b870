//! Libraries that come compiled (Arduino library specification, "precompiled"): archives in a folder named by the board's processor.

use std::fs;
use std::path::PathBuf;

use farmhand_project::Precompiled;

use super::library::Library;
use super::recipes::Recipes;

/// Archives of one library: more than any has.
const ARCHIVES_MAX: usize = 64;

impl Recipes<'_> {
    /// Has what is compiled already linked, and leaves out the sources that it stands for.
    pub(super) fn precompiled(&mut self, libraries: &mut [Library]) {
        let mut flags = Vec::new();
        for library in libraries {
            let own = (!library.link_flags.is_empty()).then(|| library.link_flags.clone());
            if library.precompiled != Precompiled::No
                && let Some((folder, names)) = self.archives_of(library)
            {
                flags.push(format!("\"-L{}\"", folder.display()));
                flags.extend(names.iter().map(|name| format!("-l{name}")));
                if library.precompiled == Precompiled::Instead {
                    library.sources.clear();
                }
            }
            flags.extend(own);
        }
        if !flags.is_empty() {
            self.link_with(&flags.join(" "));
        }
    }

    /// The folder for this processor, and what is in it, as a linker is told: `foo` of `libfoo.a`.
    fn archives_of(&self, library: &Library) -> Option<(PathBuf, Vec<String>)> {
        let said = |key: &str| self.text(key).filter(|value| !value.is_empty());
        let folder = library.root.join(said("build.mcu")?);
        let unit = said("build.fpu")
            .zip(said("build.float-abi"))
            .map(|(fpu, abi)| folder.join(format!("{fpu}-{abi}")));
        [unit, Some(folder)].into_iter().flatten().find_map(|folder| {
            let entries = fs::read_dir(&folder).ok()?.flatten().take(ARCHIVES_MAX);
            let name = |file: &str| Some(file.strip_prefix("lib")?.strip_suffix(".a")?.to_owned());
            let mut names: Vec<_> = entries.filter_map(|entry| name(entry.file_name().to_str()?)).collect();
            names.sort();
            (!names.is_empty()).then_some((folder, names))
        })
    }
}
