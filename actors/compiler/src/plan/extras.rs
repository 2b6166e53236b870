//! What a project adds to a compiler's command line, and takes away from it.

use farmhand_project::platformio::{Flag, FlagsError, For, flags};
use farmhand_records::v1::{Build, EnvironmentSource};

use super::Language;
use super::recipes::Whose;
use crate::BuildError;

/// Flags of a project's.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    all: Vec<Flag>,
    own: Vec<Flag>,
    taken_away: Vec<Flag>,
}

impl Extras {
    /// As `farmhand.toml` has them.
    pub(crate) fn of(build: &Build) -> Self {
        let each = |of: For, flags: &[String]| -> Vec<Flag> {
            flags.iter().map(|flag| Flag { of, words: vec![flag.clone()] }).collect()
        };
        let mut all = each(For::Compilers, &build.flags);
        all.extend(each(For::Cxx, &build.cxx_flags));
        all.extend(each(For::Libraries, &build.link_flags));
        Self { all, ..Self::default() }
    }

    /// Of a library's own.
    pub(crate) fn of_flags(all: Vec<Flag>) -> Self {
        Self { all, ..Self::default() }
    }

    /// Behind all others.
    pub(crate) fn push(&mut self, flags: impl Iterator<Item = Flag>) {
        self.all.extend(flags);
    }

    /// As `platformio.ini` has them, and `farmhand.toml` behind it.
    pub(crate) fn of_environment(build: &Build, of: &EnvironmentSource) -> Result<Self, BuildError> {
        let read = |what: &'static str, texts: &[String]| {
            let read: Result<Vec<_>, FlagsError> = texts.iter().map(|text| flags(text)).collect();
            let environment = of.name.clone();
            read.map(|flags| flags.concat()).map_err(|source| BuildError::Flags { what, environment, source })
        };
        let mut all = read("build_flags", &of.flags)?;
        all.extend(Self::of(build).all);
        let taken_away = read("build_unflags", &of.unflags)?;
        all.retain(|flag| !taken_away.iter().any(|unset| unset.takes_away(&flag.words)));
        Ok(Self { all, own: read("build_src_flags", &of.own_flags)?, taken_away })
    }

    /// What is added for a compile.
    pub(crate) fn compile(&self, language: Language, whose: Whose) -> impl Iterator<Item = String> {
        let is_for = move |flag: &&Flag| {
            matches!(
                (flag.of, language),
                (For::Preprocessor, _)
                    | (For::Compilers, Language::C | Language::Cpp)
                    | (For::C, Language::C)
                    | (For::Cxx, Language::Cpp)
            )
        };
        // What is for C++ alone stands behind what is for both.
        let own = if whose == Whose::Own { &self.own[..] } else { &[] };
        let of_both = |flag: &&Flag| !matches!(flag.of, For::C | For::Cxx);
        let (both, one): (Vec<_>, Vec<_>) = self.all.iter().chain(own).filter(is_for).partition(of_both);
        // PlatformIO has what is undefined stand behind all that is defined, wherever it was written.
        let (undefined, rest): (Vec<_>, Vec<_>) = both.into_iter().chain(one).partition(is_undefined);
        rest.into_iter().chain(undefined).flat_map(|flag| flag.words.clone())
    }

    /// What is added at a link, behind all objects.
    pub(crate) fn link(&self) -> Vec<String> {
        let is_for = |flag: &&Flag| matches!(flag.of, For::Linker | For::Libraries);
        self.all.iter().filter(is_for).flat_map(|flag| flag.words.clone()).collect()
    }

    /// What is defined, as it is written: `X=1`.
    pub(crate) fn defines(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|flag| flag.words.first()?.strip_prefix("-D"))
    }

    /// Takes away what is not wanted.
    pub(crate) fn take_away(&self, args: &mut Vec<String>) {
        for unset in &self.taken_away {
            let mut at = 0;
            while at + unset.words.len() <= args.len() {
                if unset.takes_away(&args[at..at + unset.words.len()]) {
                    args.drain(at..at + unset.words.len());
                } else {
                    at += 1;
                }
            }
        }
    }

    /// Whether any file sees the project, and not its own alone: a user's own `-I`.
    pub(crate) fn shows_project(&self) -> bool {
        let shows = |word: &String| word.starts_with("-I") || word.starts_with("-i") || word.starts_with('@');
        self.all.iter().any(|flag| flag.words.iter().any(shows))
    }
}

/// Whether `platformio.ini` undefines something: `farmhand.toml` has its flags as they are written.
fn is_undefined(flag: &&Flag) -> bool {
    flag.of == For::Preprocessor && flag.words.first().is_some_and(|word| word.starts_with("-U"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extras(all: &str, own: &str, unset: &str) -> Extras {
        Extras { all: flags(all).unwrap(), own: flags(own).unwrap(), taken_away: flags(unset).unwrap() }
    }

    #[test]
    fn each_where_it_belongs() {
        let extras = extras("-DA -O2 -std=gnu++17 -std=gnu11 -Wl,-x -lm", "-DOWN", "");
        let compile = |language, whose| extras.compile(language, whose).collect::<Vec<_>>().join(" ");
        assert_eq!(compile(Language::Cpp, Whose::Own), "-DA -O2 -DOWN -std=gnu++17");
        assert_eq!(compile(Language::C, Whose::Foreign), "-DA -O2 -std=gnu11");
        assert_eq!(compile(Language::Asm, Whose::Foreign), "-DA");
        assert_eq!(extras.link(), ["-Wl,-x", "-lm"]);
        assert_eq!(extras.defines().collect::<Vec<_>>(), ["A"]);
        assert!(!extras.shows_project());
    }

    #[test]
    fn what_is_undefined_stands_behind_what_is_defined() {
        let extras = extras("-UA -DA -std=gnu++17", "-DB=1 -UC -DA=2", "");
        let compile = |whose| extras.compile(Language::Cpp, whose).collect::<Vec<_>>().join(" ");
        assert_eq!(compile(Whose::Own), "-DA -DB=1 -DA=2 -std=gnu++17 -UA -UC");
        assert_eq!(compile(Whose::Foreign), "-DA -std=gnu++17 -UA");
        let build = Build {
            source: farmhand_records::v1::Source::Tree(String::new()),
            toolchain: farmhand_records::v1::Toolchain::Managed,
            flags: vec!["-UX".into(), "-DX".into()],
            cxx_flags: Vec::new(),
            link_flags: Vec::new(),
            jobs: 0,
        };
        let written: Vec<_> = Extras::of(&build).compile(Language::C, Whose::Own).collect();
        assert_eq!(written, ["-UX", "-DX"]);
    }

    #[test]
    fn what_is_taken_away_of_a_recipe() {
        let mut args = ["-c", "-Os", "-DX=1", "-include", "a.h", "-flto", "x.c"].map(str::to_owned).to_vec();
        extras("", "", "-Os -DX -include a.h -flto -Wnone").take_away(&mut args);
        assert_eq!(args, ["-c", "x.c"]);
    }
}
