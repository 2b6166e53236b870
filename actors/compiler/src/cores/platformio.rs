//! What PlatformIO installed: cores as packages, the tools that they are built with, and which board of a core a board of its
//! platforms is. Its platforms' own programs are not run: what is read is what they read.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use farmhand_project::LibraryManifest;
use farmhand_project::platformio::{
    BoardError, BoardFlags, PackageManifest, PlatformManifest, board_flags, board_properties, will_do,
};
use thiserror::Error;

use super::version::Version;
use super::{OwnCore, Places, PlatformIo, below, name_of, newest};
use crate::properties::{Core, PropertiesError, Table, nearest};

/// What PlatformIO says of a board, and a core as well: it is the stronger of the two. How much of a chip's flash is a program's
/// the core knows, and not what PlatformIO's platform has, which is all of it at times.
const STRONGER: &str = "build.f_cpu";
/// Of a board's file that the project has itself, these too.
const OWN: &[&str] = &["upload.maximum_size", "upload.maximum_data_size"];

/// A board of a platform of PlatformIO's, as one of an Arduino core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformIoBoard {
    /// `PACKAGE:ARCHITECTURE:BOARD[:MENU=OPTION]`.
    pub fqbn: String,
    /// What PlatformIO says otherwise of it than the core.
    pub properties: Vec<(String, String)>,
}

/// Which board is wanted.
#[derive(Debug, Clone, Copy)]
pub struct BoardWish<'a> {
    /// The platform's folder.
    pub platform: &'a Path,
    /// The folder of PlatformIO's packages.
    pub packages: &'a Path,
    /// As PlatformIO calls it.
    pub board: &'a str,
    /// A board's file that the project has itself.
    pub own: Option<&'a str>,
}

/// Why a board is not to be had of a platform.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlatformIoError {
    /// A file of the platform's is none.
    #[error("{}: {source}", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BoardError,
    },
    /// A file that is there cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It has no Arduino core at all.
    #[error("the platform has no Arduino core")]
    NoCore,
    /// The packages of its Arduino core are not installed.
    #[error(
        "its Arduino core is not installed ({}): pio pkg install -g -t {}", .0.join(", "), .0.first().map_or("", String::as_str)
    )]
    NoFramework(Vec<String>),
    /// A core that is there cannot be read.
    #[error(transparent)]
    Core(#[from] PropertiesError),
    /// No core that is there has the board.
    #[error("{board:?} is no board of {}", cores.join(", "))]
    NoBoard {
        /// As it was asked for.
        board: String,
        /// Where it was looked for.
        cores: Vec<String>,
        /// The board of the platform that is called most like it.
        nearest: Option<String>,
    },
}

/// A package that is installed.
struct Package {
    name: String,
    version: String,
    folder: PathBuf,
}

impl PlatformIo {
    fn packages(&self) -> impl Iterator<Item = Package> {
        below(&self.packages).into_iter().map(|folder| {
            // `toolchain-arm@1.2.0`: of several versions, those that came behind the first have it in the folder's name.
            let name = name_of(&folder);
            let name = name.split('@').next().unwrap_or(&name).to_owned();
            let manifest = fs::read_to_string(folder.join("package.json")).unwrap_or_default();
            Package { name, version: PackageManifest::parse(&manifest).version, folder }
        })
    }

    /// The platforms that a package is of.
    fn platforms_of(&self, core: &str) -> Vec<PlatformManifest> {
        let read = |folder: PathBuf| {
            PlatformManifest::parse(&fs::read_to_string(folder.join("platform.json")).ok()?).ok()
        };
        let all = below(&self.platforms).into_iter().filter_map(read);
        all.filter(|platform| platform.arduino.iter().any(|package| package == core)).collect()
    }
}

