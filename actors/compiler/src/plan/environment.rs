//! An environment of a PlatformIO project as a list of actions: its own sources and libraries, on an Arduino core.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_project::platformio::Filter;
use farmhand_records::v1::{EnvironmentSource, LIB_ARCHIVE};

use super::arduino::{Planner, joined_sketch};
use super::compatibility::Compatibility;
use super::extras::Extras;
use super::libraries::{Own, Shelves, libraries, of_core};
use super::library::{Library, Rules, is_header};
use super::listing::{Listed, Listing};
use super::recipes::Whose;
use super::scan::{Scan, scan};
use super::{CoreKit, Kind, Kit, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::Sources;
use crate::properties::Core;
use crate::sketch::Macros;

/// What sources ask to know that PlatformIO's rules hold: its version, as it writes it (PlatformIO documentation, "Global variables":
/// 6.2.0).
pub(super) const PLATFORMIO: &str = "-DPLATFORMIO=60200";
/// What is made for a board, as PlatformIO calls it.
pub(super) const FIRMWARE: &str = "firmware";

/// The files of a project that count.
pub(super) struct Files {
    /// Of the names in its folders.
    listing: Listing,
    /// Below it names are told.
    pub(super) root: PathBuf,
    ino: Vec<PathBuf>,
    pub(super) sources: Vec<PathBuf>,
    headers: Vec<PathBuf>,
    /// Folders in which headers are looked for.
    pub(super) include: Vec<PathBuf>,
}

impl Files {
    pub(super) fn of(
        of: &EnvironmentSource,
        layout: &Layout,
        sources: &mut Sources,
    ) -> Result<Self, BuildError> {
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
    pub(super) fn listing(&self, used: &[Library]) -> Listed {
        used.iter().fold(self.listing.clone(), |all, library| all.with(library.listing)).finish()
    }

    /// The folders of [`Files::listing`].
    pub(super) fn folders(&self, used: &[Library]) -> Vec<PathBuf> {
        self.include.iter().chain(used.iter().flat_map(|library| &library.include)).cloned().collect()
    }

    fn own(&self) -> (Vec<PathBuf>, &[PathBuf], &[PathBuf]) {
        (self.ino.iter().chain(&self.sources).cloned().collect(), &self.headers, &self.include)
    }
}

/// The libraries that an environment uses: the project's own folders' first, those of its core behind them.
pub(super) fn libraries_of(
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
        compatibility: Compatibility::of(of),
        ignore: wish.ignore.clone(),
        needed: wish.needed.clone(),
        macros: Macros::of(defines.iter().map(String::as_str).chain([&PLATFORMIO[2..]])),
    };
    let (read, headers, include) = files.own();
    libraries(sources, &shelves, Own { sources: &read, headers, include })
}

/// Each library is an archive, where neither the project nor it says otherwise.
pub(super) fn archive_as_said(of: &EnvironmentSource, used: &mut [Library]) {
    let said = of.board.iter().rev().find(|(key, _)| key == LIB_ARCHIVE).map(|(_, value)| value == "yes");
    for library in used {
        library.is_archive = said.or(library.lib_archive).unwrap_or(true);
    }
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
    archive_as_said(of, &mut used);
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
    // Into the project's folders a library does not look, as PlatformIO has it.
    let linked = planner.libraries(&recipes, Whose::Library, &used, &library_includes)?;
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
