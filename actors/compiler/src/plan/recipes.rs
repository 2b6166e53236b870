//! The recipes of a core's `platform.txt`, for one build.

use std::path::{Path, PathBuf};

use farmhand_project::platformio::{Flag, For};

use super::extras::Extras;
use super::named::{files_named, files_of_compile};
use super::{Action, Kind, Language, Layout, Tools, quirks};
use crate::BuildError;
use crate::properties::{Core, Table, split_command};

/// The name of the core's archive.
const ARCHIVE: &str = "core.a";
/// Around archives that are searched until nothing new is found.
pub(super) const GROUP: [&str; 2] = ["-Wl,--start-group", "-Wl,--end-group"];

/// Whose code is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The user's: warnings are shown.
    Own,
    /// A library's that looks into the user's folders: its warnings are nobody's to mend.
    Library,
    /// The core's, or a library's that sees no more than the core: likewise.
    Foreign,
}

/// A board's recipes, expanded as far as can be before the files are known.
#[derive(Debug)]
pub(crate) struct Recipes<'a> {
    layout: &'a Layout,
    properties: Table,
    /// The name of the program: `blink.ino`.
    name: String,
    quirks: Vec<&'static str>,
    extras: Extras,
    /// Where objects go.
    pub(super) objects: PathBuf,
    /// Archives of libraries are linked as a group with the core's (PlatformIO's way).
    pub(super) is_grouped: bool,
}

impl<'a> Recipes<'a> {
    /// Of a board's `variables`.
    pub(crate) fn new(
        variables: Table,
        core_version: &str,
        tools: &Tools,
        layout: &'a Layout,
        extras: Extras,
        name: String,
    ) -> Self {
        let mut properties = variables;
        let mut set = |key: &str, value: &str| properties.set(key, value);
        set("build.path", &layout.shown(&layout.build));
        set("build.source.path", &layout.shown(&layout.source));
        set("build.project_name", &name);
        set("archive_file", ARCHIVE);
        set("archive_file_path", &layout.shown(&layout.build.join(ARCHIVE)));
        set("sketch_path", &layout.shown(&layout.source));
        for key in ["compiler.libraries.ldflags", "build.variant.path"] {
            if properties.get(key).is_none() {
                properties.set(key, "");
            }
        }
        let quirks = quirks::cxx_flags(core_version, &tools.version).collect();
        Self {
            layout,
            properties,
            name,
            quirks,
            extras,
            objects: layout.build.join("obj"),
            is_grouped: false,
        }
    }

    /// A folder that a property of the board names below the core: `build.core` below `cores`.
    pub(crate) fn folder(&mut self, core: &Core, below: &str, key: &str, path_key: &str) -> Option<PathBuf> {
        let name = self.properties.expanded(key).filter(|name| !name.is_empty())?;
        let (whose, name) = core.folder_of(&name);
        let folder = whose.join(below).join(name);
        self.properties.set(path_key, folder.to_string_lossy());
        folder.is_dir().then_some(folder)
    }

    /// Flags that are linked with too: libraries' own.
    pub(crate) fn also(&mut self, flags: impl Iterator<Item = Flag>) {
        self.extras.push(flags.filter(|flag| matches!(flag.of, For::Linker | For::Libraries)));
    }

    /// What is defined for sources of the user's: `X=1`.
    pub(crate) fn defines(&self) -> Result<Vec<String>, BuildError> {
        let compiler = self.compiler(Language::Cpp, Whose::Own, &[])?;
        Ok(compiler.template.iter().filter_map(|arg| arg.strip_prefix("-D")).map(str::to_owned).collect())
    }

