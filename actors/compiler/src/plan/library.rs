//! A library on disk: what it says of itself, what is compiled of it, where its headers are.

use std::path::{Path, PathBuf};

use farmhand_project::platformio::{Filter, Flag, FlagsError, flags};
use farmhand_project::{ARDUINO, LibraryManifest, ManifestError, Precompiled};

use super::listing::{Listed, Listing};
use super::scan::scan;
use super::{Language, Layout};
use crate::BuildError;
use crate::cache::{Sources, hash_bytes};
use crate::sketch::includes;

/// What of a library is compiled, where it does not say: all but what shows or tests it.
const FILTER: &str = "+<*> -<example/> -<examples/> -<test/> -<tests/>";

/// A library's folder.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: LibraryManifest,
    /// What it is called, where that is not its folder's name.
    pub(crate) called: Option<String>,
    /// The words of `lib_deps` that it was fetched for.
    pub(crate) needed_as: Option<String>,
    /// What it says of itself cannot be read: it is not to be used.
    pub(crate) is_broken: bool,
    /// By whose rules it was read.
    pub(super) rules: Rules,
}

/// A library that a project uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedLibrary {
    /// Its folder's name.
    pub name: String,
    /// Its folder (absolute).
    pub folder: PathBuf,
    /// Which file includes which of its headers, or what says that it is needed.
    pub because: String,
    /// Keys of its `library.json` that are not followed.
    pub passed_over: Vec<&'static str>,
}

impl From<&Library> for UsedLibrary {
    fn from(library: &Library) -> Self {
        Self {
            name: library.name.clone(),
            folder: library.home.clone(),
            because: library.because.clone(),
            passed_over: library.passed_over.clone(),
        }
    }
}

/// A library that is used.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// Its folder's name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) home: PathBuf,
    /// Its folders of headers.
    pub(crate) include: Vec<PathBuf>,
    /// Below it are its sources.
    pub(crate) root: PathBuf,
    /// What is compiled of it.
    pub(crate) sources: Vec<PathBuf>,
    /// Its headers.
    pub(crate) headers: Vec<PathBuf>,
    /// Flags of its own.
    pub(crate) flags: Vec<Flag>,
    /// Of all names in its folders: a header that is new there may be found first.
    pub(crate) listing: Listed,
    /// Why it is used.
    pub(crate) because: String,
    /// What of it is compiled already, below its sources' folder; what it is linked with.
    pub(crate) precompiled: Precompiled,
    pub(crate) link_flags: String,
    /// Whether it is linked as an archive: as Arduino's rules have it, where nobody says otherwise. An older one has no such choice.
    pub(crate) is_archive: bool,
    /// Whether it says so itself to PlatformIO.
    pub(crate) lib_archive: Option<bool>,
    /// Keys of its `library.json` that are not followed.
    pub(crate) passed_over: Vec<&'static str>,
}

/// Whose rules a library is read by: many have the manifests of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// In a sketch, and in what is like one: `library.properties` before `library.json`; one without either has its sources in its own
    /// folder and `utility`.
    Arduino,
    /// In a PlatformIO project: `library.json` before `library.properties`.
    PlatformIo,
}

/// What headers are called, and what they take in.
const HEADERS: &[&str] = &["h", "H", "hh", "hpp", "hxx", "h++", "inc", "inl", "ipp", "tpp", "tcc", "def"];

pub(crate) fn is_header(path: &Path) -> bool {
    path.extension().is_some_and(|end| HEADERS.iter().any(|header| end == *header))
}

