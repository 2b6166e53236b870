//! Projects for this machine, by its own compiler: what decides what is built, and is in no compiler's list of what it read.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use farmhand_tests::{Desk, Said, Side, said, until};

const BLOB: &str = r#"#include <stdio.h>
asm(".section .rodata\n.global blob\nblob: .incbin \"src/data.bin\"\n.byte 0\n.text");
extern "C" const char blob[];
int main() { puts(blob); }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_assembler_reads() {
    let side = Side::ready();
    side.project("a", "", &[("src/main.cpp", BLOB), ("src/data.bin", "one")]);
    side.project("b", "", &[("src/main.cpp", BLOB), ("src/data.bin", "two")]);
    assert_eq!(side.says("a").await, "one\n");
    assert_eq!(side.says("b").await, "two\n", "it is not the other project's");
    side.desk.write("b/src/data.bin", "three");
    assert_eq!(side.says("b").await, "three\n");
    let main = "#include <stdio.h>\nextern const int told;\nint main() { printf(\"%d\", told); }\n";
    let told =
        ".section .rodata\n.global told\n.include \"src/v.inc\"\n.section .note.GNU-stack,\"\",%progbits\n";
    let value = |value: i32| format!("told: .long {value}\n");
    side.project("c", "", &[("src/main.c", main), ("src/told.s", told), ("src/v.inc", &value(1))]);
    assert_eq!(side.says("c").await, "1");
    side.desk.write("c/src/v.inc", &value(2));
    assert_eq!(side.says("c").await, "2");
}

/// A script that defines a symbol, which another one takes in.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_linkers_script_takes_in() {
    let side = Side::ready();
    let main =
        "#include <stdio.h>\nextern const char told[];\nint main() { printf(\"%d\", (int)(long)told); }\n";
    let options = "build_flags = -fno-pie -Wl,-no-pie -Wl,-Lld -Wl,-Tld/x.ld\n";
    let y = |value: i32| format!("told = {value};\n");
    side.project(
        "a",
        options,
        &[("src/main.c", main), ("ld/x.ld", "INCLUDE y.inc\nINSERT AFTER .bss;\n"), ("ld/y.inc", &y(1))],
    );
    assert_eq!(side.says("a").await, "1");
    a_while_passes().await;
    side.desk.run(["build", "a"]).await.expect(0).mentions(&["unchanged"]);
    side.desk.write("a/ld/y.inc", &y(2));
    assert_eq!(side.says("a").await, "2");
}

