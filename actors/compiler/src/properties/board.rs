//! A core's folder, and a board of it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Table;

/// How many near names an error offers.
const NEAREST: usize = 3;

/// All boards are offered of a core that has no more.
const FEW: usize = 3;

/// A board that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no {what} {name:?} in {place}")]
pub struct UnknownBoard {
    /// `board`, `option` of a menu, `menu`, or `core`.
    pub what: &'static str,
    /// What was asked for.
    pub name: String,
    /// Where it was looked for.
    pub place: String,
    /// The nearest names that there are, best first.
    pub nearest: Vec<String>,
}

/// Why a board's properties are not to be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// Not `vendor:architecture:board` with `:menu=option,...` behind it.
    #[error("{0:?} is not a board: they are written vendor:architecture:board, such as arduino:avr:uno")]
    NotABoard(String),
    /// No such thing.
    #[error(transparent)]
    Unknown(#[from] UnknownBoard),
    /// A file of the core cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The core does not say something that it must.
    #[error("{board} has no {key} in {}", core.display())]
    Lacks {
        /// Which board.
        board: String,
        /// What.
        key: String,
        /// Which core.
        core: PathBuf,
    },
}

/// A board's name, cut: `vendor:architecture:board[:menu=option,...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fqbn<'a> {
    pub(crate) vendor: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) board: &'a str,
    pub(crate) options: Vec<(&'a str, &'a str)>,
}

impl<'a> Fqbn<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, PropertiesError> {
        let wrong = || PropertiesError::NotABoard(text.to_owned());
        let mut parts = text.splitn(4, ':');
        let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or_else(wrong);
        let (vendor, architecture, board) = (part()?, part()?, part()?);
        let options = match parts.next() {
            None | Some("") => Vec::new(),
            Some(options) => options
                .split(',')
                .map(|option| option.split_once('=').ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { vendor, architecture, board, options })
    }
}

/// A core: the folder with `boards.txt`, `platform.txt`, `cores`, `variants`, ...
#[derive(Debug, Clone)]
pub struct Core {
    folder: PathBuf,
    /// Another's, whose recipes and cores it refers to.
    referenced: Option<PathBuf>,
    platform: Table,
    boards: Table,
}

/// A board, with all that its core says about it.
#[derive(Debug, Clone)]
pub struct Board {
    /// Its short name: `uno`.
    pub id: String,
    /// The platform's properties, the board's above them, and the chosen options' above those.
    pub properties: Table,
}

impl Core {
    /// Reads a core's folder; `*.local.txt` beside the two files adds to them.
    pub fn read(folder: &Path) -> Result<Self, PropertiesError> {
        Self::read_with(folder, None)
    }

