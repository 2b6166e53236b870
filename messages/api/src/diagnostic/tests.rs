//! What GCC 12, avr-gcc 5.4, clang, binutils and rustc print, word for word.

use proptest::prelude::*;

use super::*;

/// One line a diagnostic; what is none stands in brackets.
fn shown(text: &str) -> Vec<String> {
    let place = |spot: &Spot| {
        let number = |number: Option<u32>| number.map_or("-".into(), |number| number.to_string());
        format!("{}:{}:{}", spot.file.as_deref().unwrap_or("-"), number(spot.line), number(spot.column))
    };
    let one = |said| match said {
        Said::Text(text) => format!("[{}]", text.trim_end()),
        Said::Diagnostic(said) => {
            let option = said.option.map_or_else(String::new, |option| format!(" {{{option}}}"));
            let note = |note: &DiagnosticNote| format!("; {} {}", place(&note.spot), note.message);
            let notes: String = said.notes.iter().map(note).collect();
            format!("{} {:?} {}{option}{notes}", place(&said.spot), said.severity, said.message)
        }
    };
    diagnostics(text).into_iter().map(one).collect()
}

#[track_caller]
fn check(text: &str, expect: &[&str]) {
    assert_eq!(shown(text), expect);
}

const GCC: &str = "\
In file included from a.cpp:1:
h.h:1:16: error: expected ';' at end of member declaration
    1 | struct S { int x } ;
      |                ^
      |                 ;
a.cpp: In function 'void f(int)':
a.cpp:4:32: warning: 'void old()' is deprecated: no more [-Wdeprecated-declarations]
    4 | void f(int n) { int unused; old(); twice(n); if (n = 3) {} }
      |                             ~~~^~
a.cpp:3:6: note: declared here
    3 | void old() __attribute__((deprecated(\"no more\")));
      |      ^~~
a.cpp: In instantiation of 'T twice(T) [with T = int]':
a.cpp:4:41:   required from here
a.cpp:2:44: error: request for member 'nope' in 'a', which is of non-class type 'int'
    2 | template <class T> T twice(T a) { return a.nope(); }
      |                                          ~~^~~~
b.c:1:10: fatal error: gone.h: No such file or directory
    1 | #include \"gone.h\"
      |          ^~~~~~~~
compilation terminated.
";

#[test]
fn gcc() {
    check(
        GCC,
        &[
            "h.h:1:16 Error expected ';' at end of member declaration",
            "a.cpp:4:32 Warning 'void old()' is deprecated: no more {-Wdeprecated-declarations}; a.cpp:3:6 declared here",
            "a.cpp:2:44 Error request for member 'nope' in 'a', which is of non-class type 'int'",
            "b.c:1:10 Error gone.h: No such file or directory",
            "[compilation terminated.]",
        ],
    );
    let Said::Diagnostic(second) = &diagnostics(GCC)[1] else { panic!("a diagnostic") };
    assert!(
        second.text.starts_with("a.cpp: In function") && second.text.ends_with("^~~\n"),
        "{}",
        second.text
    );
}

#[test]
fn gcc_5_that_shows_source_without_numbers() {
    check(
        "In file included from a.cpp:1:0:\nh.h:1:16: error: expected ';'\n struct S { int x } ;\n                ^\n\
         a.cpp:4:55: warning: suggest parentheses [-Wparentheses]\n if (n = 3) { puts(\"x: error: y\"); }\n        ^\n\
         cc1plus: some warnings being treated as errors\n",
        &[
            "h.h:1:16 Error expected ';'",
            "a.cpp:4:55 Warning suggest parentheses {-Wparentheses}",
            "[cc1plus: some warnings being treated as errors]",
        ],
    );
}

#[test]
fn clang() {
    check(
        "In file included from a.cpp:1:\n./h.h:1:17: error: expected ';' at end of declaration list\n    1 | struct S { int x } ;\n      |                 ^\n      |                 ;\n\
         k.c:1:18: error: unused variable 'u' [-Werror,-Wunused-variable]\n    1 | int f(int x){int u;return x;}\n      |                  ^\n\
         a.cpp:4:36: note: in instantiation of function template specialization 'twice<int>' requested here\n\
         2 errors generated.\n",
        &[
            "./h.h:1:17 Error expected ';' at end of declaration list",
            "k.c:1:18 Error unused variable 'u' {-Wunused-variable}; a.cpp:4:36 in instantiation of function template \
             specialization 'twice<int>' requested here",
            "[2 errors generated.]",
        ],
    );
}

#[test]
fn the_assembler_and_the_linker() {
    check(
        "s.S: Assembler messages:\ns.S:2: Error: unknown opcode `bogus'\n\
         /usr/bin/ld: /tmp/ccC.o: in function `main':\n/p/l.c:3: undefined reference to `g'\n\
         /usr/bin/ld: l.c:(.text+0x11): undefined reference to `q'\n\
         x.elf section `.text' will not fit in region `text'\n\
         /x/ld: region `text' overflowed by 12 bytes\n\
         collect2: error: ld returned 1 exit status\n",
        &[
            "s.S:2:- Error unknown opcode `bogus'",
            "/p/l.c:3:- Error undefined reference to `g'",
            "l.c:-:- Error undefined reference to `q'",
            "-:-:- Error x.elf section `.text' will not fit in region `text'",
            "-:-:- Error region `text' overflowed by 12 bytes",
            "-:-:- Error ld returned 1 exit status",
        ],
    );
}

#[test]
fn rustc_and_what_is_nothing_of_the_kind() {
    check(
        "   Compiling a v0.1.0\nerror[E0425]: cannot find value `x` in this scope\n --> src/main.rs:2:5\n  |\n2 |     x\n  |     ^ not found\n\nmake: *** [Makefile:2: all] Error 1\n",
        &[
            "[   Compiling a v0.1.0]",
            "src/main.rs:2:5 Error cannot find value `x` in this scope",
            "[make: *** [Makefile:2: all] Error 1]",
        ],
    );
    check("cc1plus: error: bad value 'x' for '-march='\n", &["-:-:- Error bad value 'x' for '-march='"]);
    check("", &[]);
}

#[test]
fn colours_and_links_are_taken_off() {
    let coloured = "\x1b[01m\x1b[Ka.c:1:2:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kno [\x1b[01;35m\x1b[K\
                    \x1b]8;;https://gcc.gnu.org/x\x07-Wx\x1b]8;;\x1b\\\x1b[m\x1b[K]\n";
    assert_eq!(plain(coloured), "a.c:1:2: error: no [-Wx]\n");
    check(coloured, &["a.c:1:2 Error no {-Wx}"]);
    assert_eq!(plain("cut off \x1b[01"), "cut off ");
}

proptest! {
    /// Nothing that was printed is lost, whatever it is.
    #[test]
    fn all_of_it_is_there(lines in prop::collection::vec("[ a-z:1-9\\[\\]-]{0,12}|(a[.]c:1:2: (error|note|warning): x)|(In file included from a[.]c:1:)| {3}\\^", 0..12)) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let said: String = diagnostics(&text)
            .into_iter()
            .map(|said| match said {
                Said::Text(text) => text,
                Said::Diagnostic(said) => said.text,
            })
            .collect();
        prop_assert_eq!(said, text);
    }
}
