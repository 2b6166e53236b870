//! Which libraries a project uses: those that its sources lead to by what they include, and those that these lead to, until nothing new
//! is found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use farmhand_project::platformio::{Dependency, Origin, will_do};
use farmhand_records::v1::LibraryMode;

use super::CoreKit;
use super::compatibility::Compatibility;
use super::declared::DeclaredLibrary;
use super::library::{Home, Library, Rules, is_header};
use crate::BuildError;
use crate::cache::Sources;
use crate::properties::Core;
use crate::sketch::{Include, Macros, includes, includes_where, is_read_once};

/// Headers within headers: more than anybody writes.
const DEPTH_MAX: usize = 200;
/// Files that one source may include, each as often as it is: headers without guards that include each other have no end.
const READS_MAX: u32 = 2_000;

/// What PlatformIO leaves in what it has installed.
const NOTE: &str = ".piopm";

/// Where libraries are, and how they are looked for.
#[derive(Debug)]
pub(crate) struct Shelves {
    /// Those that the project declares as packages: before all others.
    pub(crate) declared: Vec<DeclaredLibrary>,
    /// Single libraries, behind those.
    pub(crate) single: Vec<PathBuf>,
    /// The first first: what is found there hides what is behind.
    pub(crate) folders: Vec<PathBuf>,
    /// What the program is for: of two libraries that have a header, one that is not for it is not meant.
    pub(crate) architecture: Option<String>,
    pub(crate) mode: LibraryMode,
    pub(crate) rules: Rules,
    /// Which of them count.
    pub(crate) compatibility: Compatibility,
    pub(crate) ignore: Vec<String>,
    /// As `lib_deps` has them.
    pub(crate) needed: Vec<String>,
    /// What is defined for all files.
    pub(crate) macros: Macros,
}

impl Shelves {
    /// Those that a project declares, a person's, and those that come with a core.
    pub(crate) fn of_core(core: &Core, kit: &CoreKit, declared: &[DeclaredLibrary]) -> Self {
        Self {
            declared: declared.to_vec(),
            single: Vec::new(),
            architecture: kit.architecture.clone(),
            folders: kit.libraries.iter().cloned().chain(of_core(core)).collect(),
            mode: LibraryMode::Deep,
            rules: Rules::Arduino,
            compatibility: Compatibility::OFF,
            ignore: Vec::new(),
            needed: Vec::new(),
            macros: Macros::default(),
        }
    }

    fn reads_all(&self) -> bool {
        matches!(self.mode, LibraryMode::Deep | LibraryMode::DeepPlus)
    }

    fn reads_conditions(&self) -> bool {
        matches!(self.mode, LibraryMode::ChainPlus | LibraryMode::DeepPlus)
    }
}

/// A core's own shelf, and that of the core that it refers to.
pub(crate) fn of_core(core: &Core) -> impl Iterator<Item = PathBuf> {
    [Some(core.folder()), core.referenced()].into_iter().flatten().map(|folder| folder.join("libraries"))
}

/// A project's own files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    pub(crate) sources: &'a [PathBuf],
    pub(crate) headers: &'a [PathBuf],
    /// Where its headers are looked for.
    pub(crate) include: &'a [PathBuf],
}

/// The headers that files name.
pub(crate) fn headers_named(sources: &mut Sources, files: &[PathBuf]) -> Result<Vec<Include>, BuildError> {
    let mut named = Vec::new();
    for file in files {
        let all = sources.directives(file).map_err(BuildError::io("read", file))?;
        named.extend(includes(&all).cloned());
    }
    Ok(named)
}