impl Places {
    /// The cores that PlatformIO installed: of that package, or all.
    pub(super) fn frameworks(&self, package: Option<&str>) -> Vec<OwnCore> {
        let Some(platformio) = &self.platformio else { return Vec::new() };
        let all = platformio.packages();
        let wanted =
            all.filter(|found| package.is_none_or(|wanted| wanted == found.name) && is_core(&found.folder));
        let core = |found: Package| {
            let platforms = platformio.platforms_of(&found.name);
            let mut asked = platforms.iter().filter_map(|platform| platform.requirements.get(&found.name));
            OwnCore {
                architecture: architecture_of(&found),
                is_meant: asked.any(|requirement| will_do(requirement, &found.version)),
                vendor: found.name,
                version: found.version,
                folder: found.folder,
            }
        };
        wanted.map(core).collect()
    }

    /// Whether PlatformIO installed that core.
    pub(crate) fn is_platformios(&self, core: &OwnCore) -> bool {
        self.platformio.as_ref().is_some_and(|of| core.folder.parent() == Some(&of.packages))
    }

    /// The folder of the tool that has `wanted` (`bin/arm-none-eabi-g++`), for a core that PlatformIO installed: packages have other names
    /// there than recipes ask for. Those that its platform says come first, in versions that it says.
    pub(crate) fn tool_with(&self, core: &OwnCore, wanted: &str) -> Option<PathBuf> {
        let platformio = self.platformio.as_ref().filter(|_| self.is_platformios(core))?;
        if wanted.is_empty() {
            return None;
        }
        let platforms = platformio.platforms_of(&core.vendor);
        let rank = |found: &Package| {
            let says = platforms.iter().flat_map(|platform| &platform.tools).enumerate();
            let mut says = says.filter(|(_, (name, _))| *name == found.name);
            says.next().map(|(at, (_, requirement))| {
                let will =
                    requirement.as_ref().is_none_or(|requirement| will_do(requirement, &found.version));
                (std::cmp::Reverse(at), will)
            })
        };
        let is_known = !platforms.is_empty();
        let has_it = |found: &Package| !is_core(&found.folder) && found.folder.join(wanted).exists();
        let ranked = platformio.packages().filter(has_it).map(|found| (rank(&found), found));
        let ranked = ranked.filter(|(rank, _)| rank.is_some() || !is_known);
        ranked.max_by_key(|(rank, found)| (*rank, Version::of(&found.version))).map(|(_, found)| found.folder)
    }
}

/// Where PlatformIO's packages are looked for; none where nobody says where home is.
#[must_use]
pub fn platformio_packages() -> Option<PathBuf> {
    Some(Places::here()?.platformio?.packages)
}

/// The folder of a platform in `platforms`: in a version that will do, the newest.
#[must_use]
pub fn platformio_platform(platforms: &Path, name: &str, requirement: Option<&str>) -> Option<PathBuf> {
    let found = below(platforms).into_iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("platform.json")).ok()?;
        // One that is broken is told of when it is used.
        let platform = PlatformManifest::parse(&text).unwrap_or_default();
        let called = name_of(&folder);
        let called = called.split('@').next().unwrap_or(&called);
        let is_it = called == name || platform.name == name;
        let will = requirement.is_none_or(|requirement| will_do(requirement, &platform.version));
        (is_it && will).then_some((platform.version, folder))
    });
    found.max_by_key(|(version, _)| Version::of(version)).map(|(_, folder)| folder)
}

fn is_core(folder: &Path) -> bool {
    folder.join("boards.txt").is_file() && folder.join("platform.txt").is_file()
}

/// What its boards are of, by which libraries say whom they are for: a core of Arduino's has it as its folder's name, and
/// a package has another.
fn architecture_of(core: &Package) -> String {
    let of_library = |library: PathBuf| {
        let text = fs::read(library.join("library.properties")).ok()?;
        let manifest = LibraryManifest::from_properties(&String::from_utf8_lossy(&text));
        manifest.architectures.into_iter().next()
    };
    let rest = || core.name.trim_start_matches("framework-arduino").trim_start_matches('-').to_owned();
    below(&core.folder.join("libraries")).into_iter().find_map(of_library).unwrap_or_else(rest)
}

/// The text of a file; none where there is no such file.
fn text_of(path: &Path) -> Result<Option<String>, PlatformIoError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PlatformIoError::Read { path: path.to_owned(), source }),
    }
}

