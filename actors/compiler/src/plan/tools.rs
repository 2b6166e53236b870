//! Where the compilers and the core are, and what makes them the same as last time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_api::Problem;
use farmhand_messages::installer::Installed;
use farmhand_records::v1::Toolchain;
use farmhand_runtime::Helper;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::super::properties::{Fqbn, PropertiesError, UnknownBoard};
use super::Layout;
use crate::BuildError;
use crate::cache::{Hash, Hasher, ObjectStore, Roots, Sources, Stat, hash_bytes};

/// A compiler that is asked where its parts are answers in milliseconds; a machine under load in seconds.
const QUESTION_DEADLINE: Duration = Duration::from_secs(60);
/// Files of a system's C library that are looked at: avr-libc has 300.
const LIBRARY_FILES_MAX: usize = 4096;
/// What a driver runs, or loads: none of it need be there.
const PARTS: &[&str] =
    &["cc1", "cc1plus", "collect2", "lto1", "lto-wrapper", "liblto_plugin.so", "as", "ld", "ar", "objcopy"];

/// Where packages come from: the installer, by message or as a library.
#[async_trait::async_trait]
pub trait Packages: Send + Sync {
    /// Has a package installed.
    async fn install(&self, name: &str) -> Result<Installed, Problem>;
}

/// A vendor's boards of one architecture: which packages they are built with. The boards themselves are the core's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Platform {
    vendor: &'static str,
    architecture: &'static str,
    toolchain: &'static str,
    core: &'static str,
    /// Below the core package's prefix, and where systems keep it.
    folder: &'static str,
    /// Before the names of its tools.
    prefix: &'static str,
}

const PLATFORMS: &[Platform] = &[Platform {
    vendor: "arduino",
    architecture: "avr",
    toolchain: "avr-gcc",
    core: "arduino-avr",
    folder: "usr/share/arduino/hardware/arduino/avr",
    prefix: "avr-",
}];

impl Platform {
    /// The platform of a board.
    pub(crate) fn of(fqbn: &str) -> Result<&'static Self, BuildError> {
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(fqbn)?;
        let same = |platform: &&Self| platform.vendor == vendor && platform.architecture == architecture;
        PLATFORMS.iter().find(same).ok_or_else(|| {
            let names: Vec<_> = PLATFORMS
                .iter()
                .map(|platform| format!("{}:{}", platform.vendor, platform.architecture))
                .collect();
            PropertiesError::Unknown(UnknownBoard {
                what: "core",
                name: format!("{vendor}:{architecture}"),
                place: "those that farmhand knows".into(),
                nearest: names,
            })
            .into()
        })
    }
}

/// A program that was found on the PATH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// As it was asked for.
    pub(crate) name: String,
    /// Where it was.
    pub(crate) path: PathBuf,
}

/// The tools of one build.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The folder of the programs.
    pub(crate) bin: PathBuf,
    /// The folder of the core.
    pub(crate) core: PathBuf,
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
}

impl Tools {
    /// Finds, or has installed, what builds for `fqbn`.
    pub(crate) async fn get(
        fqbn: &str,
        toolchain: Toolchain,
        packages: &dyn Packages,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let platform = Platform::of(fqbn)?;
        match toolchain {
            Toolchain::Managed => Self::managed(platform, packages, objects).await,
            Toolchain::System => Self::system(platform, objects).await,
        }
    }

    async fn managed(
        platform: &Platform,
        packages: &dyn Packages,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let package = |problem| BuildError::Package(Box::new(problem));
        let compiler = packages.install(platform.toolchain).await.map_err(package)?;
        let core = packages.install(platform.core).await.map_err(package)?;
        let bin = compiler.prefix.join("usr/bin");
        let environment = environment(&compiler.environment);
        let parts = Parts::of(&bin.join(format!("{}gcc", platform.prefix)), &environment, objects).await?;
        let mut identity = Hasher::new("managed").part(compiler.hash).part(core.hash);
        let mut files = parts.files.clone();
        files.extend(programs(&bin, platform.prefix));
        for file in &files {
            let stat = Stat::of(file).map_err(BuildError::io("read", file))?;
            let below = file.strip_prefix(&compiler.prefix).unwrap_or(file);
            identity = identity
                .part(below.to_string_lossy().as_bytes())
                .part(stat.size.to_le_bytes())
                .part(stat.modified_ns.to_le_bytes());
        }
        let shelf = |prefix: &Path| prefix.parent().map(Path::to_owned);
        Ok(Self {
            core: core.prefix.join(platform.folder),
            environment,
            version: parts.version,
            identity: identity.finish(),
            files,
            shelves: [shelf(&compiler.prefix), shelf(&core.prefix)].into_iter().flatten().collect(),
            found: Vec::new(),
            immutable: vec![compiler.prefix, core.prefix],
            bin,
        })
    }

