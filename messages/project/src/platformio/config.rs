//! Which value an option has. Sources: PlatformIO documentation, "extra_configs" (what comes later wins), "extends" (nothing is merged;
//! of several, the latter wins), "Section [env]" (what all environments have), "Interpolation of Values".

use std::cell::Cell;
use std::collections::BTreeSet;

use thiserror::Error;

use super::ini::{Entry, Ini, Place};
use super::options::{Default, Known, known, with_variables};
use super::values::{Piece, pieces, several};

/// In front of an environment's name, in its section's.
const ENV: &str = "env:";
/// What all environments have.
const COMMON: &str = "env";
/// Of the whole project.
const PLATFORMIO: &str = "platformio";
/// Values within values: more than anybody writes.
const DEPTH_MAX: usize = 32;
/// What one value may stand for, all within all: a few lines that each name the one before twice would be four thousand million.
const STEPS_MAX: u32 = 10_000;
/// How long a value may become, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// What is asked of the machine that a project stands on.
pub trait Surroundings {
    /// A variable of its environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// `PROJECT_DIR`, `PROJECT_HASH`, `UNIX_TIME`.
    fn built_in(&self, name: &str) -> Option<String>;
    /// PlatformIO's own folder, where nothing says another: `.platformio` in a person's.
    fn core_dir(&self) -> String;
}

/// What stands for nothing, or for itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such option.
    #[error("{whole} stands for nothing: [{section}] has no {option}")]
    NoOption {
        /// Where it is written.
        at: Option<Place>,
        /// As it is written.
        whole: String,
        /// Where it was looked for.
        section: String,
        /// Its name.
        option: String,
    },
    /// `${this.__env__}` outside of an environment.
    #[error("{whole} stands for nothing: [{section}] is no environment")]
    NoEnvironment {
        /// Where it is written.
        at: Option<Place>,
        /// As it is written.
        whole: String,
        /// The section.
        section: String,
    },
    /// It stands for itself, or for more than anybody writes.
    #[error("{whole} stands for itself, or for too much")]
    Circle {
        /// Where it is written.
        at: Option<Place>,
        /// As it is written.
        whole: String,
    },
}

impl ConfigError {
    /// Where it is written; none where that is no file.
    #[must_use]
    pub fn at(&self) -> Option<Place> {
        match self {
            Self::NoOption { at, .. } | Self::NoEnvironment { at, .. } | Self::Circle { at, .. } => *at,
        }
    }
}

/// An option's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// With all that stood in it for others.
    pub text: String,
    /// Where the option stands; none where a variable of the environment says it, or nobody does.
    pub at: Option<Place>,
}

impl Found {
    /// Its values, where it may have several.
    #[must_use]
    pub fn several(&self) -> Vec<String> {
        several(&self.text)
    }
}

/// One question, and how much it may still take.
struct Asked<'a> {
    around: &'a dyn Surroundings,
    left: Cell<u32>,
}

/// Files, one over the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    merged: Ini,
}

impl Config {
    /// Lays another file over those that are there: what it says holds.
    pub fn push(&mut self, file: Ini) {
        for section in file.sections {
            let Some(there) = self.merged.sections.iter_mut().find(|there| there.name == section.name) else {
                self.merged.sections.push(section);
                continue;
            };
            for entry in section.entries {
                match there.entries.iter_mut().find(|there| there.option == entry.option) {
                    Some(there) => *there = entry,
                    None => there.entries.push(entry),
                }
            }
        }
    }

    /// Whether an option of a section (`env:NAME`, `platformio`) may have several values.
    #[must_use]
    pub fn has_several(section: &str, option: &str) -> bool {
        known(section, option).is_some_and(|known| known.several)
    }

    /// Whether PlatformIO knows an option of a section, under whichever of its names.
    #[must_use]
    pub fn is_known(section: &str, option: &str) -> bool {
        known(section, option).is_some()
    }

