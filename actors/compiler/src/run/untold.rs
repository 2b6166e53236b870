//! What a source does that nobody is told of who asks a compiler what it read.

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
    use super::Says;

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
