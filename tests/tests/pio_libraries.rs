//! Libraries and sources of native PlatformIO projects, found where PlatformIO (6.2) finds them: each project here was built by it.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_tests::Side;

const MAIN: &str = "#include <stdio.h>\n#include <dev.h>\nint main() { printf(\"%d\\n\", dev()); }\n";

/// What another source of a library includes is looked for, in each mode that follows what is used.
#[tokio::test(flavor = "multi_thread")]
async fn all_sources_of_a_library_lead_on() {
    let side = Side::ready();
    for mode in ["chain", "chain+"] {
        side.project(
            mode,
            &format!("lib_ldf_mode = {mode}\n"),
            &[
                ("src/main.c", MAIN),
                ("lib/Dev/dev.h", "int dev(void);\n"),
                ("lib/Dev/dev.c", "#include \"dev.h\"\nint bus(void);\nint dev(void) { return bus(); }\n"),
                ("lib/Dev/bus.c", "#include <wire.h>\nint bus(void) { return wire(); }\n"),
                ("lib/Wire/wire.h", "int wire(void);\n"),
                ("lib/Wire/wire.c", "int pin(void);\nint wire(void) { return pin(); }\n"),
                ("lib/Wire/pin.c", "#include <pins.h>\nint pin(void) { return PIN; }\n"),
                ("lib/Pins/pins.h", "#define PIN 7\n"),
            ],
        );
        assert_eq!(side.says(mode).await, "7\n", "{mode}");
    }
}

/// Its folders of headers: what its flags say, and `include` beside `src`, whatever manifest it has.
#[tokio::test(flavor = "multi_thread")]
async fn folders_of_a_library_are_for_who_uses_it() {
    let side = Side::ready();
    let header = "#include \"detail.h\"\nstatic inline int dev(void) { return DETAIL; }\n";
    side.project(
        "flags",
        "",
        &[
            ("src/main.c", MAIN),
            ("lib/Dev/library.json", r#"{"name": "Dev", "version": "1.0.0", "build": {"flags": "-I inc"}}"#),
            ("lib/Dev/src/dev.h", header),
            ("lib/Dev/inc/detail.h", "#define DETAIL 3\n"),
        ],
    );
    assert_eq!(side.says("flags").await, "3\n");
    side.project(
        "include",
        "",
        &[
            ("src/main.c", MAIN),
            ("lib/Dev/library.properties", "name=Dev\nversion=1.0\narchitectures=*\n"),
            ("lib/Dev/include/dev.h", "int dev(void);\n"),
            ("lib/Dev/src/dev.c", "#include <dev.h>\nint dev(void) { return 4; }\n"),
        ],
    );
    side.desk.write("include/platformio.ini", "[env:one]\nplatform = native\nlib_compat_mode = off\n");
    assert_eq!(side.says("include").await, "4\n");
}

/// A header in a folder of one's own that nobody is told of hides no library's.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_out_of_the_way_hides_none() {
    let side = Side::ready();
    side.project(
        "shadow",
        "",
        &[
            ("src/app/main.c", MAIN),
            ("src/app/dev.h", "#error not meant by <dev.h>\n"),
            ("lib/Dev/dev.h", "int dev(void);\n"),
            ("lib/Dev/dev.c", "int dev(void) { return 5; }\n"),
        ],
    );
    assert_eq!(side.says("shadow").await, "5\n");
}

/// PlatformIO copies a library that lies elsewhere; the one that is meant is the one that is edited.
#[tokio::test(flavor = "multi_thread")]
async fn what_platformio_copied_is_not_linked_beside_it() {
    let side = Side::ready();
    let source = |value: u8| format!("int dev(void) {{ return {value}; }}\n");
    side.project(
        "copied",
        "lib_deps = file://ext/Dev\n",
        &[
            ("src/main.c", MAIN),
            ("ext/Dev/dev.h", "int dev(void);\n"),
            ("ext/Dev/dev.c", &source(6)),
            (".pio/libdeps/one/Dev/.piopm", "{}\n"),
            (".pio/libdeps/one/Dev/dev.h", "int dev(void);\n"),
            (".pio/libdeps/one/Dev/dev.c", &source(1)),
        ],
    );
    assert_eq!(side.says("copied").await, "6\n");
}