/// The libraries on `shelves` that a project's files lead to, each behind what named it.
pub(crate) fn libraries(
    sources: &mut Sources,
    shelves: &Shelves,
    own: Own<'_>,
) -> Result<Vec<Library>, BuildError> {
    let mut finder = Finder {
        sources,
        shelves,
        homes: Vec::new(),
        left_out: Vec::new(),
        by_header: BTreeMap::new(),
        used: Vec::new(),
        queue: VecDeque::new(),
        read: BTreeSet::new(),
        left_over: Vec::new(),
    };
    // What includes nothing, and needs nothing, need not look at any shelf.
    let scope = Scope { headers: own.headers, include: own.include };
    if shelves.mode != LibraryMode::Off {
        // Where conditions count, a header is read where it is included.
        let headers = if shelves.reads_conditions() { &[] } else { own.headers };
        for file in own.sources.iter().chain(headers) {
            finder.read(file, scope)?;
        }
    }
    if finder.queue.is_empty() && shelves.needed.is_empty() {
        return Ok(Vec::new());
    }
    finder.look_at_shelves()?;
    for needed in &shelves.needed {
        finder.need(needed)?;
    }
    finder.follow()?;
    finder.follow_sources()?;
    Ok(finder.used)
}

/// A header that is named, and by which file.
struct Named {
    name: String,
    by: PathBuf,
}

/// Whose headers are one's own.
#[derive(Clone, Copy)]
struct Scope<'a> {
    headers: &'a [PathBuf],
    include: &'a [PathBuf],
}

impl Scope<'_> {
    /// The file that is meant, where it is one of these.
    fn own(&self, include: &Include, by: &Path) -> Option<PathBuf> {
        let beside = include.quoted.then(|| by.parent()).flatten().map(|folder| folder.join(&include.name));
        let folders = self.include.iter().map(|folder| folder.join(&include.name));
        beside.into_iter().chain(folders).find(|path| self.headers.contains(path))
    }

    /// Whether it may be: a header of this name is there.
    fn may_have(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.ends_with(name))
    }
}

struct Finder<'a> {
    sources: &'a mut Sources,
    shelves: &'a Shelves,
    homes: Vec<Home>,
    /// Those that are for another framework.
    left_out: Vec<Home>,
    by_header: BTreeMap<String, usize>,
    used: Vec<Library>,
    queue: VecDeque<Named>,
    read: BTreeSet<PathBuf>,
    /// Headers of one's own that are not followed where they stand.
    left_over: Vec<PathBuf>,
}

/// One source, with all that it includes.
struct Unit {
    macros: Macros,
    /// Files that are to be read once, and were.
    once: BTreeSet<PathBuf>,
    /// How many files may still be read.
    left: u32,
}

