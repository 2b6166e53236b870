//! An environment of a PlatformIO project for this machine, as a list of actions.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_project::platformio::{Flag, For};
use farmhand_records::v1::EnvironmentSource;

use super::environment::{Files, PLATFORMIO, archive_as_said, libraries_of};
use super::extras::Extras;
use super::library::UsedLibrary;
use super::named::files_named;
use super::recipes::{Compiler, GROUP, Whose};
use super::tools::no_native;
use super::{Action, Kind, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::{Hasher, Sources};

/// What is made for this machine, as PlatformIO calls it.
const PROGRAM: &str = "program";

/// The driver for this machine's programs, and what stands before all its arguments.
fn driver(tools: &Tools, language: Language) -> (PathBuf, Vec<String>) {
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

/// What packs objects, likewise.
fn archiver(tools: &Tools) -> Result<(PathBuf, Vec<String>), BuildError> {
    match &tools.clang {
        Some(clang) => Ok((clang.program.clone(), vec!["ar".to_owned()])),
        None => Some(tools.program("ar"))
            .filter(|ar| ar.is_file())
            .map(|ar| (ar, Vec::new()))
            .ok_or_else(|| no_native("ar", "binutils")),
    }
}

/// What an environment for this machine is made of, so far.
struct Native<'a> {
    layout: &'a Layout,
    tools: &'a Tools,
    extras: &'a Extras,
    actions: Vec<Action>,
}

/// Sources that are compiled alike.
struct Group<'a> {
    whose: Whose,
    paths: &'a [PathBuf],
    /// Where they lie below.
    root: &'a Path,
    /// The folder of their objects.
    name: &'a str,
    includes: Vec<String>,
    /// What is theirs alone.
    flags: Extras,
}

impl Native<'_> {
    fn include(&self, path: &Path) -> String {
        format!("-I{}", self.layout.shown(path))
    }

    /// Adds an action; its place among all.
    fn add(&mut self, action: Action) -> usize {
        self.actions.push(action);
        self.actions.len() - 1
    }

    fn outputs(&self, of: &[usize]) -> Vec<String> {
        of.iter().map(|&at| self.layout.shown(&self.actions[at].output)).collect()
    }

    fn compile(&mut self, group: &Group<'_>) -> Vec<usize> {
        let mut objects = Vec::new();
        for path in group.paths {
            let Some(language) = Language::of(path) else { continue };
            let (program, mut template) = driver(self.tools, language);
            // Folders that flags name are looked into last, as PlatformIO has them.
            template.extend(["-c", PLATFORMIO, "{includes}"].map(str::to_owned));
            template.extend(self.extras.compile(language, group.whose));
            template.extend(group.flags.compile(language, Whose::Own));
            template.extend(["{source_file}", "-o", "{object_file}"].map(str::to_owned));
            let compiler = Compiler {
                layout: self.layout,
                language,
                program,
                template,
                includes: group.includes.clone(),
                objects: self.layout.build.join("obj"),
                sees_project: true,
            };
            let name = self.layout.name(path, group.root);
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            objects.push(self.add(compiler.compile(path, group.name, &name, size)));
        }
        objects
    }

    fn archive(&mut self, name: &str, group: &str, objects: Vec<usize>) -> Result<usize, BuildError> {
        let (program, mut args) = archiver(self.tools)?;
        let what = format!("lib{name}.a");
        let output = self.layout.build.join("obj").join(group).join(&what);
        args.extend(["rcsD".to_owned(), self.layout.shown(&output)]);
        args.extend(self.outputs(&objects));
        Ok(self.add(Action {
            kind: Kind::Archive,
            what,
            program,
            args,
            sources: Vec::new(),
            from: objects,
            output,
            depfile: None,
            sees_project: false,
            cost: 1,
        }))
    }

    fn link(&mut self, language: Language, objects: Vec<usize>, archives: Vec<usize>) -> usize {
        let output = self.layout.build.join(PROGRAM);
        let (program, mut args) = driver(self.tools, language);
        args.extend(self.outputs(&objects));
        // Libraries may need each other. A group has none within.
        if !archives.is_empty() {
            args.push(GROUP[0].to_owned());
            args.extend(self.outputs(&archives));
            args.push(GROUP[1].to_owned());
        }
        let flags = self.extras.link();
        let sources = files_named(self.layout, &flags);
        args.extend(flags);
        args.extend(["-o".into(), self.layout.shown(&output)]);
        self.add(Action {
            kind: Kind::Link,
            what: PROGRAM.into(),
            program,
            args,
            sources,
            from: objects.into_iter().chain(archives).collect(),
            output,
            depfile: None,
            sees_project: true,
            cost: 6,
        })
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
    let mut used = libraries_of(of, &files, &defines, (None, tools), sources)?;
    archive_as_said(of, &mut used);
    let of_link = |flag: &&Flag| matches!(flag.of, For::Linker | For::Libraries);
    extras.push(used.iter().flat_map(|library| &library.flags).filter(of_link).cloned());
    let all = files.sources.iter().chain(used.iter().flat_map(|library| &library.sources));
    let has_cpp = all.into_iter().any(|path| Language::of(path) == Some(Language::Cpp));
    let has_gxx = tools.program("g++").is_file();
    if has_cpp && tools.clang.is_none() && !has_gxx {
        return Err(no_native("g++", "g++"));
    }

    let mut native = Native { layout: &layout, tools, extras: &extras, actions: Vec::new() };
    // Into the project's folders a library does not look, as PlatformIO has it.
    let of_libraries: Vec<_> =
        used.iter().flat_map(|library| &library.include).map(|path| native.include(path)).collect();
    let includes =
        files.include.iter().map(|path| native.include(path)).chain(of_libraries.iter().cloned()).collect();
    let mut objects = native.compile(&Group {
        whose: Whose::Own,
        paths: &files.sources,
        root: &files.root,
        name: "src",
        includes,
        flags: Extras::default(),
    });
    let mut archives = Vec::new();
    let mut told: Vec<UsedLibrary> = Vec::new();
    for library in &used {
        let name = library.group(&told);
        told.push(UsedLibrary::from(library));
        let made = native.compile(&Group {
            whose: Whose::Library,
            paths: &library.sources,
            root: &library.root,
            name: &name,
            includes: library.own_first(&layout, &of_libraries),
            flags: Extras::of_flags(library.flags.clone()),
        });
        if made.is_empty() || !library.is_archive {
            objects.extend(made);
        } else {
            archives.push(native.archive(&library.name, &name, made)?);
        }
    }
    // Without C++, clang's own library for it need not be made; of the system's nothing that a C program would miss.
    let is_cpp = has_cpp || (tools.clang.is_none() && has_gxx);
    let linked = native.link(if is_cpp { Language::Cpp } else { Language::C }, objects, archives);
    let actions = native.actions;
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