/// Names of the build system stand in filters and folders as they do in flags, and those that nobody knows are told.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_replaced_in_filters_and_folders() {
    let side = Side::ready();
    side.project(
        "names",
        "build_src_filter = +<*.c> +<${PROJECT_DIR}/other/*.c> +<only_$PIOENV/>\nlib_extra_dirs = $PROJECT_DIR/more\n  $NOWHERE/x\n",
        &[
            ("src/main.c", MAIN),
            ("src/only_one/b.c", "int b(void) { return 2; }\n"),
            ("other/a.c", "int b(void);\nint a(void) { return b() + 6; }\n"),
            ("more/Dev/dev.h", "int dev(void);\n"),
            ("more/Dev/dev.c", "int a(void);\nint dev(void) { return a(); }\n"),
        ],
    );
    assert_eq!(side.says("names").await, "8\n");
    side.desk.run(["build", "names"]).await.mentions(&["platformio.ini:4", "$NOWHERE in lib_extra_dirs"]);
}

/// A folder that a flag names is looked into behind the project's own.
#[tokio::test(flavor = "multi_thread")]
async fn folders_of_flags_come_last() {
    let side = Side::ready();
    side.project(
        "order",
        "build_flags = -Iconf\n",
        &[
            (
                "src/main.c",
                "#include <stdio.h>\n#include <config.h>\nint main() { printf(\"%d\\n\", CFG); }\n",
            ),
            ("conf/config.h", "#define CFG 1\n"),
            ("include/config.h", "#define CFG 2\n"),
        ],
    );
    assert_eq!(side.says("order").await, "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_linker_says_is_told_from_the_project() {
    let side = Side::ready();
    side.project("undefined", "", &[("src/main.c", "void nope(void);\nint main() { nope(); }\n")]);
    let ended = side.desk.run(["build", "undefined"]).await;
    ended.expect(7).mentions(&["src/main.c", "undefined reference to `nope'"]);
    assert!(!ended.stderr.contains("/proc/"), "{}", ended.stderr);
}

/// A library is an archive: of two that define the same the project's own counts, and what nobody asks for is not in the program.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_is_an_archive_unless_it_is_said_otherwise() {
    let side = Side::ready();
    let other = "int other(void) { return 1; }\n";
    let files = [
        ("src/main.c", MAIN),
        ("src/other.c", "int other(void) { return 2; }\n"),
        ("lib/Dev/dev.h", "int dev(void);\n"),
        ("lib/Dev/dev.c", "int other(void);\nint dev(void) { return other(); }\n"),
        ("lib/Dev/other.c", other),
    ];
    side.project("archive", "", &files);
    assert_eq!(side.says("archive").await, "2\n");
    side.project("objects", "lib_archive = no\n", &files);
    side.desk.run(["build", "objects"]).await.expect(7).mentions(&["multiple definition of `other'"]);
}

/// What a project has for itself is nothing to its libraries.
#[tokio::test(flavor = "multi_thread")]
async fn a_library_does_not_look_into_the_projects_folders() {
    let side = Side::ready();
    let source = "int dev(void) {\n#if __has_include(<setup.h>)\nreturn 111;\n#else\nreturn 5;\n#endif\n}\n";
    side.project(
        "own",
        "",
        &[
            ("src/main.c", MAIN),
            ("src/setup.h", ""),
            ("include/setup.h", ""),
            ("lib/Dev/dev.h", "int dev(void);\n"),
            ("lib/Dev/dev.c", source),
        ],
    );
    assert_eq!(side.says("own").await, "5\n");
}
