//! An Arduino sketch as a list of actions.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_records::v1::{EnvironmentSource, Source};

use super::extras::Extras;
use super::libraries::{Own, Shelves, libraries};
use super::library::{Library, UsedLibrary, is_header};
use super::recipes::{Recipes, Whose};
use super::scan::{Scan, scan};
use super::{Action, CoreKit, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::{Hasher, Sources, hash_bytes, write_whole};
use crate::properties::{Board, Core};
use crate::sketch::{InoFile, join};

/// A sketch's size may be anything; what it costs is Arduino.h.
const JOINED_BYTES: u64 = 16 << 10;

/// What a plan is made of.
pub(crate) struct Planner<'a> {
    pub(crate) wish: &'a BuildWish,
    pub(crate) tools: &'a Tools,
    pub(crate) kit: &'a CoreKit,
    pub(crate) core: Core,
    pub(crate) board: Board,
    pub(crate) layout: &'a Layout,
    pub(crate) sources: &'a mut Sources,
    pub(crate) actions: Vec<Action>,
    /// What all that is added comes behind.
    pub(crate) barrier: Vec<usize>,
    /// Of the names in the core's folders: a file that is new there may be found first.
    pub(crate) core_listing: Hasher,
    used: Vec<UsedLibrary>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        wish: &'a BuildWish,
        tools: &'a Tools,
        kit: &'a CoreKit,
        layout: &'a Layout,
        sources: &'a mut Sources,
    ) -> Result<Self, BuildError> {
        Self::with_properties(wish, None, tools, kit, layout, sources)
    }

    /// For a board of which some is otherwise than its core says.
    pub(crate) fn with_properties(
        wish: &'a BuildWish,
        of: Option<&EnvironmentSource>,
        tools: &'a Tools,
        kit: &'a CoreKit,
        layout: &'a Layout,
        sources: &'a mut Sources,
    ) -> Result<Self, BuildError> {
        for core in [Some(&kit.folder), kit.referenced.as_ref()].into_iter().flatten() {
            for file in ["boards.txt", "platform.txt", "boards.local.txt", "platform.local.txt"] {
                // They count as read; that one is not there is seen in the folder's names.
                let _not_there = sources.hash(&core.join(file));
            }
            sources.names(core, &[]).map_err(BuildError::io("read", core))?;
        }
        let core = kit.read()?;
        let unlisted = of.is_some_and(|of| of.unlisted);
        let mut board = if unlisted { core.unlisted(&wish.board)? } else { core.board(&wish.board)? };
        for (key, value) in of.into_iter().flat_map(|of| &of.board) {
            board.properties.set(key, value.as_str());
        }
        Ok(Self {
            wish,
            tools,
            kit,
            core,
            board,
            layout,
            sources,
            actions: Vec::new(),
            barrier: Vec::new(),
            core_listing: Hasher::new("core"),
            used: Vec::new(),
        })
    }

    pub(crate) fn recipes(&self, name: String, extras: Extras) -> Recipes<'a> {
        let variables = self.kit.variables(&self.core, &self.board, &self.wish.board);
        let mut recipes = Recipes::new(variables, self.core.version(), self.tools, self.layout, extras, name);
        if self.kit.is_own {
            // Recipes may name objects: `{build.path}/core/syscalls.c.o`.
            recipes.objects.clone_from(&self.layout.build);
        }
        recipes
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
                let name = self.layout.name(file, below);
                let size = std::fs::metadata(file).map_or(0, |file| file.len());
                added.push(self.actions.len());
                let action = compiler.compile(file, group, &name, size);
                self.actions.push(Action { from: self.barrier.clone(), ..action });
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
            let cores = self.core.folder().join("cores");
            let name = recipes.text("build.core").unwrap_or_default();
            let entries = std::fs::read_dir(&cores).into_iter().flatten().flatten();
            let mut there: Vec<_> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            there.sort();
            BuildError::Missing {
                what: format!("the core {name:?} (build.core) of {} in {}", self.wish.board, cores.display()),
                help: match there.is_empty() {
                    true => "is what it comes with whole?".into(),
                    false => format!("there are: {}", there.join(", ")),
                },
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
        self.stage(recipes, "core.prebuild");
        let mut beside = Vec::new();
        if let Some(variant) = variant {
            let Scan { files, listed, .. } = scan(self.sources, variant, Path::new("/"))?;
            self.core_listing = self.core_listing.clone().part(listed.all);
            beside = self.compile(recipes, Whose::Foreign, &files, variant, "variant", includes)?;
        }
        let Scan { files, listed, .. } = scan(self.sources, core, Path::new("/"))?;
        self.core_listing = self.core_listing.clone().part(listed.all);
        let objects = self.compile(recipes, Whose::Foreign, &files, core, "core", includes)?;
        self.stage(recipes, "core.postbuild");
        let mut archive = recipes.archive(&self.actions, objects)?;
        archive.from.extend(self.barrier.iter().copied());
        self.actions.push(archive);
        Ok((beside, self.actions.len() - 1))
    }

    /// Adds the compiles of libraries: what is linked, of some an archive. Two may be called the same.
    pub(crate) fn libraries(
        &mut self,
        recipes: &Recipes<'_>,
        whose: Whose,
        libraries: &[Library],
        includes: &[String],
    ) -> Result<Vec<usize>, BuildError> {
        let mut objects = Vec::new();
        for library in libraries {
            let includes = match whose {
                // As in PlatformIO; with Arduino all libraries look in one order.
                Whose::Library => library.own_first(self.layout, includes),
                _ => includes.to_vec(),
            };
            let mut own_objects = Vec::new();
            let group = library.group(&self.used);
            self.used.push(UsedLibrary::from(library));
            let own = Extras::of_flags(library.flags.clone());
            for language in [Language::Asm, Language::C, Language::Cpp] {
                let files: Vec<_> = library
                    .sources
                    .iter()
                    .filter(|file| Language::of(file) == Some(language))
                    .cloned()
                    .collect();
                let args: Vec<_> =
                    includes.iter().cloned().chain(own.compile(language, Whose::Own)).collect();
                own_objects.extend(self.compile(recipes, whose, &files, &library.root, &group, &args)?);
            }
            if library.is_archive && !own_objects.is_empty() {
                let name = library.home.file_name().unwrap_or_default().to_string_lossy();
                let archive = recipes.archive_of((&group, &name), &self.actions, own_objects)?;
                self.actions.push(archive);
                own_objects = vec![self.actions.len() - 1];
            }
            objects.extend(own_objects);
        }
        Ok(objects)
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
            listing: scan.listed,
            core_listing: self.core_listing.finish(),
            listed: scan.folders.clone(),
            roots: self.tools.roots(self.layout),
            immutable: self.tools.immutable.clone(),
            reads_args: self.kit.is_own || recipes.links_archives(),
            is_own: self.kit.is_own,
            upload_file: recipes.upload_file().filter(|_| self.kit.is_own),
            board: self.wish.board.clone(),
            libraries: self.used,
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
    kit: &CoreKit,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let folder = layout.source.as_path();
    let mut planner = Planner::new(wish, tools, kit, &layout, sources)?;
    let scan = scan(planner.sources, folder, &layout.build)?;
    let own = Sketch::of(folder, &scan)?;
    let name = own.name();
    let mut recipes = planner.recipes(name.clone(), Extras::of(&wish.build));
    let (core, variant) = planner.core_folders(&mut recipes)?;

    let made = sources_made(planner.kit, &layout, &name)?;
    let read: Vec<_> = own.ino.iter().chain(&own.sources).chain(&made).cloned().collect();
    let own_files = Own { sources: &read, headers: &own.headers, include: &[] };
    let mut shelves = Shelves::of_core(&planner.core, kit, &tools.libraries);
    if let Source::Profile(of) = &wish.build.source {
        shelves.keep_to(of, kit, planner.sources)?;
    }
    let mut libraries = libraries(planner.sources, &shelves, own_files)?;
    recipes.precompiled(&mut libraries);

    let include = |path: &Path| format!("-I{}", layout.shown(path));
    let mut core_includes = vec![include(&core)];
    core_includes.extend(variant.as_deref().map(include));
    let mut includes = core_includes.clone();
    includes.extend(libraries.iter().flat_map(|library| &library.include).map(|path| include(path)));

    // It is run once all is planned, and the joined sketch written.
    planner.stage(&recipes, "sketch.prebuild");
    let mut objects = vec![joined_sketch(&mut planner, &recipes, &own.ino, &includes)?];
    objects.extend(planner.compile(&recipes, Whose::Own, &own.sources, folder, "sketch", &includes)?);
    let beside = layout.build.join("sketch");
    objects.extend(planner.compile(&recipes, Whose::Own, &made, &beside, "sketch", &includes)?);
    planner.stage(&recipes, "sketch.postbuild");
    planner.stage(&recipes, "libraries.prebuild");
    objects.extend(planner.libraries(&recipes, Whose::Foreign, &libraries, &includes)?);
    planner.stage(&recipes, "libraries.postbuild");
    let (beside, archive) = planner.core(&recipes, &core, variant.as_deref(), &core_includes)?;
    objects.extend(beside);
    let (linked, artifact) = planner.ending(&recipes, &objects, Some(archive), true)?;
    Ok(planner.finish(&recipes, &scan, linked, artifact))
}

