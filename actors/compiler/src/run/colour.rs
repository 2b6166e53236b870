//! Compilers' words in their own colours. They think that nobody sees them: their output is read, and is no terminal.

use crate::plan::{Action, Kind};

/// GCC's, which clang takes too.
const ALWAYS: &str = "-fdiagnostics-color=always";
/// Where one of these is said, the flag would be seen in what is made (`-frecord-gcc-switches`), or the project has
/// said itself what it wants.
const LEFT_ALONE: [&str; 5] = [
    "-frecord-gcc-switches",
    "-grecord-gcc-switches",
    "-save-temps",
    "-fdiagnostics-",
    "-fno-diagnostics-color",
];
/// Drivers that know it; a cross compiler's name ends with one of them.
const DRIVERS: [&str; 6] = ["gcc", "g++", "clang", "clang++", "cc", "c++"];

/// The flag that an action is run with, so that what it prints has colours. It is no part of the action's key: what is
/// made is the same, and what was printed is kept with its colours.
pub(super) fn flag(action: &Action) -> Option<&'static str> {
    let program = action.program.file_name()?.to_str()?;
    // `gcc-12`
    let name = program.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.'));
    let driver = name.rsplit('-').next().unwrap_or(name);
    let is_left_alone = |arg: &String| {
        // What is in a file of arguments nobody has read.
        arg.starts_with('@') || LEFT_ALONE.iter().any(|flag| arg.starts_with(flag))
    };
    // Its first word says which of its programs is meant.
    let driver = match (driver, action.args.first()) {
        ("zig", Some(word)) => word.as_str(),
        _ => driver,
    };
    (action.kind == Kind::Compile && DRIVERS.contains(&driver) && !action.args.iter().any(is_left_alone))
        .then_some(ALWAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_it_is_known_and_not_seen_in_what_is_made() {
        let has = |kind, program: &str, arg: &str| {
            let action = Action {
                kind,
                what: "a.c".into(),
                program: program.into(),
                args: vec![arg.into()],
                sources: vec![],
                from: vec![],
                output: "a.o".into(),
                depfile: None,
                sees_project: false,
                cost: 1,
            };
            flag(&action).is_some()
        };
        for program in ["/usr/bin/avr-g++", "gcc-12", "riscv64-unknown-elf-gcc", "clang++"] {
            assert!(has(Kind::Compile, program, "-c"), "{program}");
        }
        assert!(!has(Kind::Compile, "/usr/bin/nasm", "-c"));
        assert!(!has(Kind::Archive, "avr-gcc-ar", "rcs"));
        assert!(!has(Kind::Link, "avr-gcc", "-o"));
        for arg in ["-frecord-gcc-switches", "-fdiagnostics-color=never", "@flags"] {
            assert!(!has(Kind::Compile, "gcc", arg), "{arg}");
        }
    }
}
