//! What a source does that nobody is told of who asks a compiler what it read, and what a compiler makes that nobody asked for by name.

/// Flags of compilers by which more is left than an object (GCC manual, "Instrumentation Options", "Developer Options", "Debugging
/// Options"; Clang documentation, "-ftime-trace").
const MORE: &[&str] = &[
    "--coverage",
    "-coverage",
    "-ftest-coverage",
    "-fstack-usage",
    "-fcallgraph-info",
    "-fdump-",
    "-fsave-optimization-record",
    "-fopt-info",
    "-ftime-trace",
    "-gsplit-dwarf",
    "-save-temps",
    "--save-temps",
    "-aux-info",
    "-MJ",
    "-Wa,-a",
];

/// Whether a command leaves files beside its output: where the output came from elsewhere, they would be missing.
pub(super) fn leaves_more(args: &[String]) -> bool {
    args.iter().any(|arg| MORE.iter().any(|flag| arg.starts_with(flag)))
}

/// What a source or header does that a compiler's list of what it read does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing.
    All,
    /// The assembler reads files for it.
    MoreFiles,
    /// The time is in what is made of it.
    WhenItIs,
}

/// Whether a source or header asks if a file is there: of one that is not, a compiler's list says nothing.
pub(super) fn asks(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    ["__has_include", "__has_embed"].into_iter().any(|word| text.contains(word))
}

impl Says {
    pub(super) fn of(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let has = |word: &str| text.contains(word);
        if [".incbin", ".include"].into_iter().any(has) {
            Self::MoreFiles
        } else if ["__DATE__", "__TIME__", "__TIMESTAMP__"].into_iter().any(has) {
            Self::WhenItIs
        } else {
            Self::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Says, leaves_more};

    #[test]
    fn what_leaves_more_than_an_object() {
        let leaves = |line: &str| leaves_more(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(leaves("-O2 --coverage") && leaves("-fstack-usage") && leaves("-save-temps=obj -c"));
        assert!(leaves("-fdump-tree-all") && leaves("-gsplit-dwarf"));
        assert!(!leaves("-O2 -fstack-protector -gdwarf-4 -MMD -Wall"));
    }

    #[test]
    fn what_is_in_no_list() {
        for (text, says) in [
            ("#include <a.h>\nint a;\n", Says::All),
            ("asm(\".incbin \\\"a.bin\\\"\");", Says::MoreFiles),
            ("\t.include \"v.inc\"\n", Says::MoreFiles),
            ("const char *made = __DATE__ \" \" __TIME__;", Says::WhenItIs),
            (".incbin \"a\" // __DATE__", Says::MoreFiles),
        ] {
            assert_eq!(Says::of(text.as_bytes()), says, "{text}");
        }
    }
}
