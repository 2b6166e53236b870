//! Where the compilers and the core are, and what makes them the same as last time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farmhand_api::Problem;
use farmhand_messages::installer::Installed;
use farmhand_records::v1::Toolchain;

use super::Layout;
use super::parts::{Parts, content_of, library_files, programs};
use super::platform::Platform;
use super::search::{Found, core_name, system_core, which};
use crate::BuildError;
use crate::cache::{Hash, Hasher, ObjectStore, Roots, Sources, Stat};

/// Where packages come from: the installer, by message or as a library.
#[async_trait::async_trait]
pub trait Packages: Send + Sync {
    /// Has a package installed.
    async fn install(&self, name: &str) -> Result<Installed, Problem>;
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
