//! Who gives what a build asks for: the packages that its project declares, and behind them those that farmhand describes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use farmhand_messages::installer::{Installed, PackageWish};
use farmhand_records::v1::{PackageKind, PackageSpec};

use super::Packages;
use super::declared::DeclaredLibrary;
use super::platform::Platform;
use crate::BuildError;

/// Where programs of a package lie.
const BIN: &[&str] = &["usr/bin", "bin", "."];
/// Variables that are lists of folders: each package's stand before those that were there.
const LISTS: &[&str] = &["PATH", "LD_LIBRARY_PATH"];

/// Where a build's packages come from.
#[derive(Clone, Copy)]
pub(crate) struct Supply<'a> {
    packages: &'a dyn Packages,
    declared: &'a [PackageSpec],
}

/// Compilers.
pub(crate) struct Compilers {
    pub(crate) package: Installed,
    /// The folder of its programs.
    pub(crate) bin: PathBuf,
}

impl<'a> Supply<'a> {
    pub(crate) fn new(packages: &'a dyn Packages, declared: &'a [PackageSpec]) -> Self {
        Self { packages, declared }
    }

    /// The package that offers it, and whether the project declares that.
    async fn offering(&self, offer: &str) -> Result<(Installed, bool), BuildError> {
        let mut offering = self.declared.iter().filter(|spec| spec.offers.contains(offer));
        let own = offering.next();
        if let (Some(one), Some(other)) = (own, offering.next()) {
            let (one, other) = (one.name.clone(), other.name.clone());
            return Err(BuildError::TwoOffer { offer: offer.to_owned(), one, other });
        }
        match own {
            Some(spec) => Ok((self.install(PackageWish::Declared(Box::new(spec.clone()))).await?, true)),
            None => Ok((self.install(PackageWish::Offering(offer.to_owned())).await?, false)),
        }
    }

    async fn install(&self, wish: PackageWish) -> Result<Installed, BuildError> {
        self.packages.install(wish).await.map_err(|problem| BuildError::Package(Box::new(problem)))
    }

    /// A package that offers this.
    pub(crate) async fn package(&self, offer: &str) -> Result<Installed, BuildError> {
        self.offering(offer).await.map(|(package, _)| package)
    }

    /// Compilers, by what their programs' names begin with: `avr-`.
    pub(crate) async fn compilers(&self, prefix: &str) -> Result<Compilers, BuildError> {
        let offer = format!("cc:{}", prefix.trim_end_matches('-'));
        let (package, _) = self.offering(&offer).await?;
        let driver = format!("{prefix}gcc");
        let bins = BIN.iter().map(|bin| package.prefix.join(bin).components().collect::<PathBuf>());
        match bins.into_iter().find(|bin| bin.join(&driver).is_file()) {
            Some(bin) => Ok(Compilers { package, bin }),
            None => Err(not_there(package, offer, format!("{driver} in {}", BIN[..2].join(" or ")))),
        }
    }

    /// A platform's core, and its folder in that.
    pub(crate) async fn core(&self, platform: &Platform) -> Result<(Installed, PathBuf), BuildError> {
        let offer = format!("core:{}:{}", platform.vendor, platform.architecture);
        let (package, own) = self.offering(&offer).await?;
        let usual = package.prefix.join(platform.folder);
        if !own {
            return Ok((package, usual));
        }
        let below = Path::new(platform.folder).file_name().map(|name| package.prefix.join(name));
        let places = [usual, package.prefix.clone()].into_iter().chain(below);
        match places.into_iter().find(|folder| folder.join("boards.txt").is_file()) {
            Some(folder) => Ok((package, folder)),
            None => Err(not_there(package, offer, "boards.txt".into())),
        }
    }

    /// A core that the project declares, of whomever it is, and its folder in that.
    pub(crate) async fn declared_core(
        &self,
        vendor: &str,
        architecture: &str,
    ) -> Result<Option<(Installed, PathBuf)>, BuildError> {
        let offer = format!("core:{vendor}:{architecture}");
        if !self.declared.iter().any(|spec| spec.offers.contains(&offer)) {
            return Ok(None);
        }
        let (package, _) = self.offering(&offer).await?;
        let places = [package.prefix.clone(), package.prefix.join(architecture)];
        match places.into_iter().find(|folder| folder.join("boards.txt").is_file()) {
            Some(folder) => Ok(Some((package, folder))),
            None => Err(not_there(package, offer, "boards.txt".into())),
        }
    }

    /// The libraries that the project declares.
    pub(crate) async fn libraries(&self) -> Result<Vec<DeclaredLibrary>, BuildError> {
        let mut libraries = Vec::new();
        for spec in self.declared.iter().filter(|spec| spec.kind == PackageKind::Library) {
            let package = self.install(PackageWish::Declared(Box::new(spec.clone()))).await?;
            libraries.push(DeclaredLibrary::new(spec, package.prefix));
        }
        Ok(libraries)
    }

    /// What a project's own build command has in its environment beside ours: what all of its packages say.
    pub(crate) async fn environment(&self) -> Result<BTreeMap<String, String>, BuildError> {
        let mut environment = BTreeMap::new();
        let mut said: BTreeMap<String, &str> = BTreeMap::new();
        for spec in self.declared {
            let package = self.install(PackageWish::Declared(Box::new(spec.clone()))).await?;
            for name in package.environment.keys().filter(|name| !LISTS.contains(&name.as_str())) {
                if let Some(one) = said.insert(name.clone(), &spec.name) {
                    let (one, other) = (one.to_owned(), spec.name.clone());
                    return Err(BuildError::TwoSay { variable: name.clone(), one, other });
                }
            }
            add(&mut environment, &package.environment);
        }
        for name in LISTS {
            if let (Some(own), Ok(there)) = (environment.get_mut(*name), std::env::var(name)) {
                own.push(':');
                own.push_str(&there);
            }
        }
        Ok(environment)
    }
}

/// Adds what a package says to an environment; where both have a list of folders, the package's stand before.
pub(crate) fn add(environment: &mut BTreeMap<String, String>, package: &BTreeMap<String, String>) {
    for (name, value) in package {
        let there = environment.get(name).filter(|_| LISTS.contains(&name.as_str()));
        let value = there.map_or_else(|| value.clone(), |there| format!("{value}:{there}"));
        environment.insert(name.clone(), value);
    }
}

fn not_there(package: Installed, offer: String, what: String) -> BuildError {
    BuildError::NotOffered { package: package.name, offer, what }
}