    /// The environments, in their order.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.merged.sections.iter().filter_map(|section| section.name.strip_prefix(ENV))
    }

    /// Where an environment's section begins.
    #[must_use]
    pub fn place_of(&self, environment: &str) -> Option<Place> {
        self.merged
            .sections
            .iter()
            .find(|section| section.name.strip_prefix(ENV) == Some(environment))
            .map(|it| it.at)
    }

    /// Of an environment: its own, or that of what it extends, or that of all.
    pub fn of(
        &self,
        environment: &str,
        option: &str,
        around: &dyn Surroundings,
    ) -> Result<Option<Found>, ConfigError> {
        self.get(&format!("{ENV}{environment}"), option, around)
    }

    /// Of the project.
    pub fn of_project(&self, option: &str, around: &dyn Surroundings) -> Result<Option<Found>, ConfigError> {
        self.get(PLATFORMIO, option, around)
    }

    /// The options that an environment has, each with where it stands: as they are written, and behind them those that only a
    /// variable says.
    #[must_use]
    pub fn options(&self, environment: &str, around: &dyn Surroundings) -> Vec<(&str, Option<Place>)> {
        self.options_of(&format!("{ENV}{environment}"), around)
    }

    /// Those of the project, likewise.
    #[must_use]
    pub fn project_options(&self, around: &dyn Surroundings) -> Vec<(&str, Option<Place>)> {
        self.options_of(PLATFORMIO, around)
    }

    fn options_of(&self, section: &str, around: &dyn Surroundings) -> Vec<(&str, Option<Place>)> {
        let mut seen = BTreeSet::new();
        let mut options = Vec::new();
        for section in self.chain(section) {
            for entry in self.merged.section(section).into_iter().flat_map(|section| &section.entries) {
                if seen.insert(entry.option.as_str()) {
                    options.push((entry.option.as_str(), Some(entry.at)));
                }
            }
        }
        let scope = section.split(':').next().unwrap_or(section);
        for known in with_variables(scope) {
            let is_set = known.variable.and_then(|name| around.variable(name)).is_some();
            if is_set && seen.insert(known.name) {
                options.push((known.name, None));
            }
        }
        options
    }

    fn get(
        &self,
        section: &str,
        option: &str,
        around: &dyn Surroundings,
    ) -> Result<Option<Found>, ConfigError> {
        self.found(section, option, &Asked { around, left: Cell::new(STEPS_MAX) }, 0)
    }

    /// A value: what is written, or a variable says, or what PlatformIO takes where nobody says anything.
    fn found(
        &self,
        section: &str,
        option: &str,
        asked: &Asked<'_>,
        depth: usize,
    ) -> Result<Option<Found>, ConfigError> {
        let known = known(section, option);
        let entry = self.entry(section, option, known);
        let at = entry.map(|entry| entry.at);
        let written = entry.map(|entry| entry.value.clone());
        let said = known.and_then(|known| variable_of(known, asked.around));
        let several = known.is_some_and(|known| known.several);
        let value = match (written, said) {
            (Some(written), Some(said)) if several && !written.is_empty() => {
                Some(format!("{written}\n{said}"))
            }
            (_, Some(said)) => Some(said),
            (Some(written), None) => Some(written),
            (None, None) => match known.map_or(Default::None, |known| known.default) {
                Default::None => None,
                Default::Text(text) => Some(text.to_owned()),
                Default::CoreDir => Some(asked.around.core_dir()),
            },
        };
        let Some(value) = value else { return Ok(None) };
        let text = self.expanded(section, &value, at, asked, depth)?;
        Ok(Some(Found { text, at }))
    }

    fn entry(&self, section: &str, option: &str, known: Option<&Known>) -> Option<&Entry> {
        let is_it = |entry: &&Entry| {
            entry.option == option
                || known.is_some_and(|known| {
                    entry.option == known.name || known.old.contains(&entry.option.as_str())
                })
        };
        self.chain(section)
            .into_iter()
            .find_map(|section| self.merged.section(section)?.entries.iter().find(is_it))
    }

    /// Where an option is looked for, in this order: the section, what it extends, the latter first and each with what that extends,
    /// and what all environments have.
    fn chain<'a>(&'a self, section: &'a str) -> Vec<&'a str> {
        let mut todo = if section.starts_with(ENV) { vec![COMMON, section] } else { vec![section] };
        let mut chain = Vec::new();
        while let Some(next) = todo.pop() {
            if chain.contains(&next) {
                continue;
            }
            chain.push(next);
            let extends = self.merged.section(next).and_then(|section| section.entry("extends"));
            for name in extends.map(|entry| several(&entry.value)).unwrap_or_default() {
                // What is not there has no options.
                todo.extend(self.merged.section(&name).map(|section| section.name.as_str()));
            }
        }
        chain
    }

    fn expanded(
        &self,
        section: &str,
        value: &str,
        at: Option<Place>,
        asked: &Asked<'_>,
        depth: usize,
    ) -> Result<String, ConfigError> {
        let mut text = String::new();
        for piece in pieces(value) {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Reference { section: None, option, whole } => {
                    // What is none of ours is the build system's.
                    text.push_str(asked.around.built_in(option).as_deref().unwrap_or(whole));
                }
                Piece::Reference { section: Some("sysenv"), option, .. } => {
                    text.push_str(&asked.around.variable(option).unwrap_or_default());
                }
                Piece::Reference { section: Some(of), option, whole } => {
                    let whole = whole.to_owned();
                    let of = if of == "this" { section } else { of };
                    if option == "__env__" && whole.starts_with("${this.") {
                        let name = of.strip_prefix(ENV);
                        let section = of.to_owned();
                        text.push_str(name.ok_or(ConfigError::NoEnvironment { at, whole, section })?);
                        continue;
                    }
                    asked.left.set(asked.left.get().saturating_sub(1));
                    if depth == DEPTH_MAX || asked.left.get() == 0 || text.len() > BYTES_MAX {
                        return Err(ConfigError::Circle { at, whole });
                    }
                    text.push_str(&self.other(of, option, at, whole, asked, depth + 1)?);
                }
            }
        }
        Ok(text)
    }

    /// What another option stands for in a value.
    fn other(
        &self,
        section: &str,
        option: &str,
        at: Option<Place>,
        whole: String,
        asked: &Asked<'_>,
        depth: usize,
    ) -> Result<String, ConfigError> {
        // Names of options are in small letters, however they are written.
        let option = option.to_lowercase();
        let known = known(section, &option);
        match (self.found(section, &option, asked, depth)?, known) {
            (Some(found), Some(Known { several: true, .. })) => Ok(found.several().join("\n")),
            (Some(found), _) => Ok(found.text),
            (None, Some(Known { several: true, .. })) => Ok(String::new()),
            // As PlatformIO writes it.
            (None, Some(_)) => Ok("None".to_owned()),
            (None, None) => Err(ConfigError::NoOption { at, whole, section: section.to_owned(), option }),
        }
    }
}