    /// A property, expanded.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.properties.expanded(key)
    }

    /// Has libraries linked that are there as archives.
    pub(super) fn link_with(&mut self, flags: &str) {
        self.properties.set("compiler.libraries.ldflags", flags);
    }

    /// Whether archives are linked that nothing but arguments names.
    pub(super) fn links_archives(&self) -> bool {
        self.properties.get("compiler.libraries.ldflags").is_some_and(|flags| !flags.is_empty())
    }

    /// What is put on a board of this core is its Intel HEX file, made by objcopy.
    pub(crate) fn is_hex_for_device(&self) -> bool {
        let by_objcopy = |(program, _): (PathBuf, _)| program.to_string_lossy().ends_with("objcopy");
        self.properties.expanded("recipe.output.tmp_file").is_some_and(|file| file.ends_with(".hex"))
            && self.recipe("recipe.objcopy.hex.pattern", Whose::Foreign).is_some_and(by_objcopy)
    }

    /// What goes to a board by the core's own uploader, where it is another file than the linked program.
    pub(crate) fn upload_file(&self) -> Option<PathBuf> {
        let name = self.properties.expanded("recipe.output.tmp_file").filter(|name| !name.is_empty())?;
        Some(self.layout.build.join(name))
    }

    /// The properties with folders told in full: a program that a core has run may go elsewhere.
    pub(super) fn whole_paths(&self) -> Table {
        let mut table = self.properties.clone();
        let layout = self.layout;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        table.set("build.path", path(&layout.build));
        table.set("build.source.path", path(&layout.source));
        table.set("sketch_path", path(&layout.source));
        table.set("archive_file_path", path(&layout.build.join(ARCHIVE)));
        table
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.properties.expanded(key).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn recipe(&self, key: &str, whose: Whose) -> Option<(PathBuf, Vec<String>)> {
        recipe_of(self.properties.clone(), key, whose)
    }

    fn need(&self, key: &str, whose: Whose) -> Result<(PathBuf, Vec<String>), BuildError> {
        need_of(self.properties.clone(), key, whose)
    }

    /// How files of one language are compiled.
    pub(crate) fn compiler(
        &self,
        language: Language,
        whose: Whose,
        includes: &[String],
    ) -> Result<Compiler<'_>, BuildError> {
        let key = match language {
            Language::C => "recipe.c.o.pattern",
            Language::Cpp => "recipe.cpp.o.pattern",
            Language::Asm => "recipe.S.o.pattern",
        };
        let (program, mut template) = self.need(key, whose)?;
        if language == Language::Cpp {
            template.extend(self.quirks.iter().map(|&flag| flag.to_owned()));
        }
        if language == Language::Asm {
            // Through a file, that file's random name would be in the object: no two would be the same.
            template.push("-pipe".into());
        }
        template.extend(self.extras.compile(language, whose));
        self.extras.take_away(&mut template);
        let project = format!("-I{}", self.layout.shown(&self.layout.source));
        let sees_project =
            self.extras.shows_project() || whose != Whose::Foreign || template.contains(&project);
        Ok(Compiler {
            layout: self.layout,
            language,
            program,
            template,
            includes: includes.to_vec(),
            objects: self.objects.clone(),
            sees_project,
        })
    }

    /// Puts objects into the core's archive.
    pub(crate) fn archive(&self, actions: &[Action], from: Vec<usize>) -> Result<Action, BuildError> {
        self.archive_at(self.layout.build.join(ARCHIVE), actions, from)
    }

    /// Packs the objects of a library of that name, which are in `group`.
    pub(crate) fn archive_of(
        &self,
        (group, name): (&str, &str),
        actions: &[Action],
        from: Vec<usize>,
    ) -> Result<Action, BuildError> {
        self.archive_at(self.objects.join(group).join(format!("{name}.a")), actions, from)
    }

    fn archive_at(
        &self,
        output: PathBuf,
        actions: &[Action],
        from: Vec<usize>,
    ) -> Result<Action, BuildError> {
        let what = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut properties = self.properties.clone();
        properties.set("archive_file", what.as_str());
        properties.set("archive_file_path", self.layout.shown(&output));
        let (program, template) = need_of(properties, "recipe.ar.pattern", Whose::Foreign)?;
        let objects: Vec<_> = from.iter().map(|&at| self.layout.shown(&actions[at].output)).collect();
        Ok(Action {
            kind: Kind::Archive,
            what,
            program,
            args: fill(&template, &[("{object_file}", &objects)]),
            sources: Vec::new(),
            from,
            output,
            depfile: None,
            sees_project: false,
            cost: 1,
        })
    }

    /// Links objects, and the archive, if there is one.
    pub(crate) fn link(
        &self,
        actions: &[Action],
        objects: &[usize],
        archive: Option<usize>,
    ) -> Result<Action, BuildError> {
        let (program, mut template) = self.need("recipe.c.combine.pattern", Whose::Foreign)?;
        if archive.is_none() {
            let none = self.layout.shown(&self.layout.build.join(ARCHIVE));
            template.retain(|arg| *arg != none);
        }
        let shown_of = |at: &usize| self.layout.shown(&actions[*at].output);
        let mut shown: Vec<_> = objects.iter().map(shown_of).collect();
        let archives = objects.iter().rev().take_while(|at| actions[**at].kind == Kind::Archive).count();
        // Libraries, and the core, may need each other. A group has none within.
        if self.is_grouped && archives > 0 && !is_in_group(&template) {
            shown.insert(shown.len() - archives, GROUP[0].into());
            shown.extend(archive.as_ref().map(shown_of));
            shown.push(GROUP[1].into());
        }
        let mut args = fill(&template, &[("{object_files}", &shown)]);
        self.extras.take_away(&mut args);
        let flags = self.extras.link();
        let sources = files_named(self.layout, &flags);
        let sees_project = !flags.is_empty();
        args.extend(flags);
        let what = format!("{}.elf", self.name);
        Ok(Action {
            kind: Kind::Link,
            program,
            args,
            sources,
            from: objects.iter().copied().chain(archive).collect(),
            output: self.layout.build.join(&what),
            what,
            depfile: None,
            // A linker script, or a library, that a flag names.
            sees_project,
            cost: 6,
        })
    }

    /// Makes the hex file, if the core has a recipe for one.
    pub(crate) fn hex(&self, linked: usize) -> Option<Action> {
        let (program, args) = self.recipe("recipe.objcopy.hex.pattern", Whose::Foreign)?;
        let what = format!("{}.hex", self.name);
        Some(Action {
            kind: Kind::Convert,
            program,
            args,
            sources: Vec::new(),
            from: vec![linked],
            output: self.layout.build.join(&what),
            what,
            depfile: None,
            sees_project: false,
            cost: 1,
        })
    }
}