impl Finder<'_> {
    /// What is on the shelves: a library hides one of the same name behind it.
    fn look_at_shelves(&mut self) -> Result<(), BuildError> {
        let mut names = BTreeSet::new();
        for declared in &self.shelves.declared {
            for home in declared.homes(self.sources, self.shelves.rules)? {
                if !self.is_ignored(&home) && self.is_for_it(&home) && names.insert(home.name()) {
                    self.homes.push(home);
                }
            }
        }
        for folder in &self.shelves.single {
            let home = Home::read(self.sources, folder, self.shelves.rules)?;
            if names.insert(home.name()) {
                self.homes.push(home);
            }
        }
        for folder in &self.shelves.folders {
            if !folder.is_dir() {
                // That it is not there is seen in the names of the one above.
                if let Some(above) = folder.parent().filter(|above| above.is_dir()) {
                    self.sources.names(above, &[]).map_err(BuildError::io("read", above))?;
                }
                continue;
            }
            for name in self.sources.names(folder, &[]).map_err(BuildError::io("read", folder))? {
                let Some(name) = name.strip_suffix('/') else { continue };
                let home = Home::read_if_it_can(self.sources, &folder.join(name), self.shelves.rules)?;
                if !self.is_ignored(&home) && self.is_for_it(&home) && names.insert(name.to_owned()) {
                    self.homes.push(home);
                }
            }
        }
        for at in 0..self.homes.len() {
            for folder in self.homes[at].include() {
                let files = self.sources.names(&folder, &[]).map_err(BuildError::io("read", &folder))?;
                for file in files.iter().filter(|file| is_header(Path::new(file))) {
                    match self.by_header.get(file) {
                        Some(&there) if self.fits(there, file) >= self.fits(at, file) => {}
                        _ => drop(self.by_header.insert(file.clone(), at)),
                    }
                }
            }
        }
        Ok(())
    }

    /// How well a library is what a header means, to be compared (Arduino CLI documentation, "Sketch build process", "Dependency
    /// resolution"): it is for the architecture; its folder is called as the header, or that and the name of a branch, or it calls
    /// itself so; it is for no other architecture.
    fn fits(&self, at: usize, header: &str) -> (bool, u8, bool) {
        let home = &self.homes[at];
        let only = &home.manifest.architectures;
        let named = self.shelves.architecture.as_ref().is_some_and(|wanted| only.contains(wanted));
        let any = only.is_empty() || self.shelves.architecture.is_none();
        (named || any, home.is_called_as(header.split('.').next().unwrap_or(header)), named)
    }

    /// Whether it is for the program's framework and platform. One that is not is remembered: that it is needed is no error.
    fn is_for_it(&mut self, home: &Home) -> bool {
        let takes = self.shelves.compatibility.takes(&home.manifest);
        if !takes {
            self.left_out.push(home.clone());
        }
        takes
    }

    /// Whether what a project says it needs is one that is for another framework.
    fn is_left_out(&self, needed: &str, dependency: &Dependency) -> bool {
        let is_it = |home: &Home| match &dependency.origin {
            _ if home.needed_as.as_deref() == Some(needed) => true,
            Origin::Folder(folder) => Path::new(folder) == home.folder,
            Origin::Registry { .. } => home.is(&dependency.name),
            Origin::Git { url, .. } | Origin::Url(url) => home.is(&dependency.name) || is_from(home, url),
        };
        self.left_out.iter().any(is_it)
    }

    fn is_ignored(&self, home: &Home) -> bool {
        self.shelves.ignore.iter().any(|name| home.is(&Dependency::parse(name).name))
    }

    /// One that the project says it needs.
    fn need(&mut self, needed: &str) -> Result<(), BuildError> {
        let fetched: Vec<_> =
            (0..self.homes.len()).filter(|&at| self.homes[at].needed_as.as_deref() == Some(needed)).collect();
        for &at in &fetched {
            self.take(at, format!("lib_deps has {needed}"))?;
        }
        if !fetched.is_empty() {
            return Ok(());
        }
        let dependency = Dependency::parse(needed);
        let at = match &dependency.origin {
            Origin::Folder(folder) if Path::new(folder).is_dir() => {
                let home = Home::read(self.sources, Path::new(folder), self.shelves.rules)?;
                if !self.is_for_it(&home) {
                    return Ok(());
                }
                let there = self.homes.iter().position(|there| there.folder == home.folder);
                if let (None, Some(at)) = (there, self.copy_of(&home)) {
                    self.homes[at] = home;
                    return self.take(at, format!("lib_deps has {needed}"));
                }
                there.or_else(|| {
                    self.homes.push(home);
                    Some(self.homes.len() - 1)
                })
            }
            Origin::Folder(_) => None,
            Origin::Registry { requirement, .. } => {
                let at = self.homes.iter().position(|home| home.is(&dependency.name));
                let version = at.map(|at| self.homes[at].manifest.version.clone()).unwrap_or_default();
                if let (Some(requirement), false) = (requirement, version.is_empty())
                    && !will_do(requirement, &version)
                {
                    return Err(self.not_there(needed, Some(version)));
                }
                at
            }
            Origin::Git { url, .. } | Origin::Url(url) => {
                let at = self.homes.iter().position(|home| home.is(&dependency.name));
                at.or_else(|| self.homes.iter().position(|home| is_from(home, url)))
            }
        };
        match at {
            Some(at) => self.take(at, format!("lib_deps has {needed}")),
            None if self.is_left_out(needed, &dependency) => Ok(()),
            None => {
                // It may be one that nobody can read.
                if let Some(broken) = self.homes.iter().find(|home| home.is_broken) {
                    Home::read(self.sources, &broken.folder.clone(), self.shelves.rules)?;
                }
                Err(self.not_there(needed, None))
            }
        }
    }

    /// What PlatformIO copied of a library where it built the project: it leaves a note in it.
    fn copy_of(&self, home: &Home) -> Option<usize> {
        let is_it = |there: &Home| there.name() == home.name() && there.folder.join(NOTE).is_file();
        self.homes.iter().position(is_it)
    }

    fn not_there(&self, needed: &str, found: Option<String>) -> BuildError {
        BuildError::NoLibrary { name: needed.to_owned(), found, folders: self.shelves.folders.clone() }
    }

    /// Uses a library, and those that it says it needs, as far as they are there.
    fn take(&mut self, at: usize, because: String) -> Result<(), BuildError> {
        let home = self.homes[at].clone();
        if home.is_broken {
            // It says what is wrong with it.
            Home::read(self.sources, &home.folder, self.shelves.rules)?;
        }
        if self.used.iter().any(|library| library.home == home.folder) {
            return Ok(());
        }
        let library = home.library(self.sources, because)?;
        let files: Vec<_> = match self.shelves.reads_all() {
            true => library.sources.iter().chain(&library.headers).cloned().collect(),
            false => Vec::new(),
        };
        self.used.push(library.clone());
        for file in files {
            self.read(&file, Scope { headers: &library.headers, include: &library.include })?;
        }
        for name in &home.manifest.dependencies {
            if let Some(at) = self.homes.iter().position(|home| home.is(name)) {
                self.take(at, format!("{} needs it", home.name()))?;
            }
        }
        Ok(())
    }

    /// The first library that has a header below one of its folders: `foo/bar.h`.
    fn nested(&mut self, name: &str) -> Result<Option<usize>, BuildError> {
        let parts: Vec<_> = name.split('/').collect();
        let Some((file, above)) = parts.split_last().filter(|(_, above)| !above.is_empty()) else {
            return Ok(None);
        };
        if above.iter().any(|part| part.is_empty() || part.starts_with('.')) {
            return Ok(None);
        }
        for at in 0..self.homes.len() {
            'folders: for mut folder in self.homes[at].include() {
                for part in above {
                    let names = self.sources.names(&folder, &[]).map_err(BuildError::io("read", &folder))?;
                    if !names.contains(&format!("{part}/")) {
                        continue 'folders;
                    }
                    folder.push(part);
                }
                let names = self.sources.names(&folder, &[]).map_err(BuildError::io("read", &folder))?;
                if names.iter().any(|there| there == file) {
                    return Ok(Some(at));
                }
            }
        }
        Ok(None)
    }

    /// Until nothing new is found.
    fn follow(&mut self) -> Result<(), BuildError> {
        while let Some(Named { name, by }) = self.queue.pop_front() {
            let at = match self.by_header.get(&name) {
                Some(&at) => Some(at),
                None => self.nested(&name)?,
            };
            let Some(at) = at else { continue };
            let because = format!("{} includes {name}", by.display());
            self.take(at, because)?;
            if !self.shelves.reads_all() {
                self.follow_into(at, &name)?;
            }
        }
        Ok(())
    }

    /// What all sources of the libraries lead to, the next ones' too: those that nothing leads to are compiled as well. PlatformIO
    /// reads them so in its chains, once it has found what is used.
    fn follow_sources(&mut self) -> Result<(), BuildError> {
        if !matches!(self.shelves.mode, LibraryMode::Chain | LibraryMode::ChainPlus) {
            return Ok(());
        }
        let mut at = 0;
        while let Some(library) = self.used.get(at).cloned() {
            for file in &library.sources {
                self.read(file, Scope { headers: &library.headers, include: &library.include })?;
            }
            self.follow()?;
            at += 1;
        }
        Ok(())
    }

    /// Reads a library's header, and the source that is called so.
    fn follow_into(&mut self, at: usize, name: &str) -> Result<(), BuildError> {
        let Some(library) = self.used.iter().find(|library| library.home == self.homes[at].folder).cloned()
        else {
            return Ok(());
        };
        let stem = Path::new(name).file_stem();
        let is_it = |path: &&PathBuf| path.ends_with(name) || (path.file_stem() == stem && !is_header(path));
        let files = library.headers.iter().chain(&library.sources).filter(is_it);
        for file in files.cloned().collect::<Vec<_>>() {
            self.read(&file, Scope { headers: &library.headers, include: &library.include })?;
        }
        Ok(())
    }

    /// Takes down what a file names that is not one's own.
    fn read(&mut self, file: &Path, scope: Scope<'_>) -> Result<(), BuildError> {
        if !self.read.insert(file.to_owned()) {
            return Ok(());
        }
        if self.shelves.reads_conditions() {
            let mut unit =
                Unit { macros: self.shelves.macros.clone(), once: BTreeSet::new(), left: READS_MAX };
            return self.read_where(file, scope, &mut unit, 0);
        }
        let all = self.sources.directives(file).map_err(BuildError::io("read", file))?;
        for include in includes(&all) {
            if let Some(inner) = scope.own(include, file).filter(|_| !self.shelves.reads_all()) {
                self.read(&inner, scope)?;
            } else if self.shelves.rules == Rules::PlatformIo || !scope.may_have(&include.name) {
                self.queue.push_back(Named { name: include.name.clone(), by: file.to_owned() });
            }
        }
        Ok(())
    }

    /// Likewise, where it is compiled: one's own headers are read where they are included.
    fn read_where(
        &mut self,
        file: &Path,
        scope: Scope<'_>,
        unit: &mut Unit,
        depth: usize,
    ) -> Result<(), BuildError> {
        if unit.once.contains(file) {
            return Ok(());
        }
        let all = self.sources.directives(file).map_err(BuildError::io("read", file))?;
        if is_read_once(&all) {
            unit.once.insert(file.to_owned());
        }
        unit.left = unit.left.saturating_sub(1);
        let mut result = Ok(());
        let mut macros = std::mem::take(&mut unit.macros);
        includes_where(&all, &mut macros, &mut |include, macros| match scope.own(include, file) {
            Some(inner) if depth < DEPTH_MAX && unit.left > 0 && result.is_ok() => {
                std::mem::swap(macros, &mut unit.macros);
                result = self.read_where(&inner, scope, unit, depth + 1);
                std::mem::swap(macros, &mut unit.macros);
            }
            // More than can be followed: what it names counts, wherever it stands.
            Some(inner) => self.left_over.push(inner),
            None => self.queue.push_back(Named { name: include.name.clone(), by: file.to_owned() }),
        });
        unit.macros = macros;
        result?;
        while let Some(file) = self.left_over.pop() {
            if self.read.insert(file.clone()) {
                let all = self.sources.directives(&file).map_err(BuildError::io("read", &file))?;
                for include in includes(&all) {
                    match scope.own(include, &file) {
                        Some(inner) => self.left_over.push(inner),
                        None => self.queue.push_back(Named { name: include.name.clone(), by: file.clone() }),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether PlatformIO took a library from there: it leaves a note in it.
fn is_from(home: &Home, url: &str) -> bool {
    let note = std::fs::read_to_string(home.folder.join(NOTE)).unwrap_or_default();
    let plain = |url: &str| url.trim_start_matches("git+").trim_end_matches(".git").to_owned();
    let uri = serde_json::from_str::<serde_json::Value>(&note)
        .ok()
        .and_then(|note| note["spec"]["uri"].as_str().map(str::to_owned));
    uri.is_some_and(|uri| plain(uri.split('#').next().unwrap_or(&uri)) == plain(url))
}