/// Files of arguments, specs, the programs of `-B`, and a list of headers without the system's.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_depfile_tells_of_what_flags_name() {
    let side = Side::ready();
    let main = "#include <stdio.h>\nint main() { printf(\"%d\", V); }\n";
    let specs = |value: &str| format!("*cpp:\n+ -DV={value}\n\n*cc1_options:\n+ -DV={value}\n\n");
    let assembler = |value: &str| format!("#!/bin/sh\nexec as --defsym told={value} \"$@\"\n");
    let told = "#include <stdio.h>\nextern const int v;\nasm(\".section .rodata\\n.global v\\nv: .long told\\n.text\");\nint main() { printf(\"%d\", v); }\n";
    let header = "#include <stdio.h>\n#include <v.h>\nint main() { printf(\"%d\", V); }\n";
    let define = |value: &str| format!("#define V {value}\n");
    type Text<'a> = &'a dyn Fn(&str) -> String;
    let ways: [(&str, &str, &str, &str, Text<'_>); 4] = [
        ("arguments", "-Wp,@outer", main, "args", &|value| format!("-DV={value}\n")),
        ("specs", "-specs=own.specs", main, "own.specs", &specs),
        ("programs", "-Bbin", told, "bin/as", &assembler),
        ("depfile", "-isystem ../system-{} -MMD -MFy.d -Wp,-MMD,x.d", header, "../system-{}/v.h", &define),
    ];
    for (way, flags, main, file, text) in ways {
        let [one, other] = ["a", "b"].map(|name| format!("{way}-{name}"));
        let path = |name: &str| format!("{name}/{}", file.replace("{}", name));
        for (name, value) in [(&one, "1"), (&other, "2")] {
            let flags = format!("build_flags = {}\n", flags.replace("{}", name));
            side.project(name, &flags, &[("src/main.c", main), ("outer", "@args")]);
            side.desk.write(&path(name), &text(value));
            let program = side.desk.work().join(path(name));
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        a_while_passes().await;
        assert_eq!(side.says(&one).await, "1", "{way}");
        assert_eq!(side.says(&other).await, "2", "{way}: it is not the other project's");
        side.desk.run(["build", &other]).await.expect(0).mentions(&["unchanged"]);
        side.desk.write(&path(&other), &text("3"));
        assert_eq!(side.says(&other).await, "3", "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_project_lies_may_be_what_it_says() {
    let side = Side::ready();
    let main = "#include <cstdio>\n#include <where.h>\nint main() { puts(P); where(); }\n";
    let header = "#include <cstdio>\ninline void where() { puts(__FILE__); }\n";
    let options = "build_flags = '-DP=\"${PROJECT_DIR}\"' -I${PROJECT_DIR}/inc\n";
    for name in ["a", "b"] {
        side.project(name, options, &[("src/main.cpp", main), ("inc/where.h", header)]);
        let own = side.desk.work().join(name).canonicalize().unwrap().display().to_string();
        assert_eq!(side.says(name).await, format!("{own}\n{own}/inc/where.h\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_an_earlier_folder_of_the_projects_own() {
    let side = Side::ready();
    let main = "#include <stdio.h>\n#include <x.h>\nint main() { puts(X); }\n";
    let x = |says: &str| format!("#define X \"{says}\"\n");
    let options = "build_flags = -Iv0 -Iv1 -Iv2 -I../outside -I../beyond\n";
    side.project("a", options, &[("src/main.c", main), ("v1/other.h", "")]);
    side.desk.write("outside/other.h", "");
    side.desk.write("beyond/x.h", &x("beyond"));
    assert_eq!(side.says("a").await, "beyond\n");
    for (path, says) in
        [("outside/x.h", "outside"), ("a/v2/x.h", "v2"), ("a/v1/x.h", "v1"), ("a/v0/x.h", "v0")]
    {
        // Long enough ago that nothing is looked at because it is new.
        a_while_passes().await;
        side.desk.run(["build", "a"]).await.expect(0).mentions(&["unchanged"]);
        side.desk.write(path, &x(says));
        assert_eq!(side.says("a").await, format!("{says}\n"));
    }
}

async fn a_while_passes() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let then = now();
    until("some seconds pass", async || (now() > then + 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_was_made_is_not_what_another_build_says() {
    let side = Side::ready();
    let main = "#include <stdio.h>\nint main() { puts(__TIME__); }\n";
    side.project("a", "", &[("src/main.c", main)]);
    let first = side.says("a").await;
    side.desk.run(["build", "a"]).await.expect(0).mentions(&["unchanged"]);
    a_while_passes().await;
    side.desk.run(["clean", "a"]).await.expect(0);
    assert_ne!(side.says("a").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_of_a_project() {
    let side = Side::ready();
    let main = "#include <stdio.h>\n#include \"foo/bar.h\"\nint in_target(void);\nint plain(void);\nint main() { printf(\"%d\", bar() + in_target() + plain()); }\n";
    side.project(
        "a",
        "build_flags = --param max-inline-insns-auto=5\n",
        &[
            ("src/main.c", main),
            ("src/target/t.c", "int in_target(void) { return 20; }\n"),
            (
                "src/plain.s",
                ".globl plain\nplain: movl $300, %eax\nret\n.section .note.GNU-stack,\"\",%progbits\n",
            ),
            ("lib/foo/include/foo/bar.h", "int bar(void);\n"),
            ("lib/foo/src/bar.c", "#include \"foo/bar.h\"\nint bar(void) { return 1; }\n"),
        ],
    );
    // Instructions of this machine's processor.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(side.says("a").await, "321");
    }
    side.desk.edit("a/lib/foo/src/bar.c", "return 1", "return 2");
    side.desk.edit("a/src/main.c", "foo/bar.h", "foo/new/bar.h");
    side.desk.run(["build", "a"]).await.expect(7).mentions(&["foo/new/bar.h"]);
    side.desk.write("a/lib/foo/include/foo/new/bar.h", "int bar(void);\n");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(side.says("a").await, "322");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_compiler_leaves_beside_an_object() {
    let side = Side::ready();
    let options = "build_flags = --coverage -lgcov\n";
    for project in ["a", "b"] {
        side.project(project, options, &[("src/main.cpp", "int main() {}\n")]);
        side.desk.run(["build", project]).await.expect(0);
    }
    let notes = |project: &str| {
        side.desk.work().join(project).join(".farmhand/builds/one/obj/src/main.cpp.gcno").is_file()
    };
    assert!(notes("a") && notes("b"), "both can be read by gcov");
    side.desk.run(["clean", "a"]).await.expect(0);
    side.desk.run(["build", "a"]).await.expect(0);
    assert!(notes("a"));
}

/// As PlatformIO's build system replaces them.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_flags() {
    let side = Side::ready();
    let options = "build_flags = -I$PROJECT_DIR/more -DN=\\\"$PIOENV\\\"\n";
    let main = "#include <stdio.h>\n#include <more.h>\nint main() { puts(N); return MORE; }\n";
    side.project("my project", options, &[("src/main.c", main), ("more/more.h", "#define MORE 0\n")]);
    assert_eq!(side.says("my project").await, "one\n");
}

/// As PlatformIO has it: a library's own folders come first for its own sources.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_two_libraries_call_the_same() {
    let side = Side::ready();
    let library = |name: &str, value: u8| {
        let source = format!("#include <limits_cfg.h>\nint {name}(void) {{ return LIMIT; }}\n");
        [
            (format!("lib/{name}/src/{name}.h"), format!("int {name}(void);\n")),
            (format!("lib/{name}/src/limits_cfg.h"), format!("#define LIMIT {value}\n")),
            (format!("lib/{name}/src/in/{name}.c"), source),
        ]
    };
    let main = "#include <stdio.h>\n#include <one.h>\n#include <two.h>\nint main() { printf(\"%d%d\\n\", one(), two()); }\n";
    let mut files = vec![("src/main.c".to_owned(), main.to_owned())];
    files.extend(library("one", 1).into_iter().chain(library("two", 2)));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    side.project("libraries", "", &files);
    assert_eq!(side.says("libraries").await, "12\n");
}

/// What is undefined is so whatever defines it.
#[tokio::test(flavor = "multi_thread")]
async fn undefined_beats_defined() {
    let side = Side::ready();
    let main = "#include <stdio.h>\nint main() {\n#ifdef MODE\nputs(\"defined\");\n#else\nputs(\"not\");\n#endif\n}\n";
    side.project(
        "modes",
        "build_flags = -UMODE -DMODE\nbuild_src_flags = -DMODE=1\n",
        &[("src/main.c", main)],
    );
    assert_eq!(side.says("modes").await, "not\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_default_envs_names() {
    let desk = Desk::ready();
    let ini = "[platformio]\ndefault_envs = one, two\n[env]\nplatform = native\ntest_ignore = a\n[env:one]\n[env:two]\n[env:three]\n";
    desk.write("p/platformio.ini", ini);
    desk.write("p/src/main.c", "int main() { return 0; }\n");
    let is_noted_once = |said: &Said| {
        assert_eq!(said.stderr.matches("platformio.ini:5: test_ignore").count(), 1, "{}", said.stderr);
    };
    is_noted_once(desk.run(["build", "p"]).await.expect(0));
    let is_built = |name: &str| desk.work().join(format!("p/.farmhand/builds/{name}/program")).is_file();
    assert!(is_built("one") && is_built("two") && !is_built("three"));
    is_noted_once(desk.run(["build", "p", "--all"]).await.expect(0));
    assert!(is_built("three"));
    desk.run(["build", "p", "--size"]).await.expect(2).mentions(&["F022", "one, two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_no_source() {
    let side = Side::ready();
    side.project("a", "", &[("src/main.cpp", "#include <stdio.h>\nint main() { puts(\"built\"); }\n")]);
    for name in ["pipe.cpp", "pipe.h"] {
        let made = Command::new("mkfifo").arg(side.desk.work().join("a/src").join(name)).status().unwrap();
        assert!(made.success());
    }
    assert_eq!(side.says("a").await, "built\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_behind_a_script_behind_a_script() {
    let side = Side::ready();
    let main = "#include <stdio.h>\nint main() { printf(\"%d\", WRAPPED); }\n";
    side.project("a", "", &[("src/main.c", main)]);
    let folder = side.desk.work().join("scripts");
    let script = |name: &str, line: &str| {
        let path = side.desk.write(&format!("scripts/{name}"), &format!("#!/bin/sh\n{line}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let inner = |value: i32| {
        script("inner", &format!("program=$1; shift; exec /usr/bin/$program -DWRAPPED={value} \"$@\""))
    };
    for name in ["gcc", "g++"] {
        script(name, &format!("exec {}/inner {name} \"$@\"", folder.display()));
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for value in [1, 7, 1] {
        inner(value);
        a_while_passes().await;
        let mut build = side.desk.farmhand(["build", "a"]);
        build.env("PATH", &path);
        said(build).await.expect(0);
        let program = side.desk.work().join("a/.farmhand/builds/one/program");
        assert_eq!(Command::new(program).output().unwrap().stdout, value.to_string().as_bytes());
    }
}

/// Compilers that lie in two folders of the PATH, and one that is in none.
#[tokio::test(flavor = "multi_thread")]
async fn c_needs_no_compiler_of_cpp_and_what_lacks_is_named() {
    let side = Side::ready();
    let main = "int main() { return 0; }\n";
    side.project("c", "", &[("src/main.c", main)]);
    side.project("cpp", "", &[("src/main.cpp", main)]);
    let (of_c, of_cpp) = (side.desk.work().join("of-c"), side.desk.work().join("of-cpp"));
    for (folder, names) in [(&of_c, &["gcc", "as", "ld"][..]), (&of_cpp, &["g++"])] {
        fs::create_dir_all(folder).unwrap();
        for name in names {
            std::os::unix::fs::symlink(format!("/usr/bin/{name}"), folder.join(name)).unwrap();
        }
    }
    let build = async |project: &str, folders: &[&Path]| {
        let mut build = side.desk.farmhand(["build", project]);
        build.env("PATH", std::env::join_paths(folders).unwrap());
        said(build).await
    };
    build("c", &[&of_c]).await.expect(0);
    build("cpp", &[&of_c]).await.expect(10).mentions(&["F405", "g++ on the PATH", "toolchain = \"clang\""]);
    build("cpp", &[&of_c, &of_cpp]).await.expect(0);
    build("c", &[&of_cpp]).await.expect(10).mentions(&["F405", "gcc on the PATH"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_told_as_long_as_they_hold() {
    let side = Side::ready();
    side.project("a", "build_flags = -Wall\n", &[("src/main.c", "int main() { int unused; return 0; }\n")]);
    let warns = &["src/main.c:1:18", "unused"];
    let warned =
        |lines: Vec<serde_json::Value>| lines.iter().any(|line| line.to_string().contains("unused variable"));
    side.desk.run(["build", "a"]).await.expect(0).mentions(warns);
    side.desk.run(["build", "a"]).await.expect(0).mentions(&["unchanged"]).mentions(warns);
    let machine = side.desk.run(["build", "a", "--message-format", "json"]).await;
    assert!(warned(machine.expect(0).json_lines()));
    side.desk.write("a/src/main.c", "int main() { return 0; }\n");
    side.desk.run(["build", "a"]).await.expect(0);
    let machine = side.desk.run(["build", "a", "--message-format", "json"]).await;
    assert!(!warned(machine.expect(0).json_lines()));
}