/// Whether a library without a manifest is one of Arduino's, as PlatformIO takes it: one of the files in its own folder takes in
/// Arduino's header.
fn is_arduinos(sources: &mut Sources, folder: &Path, names: &[String]) -> Result<bool, BuildError> {
    for file in names.iter().map(|name| folder.join(name)) {
        if is_header(&file) || Language::of(&file).is_some() {
            let all = sources.directives(&file).map_err(BuildError::io("read", &file))?;
            if includes(&all).any(|include| ["Arduino.h", "WProgram.h"].contains(&&*include.name)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Library {
    /// Arguments by which headers are looked for, its own folders first: what two libraries call the same is each one's own.
    pub(crate) fn own_first(&self, layout: &Layout, includes: &[String]) -> Vec<String> {
        let mut own: Vec<_> =
            self.include.iter().map(|folder| format!("-I{}", layout.shown(folder))).collect();
        own.extend(includes.iter().filter(|arg| !own.contains(arg)).cloned().collect::<Vec<_>>());
        own
    }
}

impl Home {
    /// Reads what a library says of itself, where it says something.
    pub(crate) fn read(sources: &mut Sources, folder: &Path, rules: Rules) -> Result<Self, BuildError> {
        let names = sources.names(folder, &[]).map_err(BuildError::io("read", folder))?;
        let has = |name: &str| names.iter().any(|there| there == name);
        let mut text = |name: &str| {
            let path = folder.join(name);
            sources.read_text(&path).map_err(BuildError::io("read", &path))
        };
        let of_properties = match has("library.properties") {
            true => Some(LibraryManifest::from_properties(&text("library.properties")?)),
            false => None,
        };
        let manifest = match (of_properties, rules) {
            (Some(manifest), Rules::Arduino) => manifest,
            (of_properties, _) if has("library.json") => {
                let manifest = LibraryManifest::from_json(&text("library.json")?)
                    .map_err(|source| BuildError::Manifest { path: folder.join("library.json"), source })?;
                // Of this the file says nothing.
                LibraryManifest {
                    dot_a_linkage: of_properties.is_some_and(|it| it.dot_a_linkage),
                    ..manifest
                }
            }
            (Some(manifest), Rules::PlatformIo) => manifest,
            (None, rules) => {
                let is_arduino = rules == Rules::Arduino || is_arduinos(sources, folder, &names)?;
                let frameworks = if is_arduino { ARDUINO.map(str::to_owned).to_vec() } else { Vec::new() };
                LibraryManifest { is_arduino, frameworks, ..LibraryManifest::default() }
            }
        };
        Ok(Self::saying(folder, manifest, rules))
    }

    /// Likewise; one that cannot be understood counts as one that says nothing, until it is used.
    pub(crate) fn read_if_it_can(
        sources: &mut Sources,
        folder: &Path,
        rules: Rules,
    ) -> Result<Self, BuildError> {
        match Self::read(sources, folder, rules) {
            Err(BuildError::Manifest { .. }) => {
                Ok(Self { is_broken: true, ..Self::saying(folder, LibraryManifest::default(), rules) })
            }
            read => read,
        }
    }

    fn saying(folder: &Path, manifest: LibraryManifest, rules: Rules) -> Self {
        Self { folder: folder.to_owned(), manifest, called: None, needed_as: None, is_broken: false, rules }
    }

    /// Its folder's name, or what its package is called.
    pub(crate) fn name(&self) -> String {
        if let Some(called) = &self.called {
            return called.clone();
        }
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether it is called so: by itself, or its folder.
    pub(crate) fn is(&self, name: &str) -> bool {
        let same = |other: &str| plain(other) == plain(name);
        same(&self.name()) || (!self.manifest.name.is_empty() && same(&self.manifest.name))
    }

    /// How well it is called so, by its folder rather than by itself.
    pub(crate) fn is_called_as(&self, name: &str) -> u8 {
        let (folder, wanted) = (plain(&self.name()), plain(name));
        let of_branch = ["master", "main"].iter().any(|branch| folder == format!("{wanted}{branch}"));
        match () {
            () if folder == wanted => 3,
            () if of_branch => 2,
            () if self.is(name) => 1,
            () => 0,
        }
    }

    /// Below it are its sources: one of today's layout has all in `src`.
    pub(crate) fn root(&self) -> PathBuf {
        let src = self.folder.join("src");
        match &self.manifest.sources {
            Some(sources) => self.folder.join(sources),
            None if src.is_dir() => src,
            None => self.folder.clone(),
        }
    }

    /// Its folders of headers.
    pub(crate) fn include(&self) -> Vec<PathBuf> {
        let root = self.root();
        let own = match &self.manifest.include {
            Some(include) => Some(self.folder.join(include)),
            None if !self.manifest.is_arduino || self.rules == Rules::PlatformIo => {
                Some(self.folder.join("include"))
            }
            None => None,
        };
        let utility = self.is_flat().then(|| self.folder.join("utility"));
        let all = own.into_iter().filter(|folder| *folder != root).chain([root.clone()]).chain(utility);
        all.filter(|folder| folder.is_dir()).collect()
    }

    /// An older one of Arduino's: sources in its own folder and `utility`, and nowhere else.
    fn is_flat(&self) -> bool {
        self.manifest.is_arduino && self.root() == self.folder
    }

    /// Its own flags; folders in them are told from its own.
    fn flags(&self) -> Result<Vec<Flag>, BuildError> {
        let mut all = Vec::new();
        for text in &self.manifest.flags {
            let wrong = |error: FlagsError| BuildError::Manifest {
                path: self.folder.join("library.json"),
                source: ManifestError { line: 1, why: error.to_string() },
            };
            all.extend(flags(text).map_err(wrong)?);
        }
        for word in all.iter_mut().flat_map(|flag| &mut flag.words) {
            for way in ["-I", "-L"] {
                if let Some(folder) = word.strip_prefix(way) {
                    *word = format!("{way}{}", self.folder.join(folder).display());
                }
            }
        }
        Ok(all)
    }

    /// All of it, as it is used.
    pub(crate) fn library(&self, sources: &mut Sources, because: String) -> Result<Library, BuildError> {
        let (root, mut include) = (self.root(), self.include());
        let flags = self.flags()?;
        // Whoever uses it looks into these, too.
        let named = flags.iter().flat_map(|flag| &flag.words).filter_map(|word| word.strip_prefix("-I"));
        for folder in named.map(PathBuf::from).filter(|folder| folder.is_dir()) {
            if !include.contains(&folder) {
                include.push(folder);
            }
        }
        let mut files = Vec::new();
        let mut listing = Listing::new("library");
        if self.is_flat() {
            for folder in &include {
                let names = sources.names(folder, &[]).map_err(BuildError::io("read", folder))?;
                listing = listing.names("", &names);
                files.extend(names.iter().filter(|name| !name.ends_with('/')).map(|name| folder.join(name)));
            }
        } else {
            for folder in &include {
                let below = scan(sources, folder, Path::new("/"))?;
                listing = listing.with(below.listed);
                files.extend(below.files);
            }
            files.sort();
            files.dedup();
        }
        let filter = Filter::parse(self.manifest.filter.as_deref().unwrap_or(FILTER));
        let counts = |path: &&PathBuf| {
            let below = path.strip_prefix(&root).ok().and_then(Path::to_str);
            Language::of(path).is_some() && below.is_some_and(|below| filter.keeps(below))
        };
        Ok(Library {
            name: self.name(),
            home: self.folder.clone(),
            sources: files.iter().filter(counts).cloned().collect(),
            headers: files.into_iter().filter(|path| is_header(path)).collect(),
            flags,
            listing: listing.finish(),
            precompiled: self.manifest.precompiled,
            link_flags: self.manifest.link_flags.clone(),
            is_archive: self.manifest.dot_a_linkage && !self.is_flat(),
            lib_archive: self.manifest.lib_archive,
            passed_over: self.manifest.passed_over.clone(),
            root,
            include,
            because,
        })
    }
}

impl Library {
    /// Where its objects go: by its name, and where another one that is used already is called the same, by its place too.
    pub(crate) fn group(&self, used: &[UsedLibrary]) -> String {
        if used.iter().all(|other| other.name != self.name) {
            return format!("libraries/{}", self.name);
        }
        let hash = hash_bytes(self.home.as_os_str().as_encoded_bytes());
        let place: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("libraries/{}@{place}", self.name)
    }
}

/// Names are written with spaces, dashes or underlines, and in small letters or large.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sources(folder: &Path, rules: Rules) -> Vec<String> {
        let home = Home::read(&mut Sources::new(), folder, rules).unwrap();
        let library = home.library(&mut Sources::new(), String::new()).unwrap();
        let below = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        library.sources.iter().map(below).collect()
    }

    #[test]
    fn each_reads_its_own_manifest_first() {
        let desk = tempfile::tempdir().unwrap();
        let folder = desk.path();
        for file in ["one.c", "utility/two.c", "deep/three.c", "code/four.c"] {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), "").unwrap();
        }
        assert_eq!(sources(folder, Rules::Arduino), ["one.c", "utility/two.c"], "an old one of Arduino's");
        let all = ["code/four.c", "deep/three.c", "one.c", "utility/two.c"];
        assert_eq!(sources(folder, Rules::PlatformIo), all);
        fs::write(folder.join("library.json"), r#"{"build": {"srcDir": "code"}}"#).unwrap();
        fs::write(folder.join("library.properties"), "name=X\narchitectures=avr\n").unwrap();
        assert_eq!(sources(folder, Rules::Arduino), ["one.c", "utility/two.c"]);
        assert_eq!(sources(folder, Rules::PlatformIo), ["code/four.c"]);
        let home = Home::read(&mut Sources::new(), folder, Rules::Arduino).unwrap();
        assert_eq!(home.manifest.architectures, ["avr"]);
        fs::remove_file(folder.join("library.properties")).unwrap();
        assert_eq!(sources(folder, Rules::Arduino), ["code/four.c"], "better than nothing");
    }
}
