//! `build_flags` and their like: which of them is for which program (PlatformIO documentation, "build_flags": cut like a shell's
//! words, and sorted as SCons does; SCons user manual, "ParseFlags").

use thiserror::Error;

/// For which program a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// The preprocessor: of C, C++ and assembler.
    Preprocessor,
    /// The compilers of C and C++.
    Compilers,
    /// The compiler of C.
    C,
    /// The compiler of C++.
    Cxx,
    /// The linker.
    Linker,
    /// The linker, behind all objects: libraries.
    Libraries,
}

/// A flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// For whom.
    pub of: For,
    /// Its words: `-DX=1`, or `-include` and a file.
    pub words: Vec<String>,
}

/// What is no flags.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlagsError {
    /// A quote that does not end.
    #[error("a quote in {0:?} does not end")]
    OpenQuote(String),
    /// Flags that a command is to print.
    #[error(
        "{0:?} would run a command: farmhand runs none to be told flags; write what it prints, or have it written to a file of `extra_configs`"
    )]
    Command(String),
}

/// Flags whose value may be the next word, and for whom they are.
const TAKES_WORD: &[(&str, For)] = &[
    ("-include", For::Preprocessor),
    ("-imacros", For::Preprocessor),
    ("-isystem", For::Preprocessor),
    ("-iquote", For::Preprocessor),
    ("-idirafter", For::Preprocessor),
    ("-isysroot", For::Compilers),
    ("-arch", For::Compilers),
    ("--param", For::Compilers),
    ("-Xpreprocessor", For::Preprocessor),
    ("-Xassembler", For::Compilers),
    ("-Xlinker", For::Linker),
    ("-T", For::Linker),
    ("-u", For::Linker),
    ("-z", For::Linker),
    ("-e", For::Linker),
];
/// Flags whose value is in their word, or the next one.
const JOINED: &[(&str, For)] = &[
    ("-D", For::Preprocessor),
    ("-I", For::Preprocessor),
    ("-U", For::Preprocessor),
    ("-L", For::Libraries),
    ("-l", For::Libraries),
];
/// For the compilers and for the linker.
const BOTH: &[&str] = &["-pthread", "-fopenmp", "-fsanitize", "-fmerge-all-constants"];

impl Flag {
    fn new(of: For, words: &[&str]) -> Self {
        Self { of, words: words.iter().map(|&word| word.to_owned()).collect() }
    }

    /// Whether `build_unflags` takes away `other` with it: the same, or the name of what is defined with a value.
    #[must_use]
    pub fn takes_away(&self, other: &[String]) -> bool {
        if self.words == other {
            return true;
        }
        let ([unset], [set]) = (&self.words[..], other) else { return false };
        unset.starts_with("-D")
            && !unset.contains('=')
            && set.strip_prefix(unset.as_str()).is_some_and(|rest| rest.starts_with('='))
    }
}

/// Cuts and sorts a value of `build_flags`.
pub fn flags(text: &str) -> Result<Vec<Flag>, FlagsError> {
    let text = text.trim();
    if text.starts_with('!') {
        return Err(FlagsError::Command(text.to_owned()));
    }
    let words = shlex::split(text).ok_or_else(|| FlagsError::OpenQuote(text.to_owned()))?;
    let mut words = words.iter().map(String::as_str).peekable();
    let mut flags = Vec::new();
    while let Some(word) = words.next() {
        if let Some((_, of)) = TAKES_WORD.iter().find(|(flag, _)| *flag == word) {
            let value = words.next();
            flags.push(Flag::new(*of, &[Some(word), value].into_iter().flatten().collect::<Vec<_>>()));
        } else if let Some((flag, of)) = JOINED.iter().find(|(flag, _)| word.starts_with(flag)) {
            let joined = match word == *flag {
                true => format!("{word}{}", words.next().unwrap_or_default()),
                // Quoted as a whole, it may have a space there.
                false => format!("{flag}{}", word[flag.len()..].trim_start()),
            };
            flags.push(Flag::new(*of, &[&joined]));
        } else if BOTH.iter().any(|flag| word.starts_with(flag)) {
            flags.push(Flag::new(For::Compilers, &[word]));
            flags.push(Flag::new(For::Linker, &[word]));
        } else {
            flags.push(Flag::new(by_its_looks(word), &[word]));
        }
    }
    Ok(flags)
}

fn by_its_looks(word: &str) -> For {
    if word.starts_with("-std=") {
        return if word.contains("++") { For::Cxx } else { For::C };
    }
    if word.starts_with("-Wl,") || word.starts_with("-T") {
        return For::Linker;
    }
    if word.starts_with("-stdlib=") {
        return For::Cxx;
    }
    // What is no flag is a file to link.
    if word.starts_with(['-', '+']) { For::Compilers } else { For::Libraries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_for_its_program() {
        let text = r#"-D A -DB=2 '-D C="x y"' -D D=\"q\" -Iinc -I other -O2 -std=gnu++17 -std=gnu11 -include a.h
            -Wl,-Tx.ld -L libs -lm x.a -pthread -Wno-all -T y.ld -Tz.ld -u main -Xassembler -ahl"#;
        let found: Vec<_> =
            flags(text).unwrap().into_iter().map(|flag| (flag.of, flag.words.join(" "))).collect();
        let expect = [
            (For::Preprocessor, "-DA"),
            (For::Preprocessor, "-DB=2"),
            (For::Preprocessor, "-DC=\"x y\""),
            (For::Preprocessor, "-DD=\"q\""),
            (For::Preprocessor, "-Iinc"),
            (For::Preprocessor, "-Iother"),
            (For::Compilers, "-O2"),
            (For::Cxx, "-std=gnu++17"),
            (For::C, "-std=gnu11"),
            (For::Preprocessor, "-include a.h"),
            (For::Linker, "-Wl,-Tx.ld"),
            (For::Libraries, "-Llibs"),
            (For::Libraries, "-lm"),
            (For::Libraries, "x.a"),
            (For::Compilers, "-pthread"),
            (For::Linker, "-pthread"),
            (For::Compilers, "-Wno-all"),
            (For::Linker, "-T y.ld"),
            (For::Linker, "-Tz.ld"),
            (For::Linker, "-u main"),
            (For::Compilers, "-Xassembler -ahl"),
        ];
        assert_eq!(found, expect.map(|(of, words)| (of, words.to_owned())));
        assert!(matches!(flags("!python x.py"), Err(FlagsError::Command(_))));
        assert!(matches!(flags("-D \"x"), Err(FlagsError::OpenQuote(_))));
    }

    #[test]
    fn what_is_taken_away() {
        let unset = |text: &str| flags(text).unwrap().remove(0);
        let words = |text: &str| vec![text.to_owned()];
        assert!(unset("-Os").takes_away(&words("-Os")));
        assert!(unset("-D A").takes_away(&words("-DA=1")));
        assert!(!unset("-D A").takes_away(&words("-DAB=1")));
        assert!(!unset("-D A=2").takes_away(&words("-DA=1")));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-DILlW,!\"' a=\\\\]{0,40}") {
            let _flags = flags(&text);
        }
    }
}
