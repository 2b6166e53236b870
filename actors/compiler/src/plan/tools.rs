//! Where the compilers and the core are, and what makes them the same as last time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farmhand_api::Problem;
use farmhand_messages::compiler::BuildWish;
use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_records::v1::{CLibrary, Source};

use super::bare::{BareBoard, BareLibrary, name_of};
use super::bare_tree::{Library, asks_for_library};
use super::clang::{Archives, Clang};
use super::declared::DeclaredLibrary;
use super::parts::{Parts, content_of, is_of_compiler, is_script, library_files, programs, would_run};
use super::platform::Platform;
use super::search::{Found, SKETCHBOOK, which};
use super::supply::{Compilers, Supply, add};
use super::support::support;
use super::{CoreKit, Layout};
use crate::BuildError;
use crate::build::blocking;
use crate::cache::{Hash, Hasher, ObjectStore, Roots, Sources, Stat};
use crate::cores::Places;
use crate::properties::Fqbn;

/// The board that is this machine.
pub(crate) const NATIVE: &str = "native";

/// Where packages come from: the installer, by message or as a library.
#[async_trait::async_trait]
pub trait Packages: Send + Sync {
    /// Has a package installed.
    async fn install(&self, wish: PackageWish) -> Result<Installed, Problem>;
}

/// What a program is made of beside its own sources.
#[derive(Debug, Clone)]
pub(crate) enum Kit {
    /// An Arduino core.
    Core(CoreKit),
    /// This machine's own.
    Native,
    /// Nothing, or a C library.
    Bare(Option<Library>),
}

/// The tools of one build.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The folder of the programs.
    pub(crate) bin: PathBuf,
    pub(crate) kit: Kit,
    pub(crate) environment: BTreeMap<String, String>,
    /// The compiler's version.
    pub(crate) version: String,
    pub(crate) identity: Hash,
    /// Programs and libraries whose change is another toolchain.
    pub(crate) files: Vec<PathBuf>,
    /// Folders in which another version of a package would appear.
    pub(crate) shelves: Vec<PathBuf>,
    /// What was looked for on the PATH, and in the system's folders.
    pub(crate) found: Vec<Found>,
    /// Folders that do not change: their content is part of the identity.
    pub(crate) immutable: Vec<PathBuf>,
    /// Libraries that the project declares as packages. They are no part of the identity: what uses none of them is the
    /// same for all.
    pub(crate) libraries: Vec<DeclaredLibrary>,
    /// Where the compiler is clang.
    pub(crate) clang: Option<Clang>,
    /// Some of its compilers are scripts: whether they would do the same again, only they can tell.
    pub(crate) is_opaque: bool,
}

impl Tools {
    /// Finds, or has installed, what builds `wish`.
    pub(crate) async fn get(
        wish: &BuildWish,
        packages: &dyn Packages,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let supply = Supply::new(packages, wish.build.toolchain.packages());
        let libraries = supply.libraries().await?;
        let tools = support(&wish.board)?.tools(wish, supply, objects).await?;
        let mut found = tools.found;
        if let (Kit::Core(_), Some(places)) = (&tools.kit, Places::here()) {
            found.push(Found { name: SKETCHBOOK.into(), path: places.libraries() });
        }
        Ok(Self { libraries, found, ..tools })
    }

    pub(super) async fn managed_bare(
        board: &'static BareBoard,
        library: Option<&BareLibrary>,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let compiler = supply.compilers(board.compiler.prefix).await?;
        let Some(library) = library else {
            let kit = Kit::Bare(None);
            return Self::managed(board.compiler.prefix, compiler, Vec::new(), kit, objects).await;
        };
        let installed = supply.package(&library.offer(board.compiler)).await?;
        let kit = Kit::Bare(Some(library_in(&installed.prefix, library, board)));
        Self::managed(board.compiler.prefix, compiler, vec![installed], kit, objects).await
    }