    /// Reads a core's folder that may refer to another (Arduino platform specification, "Referencing another core, variant or
    /// tool"): that one's platform is what its own adds to, and it need not have one.
    pub fn read_with(folder: &Path, referenced: Option<&Path>) -> Result<Self, PropertiesError> {
        let read = |folder: &Path, name: &str| {
            let path = folder.join(name);
            std::fs::read(&path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|source| PropertiesError::Read { path, source })
        };
        let more = |table: &mut Table, folder: &Path, name: &str| match read(folder, name) {
            Ok(text) => {
                table.extend(&Table::parse(&text));
                Ok(())
            }
            Err(PropertiesError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        let mut platform = Table::parse(&read(referenced.unwrap_or(folder), "platform.txt")?);
        more(&mut platform, referenced.unwrap_or(folder), "platform.local.txt")?;
        if referenced.is_some() {
            more(&mut platform, folder, "platform.txt")?;
            more(&mut platform, folder, "platform.local.txt")?;
        }
        let mut boards = Table::parse(&read(folder, "boards.txt")?);
        more(&mut boards, folder, "boards.local.txt")?;
        Ok(Self { folder: folder.to_owned(), referenced: referenced.map(Path::to_owned), platform, boards })
    }

    /// Reads the boards of a core whose recipes may be another's.
    pub(crate) fn boards_of(folder: &Path) -> Result<Self, PropertiesError> {
        if folder.join("platform.txt").is_file() {
            return Self::read(folder);
        }
        let read = |name: &str| std::fs::read(folder.join(name));
        let mut boards = read("boards.txt")
            .map_err(|source| PropertiesError::Read { path: folder.join("boards.txt"), source })?;
        boards.push(b'\n');
        boards.extend(read("boards.local.txt").unwrap_or_default());
        Ok(Self::from_texts(folder, "", &String::from_utf8_lossy(&boards)))
    }

    /// A core of texts, as if they had been read from `folder`.
    #[must_use]
    pub fn from_texts(folder: &Path, platform: &str, boards: &str) -> Self {
        let (platform, boards) = (Table::parse(platform), Table::parse(boards));
        Self { folder: folder.to_owned(), referenced: None, platform, boards }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the core that it refers to.
    #[must_use]
    pub fn referenced(&self) -> Option<&Path> {
        self.referenced.as_deref()
    }

    /// Where what a property names is: `name` is its own, `vendor:name` the other core's.
    #[must_use]
    pub fn folder_of<'a>(&self, name: &'a str) -> (&Path, &'a str) {
        match name.split_once(':') {
            Some((_, name)) => (self.referenced.as_deref().unwrap_or(&self.folder), name),
            None => (&self.folder, name),
        }
    }

    /// Its version, as `platform.txt` has it; empty where it has none.
    #[must_use]
    pub fn version(&self) -> &str {
        self.platform.get("version").unwrap_or_default()
    }

    /// All boards, in the file's order.
    #[must_use]
    pub fn boards(&self) -> Vec<&str> {
        let named = |head: &&str| self.boards.get(&format!("{head}.name")).is_some();
        self.boards.heads().into_iter().filter(named).collect()
    }

    /// What `boards.txt` says, in its order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.boards.iter()
    }

    /// A board of this core by its full name; `vendor` and `architecture` are the caller's to have checked. A menu
    /// of which nothing was chosen stands at its first option.
    pub fn board(&self, fqbn: &str) -> Result<Board, PropertiesError> {
        let Fqbn { vendor, architecture, board: id, options } = Fqbn::parse(fqbn)?;
        let boards = self.boards();
        if !boards.contains(&id) {
            let mut nearest = nearest(id, &boards);
            if nearest.is_empty() && boards.len() <= FEW {
                nearest = boards.iter().map(|&board| board.to_owned()).collect();
            }
            let nearest = nearest.iter().map(|near| format!("{vendor}:{architecture}:{near}")).collect();
            let place = self.folder.join("boards.txt").display().to_string();
            return Err(UnknownBoard { what: "board", name: fqbn.to_owned(), place, nearest }.into());
        }
        let own = self.boards.below(id);
        let menus = own.below("menu");
        let mut properties = self.platform.clone();
        properties.extend(&own);
        for (menu, _) in &options {
            if !menus.heads().contains(menu) {
                let nearest = nearest(menu, &menus.heads());
                let place = format!("the menus of {vendor}:{architecture}:{id}");
                return Err(UnknownBoard { what: "menu", name: (*menu).to_owned(), place, nearest }.into());
            }
        }
        for menu in menus.heads() {
            let choices = menus.below(menu);
            let heads = choices.heads();
            let asked = options.iter().rev().find(|(asked, _)| *asked == menu).map(|(_, option)| *option);
            let Some(chosen) = asked.or_else(|| heads.first().copied()) else { continue };
            if !heads.contains(&chosen) {
                let nearest = nearest(chosen, &heads);
                let nearest = nearest
                    .iter()
                    .map(|near| format!("{vendor}:{architecture}:{id}:{menu}={near}"))
                    .collect();
                let place = format!("the menu {menu:?} of {vendor}:{architecture}:{id}");
                let unknown = UnknownBoard { what: "option", name: chosen.to_owned(), place, nearest };
                return Err(unknown.into());
            }
            properties.extend(&choices.below(chosen));
        }
        let named = format!("{}_{}", architecture.to_uppercase(), id.to_uppercase());
        if properties.get("build.board").is_none() {
            properties.set("build.board", named);
        }
        Ok(Board { id: id.to_owned(), properties })
    }
}

impl Core {
    /// A board that this core does not list: the platform's properties, and the caller's to come.
    pub fn unlisted(&self, fqbn: &str) -> Result<Board, PropertiesError> {
        let Fqbn { architecture, board: id, .. } = Fqbn::parse(fqbn)?;
        let mut properties = self.platform.clone();
        properties.set("build.board", format!("{}_{}", architecture.to_uppercase(), id.to_uppercase()));
        Ok(Board { id: id.to_owned(), properties })
    }
}

impl Board {
    /// A property that the board must have, expanded.
    pub fn need(&self, key: &str, core: &Core) -> Result<String, PropertiesError> {
        self.properties.expanded(key).filter(|value| !value.is_empty()).ok_or_else(|| {
            PropertiesError::Lacks { board: self.id.clone(), key: key.to_owned(), core: core.folder.clone() }
        })
    }
}

/// The names nearest to `name`, best first; those that have little in common with it are left out.
pub(crate) fn nearest(name: &str, names: &[&str]) -> Vec<String> {
    let mut near: Vec<_> = names
        .iter()
        .map(|other| (strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase()), *other))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(NEAREST).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORM: &str = "version=1.8.7\nbuild.extra_flags=\nrecipe={build.mcu} {build.extra_flags}";
    const BOARDS: &str = "\
menu.cpu=Processor
uno.name=Arduino UNO
uno.build.mcu=atmega328p
uno.build.board=AVR_UNO
nano.name=Arduino Nano
nano.upload.speed=1
nano.menu.cpu.atmega328=ATmega328P
nano.menu.cpu.atmega328.upload.speed=115200
nano.menu.cpu.atmega328.build.mcu=atmega328p
nano.menu.cpu.atmega168=ATmega168
nano.menu.cpu.atmega168.upload.speed=19200
nano.menu.cpu.atmega168.build.mcu=atmega168
leonardo.name=Leonardo
leonardo.build.extra_flags={build.usb}
leonardo.build.usb=-DUSB
";