    async fn system(platform: &Platform, objects: &ObjectStore) -> Result<Self, BuildError> {
        let mut found = Vec::new();
        for name in ["gcc", "g++", "ar", "objcopy"] {
            let name = format!("{}{name}", platform.prefix);
            let path = which(&name).ok_or_else(|| BuildError::Missing {
                what: format!("{name} on the PATH"),
                help: format!(
                    "install {name}, or leave out `toolchain = \"system\"`: farmhand installs its own"
                ),
            })?;
            found.push(Found { name, path });
        }
        let core = system_core(platform).ok_or_else(|| BuildError::Missing {
            what: format!("the Arduino core {}:{}", platform.vendor, platform.architecture),
            help: format!("install it to /{} or with Arduino's own tools", platform.folder),
        })?;
        found.push(Found { name: core_name(platform), path: core.clone() });
        let driver = &found[0].path;
        let bin = driver.parent().unwrap_or(Path::new("/")).to_owned();
        // A toolchain that somebody unpacked by hand may need it.
        let libraries = std::env::var("LD_LIBRARY_PATH").map(|value| ("LD_LIBRARY_PATH".to_owned(), value));
        let environment = environment(&libraries.into_iter().collect());
        let parts = Parts::of(driver, &environment, objects).await?;
        let mut files = parts.files.clone();
        files.extend(programs(&bin, platform.prefix));
        let mut identity = Hasher::new("system").part(content_of(&files, objects)?);
        // The linker does not say which libraries it read: all are looked at.
        let libraries = library_files(&parts.libraries);
        for file in &libraries {
            let stat = Stat::of(file).map_err(BuildError::io("read", file))?;
            let name = file.to_string_lossy();
            identity = identity
                .part(name.as_bytes())
                .part(stat.size.to_le_bytes())
                .part(stat.modified_ns.to_le_bytes());
        }
        files.extend(libraries);
        Ok(Self {
            bin,
            core,
            environment,
            version: parts.version,
            identity: identity.finish(),
            files,
            shelves: Vec::new(),
            found,
            immutable: Vec::new(),
        })
    }

    /// The roots by which paths in keys and manifests are named.
    pub(crate) fn roots(&self, layout: &Layout) -> Roots {
        let mut roots = Roots::new();
        for (at, folder) in self.immutable.iter().enumerate() {
            roots.add(&format!("package{at}"), folder);
        }
        roots.add("project", &layout.project);
        roots.add("build", &layout.build);
        roots
    }

    /// Takes note of where another version would appear.
    pub(crate) fn watch(&self, sources: &mut Sources) -> Result<(), BuildError> {
        for shelf in &self.shelves {
            sources.names(shelf, &[]).map_err(BuildError::io("read", shelf))?;
        }
        Ok(())
    }
}

/// Whether what was looked for is still found in the same place.
pub(crate) fn still_found(found: &[Found]) -> bool {
    found.iter().all(|found| {
        let core = PLATFORMS.iter().find(|platform| core_name(platform) == found.name);
        let now = match core {
            Some(platform) => system_core(platform),
            None => which(&found.name),
        };
        now.as_ref() == Some(&found.path)
    })
}

fn core_name(platform: &Platform) -> String {
    format!("core {}:{}", platform.vendor, platform.architecture)
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
    environment.extend(package.iter().map(|(name, value)| (name.clone(), value.clone())));
    environment
}

/// The first program of that name on the PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    which_in(name, &std::env::var_os("PATH")?)
}

fn which_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(runs)
}

/// The host's C compiler.
pub(crate) fn host_compiler() -> Result<PathBuf, BuildError> {
    ["cc", "gcc", "clang"].into_iter().find_map(which).ok_or_else(|| BuildError::Missing {
        what: "a C compiler (cc, gcc or clang) on the PATH".into(),
        help: "install one: on Debian or Ubuntu `apt install gcc libc6-dev`".into(),
    })
}

/// Where systems and Arduino's own tools keep a core; the newest version there.
fn system_core(platform: &Platform) -> Option<PathBuf> {
    let whole =
        |folder: &PathBuf| folder.join("boards.txt").is_file() && folder.join("platform.txt").is_file();
    let of_system = Path::new("/").join(platform.folder);
    if whole(&of_system) {
        return Some(of_system);
    }
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let versions =
        home.join(".arduino15/packages").join(platform.vendor).join("hardware").join(platform.architecture);
    let number = |folder: &PathBuf| -> Vec<u32> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    let folders = fs::read_dir(versions).ok()?.flatten().map(|entry| entry.path()).filter(whole);
    folders.max_by_key(|folder| number(folder))
}

/// Programs of a toolchain, by their common beginning.
fn programs(bin: &Path, prefix: &str) -> Vec<PathBuf> {
    ["gcc", "g++", "gcc-ar", "ar", "objcopy"]
        .into_iter()
        .map(|name| bin.join(format!("{prefix}{name}")))
        .filter(|path| path.is_file())
        .collect()
}