    pub(super) async fn clang_bare(
        board: &'static BareBoard,
        library: Option<&BareLibrary>,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let package = supply.package("clang").await?;
        let Some(library) = library else {
            return Self::clang(package, None, Kit::Bare(None), objects);
        };
        let installed = supply.package(&library.offer(board.compiler)).await?;
        let kit = Kit::Bare(Some(library_in(&installed.prefix, library, board)));
        Self::clang(package, Some(installed), kit, objects)
    }

    pub(super) fn clang(
        package: Installed,
        beside: Option<Installed>,
        kit: Kit,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let clang = Clang::of(&package)?;
        let mut environment = environment(&package.environment);
        let cache = Clang::cache(&package, objects).display().to_string();
        for name in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            environment.insert(name.into(), cache.clone());
        }
        let files = vec![clang.program.clone()];
        let mut identity = Hasher::new("clang").part(package.hash);
        if let Some(beside) = &beside {
            identity = identity.part(beside.hash);
        }
        identity = identity.part(content_of(&files, &package.prefix, objects)?);
        let version = package.version.clone();
        let immutable: Vec<_> = [Some(package), beside].into_iter().flatten().map(|it| it.prefix).collect();
        Ok(Self {
            bin: clang.program.parent().unwrap_or(Path::new("/")).to_owned(),
            kit,
            environment,
            version,
            identity: identity.finish(),
            files,
            shelves: immutable.iter().filter_map(|prefix| prefix.parent()).map(Path::to_owned).collect(),
            found: Vec::new(),
            immutable,
            libraries: Vec::new(),
            clang: Some(clang),
            is_opaque: false,
        })
    }

    pub(super) async fn system_bare(
        board: &'static BareBoard,
        library: Option<&BareLibrary>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let found = found_programs(board.compiler.prefix, &["gcc", "g++"])?;
        let Some(library) = library else {
            let kit = Kit::Bare(None);
            return Self::system(board.compiler.prefix, found, kit, &[], &libraries_here(), objects).await;
        };
        let specs = Path::new("/").join(library.specs);
        if !specs.is_file() {
            let what = format!("the C library of {} ({})", board.name, specs.display());
            let help = "install it, or leave out `toolchain = \"system\"`: farmhand installs its own".into();
            return Err(BuildError::Missing { what, help });
        }
        let folder = specs.parent().unwrap_or(Path::new("/")).to_owned();
        let kit = Kit::Bare(Some(library_in(Path::new("/"), library, board)));
        Self::system(board.compiler.prefix, found, kit, &[folder], &libraries_here(), objects).await
    }

    pub(super) async fn managed(
        prefix: &str,
        compiler: Compilers,
        beside: Vec<Installed>,
        kit: Kit,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let Compilers { package: compiler, bin } = compiler;
        let environment = environment(&compiler.environment);
        let parts = Parts::of(&bin.join(format!("{prefix}gcc")), &environment, objects).await?;
        let mut identity = Hasher::new("managed").part(compiler.hash);
        for beside in &beside {
            identity = identity.part(beside.hash);
        }
        let mut files = parts.files.clone();
        files.extend(programs(&bin, prefix));
        // By their bytes: what was put in a package's place may have the size and the time of what was there.
        identity = identity.part(content_of(&files, &compiler.prefix, objects)?);
        let immutable: Vec<_> =
            [compiler.prefix].into_iter().chain(beside.into_iter().map(|beside| beside.prefix)).collect();
        Ok(Self {
            kit,
            environment,
            version: parts.version,
            identity: identity.finish(),
            files,
            shelves: immutable.iter().filter_map(|prefix| prefix.parent()).map(Path::to_owned).collect(),
            found: Vec::new(),
            immutable,
            libraries: Vec::new(),
            clang: None,
            is_opaque: false,
            bin,
        })
    }

    /// Of programs that are on this machine; the first of them is the compiler, which may need `more` in its environment.
    pub(super) async fn system(
        prefix: &str,
        found: Vec<Found>,
        kit: Kit,
        more_libraries: &[PathBuf],
        more: &BTreeMap<String, String>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let driver = &found[0].path;
        let bin = driver.parent().unwrap_or(Path::new("/")).to_owned();
        let environment = environment(more);
        let parts = Parts::of(driver, &environment, objects).await?;
        let mut files = parts.files.clone();
        files.extend(programs(&bin, prefix));
        // What packs objects for this machine, where it is nobody else's.
        let packs = found.iter().filter(|found| found.name == "ar" && found.path.parent() != Some(&bin));
        files.extend(packs.map(|found| found.path.clone()));
        let drivers = found.iter().filter(|found| found.is_driver()).map(|found| &found.path);
        for driver in drivers.clone().filter(|path| path.parent() != Some(&bin)) {
            files.extend(Parts::of(driver, &environment, objects).await?.files);
        }
        let mut identity = Hasher::new("system").part(content_of(&files, Path::new(""), objects)?);
        // The linker does not say which libraries it read: all are looked at, and none is read, for they are many. What was
        // put in one's place with its size and its time has another inode, or was changed since.
        let mut libraries = library_files(&parts.libraries, |folder| is_of_compiler(folder, prefix));
        libraries.extend(library_files(more_libraries, |_| true));
        for file in &libraries {
            let stat = Stat::of(file).map_err(BuildError::io("read", file))?;
            let name = file.to_string_lossy();
            identity = identity
                .part(name.as_bytes())
                .part(stat.size.to_le_bytes())
                .part(stat.inode.to_le_bytes())
                .part(stat.modified_ns.to_le_bytes())
                .part(stat.changed_ns.to_le_bytes());
        }
        files.extend(libraries);
        let scripts: Vec<_> = drivers.filter(|path| is_script(path)).collect();
        for script in &scripts {
            identity = identity.part(would_run(script, &environment).await?);
        }
        let is_opaque = !scripts.is_empty();
        Ok(Self {
            bin,
            kit,
            environment,
            version: parts.version,
            identity: identity.finish(),
            files,
            shelves: Vec::new(),
            found,
            immutable: Vec::new(),
            libraries: Vec::new(),
            clang: None,
            is_opaque,
        })
    }

    /// The roots by which paths in keys and manifests are named.
    pub(crate) fn roots(&self, layout: &Layout) -> Roots {
        let mut roots = Roots::new();
        for (at, folder) in self.immutable.iter().enumerate() {
            roots.add(&format!("package{at}"), folder);
        }
        for library in &self.libraries {
            roots.add(&library.root(), &library.folder);
        }
        roots.add("project", &layout.project);
        roots.add("build", &layout.build);
        roots
    }

    /// Where a program of the toolchain is: its compilers need not lie in one folder of the PATH.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let found = self.found.iter().find(|found| found.name == name);
        found.map_or_else(|| self.bin.join(name), |found| found.path.clone())
    }

    /// Takes note of where another version would appear.
    pub(crate) fn watch(&self, sources: &mut Sources) -> Result<(), BuildError> {
        for shelf in &self.shelves {
            sources.names(shelf, &[]).map_err(BuildError::io("read", shelf))?;
        }
        Ok(())
    }
}

