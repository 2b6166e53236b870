//! The tools of a core that a person has: those that Arduino's programs installed, or farmhand's own.

use std::path::{Path, PathBuf};

use farmhand_messages::compiler::BuildWish;
use farmhand_messages::installer::Installed;
use farmhand_records::v1::Compilers as Whose;

use super::Platform;
use super::core_kit::{CoreKit, sketchbook};
use super::search::{CORE, Found, OWN_TOOLS, which};
use super::shelf::{CXX, Shelf, TOOL};
use super::supply::{Supply, add};
use super::tools::{Kit, Tools, found_programs, libraries_here, pin_of, pinned};
use crate::BuildError;
use crate::build::blocking;
use crate::cache::ObjectStore;
use crate::cores::{OwnCore, Places};
use crate::properties::{Core, Fqbn, split_command};

/// Compilers that cores ask for: the names of the tools, and what the names of their programs begin with, by which packages offer them.
const OFFERED: &[(&[&str], &str)] = &[
    (&["avr-gcc"], "avr-"),
    (&["arm-none-eabi-gcc", "xpack-arm-none-eabi-gcc"], "arm-none-eabi-"),
    (&["xtensa-lx106-elf-gcc"], "xtensa-lx106-elf-"),
];
/// Tools that one core's recipes ask for: compilers, headers, a linker's scripts.
const TOOLS_MAX: usize = 16;
/// A person's core, with what was found on the disk alone.
struct OnDisk {
    core: OwnCore,
    /// One that it refers to.
    theirs: Option<OwnCore>,
    /// Of a core that it refers to, and that farmhand knows.
    known: Option<&'static Platform>,
    kit: CoreKit,
    tools_name: String,
    /// Where other programs put things.
    places: Places,
}

impl Tools {
    /// The tools of a board whose core a person has; `None` where there is no such core.
    pub(super) async fn own(
        wish: &BuildWish,
        supply: Supply<'_>,
        objects: &ObjectStore,
    ) -> Result<Option<Self>, BuildError> {
        let board = wish.board.clone();
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(&board)?;
        let declared = supply.declared_core(vendor, architecture).await?;
        let mut installed: Vec<Installed> = Vec::new();
        let mut found = Vec::new();
        let of_project =
            declared.as_ref().map(|(_, folder)| OwnCore::in_folder(vendor, architecture, folder.clone()));
        let (name, pins) = (board.clone(), wish.clone());
        let called = |core: &OwnCore| {
            let pin = pin_of(wish, &core.vendor, &core.architecture);
            let version = pin.map(|pin| format!("@{pin}")).unwrap_or_default();
            Found { name: format!("{CORE}{}{version}", core.name()), path: core.folder.clone() }
        };
        let Some(on_disk) = blocking(move || OnDisk::find(&name, of_project, &pins)).await? else {
            return Ok(None);
        };
        let OnDisk { core, theirs, known, mut kit, tools_name, places } = on_disk;
        match declared {
            Some((package, _)) => installed.push(package),
            None => found.push(called(&core)),
        }
        found.extend(theirs.as_ref().map(called));
        if let Some(known) = known {
            let (theirs, folder) = supply.core(known).await?;
            if let Some(wanted) = pin_of(wish, known.vendor, known.architecture) {
                let read = folder.clone();
                let version = blocking(move || Ok(Core::boards_of(&read)?.version().to_owned())).await?;
                if version != wanted {
                    let core = format!("{}:{}", known.vendor, known.architecture);
                    return Err(BuildError::NoVersion { core, wanted: wanted.to_owned() });
                }
            }
            kit.referenced = Some(folder);
            installed.push(theirs);
        }
        let is_system = wish.build.toolchain.compilers() == Whose::System;
        let (driver, looked_for) = driver(
            &board,
            &mut kit,
            Compilers { supply, is_system, shelf: &Shelf { places, core } },
            &mut installed,
        )
        .await?;
        found.extend(looked_for);
        let mut environment = libraries_here();
        for package in &installed {
            add(&mut environment, &package.environment);
        }
        let name = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix =
            ["g++", "clang++", "gcc"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or_default();
        found.insert(0, Found { name: driver.to_string_lossy().into_owned(), path: driver });
        found.push(Found { name: OWN_TOOLS.into(), path: tools_name.into() });
        let mut tools = Self::system(prefix, found, Kit::Core(kit), &[], &environment, objects).await?;
        tools.immutable = installed.iter().map(|package| package.prefix.clone()).collect();
        tools.shelves =
            installed.iter().filter_map(|package| package.prefix.parent()).map(Path::to_owned).collect();
        Ok(Some(tools))
    }
}

impl OnDisk {
    fn find(board: &str, declared: Option<OwnCore>, wish: &BuildWish) -> Result<Option<Self>, BuildError> {
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(board)?;
        let Some(places) = Places::here() else { return Ok(None) };
        let pin = pinned(wish);
        let declared = declared.filter(|core| pin.is_none_or(|pin| core.version == pin));
        let Some(core) = declared.or_else(|| places.core(vendor, architecture, pin)) else {
            return Ok(None);
        };
        let other = match refers_to(&core.folder, board)? {
            Some(other) if other != vendor => Some(other),
            _ => None,
        };
        let (mut known, mut theirs) = (None, None);
        if let Some(other) = &other {
            let pin = pin_of(wish, other, architecture);
            theirs = places.core(other, architecture, pin);
            if theirs.is_none() {
                known = Platform::known(other, architecture);
            }
            if let (None, None, Some(wanted)) = (&theirs, known, pin) {
                let core = format!("{other}:{architecture}");
                return Err(BuildError::NoVersion { core, wanted: wanted.to_owned() });
            }
            if theirs.is_none() && known.is_none() {
                return Err(BuildError::Missing {
                    what: format!("the core {other}:{architecture}, which {board} refers to"),
                    help: "install it with Arduino's boards manager".into(),
                });
            }
        }
        let kit = CoreKit {
            // Arduino's tools are not those of a core that came with its own.
            properties: match places.is_platformios(&core) {
                true => Vec::new(),
                false => places.tool_properties(&core, theirs.as_ref()),
            },
            referenced: theirs.as_ref().map(|theirs| theirs.folder.clone()),
            libraries: sketchbook(),
            architecture: Some(architecture.to_owned()),
            folder: core.folder.clone(),
            is_own: true,
        };
        let tools_name = places.tools_name();
        Ok(Some(Self { core, theirs, known, kit, tools_name, places }))
    }
}

/// The vendor of the core that a board's core, or variant, is of (Arduino platform specification, "Referencing another core, variant or
/// tool").
fn refers_to(folder: &Path, board: &str) -> Result<Option<String>, BuildError> {
    let core = Core::boards_of(folder)?;
    let board = core.board(board)?;
    let vendor = |key: &str| Some(board.properties.expanded(key)?.split_once(':')?.0.to_owned());
    Ok(vendor("build.core").or_else(|| vendor("build.variant")))
}

/// Where a core's compiler is taken from that Arduino's programs did not install.
#[derive(Clone, Copy)]
struct Compilers<'a> {
    supply: Supply<'a>,
    /// From the PATH alone.
    is_system: bool,
    shelf: &'a Shelf,
}