/// The board of an Arduino core that a board of a platform of PlatformIO's is.
pub fn platformio_board(wish: BoardWish<'_>) -> Result<PlatformIoBoard, PlatformIoError> {
    let BoardWish { platform, packages, board, own } = wish;
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| PlatformIoError::Json { path, source }
    };
    let file = platform.join("platform.json");
    let names = PlatformManifest::parse(&text_of(&file)?.unwrap_or_default()).map_err(wrong(&file))?.arduino;
    if names.is_empty() {
        return Err(PlatformIoError::NoCore);
    }
    let file = platform.join("boards").join(format!("{board}.json"));
    let json = match own {
        Some(own) => Some(own.to_owned()),
        None => text_of(&file)?,
    };
    let said = match &json {
        Some(json) => Said::of(json).map_err(wrong(&file))?,
        None => Said::default(),
    };
    let platformio = PlatformIo {
        platforms: platform.parent().unwrap_or(platform).to_owned(),
        packages: packages.to_owned(),
    };
    let places = Places { data: PathBuf::new(), user: PathBuf::new(), platformio: Some(platformio) };
    let mut cores: Vec<_> =
        names.iter().filter_map(|name| newest(places.frameworks(Some(name)).into_iter())).collect();
    if cores.is_empty() {
        return Err(PlatformIoError::NoFramework(names));
    }
    // Of several, those that have what the board is built on.
    let folder = said.table.get("build.core").unwrap_or_default().to_owned();
    let has_it = |core: &OwnCore| !folder.is_empty() && core.folder.join("cores").join(&folder).is_dir();
    if cores.iter().any(has_it) {
        cores.retain(has_it);
    }
    let mut best: Option<(u8, String, &OwnCore)> = None;
    for core in &cores {
        let read = Core::boards_of(&core.folder)?;
        if let Some((alike, id)) = most_alike(&read, board, &said)
            && best.as_ref().is_none_or(|(before, ..)| alike > *before)
        {
            best = Some((alike, id, core));
        }
    }
    let Some((_, id, core)) = best else {
        let cores = cores.iter().map(|core| core.folder.display().to_string()).collect();
        let nearest = nearest_of(platform, board);
        return Err(PlatformIoError::NoBoard { board: board.to_owned(), cores, nearest });
    };
    let fqbn = format!("{}:{id}", core.name());
    let said_of = |key: &str| Some((key.to_owned(), said.table.get(key)?.to_owned()));
    let mut properties: Vec<_> = said_of(STRONGER).into_iter().collect();
    if own.is_some() {
        properties.extend(OWN.iter().filter_map(|key| said_of(key)));
    }
    // A board of the project's own may be wired as another is.
    let variant = said_of("build.variant");
    properties.extend(variant.filter(|(_, name)| core.folder.join("variants").join(name).is_dir()));
    let read = Core::boards_of(&core.folder)?.board(&fqbn)?;
    properties.extend(more_flags(&read.properties, &said.flags.others));
    Ok(PlatformIoBoard { fqbn, properties })
}

/// The flags that only PlatformIO's file has, behind those of the core.
fn more_flags(core: &Table, others: &[String]) -> Option<(String, String)> {
    const FLAGS: &str = "build.extra_flags";
    let there = core.get(FLAGS).unwrap_or_default();
    let known = core.expanded(FLAGS).unwrap_or_default();
    let more: Vec<_> =
        others.iter().filter(|flag| known.split_whitespace().all(|word| word != *flag)).collect();
    if more.is_empty() {
        return None;
    }
    let all = std::iter::once(there).chain(more.into_iter().map(String::as_str));
    Some((FLAGS.into(), all.filter(|flags| !flags.is_empty()).collect::<Vec<_>>().join(" ")))
}

/// The board of a platform that is called most like that.
fn nearest_of(platform: &Path, board: &str) -> Option<String> {
    let entries = fs::read_dir(platform.join("boards")).into_iter().flatten().flatten();
    let names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    let names: Vec<_> = names.iter().map(String::as_str).filter(|name| *name != board).collect();
    nearest(board, &names).into_iter().next()
}

/// What PlatformIO's file says of a board.
#[derive(Default)]
struct Said {
    table: Table,
    flags: BoardFlags,
}