/// Whether objects stand in a group of a link's words.
fn is_in_group(template: &[String]) -> bool {
    let before = template.iter().take_while(|arg| !arg.contains("{object_files}"));
    let last =
        before.filter_map(|arg| GROUP.iter().find(|end| arg.contains(end.trim_start_matches("-Wl,")))).last();
    last == Some(&GROUP[0])
}

/// A recipe of these properties: the program, and its arguments.
fn recipe_of(mut properties: Table, key: &str, whose: Whose) -> Option<(PathBuf, Vec<String>)> {
    let level = match whose {
        Whose::Own | Whose::Library => "compiler.warning_flags.default",
        Whose::Foreign => "compiler.warning_flags.none",
    };
    if let Some(flags) = properties.get(level).map(str::to_owned) {
        properties.set("compiler.warning_flags", flags);
    }
    let line = properties.expanded(key).filter(|line| !line.is_empty())?;
    let mut words = split_command(&line).into_iter();
    let program = PathBuf::from(words.next()?);
    Some((program, words.collect()))
}

fn need_of(properties: Table, key: &str, whose: Whose) -> Result<(PathBuf, Vec<String>), BuildError> {
    recipe_of(properties, key, whose).ok_or_else(|| BuildError::Missing {
        what: format!("{key} in platform.txt"),
        help: "the core does not say how it is compiled for; is it whole?".into(),
    })
}

/// How files of one language are compiled.
#[derive(Debug)]
pub(crate) struct Compiler<'a> {
    pub(super) layout: &'a Layout,
    pub(super) language: Language,
    pub(super) program: PathBuf,
    /// With `{includes}`, `{source_file}` and `{object_file}` where they go.
    pub(super) template: Vec<String>,
    pub(super) includes: Vec<String>,
    /// Where objects go.
    pub(super) objects: PathBuf,
    pub(super) sees_project: bool,
}

impl Compiler<'_> {
    /// Compiles `source` to an object in `group`, named by `name`; `size` is the source's, in bytes.
    pub(crate) fn compile(&self, source: &Path, group: &str, name: &str, size: u64) -> Action {
        let output = self.objects.join(group).join(format!("{name}.o"));
        let depfile = output.with_extension("d");
        let (shown, object) = (self.layout.shown(source), self.layout.shown(&output));
        let mut args = fill(
            &self.template,
            &[
                ("{includes}", &self.includes),
                ("{source_file}", std::slice::from_ref(&shown)),
                ("{object_file}", std::slice::from_ref(&object)),
            ],
        );
        let mut sources = vec![source.to_owned()];
        sources.extend(files_of_compile(self.layout, &args));
        without_depfile(&mut args);
        // With the system's headers: a toolchain of the system changes.
        args.extend(["-MD".into(), "-MF".into(), self.layout.shown(&depfile)]);
        if args.iter().any(|arg| arg.starts_with("-flto")) {
            // Sections for link-time optimisation are named at random otherwise: no two objects would be the same.
            args.push(format!("-frandom-seed={group}/{name}"));
        }
        let weight = match self.language {
            Language::Cpp => 3,
            Language::C | Language::Asm => 1,
        };
        Action {
            kind: Kind::Compile,
            what: name.to_owned(),
            program: self.program.clone(),
            args,
            sources,
            from: Vec::new(),
            output,
            depfile: Some(depfile),
            sees_project: self.sees_project,
            // A source's own length matters little beside the headers it takes in.
            cost: weight * 1000 + size / 16,
        }
    }
}

/// Takes away what has a list of the headers that were read written otherwise than we read it: `-MMD` leaves out the system's
/// wherever it stands (GCC, "Preprocessor Options").
fn without_depfile(args: &mut Vec<String>) {
    let mut is_value = false;
    args.retain(|arg| {
        let was_value = std::mem::replace(&mut is_value, matches!(&**arg, "-MF" | "-MT" | "-MQ"));
        let is_one = ["-MF", "-MT", "-MQ", "-Wp,-M"].iter().any(|flag| arg.starts_with(flag));
        !(was_value || is_one || matches!(&**arg, "-MD" | "-MMD" | "-MP" | "-MG"))
    });
}

/// The template with each placeholder replaced: by several arguments where it stands alone.
fn fill(template: &[String], values: &[(&str, &[String])]) -> Vec<String> {
    let mut args = Vec::with_capacity(template.len());
    for arg in template {
        match values.iter().find(|(name, _)| arg == name) {
            Some((_, values)) => args.extend(values.iter().cloned()),
            None => {
                let mut arg = arg.clone();
                for (name, values) in values {
                    if arg.contains(name) {
                        arg = arg.replace(name, &values.join(" "));
                    }
                }
                args.push(arg);
            }
        }
    }
    args
}
