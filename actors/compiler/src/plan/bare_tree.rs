//! A plain C or C++ tree for a board without a core: its own start-up code, its own linker script, one ELF.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;

use super::bare::{BareBoard, is_hosted};
use super::clang::Archives;
use super::libraries::headers_named;
use super::library::is_header;
use super::named::{files_named, names_script};
use super::recipes::Compiler;
use super::scan::{Scan, scan};
use super::{Action, Kind, Language, Layout, Plan, Tools};
use crate::BuildError;
use crate::cache::{Hasher, Sources};

/// What is made, whatever the folder's name.
const ELF: &str = "firmware.elf";
/// As Arduino's cores are compiled: small, and with lines for a debugger; what is not used is not linked.
const COMPILE_FLAGS: &[&str] =
    &["-c", "-g", "-Os", "-Wall", "-ffunction-sections", "-fdata-sections", "-fno-common"];
/// What of C++ needs a library to run.
const CXX_FLAGS: &[&str] = &["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"];
/// Start-up code is the project's own.
const LINK_FLAGS: &[&str] = &["-nostartfiles", "-static", "-Wl,--gc-sections"];

/// A linker script, and what one takes in beside others: the linker is not asked what it read.
const SCRIPTS: &[&str] = &["ld", "lds"];
const TAKEN_IN: &[&str] = &["x", "ldi", "ldh"];

/// The C library, where a tree asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// How the compiler is told of it.
    pub(crate) flags: Vec<String>,
    /// How it is told of it at the link.
    pub(crate) link_flags: Vec<String>,
    /// The same, for who does not read specs.
    pub(crate) archives: Archives,
}

/// The files of a tree that count.
struct Tree {
    root: PathBuf,
    scan: Scan,
    files: Vec<PathBuf>,
}

impl Tree {
    /// What is below `src` of `folder`, if it has one.
    fn of(sources: &mut Sources, folder: &Path, build: &Path) -> Result<Self, BuildError> {
        let scan = scan(sources, folder, build)?;
        let src = folder.join("src");
        let root = if src.is_dir() { src } else { folder.to_owned() };
        let counts = |file: &&PathBuf| file.starts_with(&root) && Language::of(file).is_some();
        let files: Vec<_> = scan.files.iter().filter(counts).cloned().collect();
        if files.is_empty() {
            return Err(BuildError::NoSource { what: "C or C++ source", folder: root });
        }
        Ok(Self { root, scan, files })
    }

    fn with_end(&self, ends: &[&str]) -> Vec<PathBuf> {
        let has = |path: &&PathBuf| {
            path.extension().and_then(|end| end.to_str()).is_some_and(|end| ends.contains(&end))
        };
        self.scan.files.iter().filter(has).cloned().collect()
    }
}

/// Whether the tree in `folder` names a header that only a C library has, and has none of that name itself. Reads all of
/// it.
pub(crate) fn asks_for_library(folder: &Path, build: &Path) -> Result<bool, BuildError> {
    let mut sources = Sources::new();
    let tree = Tree::of(&mut sources, folder, build)?;
    let headers: Vec<_> = tree.scan.files.iter().filter(|path| is_header(path)).cloned().collect();
    let mut named = headers_named(&mut sources, &tree.files)?;
    named.extend(headers_named(&mut sources, &headers)?);
    let is_own = |name: &str| headers.iter().any(|header| header.ends_with(name));
    Ok(named.iter().any(|include| is_hosted(&include.name) && !is_own(&include.name)))
}