/// What a variable of the environment says of an option; an empty one says nothing.
fn variable_of(known: &Known, around: &dyn Surroundings) -> Option<String> {
    let variable = |name: &str| around.variable(name).filter(|value| !value.is_empty());
    let old = |name: &&str| variable(&format!("PLATFORMIO_{}", name.to_uppercase()));
    variable(known.variable?).or_else(|| known.old.iter().find_map(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here;

    impl Surroundings for Here {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/home/me".to_owned())
        }

        fn built_in(&self, name: &str) -> Option<String> {
            (name == "UNIX_TIME").then(|| "1".to_owned())
        }

        fn core_dir(&self) -> String {
            "/home/me/.platformio".to_owned()
        }
    }

    fn config(files: &[&str]) -> Config {
        let mut config = Config::default();
        for (nth, text) in files.iter().enumerate() {
            config.push(Ini::parse(text, nth).unwrap());
        }
        config
    }

    fn text(config: &Config, environment: &str, option: &str) -> Option<String> {
        config.of(environment, option, &Here).unwrap().map(|found| found.text)
    }

    #[test]
    fn its_own_then_what_it_extends_then_what_all_have() {
        let config = config(&["\
[env]
a = all
b = all
c = all
d = all
[base]
a = base
b = base
c = base
[over]
extends = base
a = over
b = over
[other]
b = other
[env:x]
extends = over, other
a = own
[env:y]
"]);
        let of = |environment, option| text(&config, environment, option).unwrap();
        assert_eq!([of("x", "a"), of("x", "b"), of("x", "c"), of("x", "d")], ["own", "other", "base", "all"]);
        assert_eq!(of("y", "a"), "all");
        assert_eq!(config.environments().collect::<Vec<_>>(), ["x", "y"]);
        let options: Vec<_> =
            config.options("x", &Here).into_iter().map(|(name, at)| (name, at.unwrap().line)).collect();
        assert_eq!(options, [("extends", 17), ("a", 18), ("b", 15), ("c", 9), ("d", 5)]);
    }

    #[test]
    fn what_stands_for_others() {
        let config = config(&["\
[common]
flags =
    -D A
    -D B=${sysenv.HOME}
name = n-${this.flags}
[env:x]
build_flags = ${common.flags} -D ${this.__env__} ${PIOENV} ${UNIX_TIME}
board = ${this.Name}
name = mine
"]);
        let flags = text(&config, "x", "build_flags").unwrap();
        assert_eq!(flags, "\n-D A\n-D B=/home/me -D x ${PIOENV} 1");
        assert_eq!(text(&config, "x", "board").unwrap(), "mine");
        assert_eq!(text(&config, "x", "none"), None);
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let mut text = "[a0]\nx =\n".to_owned();
        for at in 1..40 {
            let before = at - 1;
            text.push_str(&format!("[a{at}]\nx = ${{a{before}.x}}${{a{before}.x}}\n"));
        }
        text.push_str("[env:e]\ny = ${a30.x}\nz = ${a10.x}\n");
        let config = config(&[&text]);
        assert!(matches!(config.of("e", "y", &Here), Err(ConfigError::Circle { .. })));
        assert_eq!(config.of("e", "z", &Here).unwrap().unwrap().text, "");
    }

    #[test]
    fn a_later_file_holds() {
        let config =
            config(&["[platformio]\ndefault_envs = x\n[env:x]\na = 1\n", "[env:x]\nA = 2\n[env:z]\n"]);
        let found = config.of("x", "a", &Here).unwrap().unwrap();
        assert_eq!((found.text.as_str(), found.at), ("2", Some(Place { file: 1, line: 2 })));
        assert_eq!(config.of_project("default_envs", &Here).unwrap().unwrap().several(), ["x"]);
    }

    #[test]
    fn what_stands_for_nothing_or_itself_has_its_line() {
        let config = config(&["[a]\nx = ${b.x}\n[b]\nx = ${a.x}\n[env:e]\nc = ${a.x}\nd = ${a.none}\n"]);
        let wrong = |option| config.of("e", option, &Here).unwrap_err();
        assert!(matches!(wrong("c"), ConfigError::Circle { .. }));
        assert!(
            matches!(wrong("d"), ConfigError::NoOption { at: Some(Place { line: 7, .. }), .. }),
            "{:?}",
            wrong("d")
        );
    }
}