    fn core() -> Core {
        Core::from_texts(Path::new("/core"), PLATFORM, BOARDS)
    }

    fn get(fqbn: &str, key: &str) -> String {
        core().board(fqbn).unwrap().properties.expanded(key).unwrap_or_default()
    }

    #[test]
    fn a_board_shadows_its_platform_and_a_menu_the_board() {
        assert_eq!(get("arduino:avr:uno", "recipe"), "atmega328p ");
        assert_eq!(get("arduino:avr:leonardo", "build.extra_flags"), "-DUSB");
        assert_eq!(get("arduino:avr:nano", "upload.speed"), "115200", "the first option is the default");
        assert_eq!(get("arduino:avr:nano:cpu=atmega168", "recipe"), "atmega168 ");
        assert_eq!(get("arduino:avr:nano", "build.board"), "AVR_NANO");
        assert_eq!(core().boards(), ["uno", "nano", "leonardo"]);
    }

    #[test]
    fn what_there_is_not_is_named_with_what_is_near() {
        #[track_caller]
        fn check(fqbn: &str, expect: &[&str]) {
            match core().board(fqbn) {
                Err(PropertiesError::Unknown(unknown)) => assert_eq!(unknown.nearest, expect, "{unknown}"),
                other => panic!("{fqbn}: {other:?}"),
            }
        }
        check("arduino:avr:unoo", &["arduino:avr:uno"]);
        check("arduino:avr:Leonardo", &["arduino:avr:leonardo"]);
        check(
            "arduino:avr:nano:cpu=atmega32",
            &["arduino:avr:nano:cpu=atmega328", "arduino:avr:nano:cpu=atmega168"],
        );
        check("arduino:avr:nano:cpuu=atmega328", &["cpu"]);
        check("arduino:avr:xyz", &["arduino:avr:uno", "arduino:avr:nano", "arduino:avr:leonardo"]);
    }

    #[test]
    fn a_name_that_is_none() {
        for bad in ["uno", "arduino:avr", "arduino::uno", "", "arduino:avr:nano:cpu", "a:b:"] {
            assert!(matches!(Fqbn::parse(bad), Err(PropertiesError::NotABoard(_))), "{bad:?}");
        }
    }
}
