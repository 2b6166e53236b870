//! An Arduino sketch as a list of actions.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;

use super::libraries::{headers_named, libraries};
use super::recipes::{Recipes, Whose};
use super::scan::{Scan, scan};
use super::{Action, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::{Hasher, ObjectStore, Sources, hash_bytes};
use crate::properties::{Board, Core};
use crate::sketch::{InoFile, join};

/// A sketch's size may be anything; what it costs is Arduino.h.
const JOINED_BYTES: u64 = 16 << 10;

/// What a plan is made of.
pub(crate) struct Planner<'a> {
    pub(crate) wish: &'a BuildWish,
    pub(crate) tools: &'a Tools,
    pub(crate) core: Core,
    pub(crate) board: Board,
    pub(crate) layout: &'a Layout,
    pub(crate) sources: &'a mut Sources,
    pub(crate) actions: Vec<Action>,
    /// Of the names in the core's folders: a file that is new there may be found first.
    pub(crate) core_listing: Hasher,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        wish: &'a BuildWish,
        tools: &'a Tools,
        core: &Path,
        layout: &'a Layout,
        sources: &'a mut Sources,
    ) -> Result<Self, BuildError> {
        for file in ["boards.txt", "platform.txt", "boards.local.txt", "platform.local.txt"] {
            // They count as read; that one is not there is seen in the folder's names.
            let _not_there = sources.hash(&core.join(file));
        }
        sources.names(core, &[]).map_err(BuildError::io("read", core))?;
        let core = Core::read(core)?;
        let board = core.board(&wish.board)?;
        Ok(Self {
            wish,
            tools,
            core,
            board,
            layout,
            sources,
            actions: Vec::new(),
            core_listing: Hasher::new("core"),
        })
    }

    pub(crate) fn recipes(&self, name: String) -> Recipes<'a> {
        let wish = self.wish;
        Recipes::new(&self.core, &self.board, &wish.board, self.tools, self.layout, &wish.build, name)
    }

    /// Adds a compile of each file; names are relative to `below`.
    pub(crate) fn compile(
        &mut self,
        recipes: &Recipes<'_>,
        whose: Whose,
        files: &[PathBuf],
        below: &Path,
        group: &str,
        includes: &[String],
    ) -> Result<Vec<usize>, BuildError> {
        let mut added = Vec::new();
        for language in [Language::Asm, Language::C, Language::Cpp] {
            let mut files = files.iter().filter(|file| Language::of(file) == Some(language)).peekable();
            if files.peek().is_none() {
                continue;
            }
            let compiler = recipes.compiler(language, whose, includes)?;
            for file in files {
                let name = file.strip_prefix(below).unwrap_or(file).to_string_lossy().into_owned();
                let size = std::fs::metadata(file).map_or(0, |file| file.len());
                added.push(self.actions.len());
                self.actions.push(compiler.compile(file, group, &name, size));
            }
        }
        Ok(added)
    }

    /// Adds the core and its variant: what is linked beside the archive, the archive, and folders of headers.
    pub(crate) fn core_folders(
        &self,
        recipes: &mut Recipes<'_>,
    ) -> Result<(PathBuf, Option<PathBuf>), BuildError> {
        let core = recipes.folder(&self.core, "cores", "build.core", "build.core.path").ok_or_else(|| {
            BuildError::Missing {
                what: format!("the core of {} in {}", self.wish.board, self.core.folder().display()),
                help: "is the core whole?".into(),
            }
        })?;
        let variant = recipes.folder(&self.core, "variants", "build.variant", "build.variant.path");
        Ok((core, variant))
    }

    /// Adds the compiles of the core and its variant, and the archive: what is linked beside it, and it.
    pub(crate) fn core(
        &mut self,
        recipes: &Recipes<'_>,
        core: &Path,
        variant: Option<&Path>,
        includes: &[String],
    ) -> Result<(Vec<usize>, usize), BuildError> {
        let mut beside = Vec::new();
        if let Some(variant) = variant {
            let Scan { files, hash } = scan(self.sources, variant, Path::new("/"))?;
            self.core_listing = self.core_listing.clone().part(hash);
            beside = self.compile(recipes, Whose::Foreign, &files, variant, "variant", includes)?;
        }
        let Scan { files, hash } = scan(self.sources, core, Path::new("/"))?;
        self.core_listing = self.core_listing.clone().part(hash);
        let objects = self.compile(recipes, Whose::Foreign, &files, core, "core", includes)?;
        let archive = recipes.archive(&self.actions, objects)?;
        self.actions.push(archive);
        Ok((beside, self.actions.len() - 1))
    }

    /// The plan, once all actions are there.
    pub(crate) fn finish(self, recipes: &Recipes<'_>, scan: &Scan, linked: usize, artifact: usize) -> Plan {
        Plan {
            layout: self.layout.clone(),
            environment: self.tools.environment.clone(),
            actions: self.actions,
            linked,
            artifact,
            identity: self.tools.identity,
            listing: scan.hash,
            core_listing: self.core_listing.finish(),
            roots: self.tools.roots(self.layout),
            immutable: self.tools.immutable.clone(),
            board: self.wish.board.clone(),
            bytes_max: recipes.number("upload.maximum_size"),
            data_bytes_max: recipes.number("upload.maximum_data_size"),
        }
    }
}

