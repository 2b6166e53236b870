//! An environment of a PlatformIO project as a list of actions: its own sources and libraries, on an Arduino core, or for this machine.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_project::platformio::{Filter, Flag, For};
use farmhand_records::v1::{EnvironmentSource, LIB_ARCHIVE, LIB_COMPAT};

use super::arduino::{Planner, joined_sketch};
use super::compatibility::Compatibility;
use super::extras::Extras;
use super::libraries::{Own, Shelves, libraries, of_core};
use super::library::{Library, Rules, UsedLibrary, is_header};
use super::listing::{Listed, Listing};
use super::named::files_named;
use super::recipes::{Compiler, Whose};
use super::scan::{Scan, scan};
use super::tools::no_native;
use super::{Action, CoreKit, Kind, Kit, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::{Hasher, Sources};
use crate::properties::Core;
use crate::sketch::Macros;

/// What sources ask to know that PlatformIO's rules hold: its version, as it writes it (PlatformIO documentation, "Global variables":
/// 6.2.0).
const PLATFORMIO: &str = "-DPLATFORMIO=60200";
/// What is made for a board, as PlatformIO calls it.
pub(super) const FIRMWARE: &str = "firmware";
/// What is made for this machine, as PlatformIO calls it.
const PROGRAM: &str = "program";

/// The files of a project that count.
struct Files {
    /// Of the names in its folders.
    listing: Listing,
    /// Below it names are told.
    root: PathBuf,
    ino: Vec<PathBuf>,
    sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
    /// Folders in which headers are looked for.
    include: Vec<PathBuf>,
}

impl Files {
    fn of(of: &EnvironmentSource, layout: &Layout, sources: &mut Sources) -> Result<Self, BuildError> {
        let root = PathBuf::from(&of.sources);
        if !root.is_dir() {
            return Err(BuildError::NoSource { what: "folder of sources", folder: root });
        }
        let filter = Filter::parse(&of.filter);
        let below = scan(sources, &root, &layout.build)?;
        let mut listing = Listing::new("project").with(below.listed);
        let mut headers: Vec<_> = below.files.iter().filter(|path| is_header(path)).cloned().collect();
        // With how the filter tells them.
        let mut told: Vec<(String, PathBuf)> = Vec::new();
        let mut tell = |folder: &Path, prefix: &str, files: Vec<PathBuf>| {
            let name =
                |path: &PathBuf| Some(format!("{prefix}{}", path.strip_prefix(folder).ok()?.to_str()?));
            told.extend(files.into_iter().filter_map(|path| Some((name(&path)?, path))));
        };
        tell(&root, "", below.files);
        for outside in filter.folders_outside() {
            let folder = root.join(&outside);
            let Ok(folder) = folder.canonicalize() else { continue };
            let more = scan(sources, &folder, &layout.build)?;
            listing = listing.with(more.listed);
            tell(&folder, &format!("{outside}/"), more.files);
        }
        let mut include = vec![PathBuf::from(&of.include)];
        if let (false, Some(above)) =
            (include[0].is_dir(), include[0].parent().filter(|above| above.is_dir()))
        {
            // That it is not there is seen in the names of the one above.
            sources.names(above, &[]).map_err(BuildError::io("read", above))?;
        }
        include.retain(|folder| folder.is_dir());
        for folder in &include {
            let more = scan(sources, folder, &layout.build)?;
            headers.extend(more.files.into_iter().filter(|path| is_header(path)));
            listing = listing.with(more.listed);
        }
        include.push(root.clone());
        let mut kept: Vec<_> =
            told.into_iter().filter(|(name, _)| filter.keeps(name)).map(|(_, path)| path).collect();
        kept.sort();
        kept.dedup();
        let is_ino = |path: &PathBuf| path.extension().is_some_and(|end| end == "ino" || end == "pde");
        let (ino, rest): (Vec<_>, Vec<_>) = kept.into_iter().partition(is_ino);
        let found: Vec<_> = rest.into_iter().filter(|path| Language::of(path).is_some()).collect();
        if ino.is_empty() && found.is_empty() {
            return Err(BuildError::NoSource { what: "source that build_src_filter keeps", folder: root });
        }
        Ok(Self { listing, root, ino, sources: found, headers, include })
    }

    /// Of all names in the project's folders, and in those of the libraries that it uses: it looks into both.
    fn listing(&self, used: &[Library]) -> Listed {
        used.iter().fold(self.listing.clone(), |all, library| all.with(library.listing)).finish()
    }

    /// The folders of [`Files::listing`].
    fn folders(&self, used: &[Library]) -> Vec<PathBuf> {
        self.include.iter().chain(used.iter().flat_map(|library| &library.include)).cloned().collect()
    }

    fn own(&self) -> (Vec<PathBuf>, &[PathBuf], &[PathBuf]) {
        (self.ino.iter().chain(&self.sources).cloned().collect(), &self.headers, &self.include)
    }
}

/// The libraries that an environment uses: the project's own folders' first, those of its core behind them.
fn libraries_of(
    of: &EnvironmentSource,
    files: &Files,
    defines: &[String],
    (core, tools): (Option<&Core>, &Tools),
    sources: &mut Sources,
) -> Result<Vec<Library>, BuildError> {
    let wish = &of.libraries;
    let shelves = Shelves {
        declared: tools.libraries.clone(),
        single: Vec::new(),
        architecture: match (&tools.kit, core) {
            (Kit::Core(kit), Some(_)) => kit.architecture.clone(),
            _ => None,
        },
        folders: wish.folders.iter().map(PathBuf::from).chain(core.into_iter().flat_map(of_core)).collect(),
        mode: wish.mode,
        rules: Rules::PlatformIo,
        compatibility: match of.board.iter().any(|(key, value)| key == LIB_COMPAT && value == "off") {
            true => Compatibility::Off,
            false => Compatibility::Soft { arduino: of.arduino },
        },
        ignore: wish.ignore.clone(),
        needed: wish.needed.clone(),
        macros: Macros::of(defines.iter().map(String::as_str).chain([&PLATFORMIO[2..]])),
    };
    let (read, headers, include) = files.own();
    libraries(sources, &shelves, Own { sources: &read, headers, include })
}

/// Plans an environment whose board has an Arduino core.
pub(crate) fn plan_environment(
    wish: &BuildWish,
    of: &EnvironmentSource,
    layout: Layout,
    tools: &Tools,
    kit: &CoreKit,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let extras = Extras::of_environment(&wish.build, of)?;
    let mut planner = Planner::with_properties(wish, Some(of), tools, kit, &layout, sources)?;
    let files = Files::of(of, &layout, planner.sources)?;
    let mut recipes = planner.recipes(FIRMWARE.into(), extras);
    recipes.is_grouped = true;
    let core = of.arduino.then_some(&planner.core);
    let mut used = libraries_of(of, &files, &recipes.defines()?, (core, tools), planner.sources)?;
    let said = of.board.iter().rev().find(|(key, _)| key == LIB_ARCHIVE).map(|(_, value)| value == "yes");
    for library in &mut used {
        library.is_archive = said.or(library.lib_archive).unwrap_or(true);
    }
    recipes.also(used.iter().flat_map(|library| &library.flags).cloned());
    let include = |path: &Path| format!("-I{}", layout.shown(path));
    let mut core_includes = vec![PLATFORMIO.to_owned()];
    let mut folders = None;
    if of.arduino {
        let (core, variant) = planner.core_folders(&mut recipes)?;
        core_includes.push(include(&core));
        core_includes.extend(variant.as_deref().map(include));
        folders = Some((core, variant));
    }
    let library_folders = || used.iter().flat_map(|library| &library.include).map(|path| include(path));
    let library_includes: Vec<_> = core_includes.iter().cloned().chain(library_folders()).collect();
    let own_includes: Vec<_> =
        files.include.iter().map(|path| include(path)).chain(library_includes.iter().cloned()).collect();

    planner.stage(&recipes, "sketch.prebuild");
    let mut objects = Vec::new();
    if !files.ino.is_empty() {
        objects.push(joined_sketch(&mut planner, &recipes, &files.ino, &own_includes)?);
    }
    objects.extend(planner.compile(
        &recipes,
        Whose::Own,
        &files.sources,
        &files.root,
        "src",
        &own_includes,
    )?);
    planner.stage(&recipes, "sketch.postbuild");
    planner.stage(&recipes, "libraries.prebuild");
    // A library of the project's own may look into its folder of headers, as PlatformIO lets it.
    let linked = planner.libraries(&recipes, Whose::Library, &used, &own_includes)?;
    planner.stage(&recipes, "libraries.postbuild");
    let mut archive = None;
    if let Some((core, variant)) = &folders {
        let (beside, made) = planner.core(&recipes, core, variant.as_deref(), &core_includes)?;
        objects.extend(beside);
        archive = Some(made);
    }
    // Archives behind all objects, which ask for what is in them.
    let (archives, more): (Vec<_>, Vec<_>) =
        linked.into_iter().partition(|&at| planner.actions[at].kind == Kind::Archive);
    objects.extend(more);
    objects.extend(archives);
    let (linked, artifact) = planner.ending(&recipes, &objects, archive, true)?;
    let scan = Scan { files: Vec::new(), listed: files.listing(&used), folders: files.folders(&used) };
    Ok(planner.finish(&recipes, &scan, linked, artifact))
}

/// The driver for this machine's programs, and what stands before all its arguments.
fn native_driver(tools: &Tools, language: Language) -> (PathBuf, Vec<String>) {
    let is_cpp = language == Language::Cpp;
    match &tools.clang {
        // It would check for undefined behaviour, which nobody asked for.
        Some(clang) => {
            let word = if is_cpp { "c++" } else { "cc" };
            (clang.program.clone(), vec![word.to_owned(), "-fno-sanitize=undefined".to_owned()])
        }
        None => (tools.program(if is_cpp { "g++" } else { "gcc" }), Vec::new()),
    }
}

/// Plans an environment for this machine.
pub(crate) fn plan_native(
    wish: &BuildWish,
    of: &EnvironmentSource,
    layout: Layout,
    tools: &Tools,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let mut extras = Extras::of_environment(&wish.build, of)?;
    let files = Files::of(of, &layout, sources)?;
    let defines: Vec<_> = extras.defines().map(str::to_owned).collect();
    let used = libraries_of(of, &files, &defines, (None, tools), sources)?;
    let of_link = |flag: &&Flag| matches!(flag.of, For::Linker | For::Libraries);
    extras.push(used.iter().flat_map(|library| &library.flags).filter(of_link).cloned());
    let all = files.sources.iter().chain(used.iter().flat_map(|library| &library.sources));
    let has_cpp = all.into_iter().any(|path| Language::of(path) == Some(Language::Cpp));
    let has_gxx = tools.program("g++").is_file();
    if has_cpp && tools.clang.is_none() && !has_gxx {
        return Err(no_native("g++"));
    }
    let include = |path: &Path| format!("-I{}", layout.shown(path));
    let folders = files.include.iter().chain(used.iter().flat_map(|library| &library.include));
    let includes: Vec<_> = folders.map(|path| include(path)).collect();
    let mut actions = Vec::new();
    let mut compile = |whose: Whose,
                       paths: &[PathBuf],
                       below: &Path,
                       group: &str,
                       (includes, more): (&[String], &Extras)| {
        for path in paths {
            let Some(language) = Language::of(path) else { continue };
            let (program, words) = native_driver(tools, language);
            let mut template = words;
            // Folders that flags name are looked into last, as PlatformIO has them.
            template.extend(["-c", PLATFORMIO, "{includes}"].map(str::to_owned));
            template.extend(extras.compile(language, whose));
            template.extend(more.compile(language, Whose::Own));
            template.extend(["{source_file}", "-o", "{object_file}"].map(str::to_owned));
            let compiler = Compiler {
                layout: &layout,
                language,
                program,
                template,
                includes: includes.to_vec(),
                objects: layout.build.join("obj"),
                sees_project: true,
            };
            let name = layout.name(path, below);
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            actions.push(compiler.compile(path, group, &name, size));
        }
    };
    compile(Whose::Own, &files.sources, &files.root, "src", (&includes, &Extras::default()));
    let mut told: Vec<UsedLibrary> = Vec::new();
    for library in &used {
        let group = library.group(&told);
        told.push(UsedLibrary::from(library));
        let own = Extras::of_flags(library.flags.clone());
        let includes = library.own_first(&layout, &includes);
        compile(Whose::Library, &library.sources, &library.root, &group, (&includes, &own));
    }
    let output = layout.build.join(PROGRAM);
    // Without C++, clang's own library for it need not be made; of the system's nothing that a C program would miss.
    let linked_as = if has_cpp || (tools.clang.is_none() && has_gxx) { Language::Cpp } else { Language::C };
    let (program, mut args) = native_driver(tools, linked_as);
    args.extend(actions.iter().map(|action| layout.shown(&action.output)));
    let flags = extras.link();
    let read = files_named(&layout, &flags);
    args.extend(flags);
    args.extend(["-o".into(), layout.shown(&output)]);
    actions.push(Action {
        kind: Kind::Link,
        what: PROGRAM.into(),
        program,
        args,
        sources: read,
        from: (0..actions.len()).collect(),
        output,
        depfile: None,
        sees_project: true,
        cost: 6,
    });
    let linked = actions.len() - 1;
    Ok(Plan {
        environment: tools.environment.clone(),
        actions,
        linked,
        artifact: linked,
        identity: tools.identity,
        listing: files.listing(&used),
        core_listing: Hasher::new("core").finish(),
        listed: files.folders(&used),
        roots: tools.roots(&layout),
        immutable: tools.immutable.clone(),
        reads_args: false,
        is_own: false,
        upload_file: None,
        board: wish.board.clone(),
        libraries: told,
        bytes_max: 0,
        data_bytes_max: 0,
        layout,
    })
}