pub(super) fn no_core(platform: &Platform) -> BuildError {
    BuildError::Missing {
        what: format!("the Arduino core {}:{}", platform.vendor, platform.architecture),
        help: format!("install it to /{} or with Arduino's own tools", platform.folder),
    }
}

/// The version that a board's core must be, where the project says.
pub(super) fn pinned(wish: &BuildWish) -> Option<&str> {
    let Fqbn { vendor, architecture, .. } = Fqbn::parse(&wish.board).ok()?;
    pin_of(wish, vendor, architecture)
}

/// The version that a core must be, likewise.
pub(super) fn pin_of<'a>(wish: &'a BuildWish, vendor: &str, architecture: &str) -> Option<&'a str> {
    let Source::Profile(of) = &wish.build.source else { return None };
    let core = of.cores.iter().find(|(core, _)| core.split_once(':') == Some((vendor, architecture)));
    core?.1.as_deref()
}

/// A toolchain that somebody unpacked by hand may need it.
pub(super) fn libraries_here() -> BTreeMap<String, String> {
    let libraries = std::env::var("LD_LIBRARY_PATH").map(|value| ("LD_LIBRARY_PATH".to_owned(), value));
    libraries.into_iter().collect()
}

/// Programs of a toolchain on the PATH; the driver first.
pub(super) fn found_programs(prefix: &str, names: &[&str]) -> Result<Vec<Found>, BuildError> {
    let find = |name: &&str| {
        let name = format!("{prefix}{name}");
        found_program(&name).ok_or_else(|| BuildError::Missing {
            what: format!("{name} on the PATH"),
            help: format!("install {name}, or leave out `toolchain = \"system\"`: farmhand installs its own"),
        })
    };
    names.iter().map(find).collect()
}