/// Plans the sketch of `layout`.
pub(crate) fn plan_sketch(
    wish: &BuildWish,
    layout: Layout,
    tools: &Tools,
    core: &Path,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let folder = layout.source.as_path();
    let mut planner = Planner::new(wish, tools, core, &layout, sources)?;
    let scan = scan(planner.sources, folder, &layout.build)?;
    let own = Sketch::of(folder, &scan)?;
    let name = own.ino[0].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut recipes = planner.recipes(name.clone());
    let (core, variant) = planner.core_folders(&mut recipes)?;

    let mut texts = Vec::new();
    for file in &own.ino {
        let text = planner.sources.read_text(file).map_err(BuildError::io("read", file))?;
        texts.push(InoFile { name: layout.shown(file), text });
    }
    let joined = layout.build.join("sketch").join(format!("{name}.cpp"));
    write_made(planner.sources, &joined, join(&texts).as_bytes())?;

    let mut named = headers_named(planner.sources, &own.ino)?;
    named.extend(headers_named(planner.sources, &own.sources)?);
    named.extend(headers_named(planner.sources, &own.headers)?);
    let is_own = |name: &str| own.headers.iter().any(|header| header.ends_with(name));
    let libraries = libraries(planner.sources, planner.core.folder(), named, is_own)?;

    let include = |path: &Path| format!("-I{}", layout.shown(path));
    let mut core_includes = vec![include(&core)];
    core_includes.extend(variant.as_deref().map(include));
    let mut includes = core_includes.clone();
    includes.extend(libraries.iter().flat_map(|library| &library.include).map(|path| include(path)));

    let mut sketch_includes = includes.clone();
    // The joined file lies elsewhere; what it includes with quotes lies beside the `.ino`.
    sketch_includes.extend(["-iquote".into(), layout.shown(folder)]);
    let compiler = recipes.compiler(Language::Cpp, Whose::Own, &sketch_includes)?;
    let mut objects = vec![planner.actions.len()];
    let mut action = compiler.compile(&joined, "sketch", &format!("{name}.cpp"), JOINED_BYTES);
    action.what.clone_from(&name);
    planner.actions.push(action);
    objects.extend(planner.compile(&recipes, Whose::Own, &own.sources, folder, "sketch", &includes)?);
    for library in &libraries {
        let group = format!("libraries/{}", library.name);
        let home = &library.include[0];
        objects.extend(planner.compile(
            &recipes,
            Whose::Foreign,
            &library.sources,
            home,
            &group,
            &includes,
        )?);
    }
    let (beside, archive) = planner.core(&recipes, &core, variant.as_deref(), &core_includes)?;
    objects.extend(beside);
    let link = recipes.link(&planner.actions, &objects, Some(archive))?;
    planner.actions.push(link);
    let linked = planner.actions.len() - 1;
    planner.actions.extend(recipes.hex(linked));
    let artifact = planner.actions.len() - 1;
    Ok(planner.finish(&recipes, &scan, linked, artifact))
}

/// Writes a source that we make, and leaves it alone where it says so already.
fn write_made(sources: &mut Sources, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if !std::fs::read(path).is_ok_and(|old| old == bytes) {
        let folder = path.parent().unwrap_or(path);
        ObjectStore::new(folder.to_owned()).write(path, &[bytes]).map_err(BuildError::io("write", path))?;
    }
    sources.made(path, hash_bytes(bytes));
    Ok(())
}

/// The files of a sketch.
struct Sketch {
    /// The main one first, the others by name. Never empty.
    ino: Vec<PathBuf>,
    sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
}

impl Sketch {
    /// What counts of a sketch's folder: files in it, and all below its `src` (Arduino's sketch specification).
    fn of(folder: &Path, scan: &Scan) -> Result<Self, BuildError> {
        let src = folder.join("src");
        let counts = |path: &&PathBuf| path.parent() == Some(folder) || path.starts_with(&src);
        let has = |path: &Path, ends: &[&str]| {
            path.extension().and_then(|end| end.to_str()).is_some_and(|end| ends.contains(&end))
        };
        let files: Vec<_> = scan.files.iter().filter(counts).cloned().collect();
        let in_root = |path: &&PathBuf| path.parent() == Some(folder);
        let mut ino: Vec<_> =
            files.iter().filter(in_root).filter(|path| has(path, &["ino", "pde"])).cloned().collect();
        if ino.is_empty() {
            return Err(BuildError::NoSource { what: "sketch (.ino)", folder: folder.to_owned() });
        }
        let main = folder.file_name();
        ino.sort_by_key(|path| (path.file_stem() != main, path.clone()));
        Ok(Self {
            ino,
            sources: files.iter().filter(|path| Language::of(path).is_some()).cloned().collect(),
            headers: files
                .into_iter()
                .filter(|path| has(path, &["h", "hpp", "hh", "hxx", "inc", "ipp"]))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_file_first_and_only_what_counts() {
        let files = ["a.ino", "blink.ino", "x.cpp", "x.h", "src/deep/y.c", "examples/z.cpp", "data.txt"];
        let folder = Path::new("/p/blink");
        let scan = Scan { files: files.iter().map(|file| folder.join(file)).collect(), hash: [0; 32] };
        let sketch = Sketch::of(folder, &scan).unwrap();
        let names = |files: &[PathBuf]| -> Vec<String> {
            files.iter().map(|file| file.strip_prefix(folder).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(&sketch.ino), ["blink.ino", "a.ino"]);
        assert_eq!(names(&sketch.sources), ["x.cpp", "src/deep/y.c"]);
        assert_eq!(names(&sketch.headers), ["x.h"]);
        assert!(matches!(Sketch::of(folder, &Scan::default()), Err(BuildError::NoSource { .. })));
    }
}
