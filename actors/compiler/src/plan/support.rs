//! The kinds of boards: what the programs of each are made with, and how.

use std::path::Path;

use async_trait::async_trait;
use farmhand_messages::compiler::BuildWish;
use farmhand_records::v1::{Compilers as Whose, Source};

use super::bare::BareBoard;
use super::clang::no_clang;
use super::search::{Found, core_name, system_core};
use super::supply::Supply;
use super::tools::{NATIVE, found_native, found_programs, libraries_here, no_core, pinned, wished_library};
use super::{
    CoreKit, Kit, Layout, Plan, Platform, Tools, plan_bare_tree, plan_environment, plan_native, plan_sketch,
    plan_tree,
};
use crate::BuildError;
use crate::build::blocking;
use crate::cache::{ObjectStore, Sources};
use crate::properties::{Core, Fqbn};

/// A kind of boards.
#[async_trait]
pub(crate) trait PlatformSupport: Send + Sync {
    /// Finds, or has installed, what builds `wish`.
    async fn tools(
        &self,
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError>;

    /// What is run for it with those tools.
    fn plan(
        &self,
        wish: &BuildWish,
        layout: Layout,
        tools: &Tools,
        sources: &mut Sources,
    ) -> Result<Plan, BuildError>;
}

/// The kind that a board is of.
pub(crate) fn support(board: &str) -> Result<Box<dyn PlatformSupport>, BuildError> {
    Ok(match BareBoard::of(board)? {
        Some(board) => Box::new(Bare(board)),
        None if board == NATIVE => Box::new(Native),
        None => Box::new(Arduino),
    })
}

fn nothing() -> BuildError {
    BuildError::Internal("nothing to plan".into())
}

/// This machine.
struct Native;

#[async_trait]
impl PlatformSupport for Native {
    async fn tools(
        &self,
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError> {
        if wish.build.toolchain.compilers() == Whose::Clang {
            let package = supply.package("clang").await?;
            return Tools::clang(package, None, Kit::Native, objects);
        }
        Tools::system("", found_native()?, Kit::Native, &[], &libraries_here(), objects).await
    }

    fn plan(
        &self,
        wish: &BuildWish,
        layout: Layout,
        tools: &Tools,
        sources: &mut Sources,
    ) -> Result<Plan, BuildError> {
        let Source::Environment(of) = &wish.build.source else { return Err(BuildError::NativeBoard) };
        plan_native(wish, of, layout, tools, sources)
    }
}

/// A board without a core.
struct Bare(&'static BareBoard);

#[async_trait]
impl PlatformSupport for Bare {
    async fn tools(
        &self,
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError> {
        let library = wished_library(wish, self.0).await?;
        match wish.build.toolchain.compilers() {
            Whose::Managed => Tools::managed_bare(self.0, library, supply, objects).await,
            Whose::System => Tools::system_bare(self.0, library, objects).await,
            Whose::Clang => Tools::clang_bare(self.0, library, supply, objects).await,
        }
    }

    fn plan(
        &self,
        wish: &BuildWish,
        layout: Layout,
        tools: &Tools,
        sources: &mut Sources,
    ) -> Result<Plan, BuildError> {
        let (Source::Tree(_), Kit::Bare(library)) = (&wish.build.source, &tools.kit) else {
            return Err(nothing());
        };
        plan_bare_tree(wish, layout, tools, self.0, library.as_ref(), sources)
    }
}

/// What is told of a board whose core nobody has: what there is instead is looked for on the disk.
async fn unknown(board: &str) -> BuildError {
    let board = board.to_owned();
    match blocking(move || Platform::of(&board).map(drop)).await {
        Err(error) => error,
        Ok(()) => nothing(),
    }
}

/// A board with an Arduino core: one that farmhand knows, or a person's.
struct Arduino;

impl Arduino {
    /// Whether the core that farmhand has of a platform is of that version.
    async fn is_version(
        wish: &BuildWish,
        supply: Supply<'_>,
        platform: &'static Platform,
        wanted: &str,
    ) -> Result<bool, BuildError> {
        let folder = match wish.build.toolchain.compilers() {
            Whose::System => system_core(platform),
            _ => Some(supply.core(platform).await?.1),
        };
        let Some(folder) = folder else { return Ok(false) };
        let wanted = wanted.to_owned();
        blocking(move || Ok(Core::boards_of(&folder)?.version() == wanted)).await
    }

    async fn managed(
        platform: &'static Platform,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError> {
        let compiler = supply.compilers(platform.prefix).await?;
        let (core, own) = supply.core(platform).await?;
        let mut beside = vec![core];
        let mut other = None;
        if let Some(referenced) = platform.referenced() {
            let (core, folder) = supply.core(referenced).await?;
            other = Some(folder);
            beside.push(core);
        }
        let kit = CoreKit::known(platform, own, other, &compiler.bin);
        Tools::managed(platform.prefix, compiler, beside, Kit::Core(kit), objects).await
    }

    async fn system(
        platform: &'static Platform,
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError> {
        const NEEDED: &[&str] = &["gcc", "g++", "ar", "objcopy"];
        let Some(core) = system_core(platform) else {
            let own = Tools::own(wish, supply, objects).await?;
            return match own {
                Some(own) => Ok(own),
                None => found_programs(platform.prefix, NEEDED).and_then(|_| Err(no_core(platform))),
            };
        };
        let mut found = found_programs(platform.prefix, NEEDED)?;
        found.push(Found { name: core_name(platform), path: core.clone() });
        let other = platform.referenced().map(|referenced| (referenced, system_core(referenced)));
        let other = match other {
            Some((referenced, Some(folder))) => {
                found.push(Found { name: core_name(referenced), path: folder.clone() });
                Some(folder)
            }
            Some((referenced, None)) => return Err(no_core(referenced)),
            None => None,
        };
        let bin = found[0].path.parent().unwrap_or(Path::new("/"));
        let kit = Kit::Core(CoreKit::known(platform, core, other, bin));
        Tools::system(platform.prefix, found, kit, &[], &libraries_here(), objects).await
    }
}

#[async_trait]
impl PlatformSupport for Arduino {
    async fn tools(
        &self,
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Tools, BuildError> {
        let whose = wish.build.toolchain.compilers();
        if whose == Whose::Clang {
            return Err(no_clang(&wish.board));
        }
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(&wish.board)?;
        let known = Platform::known(vendor, architecture);
        if let Some(wanted) = pinned(wish) {
            // What the person has of that version is nearer than what is to be fetched, to see which it is.
            if let Some(own) = Tools::own(wish, supply, objects).await? {
                return Ok(own);
            }
            let is_ours = match known {
                Some(platform) => Self::is_version(wish, supply, platform, wanted).await?,
                None => false,
            };
            if !is_ours {
                let core = format!("{vendor}:{architecture}");
                return Err(BuildError::NoVersion { core, wanted: wanted.to_owned() });
            }
        }
        match known {
            Some(platform) if whose == Whose::System => Self::system(platform, wish, supply, objects).await,
            Some(platform) => Self::managed(platform, supply, objects).await,
            None => match Tools::own(wish, supply, objects).await? {
                Some(own) => Ok(own),
                None => Err(unknown(&wish.board).await),
            },
        }
    }

    fn plan(
        &self,
        wish: &BuildWish,
        layout: Layout,
        tools: &Tools,
        sources: &mut Sources,
    ) -> Result<Plan, BuildError> {
        let Kit::Core(kit) = &tools.kit else { return Err(nothing()) };
        match &wish.build.source {
            Source::Sketch(_) | Source::Profile(_) => plan_sketch(wish, layout, tools, kit, sources),
            Source::Tree(_) => plan_tree(wish, layout, tools, kit, sources),
            Source::Environment(of) => plan_environment(wish, of, layout, tools, kit, sources),
            _ => Err(nothing()),
        }
    }
}