/// The files of a system's libraries.
fn library_files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && files.len() < LIBRARY_FILES_MAX => {
                    let wanted = path.extension().is_some_and(|end| end == "a" || end == "o" || end == "x");
                    files.extend(wanted.then_some(path));
                }
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// What a compiler driver says of itself; kept, for it takes a process to ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Parts {
    driver: Stat,
    version: String,
    files: Vec<PathBuf>,
    libraries: Vec<PathBuf>,
}

impl Parts {
    async fn of(
        driver: &Path,
        environment: &BTreeMap<String, String>,
        objects: &ObjectStore,
    ) -> Result<Self, BuildError> {
        let stat = Stat::of(driver).map_err(BuildError::io("read", driver))?;
        let place = objects.place("parts", &hash_bytes(driver.to_string_lossy().as_bytes()));
        let kept = fs::read(&place).ok().and_then(|bytes| postcard::from_bytes::<Self>(&bytes).ok());
        if let Some(kept) =
            kept.filter(|kept| kept.driver == stat && kept.files.iter().all(|file| file.exists()))
        {
            return Ok(kept);
        }
        let mut command = Command::new(driver);
        command.arg("-print-search-dirs").env_clear().envs(environment);
        let ended = Helper::run(command, QUESTION_DEADLINE).await?;
        let parts = Self::read(stat, &String::from_utf8_lossy(&ended.stdout));
        // Where it cannot be kept it is asked again.
        if let Ok(bytes) = postcard::to_stdvec(&parts) {
            let _asked_again = objects.write(&place, &[&bytes]);
        }
        Ok(parts)
    }

    fn read(driver: Stat, answer: &str) -> Self {
        let line = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let folders = |line: &str| -> Vec<PathBuf> {
            line.trim_start_matches([' ', '='])
                .split(':')
                .map(|folder| PathBuf::from(folder.trim()))
                .filter(|folder| folder.is_absolute() && folder.is_dir())
                .collect()
        };
        let install = line("install:").trim().trim_end_matches('/');
        let programs = folders(line("programs:"));
        let mut files: Vec<_> = PARTS
            .iter()
            .filter_map(|part| programs.iter().map(|folder| folder.join(part)).find(|path| path.is_file()))
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        files.dedup();
        let mut libraries: Vec<_> =
            folders(line("libraries:")).iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        libraries.sort();
        libraries.dedup();
        let version = install.rsplit('/').next().unwrap_or_default().to_owned();
        Self { driver, version, files, libraries }
    }
}

/// A hash over files' content, kept by what the file system says of them: they are tens of megabytes.
fn content_of(files: &[PathBuf], objects: &ObjectStore) -> Result<Hash, BuildError> {
    let mut all = Hasher::new("content");
    for file in files {
        let stat = Stat::of(file).map_err(BuildError::io("read", file))?;
        let place = objects.place("tools", &hash_bytes(file.to_string_lossy().as_bytes()));
        let kept = fs::read(&place).ok().and_then(|bytes| postcard::from_bytes::<(Stat, Hash)>(&bytes).ok());
        let hash = match kept {
            Some((kept, hash)) if kept == stat => hash,
            _ => {
                let hash = hash_bytes(&fs::read(file).map_err(BuildError::io("read", file))?);
                if let Ok(bytes) = postcard::to_stdvec(&(stat, hash)) {
                    let _hashed_again = objects.write(&place, &[&bytes]);
                }
                hash
            }
        };
        all = all.part(file.to_string_lossy().as_bytes()).part(hash);
    }
    Ok(all.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_program_on_the_path_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        make("a/tool", 0o644);
        let runs = make("b/tool", 0o755);
        make("c/tool", 0o755);
        let path = std::env::join_paths(["a", "b", "c"].map(|name| folder.path().join(name))).unwrap();
        assert_eq!(which_in("tool", &path), Some(runs));
        assert_eq!(which_in("other", &path), None);
    }

    #[test]
    fn reads_what_a_driver_says() {
        let stat = Stat::of(Path::new("/")).unwrap();
        let answer = "install: /x/lib/gcc/avr/5.4.0/\nprograms: =/x/none/:/usr/\nlibraries: =/usr/lib/\n";
        let parts = Parts::read(stat, answer);
        assert_eq!(parts.version, "5.4.0");
        assert_eq!(parts.libraries, [Path::new("/usr/lib").canonicalize().unwrap()]);
    }

    #[test]
    fn an_unknown_core_names_those_known() {
        let problem = Problem::from(Platform::of("espressif:esp32:dev").unwrap_err());
        assert!(problem.help[0].contains("arduino:avr"), "{problem:?}");
    }
}
