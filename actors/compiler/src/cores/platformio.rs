//! What PlatformIO installed: cores as packages, the tools that they are built with, and which board of a core a board of its
//! platforms is. Its platforms' own programs are not run: what is read is what they read.

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_project::LibraryManifest;
use farmhand_project::platformio::{BoardError, PackageManifest, arduino_packages, board_properties};
use thiserror::Error;

use super::{OwnCore, Places, below, name_of, newest};
use crate::properties::{Core, PropertiesError, Table};

/// Of what PlatformIO says of a board, what a core's own words are second to.
const STRONGER: &[&str] = &["build.f_cpu", "upload.maximum_size", "upload.maximum_data_size"];

/// A board of a platform of PlatformIO's, as one of an Arduino core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformIoBoard {
    /// `PACKAGE:ARCHITECTURE:BOARD[:MENU=OPTION]`.
    pub fqbn: String,
    /// What PlatformIO says otherwise of it than the core.
    pub properties: Vec<(String, String)>,
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
    /// The packages of its Arduino core are not installed.
    #[error("none of its Arduino cores is installed: {}", .0.join(", "))]
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
    },
}

impl Places {
    /// The cores that PlatformIO installed: of that package, or all.
    pub(super) fn frameworks(&self, package: Option<&str>) -> Vec<OwnCore> {
        let folders = self.platformio.iter().flat_map(|packages| below(packages));
        let named = folders.map(|folder| (package_of(&folder), folder));
        named
            .filter(|(name, folder)| package.is_none_or(|wanted| wanted == name) && is_core(folder))
            .map(|(vendor, folder)| OwnCore {
                architecture: architecture_of(&folder),
                version: manifest(&folder).version,
                vendor,
                folder,
                by_hand: false,
            })
            .collect()
    }

    /// The tools for a core that PlatformIO installed: its other packages. None for any other core.
    pub(crate) fn shelf(&self, core: &OwnCore) -> Vec<PathBuf> {
        let Some(packages) =
            self.platformio.as_deref().filter(|packages| core.folder.parent() == Some(*packages))
        else {
            return Vec::new();
        };
        below(packages).into_iter().filter(|folder| !is_core(folder)).collect()
    }
}

fn is_core(folder: &Path) -> bool {
    folder.join("boards.txt").is_file() && folder.join("platform.txt").is_file()
}

/// `framework-arduino-samd`, of the folder's name: of several versions, those that are not the platform's have it behind an `@`.
fn package_of(folder: &Path) -> String {
    let name = name_of(folder);
    name.split('@').next().unwrap_or(&name).to_owned()
}

fn manifest(folder: &Path) -> PackageManifest {
    PackageManifest::parse(&fs::read_to_string(folder.join("package.json")).unwrap_or_default())
}

/// What its boards are of, by which libraries say whom they are for: a core of Arduino's has it as its folder's name, and
/// a package has another.
fn architecture_of(folder: &Path) -> String {
    let of_library = |library: PathBuf| {
        let text = fs::read(library.join("library.properties")).ok()?;
        let manifest = LibraryManifest::from_properties(&String::from_utf8_lossy(&text));
        manifest.architectures.into_iter().next()
    };
    let name = package_of(folder);
    let rest = || name.trim_start_matches("framework-arduino").trim_start_matches('-').to_owned();
    below(&folder.join("libraries")).into_iter().find_map(of_library).unwrap_or_else(rest)
}

/// The board of an Arduino core that a board of a platform of PlatformIO's is. `platform` is the platform's folder, `packages` that of
/// what PlatformIO installed; `own` is a board's file that the project has itself.
pub fn platformio_board(
    (platform, packages): (&Path, &Path),
    board: &str,
    own: Option<&str>,
) -> Result<PlatformIoBoard, PlatformIoError> {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| PlatformIoError::Json { path, source }
    };
    let file = platform.join("platform.json");
    let names = arduino_packages(&text(&file)).map_err(wrong(&file))?;
    let file = platform.join("boards").join(format!("{board}.json"));
    let json = own.map_or_else(|| text(&file), str::to_owned);
    let said = if json.is_empty() { Vec::new() } else { board_properties(&json).map_err(wrong(&file))? };
    let said = {
        let mut table = Table::default();
        said.iter().for_each(|(key, value)| table.set(key, value.as_str()));
        table
    };
    let places = Places { data: PathBuf::new(), user: PathBuf::new(), platformio: Some(packages.to_owned()) };
    let cores: Vec<_> =
        names.iter().filter_map(|name| newest(places.frameworks(Some(name)).into_iter())).collect();
    if cores.is_empty() {
        return Err(PlatformIoError::NoFramework(names));
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
        return Err(PlatformIoError::NoBoard { board: board.to_owned(), cores });
    };
    let stronger = |key: &&str| Some(((*key).to_owned(), said.get(key)?.to_owned()));
    let mut properties: Vec<_> = STRONGER.iter().filter_map(stronger).collect();
    // A board of the project's own may be wired as another is.
    let variant = stronger(&"build.variant");
    properties.extend(variant.filter(|(_, name)| core.folder.join("variants").join(name).is_dir()));
    Ok(PlatformIoBoard { fqbn: format!("{}:{id}", core.name()), properties })
}

