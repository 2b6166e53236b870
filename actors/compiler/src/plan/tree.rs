//! A plain C or C++ tree as a list of actions: every source in it, for the board's chip, linked to one ELF.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;

use super::arduino::Planner;
use super::extras::Extras;
use super::libraries::{Own, Shelves, headers_named, libraries};
use super::library::is_header;
use super::recipes::Whose;
use super::scan::scan;
use super::{CoreKit, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::Sources;

/// Plans the tree of `layout`: what is below its `src`, if it has one.
///
/// The Arduino core is there for a tree that asks for it by including `Arduino.h`.
pub(crate) fn plan_tree(
    wish: &BuildWish,
    layout: Layout,
    tools: &Tools,
    kit: &CoreKit,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let folder = layout.source.as_path();
    let mut planner = Planner::new(wish, tools, kit, &layout, sources)?;
    let scan = scan(planner.sources, folder, &layout.build)?;
    let src = folder.join("src");
    let root = if src.is_dir() { src } else { folder.to_owned() };
    let files: Vec<PathBuf> = scan
        .files
        .iter()
        .filter(|file| file.starts_with(&root) && Language::of(file).is_some())
        .cloned()
        .collect();
    if files.is_empty() {
        return Err(BuildError::NoSource { what: "C or C++ source", folder: root });
    }
    let name =
        folder.file_name().map_or_else(|| "program".into(), |name| name.to_string_lossy().into_owned());
    let mut recipes = planner.recipes(name, Extras::of(&wish.build));

    let include = |path: &Path| format!("-I{}", layout.shown(path));
    let mut includes: Vec<String> = vec![include(&root)];
    let beside = folder.join("include");
    includes.extend(beside.is_dir().then(|| include(&beside)));

    let headers: Vec<_> = scan.files.iter().filter(|path| is_header(path)).cloned().collect();
    let mut named = headers_named(planner.sources, &files)?;
    named.extend(headers_named(planner.sources, &headers)?);
    let asks = named.iter().any(|include| include.name == "Arduino.h");
    let mut objects = Vec::new();
    let mut archive = None;
    if asks {
        let (core, variant) = planner.core_folders(&mut recipes)?;
        let own = Own { sources: &files, headers: &headers, include: &[] };
        let shelves = Shelves::of_core(&planner.core, kit, &tools.libraries);
        let libraries = libraries(planner.sources, &shelves, own)?;
        let mut core_includes = vec![include(&core)];
        core_includes.extend(variant.as_deref().map(include));
        includes.extend(core_includes.iter().cloned());
        let folders: Vec<_> = libraries.iter().flat_map(|library| &library.include).collect();
        includes.extend(folders.iter().map(|path| include(path)));
        let mut library_includes = core_includes.clone();
        library_includes.extend(folders.iter().map(|path| include(path)));
        objects = planner.compile(&recipes, Whose::Own, &files, &root, "tree", &includes)?;
        objects.extend(planner.libraries(&recipes, Whose::Foreign, &libraries, &library_includes)?);
        let (beside, made) = planner.core(&recipes, &core, variant.as_deref(), &core_includes)?;
        objects.extend(beside);
        archive = Some(made);
    } else {
        objects.extend(planner.compile(&recipes, Whose::Own, &files, &root, "tree", &includes)?);
    }
    let (linked, _) = planner.ending(&recipes, &objects, archive, false)?;
    Ok(planner.finish(&recipes, &scan, linked, linked))
}