fn found_program(name: &str) -> Option<Found> {
    which(name).map(|path| Found { name: name.to_owned(), path })
}

/// The compilers for this machine, and what packs objects; that of C++, and this, only where there is one.
pub(super) fn found_native() -> Result<Vec<Found>, BuildError> {
    let gcc = found_program("gcc").ok_or_else(|| no_native("gcc", "gcc"))?;
    Ok([Some(gcc), found_program("g++"), found_program("ar")].into_iter().flatten().collect())
}

/// A compiler for this machine is not farmhand's to install, but for clang.
pub(super) fn no_native(name: &str, package: &str) -> BuildError {
    BuildError::Missing {
        what: format!("{name} on the PATH, which builds for this machine"),
        help: format!(
            "install it: on Debian or Ubuntu `apt install {package}`; or say `toolchain = \"clang\"`: farmhand installs that"
        ),
    }
}

/// The C library of a board without a core, where the tree asks for it.
pub(super) async fn wished_library(
    wish: &BuildWish,
    board: &'static BareBoard,
) -> Result<Option<&'static BareLibrary>, BuildError> {
    let Source::Tree(folder) = &wish.build.source else {
        return Err(BuildError::NoCore { board: wish.board.clone() });
    };
    let (folder, build) = (PathBuf::from(folder), wish.build_dir.clone());
    if !blocking(move || asks_for_library(&folder, &build)).await? {
        return Ok(None);
    }
    let kind = wish.build.toolchain.c_library();
    let mut libraries = board.compiler.libraries.iter();
    libraries.find(|library| library.kind == kind).map(Some).ok_or_else(|| BuildError::Missing {
        what: match board.compiler.libraries.is_empty() {
            true => format!("a C library for {}", board.name),
            false => format!("{} for {}", name_of(kind), board.name),
        },
        help: match board.compiler.libraries {
            [other, ..] => format!("c-library = \"{}\" is there", name_of(other.kind)),
            [] => {
                "include only what a compiler brings itself, such as stdint.h, or build by `command`".into()
            }
        },
    })
}

/// How a C library that lies there is compiled and linked with.
fn library_in(prefix: &Path, library: &BareLibrary, board: &BareBoard) -> Library {
    let specs = format!("--specs={}", prefix.join(library.specs).display());
    let archives = Archives::of(library.kind, prefix, board.compiler.prefix);
    match library.kind {
        // Its specs name the system's, unless told (picolibc's `picolibc.specs.in`).
        CLibrary::Picolibc => {
            let flags = vec![specs, format!("--picolibc-prefix={}", prefix.join("usr").display())];
            Library { link_flags: flags.clone(), flags, archives }
        }
        // Its specs name what a compiler finds in its own folders: this is one more, with those of each processor below it.
        CLibrary::Newlib => {
            let folder = Path::new(library.specs).parent().unwrap_or(Path::new(""));
            let found = format!("-B{}/", prefix.join(folder).display());
            let headers = prefix.join("usr/include/newlib");
            let flags = vec!["-isystem".to_owned(), headers.display().to_string()];
            Library { flags, link_flags: vec![specs, found, "-lm".into()], archives }
        }
    }
}

/// What a compiler is given: what would change its output unseen is left out. `PWD` is a name of the folder it runs
/// in that is the same for all, so that debug information does not hold where a project lies.
fn environment(package: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Ok(value) = std::env::var(name) {
            environment.insert(name.to_owned(), value);
        }
    }
    environment.insert("LC_ALL".into(), "C".into());
    environment.insert("PWD".into(), "/proc/self/cwd".into());
    add(&mut environment, package);
    environment
}