impl Compilers<'_> {
    /// The folder of the programs whose names begin so, and the package that they are of.
    async fn bin(&self, prefix: &str) -> Result<(PathBuf, Option<Installed>), BuildError> {
        if self.is_system {
            let found = found_programs(prefix, &["gcc", "g++"])?.remove(1).path;
            return Ok((found.parent().unwrap_or(Path::new("/")).to_owned(), None));
        }
        let of_package = self.supply.compilers(prefix).await?;
        Ok((of_package.bin, Some(of_package.package)))
    }
}

fn install_again(what: String, is_platformios: bool) -> BuildError {
    let who = if is_platformios { "PlatformIO" } else { "Arduino's boards manager" };
    let help = format!("install the core again with {who}: it brings its tools");
    BuildError::Missing { what, help }
}

/// The compiler of C++ that a core names. What nobody installed for it is farmhand's own, or the system's, as the project says.
async fn driver(
    board: &str,
    kit: &mut CoreKit,
    compilers: Compilers<'_>,
    installed: &mut Vec<Installed>,
) -> Result<(PathBuf, Vec<Found>), BuildError> {
    const PATH: &str = "compiler.path";
    let is_platformios = compilers.shelf.places.is_platformios(&compilers.shelf.core);
    let mut looked_for = Vec::new();
    for _ in 0..TOOLS_MAX {
        let (read, name, shelf) = (kit.clone(), board.to_owned(), compilers.shelf.clone());
        let look = blocking(move || {
            let core = read.read()?;
            let table = read.variables(&core, &core.board(&name)?, &name);
            let mut looked_for = Vec::new();
            let place = shelf.missing(&table, &mut looked_for);
            Ok((table.expanded(CXX).unwrap_or_default(), place, looked_for))
        });
        let (recipe, place, seen) = look.await?;
        looked_for.extend(seen);
        if let Some(place) = place {
            kit.properties.push(place);
            continue;
        }
        let asked = recipe.split_once(TOOL).and_then(|(_, rest)| rest.split_once(".path}"));
        if let Some((tool, _)) = asked {
            let offered = OFFERED.iter().find(|(names, _)| names.iter().any(|name| is_called(tool, name)));
            let Some((_, prefix)) = offered else {
                return Err(install_again(
                    format!("the tool {tool}, which {board} is built with,"),
                    is_platformios,
                ));
            };
            let (bin, package) = compilers.bin(prefix).await?;
            let prefix = bin.parent().unwrap_or(&bin).to_string_lossy().into_owned();
            kit.properties.push((format!("runtime.tools.{tool}.path"), prefix));
            installed.extend(package);
            continue;
        }
        let program = split_command(&recipe).into_iter().next().unwrap_or_default();
        let path = PathBuf::from(&program);
        if path.is_absolute() && path.is_file() {
            return Ok((path, looked_for));
        }
        if let Some(found) = which(&program).filter(|_| !program.contains('/') && !program.is_empty()) {
            return Ok((found, looked_for));
        }
        let name = path.file_name();
        let is_it = |prefix: &str| name.is_some_and(|name| *name == *format!("{prefix}g++"));
        // It was the system's, say, where the core comes from.
        let offered = OFFERED.iter().find(|(_, prefix)| is_it(prefix));
        let Some((_, prefix)) = offered.filter(|_| kit.properties.iter().all(|(key, _)| key != PATH)) else {
            return Err(install_again(format!("{program:?}, the compiler of {board},"), is_platformios));
        };
        let (bin, package) = compilers.bin(prefix).await?;
        kit.properties.push((PATH.to_owned(), bin.to_string_lossy().into_owned() + "/"));
        installed.extend(package);
    }
    Err(BuildError::Internal(format!("the recipes of {board} ask for ever more tools")))
}

/// Whether a tool is asked for by that name, or by it and a version.
fn is_called(tool: &str, name: &str) -> bool {
    tool.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn a_tool_by_its_name_or_with_a_version() {
        assert!(is_called("avr-gcc", "avr-gcc") && is_called("avr-gcc-7.3.0-atmel3.6.1-arduino7", "avr-gcc"));
        assert!(!is_called("avr-gcc-wrap", "avr-gcc") && !is_called("avr-gccx", "avr-gcc"));
    }
}