impl Said {
    fn of(json: &str) -> Result<Self, BoardError> {
        let mut table = Table::default();
        board_properties(json)?.iter().for_each(|(key, value)| table.set(key, value.as_str()));
        Ok(Self { table, flags: board_flags(json) })
    }
}

/// What tells one board of a core from another.
#[derive(Debug, Clone, Copy, Default)]
struct Marks<'a> {
    board: Option<&'a str>,
    variant: Option<&'a str>,
}

impl<'a> Marks<'a> {
    fn set(&mut self, key: &str, value: &'a str) {
        match key {
            "build.board" => self.board = Some(value),
            "build.variant" => self.variant = Some(value),
            _ => {}
        }
    }

    /// With those of an option of the board's above them.
    fn under(self, option: Marks<'a>) -> Self {
        Self { board: option.board.or(self.board), variant: option.variant.or(self.variant) }
    }
}

/// A board of a core.
#[derive(Default)]
struct Listed<'a> {
    id: &'a str,
    own: Marks<'a>,
    /// Menu, option.
    options: Vec<((&'a str, &'a str), Marks<'a>)>,
}

fn listed(core: &Core) -> Vec<Listed<'_>> {
    let mut all: Vec<Listed<'_>> = Vec::new();
    let mut places = HashMap::new();
    for (key, value) in core.lines() {
        let Some((id, rest)) = key.split_once('.') else { continue };
        let at = *places.entry(id).or_insert_with(|| {
            all.push(Listed { id, ..Listed::default() });
            all.len() - 1
        });
        let mut option = rest.strip_prefix("menu.").unwrap_or_default().splitn(3, '.');
        match (option.next(), option.next(), option.next()) {
            (Some(menu), Some(option), rest) => {
                let options = &mut all[at].options;
                // The file has an option's lines together.
                if options.last().is_none_or(|(last, _)| *last != (menu, option)) {
                    options.push(((menu, option), Marks::default()));
                }
                if let (Some((_, marks)), Some(key)) = (options.last_mut(), rest) {
                    marks.set(key, value);
                }
            }
            _ => all[at].own.set(rest, value),
        }
    }
    let boards: std::collections::HashSet<_> = core.boards().into_iter().collect();
    all.retain(|board| boards.contains(board.id));
    all
}

/// The board of a core that is what PlatformIO calls `id`, and how sure that is: by the macros that sources know it by (`build.board`),
/// by its name, which may be an option's, and by its variant. A variant alone tells where no other board has it.
fn most_alike(core: &Core, id: &str, said: &Said) -> Option<(u8, String)> {
    const MACRO: u8 = 4;
    const NAME: u8 = 3;
    const VARIANT: u8 = 2;
    let is_named = |name: &str| plain(name) == plain(id);
    let score = |marks: Marks<'_>, named: bool| {
        let by = |is: bool, much: u8| if is { much } else { 0 };
        let is_known = marks.board.is_some_and(|board| said.flags.macros.iter().any(|known| known == board));
        let same = marks.variant.is_some_and(|variant| said.table.get("build.variant") == Some(variant));
        by(is_known, MACRO) + by(named || marks.board.is_some_and(is_named), NAME) + by(same, VARIANT)
    };
    let mut all: Vec<(u8, String)> = Vec::new();
    let boards = listed(core);
    for board in &boards {
        let named = is_named(board.id);
        let alike = score(board.own, named);
        all.push((alike, board.id.to_owned()));
        for ((menu, option), marks) in &board.options {
            let chosen = score(board.own.under(*marks), named || is_named(option));
            // An option that says nothing of it is as its board is.
            if chosen > alike {
                all.push((chosen, format!("{}:{menu}={option}", board.id)));
            }
        }
    }
    // The first of those that are alike: it is the board itself where its options are no nearer.
    let (alike, found) = all.iter().rev().max_by_key(|(alike, _)| *alike)?.clone();
    let is_only = || all.iter().filter(|(other, _)| *other == alike).count() == 1;
    (alike > VARIANT || (alike == VARIANT && is_only())).then_some((alike, found))
}