/// The board of a core that is what PlatformIO calls `id`, and how sure that is. Sources know a board by one macro, which both
/// name (`build.board`); then by the name itself; then by a variant that no other board has.
fn most_alike(core: &Core, id: &str, said: &Table) -> Option<(u8, String)> {
    const MACRO: u8 = 4;
    const NAME: u8 = 2;
    const VARIANT: u8 = 1;
    let same = |table: &Table, key: &str| said.get(key).is_some_and(|value| table.get(key) == Some(value));
    let score = |table: &Table| {
        let by = |is: bool, much: u8| if is { much } else { 0 };
        by(same(table, "build.board"), MACRO) + by(same(table, "build.variant"), VARIANT)
    };
    let mut all: Vec<(u8, String)> = Vec::new();
    for board in core.boards() {
        let own = core.lines(board);
        let named = if board == id { NAME } else { 0 };
        all.push((score(&own) + named, board.to_owned()));
        let menus = own.below("menu");
        for menu in menus.heads() {
            let options = menus.below(menu);
            for option in options.heads() {
                let mut chosen = own.clone();
                chosen.extend(&options.below(option));
                // An option that says nothing of it is as its board is.
                if score(&chosen) > score(&own) {
                    all.push((score(&chosen) + named, format!("{board}:{menu}={option}")));
                }
            }
        }
    }
    // The first of those that are alike: it is the board itself where its options are no nearer.
    let (alike, found) = all.iter().rev().max_by_key(|(alike, _)| *alike)?.clone();
    let is_only = || all.iter().filter(|(other, _)| *other == alike).count() == 1;
    (alike > VARIANT || (alike == VARIANT && is_only())).then_some((alike, found))
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
gen.menu.opt.fast.build.flags=-O2
";

    fn table(all: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        all.iter().for_each(|(key, value)| table.set(key, *value));
        table
    }

    #[test]
    fn which_board_is_meant() {
        let core = Core::from_texts(Path::new("/core"), "", BOARDS);
        let find =
            |id: &str, said: &[(&str, &str)]| most_alike(&core, id, &table(said)).map(|(_, found)| found);
        assert_eq!(find("zeroUSB", &[("build.board", "SAMD_ZERO")]).as_deref(), Some("zero"));
        assert_eq!(find("mkr", &[]).as_deref(), Some("mkr"), "by its name alone");
        assert_eq!(
            find("mkr", &[("build.board", "SAMD_ZERO")]).as_deref(),
            Some("zero"),
            "what sources see counts more"
        );
        assert_eq!(find("bluepill_f103c8", &[("build.board", "BLUEPILL")]).as_deref(), Some("gen:pnum=BLUE"));
        assert_eq!(find("gen", &[("build.board", "GEN")]).as_deref(), Some("gen"));
        assert_eq!(find("x", &[("build.variant", "mkr")]).as_deref(), Some("mkr"));
        assert_eq!(find("x", &[("build.variant", "F103M")]).as_deref(), Some("gen:pnum=MAPLE"));
        assert_eq!(find("x", &[("build.variant", "arduino_zero")]), None, "two boards have it");
        assert_eq!(find("x", &[]), None);
    }

    #[test]
    fn the_first_package_that_is_there_and_what_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (platform, packages) = (home.path().join("platforms/acmearm"), home.path().join("packages"));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let find = |board: &str, own: Option<&str>| platformio_board((&platform, &packages), board, own);
        write(
            platform.join("platform.json"),
            r#"{"frameworks": {"arduino": {"package": "framework-arduino-acme"}}}"#,
        );
        let json = r#"{"build": {"mcu": "m3", "f_cpu": "8000000L", "extra_flags": "-DARDUINO_SAMD_MKR", "core": "x"},
            "upload": {"maximum_size": 7}}"#;
        write(platform.join("boards/mkr1000.json"), json);
        assert!(
            matches!(find("mkr1000", None), Err(PlatformIoError::NoFramework(names)) if names.len() == 1)
        );
        let core = packages.join("framework-arduino-acme");
        write(core.join("boards.txt"), BOARDS);
        write(core.join("platform.txt"), "version=1\n");
        let found = find("mkr1000", None).unwrap();
        assert_eq!(found.fqbn, "framework-arduino-acme:acme:mkr");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(found.properties, [pair("build.f_cpu", "8000000L"), pair("upload.maximum_size", "7")]);
        write(core.join("libraries/A/library.properties"), "architectures=*\n");
        write(core.join("libraries/B/library.properties"), "architectures=samd, sam\n");
        assert_eq!(find("mkr1000", None).unwrap().fqbn, "framework-arduino-acme:samd:mkr");
        let own = json.replace("SAMD_MKR", "BLUEPILL").replace("\"core\"", "\"variant\"");
        let mine = find("mine", Some(&own)).unwrap();
        assert_eq!(mine.fqbn, "framework-arduino-acme:samd:gen:pnum=BLUE");
        assert!(!mine.properties.contains(&pair("build.variant", "x")), "there is none");
        write(core.join("variants/x/pins.h"), "");
        assert!(find("mine", Some(&own)).unwrap().properties.contains(&pair("build.variant", "x")));
        assert!(matches!(find("none", None), Err(PlatformIoError::NoBoard { .. })));
        assert!(matches!(find("x", Some("{")), Err(PlatformIoError::Json { .. })));
    }
}