/// Plans the tree of `layout` for `board`.
pub(crate) fn plan_bare_tree(
    wish: &BuildWish,
    layout: Layout,
    tools: &Tools,
    board: &BareBoard,
    library: Option<&Library>,
    sources: &mut Sources,
) -> Result<Plan, BuildError> {
    let tree = Tree::of(sources, &layout.source, &layout.build)?;
    let folders = [tree.root.clone(), layout.source.join("include")];
    let includes: Vec<String> = folders
        .iter()
        .filter(|folder| folder.is_dir())
        .map(|folder| format!("-I{}", layout.shown(folder)))
        .collect();
    let mut actions = Vec::new();
    for file in &tree.files {
        let language = Language::of(file).expect("a file of another kind is not of the tree");
        let program = match (&tools.clang, language) {
            (Some(clang), _) => clang.program.clone(),
            (None, Language::Cpp) => tools.program(&format!("{}g++", board.compiler.prefix)),
            (None, Language::C | Language::Asm) => tools.program(&format!("{}gcc", board.compiler.prefix)),
        };
        let mut template = match &tools.clang {
            Some(clang) => clang.compile(board, library.map(|library| &library.archives))?,
            None => Vec::new(),
        };
        let said = COMPILE_FLAGS.iter().chain(board.compile_flags);
        let said = said.filter(|flag| !is_said_by(flag, &wish.build.flags));
        template.extend(said.map(|&flag| flag.to_owned()));
        match library {
            Some(_) if tools.clang.is_some() => {}
            Some(library) => template.extend(library.flags.iter().cloned()),
            None => template.push("-ffreestanding".into()),
        }
        if language == Language::Cpp {
            template.extend(CXX_FLAGS.iter().map(|&flag| flag.to_owned()));
        }
        if language != Language::Asm {
            template.extend(wish.build.flags.iter().cloned());
        }
        if language == Language::Cpp {
            template.extend(wish.build.cxx_flags.iter().cloned());
        }
        template.extend(["{includes}", "{source_file}", "-o", "{object_file}"].map(str::to_owned));
        let compiler = Compiler {
            layout: &layout,
            language,
            program,
            template,
            includes: includes.clone(),
            objects: layout.build.join("obj"),
            sees_project: true,
        };
        let name = file.strip_prefix(&tree.root).unwrap_or(file).to_string_lossy().into_owned();
        let size = std::fs::metadata(file).map_or(0, |file| file.len());
        actions.push(compiler.compile(file, "tree", &name, size));
    }
    if let Some(clang) = &tools.clang {
        actions.push(clang.runtime(board, &layout, &wish.build.flags)?);
    }
    let link = link(wish, &layout, tools, board, library, &tree, &actions)?;
    actions.push(link);
    let linked = actions.len() - 1;
    Ok(Plan {
        environment: tools.environment.clone(),
        actions,
        linked,
        artifact: linked,
        identity: tools.identity,
        listing: tree.scan.listed,
        core_listing: Hasher::new("core").finish(),
        listed: tree.scan.folders,
        roots: tools.roots(&layout),
        immutable: tools.immutable.clone(),
        reads_args: false,
        is_own: false,
        upload_file: None,
        board: wish.board.clone(),
        libraries: Vec::new(),
        // The linker script knows.
        bytes_max: 0,
        data_bytes_max: 0,
        layout,
    })
}

/// Whether a project says itself what a board's flag says (`-mfloat-abi=`): with both, GCC compiles by the latter, and chooses
/// libraries by neither.
fn is_said_by(flag: &str, own: &[String]) -> bool {
    let name = flag.starts_with("-m").then(|| flag.split_once('=')).flatten().map(|(name, _)| name);
    name.is_some_and(|name| {
        own.iter().any(|own| own.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    })
}

fn link(
    wish: &BuildWish,
    layout: &Layout,
    tools: &Tools,
    board: &BareBoard,
    library: Option<&Library>,
    tree: &Tree,
    objects: &[Action],
) -> Result<Action, BuildError> {
    let scripts = tree.with_end(SCRIPTS);
    let output = layout.build.join(ELF);
    let mut script_flags = Vec::new();
    // A project that names its script itself may have any number of them.
    if !names_script(layout, &wish.build.link_flags) {
        let [script] = &scripts[..] else {
            return Err(match scripts.is_empty() {
                true => BuildError::NoSource { what: "linker script (.ld)", folder: layout.source.clone() },
                false => {
                    BuildError::Scripts { scripts: scripts.iter().map(|path| layout.shown(path)).collect() }
                }
            });
        };
        script_flags.push(format!("-T{}", layout.shown(script)));
        // Where it takes in others by name.
        script_flags.push(format!("-L{}", layout.shown(script.parent().unwrap_or(&layout.source))));
    }
    let mut read = scripts;
    read.extend(tree.with_end(TAKEN_IN));
    let named: Vec<_> = script_flags.iter().chain(&wish.build.link_flags).cloned().collect();
    read.extend(files_named(layout, &named));
    read.sort();
    read.dedup();
    let objects_shown: Vec<_> = objects.iter().map(|action| layout.shown(&action.output)).collect();
    let (program, mut args) = match &tools.clang {
        Some(clang) => {
            let flags: Vec<_> =
                script_flags.into_iter().chain(wish.build.link_flags.iter().cloned()).collect();
            let archives = library.map(|library| &library.archives);
            (clang.program.clone(), clang.link(board, archives, &objects_shown, &flags)?)
        }
        None => {
            let said = LINK_FLAGS.iter().chain(board.link_flags);
            let said = said.filter(|flag| !is_said_by(flag, &wish.build.link_flags));
            let mut args: Vec<String> = said.map(|&flag| flag.to_owned()).chain(script_flags).collect();
            args.extend(objects_shown);
            match library {
                Some(library) => args.extend(library.link_flags.iter().cloned()),
                // What the compiler itself calls: division, shifts of 64 bits.
                None => args.extend(["-nostdlib", "-lgcc"].map(str::to_owned)),
            }
            args.extend(wish.build.link_flags.iter().cloned());
            (tools.program(&format!("{}gcc", board.compiler.prefix)), args)
        }
    };
    args.extend(["-o".into(), layout.shown(&output)]);
    Ok(Action {
        kind: Kind::Link,
        what: ELF.into(),
        program,
        args,
        sources: read,
        from: (0..objects.len()).collect(),
        output,
        depfile: None,
        sees_project: true,
        cost: 6,
    })
}