/// Names are written in small letters or large, with `-` or `_`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARDS: &str = "\
zero.name=Zero
zero.build.board=SAMD_ZERO
zero.build.variant=arduino_zero
mkr.name=MKR
mkr.build.board=SAMD_MKR
mkr.build.variant=mkr
other.name=Other
other.build.board=OTHER
other.build.variant=arduino_zero
gen.name=Generic F1
gen.build.board=GEN
gen.menu.pnum.BLUE.build.board=BLUEPILL
gen.menu.pnum.BLUE.build.variant=F103
gen.menu.pnum.MAPLE.build.board=MAPLE
gen.menu.pnum.MAPLE.build.variant=F103M
gen.menu.pnum.BLACKPILL_F411CE.build.board=BLACKPILL_F411CE
gen.menu.pnum.BLACKPILL_F411CE.build.variant=F411
gen.menu.opt.fast.build.flags=-O2
";

    /// Macros, and a variant.
    fn said(macros: &[&str], variant: &str) -> Said {
        let mut said = Said::default();
        said.flags.macros = macros.iter().map(|&name| name.to_owned()).collect();
        said.table.set("build.variant", variant);
        said
    }

    #[test]
    fn which_board_is_meant() {
        let core = Core::from_texts(Path::new("/core"), "", BOARDS);
        let find = |id: &str, macros: &[&str], variant: &str| {
            most_alike(&core, id, &said(macros, variant)).map(|(_, it)| it)
        };
        let is = |id: &str, macros: &[&str], variant: &str, it: Option<&str>| {
            assert_eq!(find(id, macros, variant).as_deref(), it, "{id} {macros:?} {variant}");
        };
        is("zeroUSB", &["SAMD_ZERO"], "", Some("zero"));
        is("mkr", &[], "", Some("mkr"));
        is("mkr", &["SAMD_ZERO"], "", Some("zero"));
        // All macros count, and the exact name with its variant more than one of them.
        is("mkr", &["SAMD_ZERO"], "mkr", Some("mkr"));
        is("feather", &["SAMD_ZERO", "SAMD_MKR"], "mkr", Some("mkr"));
        is("bluepill_f103c8", &["BLUEPILL"], "", Some("gen:pnum=BLUE"));
        is("gen", &["GEN"], "", Some("gen"));
        is("MAPLE", &[], "", Some("gen:pnum=MAPLE"));
        is("blackpill_f411ce", &[], "F4xx", Some("gen:pnum=BLACKPILL_F411CE"));
        is("x", &[], "mkr", Some("mkr"));
        is("x", &[], "F103M", Some("gen:pnum=MAPLE"));
        is("x", &[], "arduino_zero", None);
        is("x", &[], "", None);
    }

    #[test]
    fn the_first_package_that_is_there_and_what_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (platform, packages) = (home.path().join("platforms/acmearm"), home.path().join("packages"));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let find = |board: &str, own: Option<&str>| {
            platformio_board(BoardWish { platform: &platform, packages: &packages, board, own })
        };
        write(
            platform.join("platform.json"),
            r#"{"frameworks": {"arduino": {"package": "framework-arduino-acme"}}}"#,
        );
        let json = r#"{"build": {"mcu": "m3", "f_cpu": "8000000L", "extra_flags": "-DARDUINO_SAMD_MKR -DRAM -DOURS", "core": "x"},
            "upload": {"maximum_size": 7}}"#;
        write(platform.join("boards/mkr1000.json"), json);
        assert!(
            matches!(find("mkr1000", None), Err(PlatformIoError::NoFramework(names)) if names.len() == 1)
        );
        let core = packages.join("framework-arduino-acme");
        write(core.join("boards.txt"), BOARDS);
        write(core.join("platform.txt"), "version=1\nmore=-DOURS\nbuild.extra_flags={more}\n");
        let found = find("mkr1000", None).unwrap();
        assert_eq!(found.fqbn, "framework-arduino-acme:acme:mkr");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        // How much of the flash is a program's the core knows; a flag that the core has too is there once.
        assert_eq!(
            found.properties,
            [pair("build.f_cpu", "8000000L"), pair("build.extra_flags", "{more} -DRAM")]
        );
        write(core.join("libraries/A/library.properties"), "architectures=*\n");
        write(core.join("libraries/B/library.properties"), "architectures=samd, sam\n");
        assert_eq!(find("mkr1000", None).unwrap().fqbn, "framework-arduino-acme:samd:mkr");
        let own = json.replace("SAMD_MKR", "BLUEPILL").replace("\"core\"", "\"variant\"");
        let mine = find("mine", Some(&own)).unwrap();
        assert_eq!(mine.fqbn, "framework-arduino-acme:samd:gen:pnum=BLUE");
        assert!(!mine.properties.contains(&pair("build.variant", "x")), "there is none");
        assert!(mine.properties.contains(&pair("upload.maximum_size", "7")), "it is the project's own");
        write(core.join("variants/x/pins.h"), "");
        assert!(find("mine", Some(&own)).unwrap().properties.contains(&pair("build.variant", "x")));
        let Err(PlatformIoError::NoBoard { nearest, .. }) = find("mkr100", None) else {
            panic!("it is there")
        };
        assert_eq!(nearest.as_deref(), Some("mkr1000"));
        write(platform.join("platform.json"), r#"{"frameworks": {"zephyr": {}}}"#);
        assert!(matches!(find("mkr1000", None), Err(PlatformIoError::NoCore)));
        write(
            platform.join("platform.json"),
            r#"{"frameworks": {"arduino": {"package": "framework-arduino-acme"}}}"#,
        );
        assert!(matches!(find("x", Some("{")), Err(PlatformIoError::Json { .. })));
    }

    #[test]
    fn versions_that_the_platform_asks_for() {
        let home = tempfile::tempdir().unwrap();
        let (platforms, packages) = (home.path().join("platforms"), home.path().join("packages"));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let json = |version: &str, core: &str| {
            format!(
                r#"{{"name": "acmearm", "version": "{version}", "frameworks": {{"arduino": {{"package": "framework-arduino-acme"}}}},
                "packages": {{"framework-arduino-acme": {{"version": "{core}"}}, "toolchain-arm": {{"version": "~2.0"}},
                "a-toolchain": {{"optional": true}}}}}}"#
            )
        };
        write(platforms.join("acmearm/platform.json"), &json("3.1.0", "~1.2.0"));
        write(platforms.join("acmearm@2.0.0/platform.json"), &json("2.0.0", "~1.2.0"));
        let folder = |requirement| platformio_platform(&platforms, "acmearm", requirement);
        assert_eq!(folder(None), Some(platforms.join("acmearm")));
        assert_eq!(folder(Some("^2")), Some(platforms.join("acmearm@2.0.0")));
        assert_eq!(folder(Some("^4")), None);
        let package = |folder: &str, version: &str| {
            write(packages.join(folder).join("package.json"), &format!(r#"{{"version": "{version}"}}"#));
        };
        for (folder, version) in
            [("framework-arduino-acme", "1.2.3"), ("framework-arduino-acme@1.10.0", "1.10.0")]
        {
            package(folder, version);
            write(packages.join(folder).join("boards.txt"), BOARDS);
            write(packages.join(folder).join("platform.txt"), "");
        }
        let platformio = PlatformIo { platforms: platforms.clone(), packages: packages.clone() };
        let places = Places { data: PathBuf::new(), user: PathBuf::new(), platformio: Some(platformio) };
        let core = places.core("framework-arduino-acme", "acme", None).unwrap();
        assert_eq!(core.version, "1.2.3", "no newer one than the platform asks for");
        let tool = || places.tool_with(&core, "bin/gcc").map(|folder| name_of(&folder));
        assert_eq!(tool(), None);
        for (folder, version, is) in [
            ("unknown", "9.0.0", None),
            ("a-toolchain", "1.0.0", Some("a-toolchain")),
            ("toolchain-arm@3.0.0", "3.0.0", Some("toolchain-arm@3.0.0")),
            ("toolchain-arm", "2.0.1", Some("toolchain-arm")),
        ] {
            package(folder, version);
            write(packages.join(folder).join("bin/gcc"), "");
            assert_eq!(tool().as_deref(), is, "{folder}");
        }
    }
}