/// Sources that a person's core put beside the sketch before the build: they are compiled as the sketch's own.
fn sources_made(kit: &CoreKit, layout: &Layout, name: &str) -> Result<Vec<PathBuf>, BuildError> {
    let folder = layout.build.join("sketch");
    if !kit.is_own || !folder.is_dir() {
        return Ok(Vec::new());
    }
    let joined = folder.join(format!("{name}.cpp"));
    let entries = std::fs::read_dir(&folder).map_err(BuildError::io("read", &folder))?;
    let is_source = |path: &PathBuf| path.is_file() && Language::of(path).is_some() && *path != joined;
    let mut made: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_source).collect();
    made.sort();
    Ok(made)
}

/// Adds the compile of `.ino` files as one; there is at least one.
pub(crate) fn joined_sketch(
    planner: &mut Planner<'_>,
    recipes: &Recipes<'_>,
    ino: &[PathBuf],
    includes: &[String],
) -> Result<usize, BuildError> {
    let layout = planner.layout;
    let name = ino[0].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut texts = Vec::new();
    for file in ino {
        let text = planner.sources.read_text(file).map_err(BuildError::io("read", file))?;
        texts.push(InoFile { name: layout.shown(file), text });
    }
    let joined = layout.build.join("sketch").join(format!("{name}.cpp"));
    write_made(planner.sources, &joined, join(&texts).as_bytes())?;
    let mut includes = includes.to_vec();
    // The joined file lies elsewhere; what it includes with quotes lies beside the `.ino`.
    includes.extend(["-iquote".into(), layout.shown(ino[0].parent().unwrap_or(&layout.source))]);
    let compiler = recipes.compiler(Language::Cpp, Whose::Own, &includes)?;
    let mut action = compiler.compile(&joined, "sketch", &format!("{name}.cpp"), JOINED_BYTES);
    action.what = name;
    action.from.clone_from(&planner.barrier);
    planner.actions.push(action);
    Ok(planner.actions.len() - 1)
}

/// Writes a source that we make, and leaves it alone where it says so already.
fn write_made(sources: &mut Sources, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if !std::fs::read(path).is_ok_and(|old| old == bytes) {
        write_whole(path, &[bytes]).map_err(BuildError::io("write", path))?;
    }
    sources.made(path, hash_bytes(bytes));
    Ok(())
}

/// The files of a sketch.
pub(super) struct Sketch {
    /// The main one first, the others by name. Never empty.
    pub(super) ino: Vec<PathBuf>,
    sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
}

impl Sketch {
    /// Its program's name: `blink.ino`.
    pub(super) fn name(&self) -> String {
        self.ino[0].file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What counts of a sketch's folder: files in it, and all below its `src` (Arduino's sketch specification).
    pub(super) fn of(folder: &Path, scan: &Scan) -> Result<Self, BuildError> {
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
            headers: files.into_iter().filter(|path| is_header(path)).collect(),
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
        let scan = Scan { files: files.iter().map(|file| folder.join(file)).collect(), ..Scan::default() };
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
