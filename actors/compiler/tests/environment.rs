//! Environments of PlatformIO projects, built with this machine's own compiler.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use farmhand_api::{Problem, ProblemClass};
use farmhand_compiler::{BuildError, BuildWish, UsedLibrary, planned, unchanged};
use farmhand_records::v1::{EnvironmentSource, LIB_ARCHIVE, LIB_COMPAT, LibraryMode, LibraryWish, Source};
use support::{Bench, let_a_tick_pass, wish, write};

const MAIN: &str = "#include <Arduino.h>\nvoid setup() {}\nvoid loop() {}\n";

/// A project of the toy's, with a main file.
struct Project {
    bench: Bench,
    folder: PathBuf,
    of: EnvironmentSource,
    board: &'static str,
}

impl Project {
    fn new() -> Self {
        let bench = Bench::new(2);
        let folder = bench.root().join("project");
        write(&folder.join("src/main.cpp"), MAIN);
        let path = |below: &str| folder.join(below).display().to_string();
        let of = EnvironmentSource {
            folder: folder.display().to_string(),
            name: "toy".into(),
            sources: path("src"),
            include: path("include"),
            filter: "+<*>".into(),
            arduino: true,
            unlisted: false,
            board: vec![],
            flags: vec![],
            own_flags: vec![],
            unflags: vec![],
            libraries: LibraryWish {
                mode: LibraryMode::Chain,
                folders: vec![path("lib"), path("extra")],
                ignore: vec![],
                needed: vec![],
            },
        };
        Self { bench, folder, of, board: "arduino:avr:toy" }
    }

    fn with(self, file: &str, text: &str) -> Self {
        write(&self.folder.join(file), text);
        self
    }

    fn wish(&self) -> BuildWish {
        let wish =
            wish(Source::Environment(Box::new(self.of.clone())), self.folder.join(".farmhand/build/toy"));
        BuildWish { board: self.board.into(), ..wish }
    }

    /// The command lines by which files were compiled, and the link's, in the order of their names.
    async fn commands(&self) -> Vec<String> {
        self.bench.log();
        self.bench.build(&self.wish()).await.unwrap();
        let mut log = self.bench.log();
        log.sort();
        log
    }

    async fn compiled(&self) -> Vec<String> {
        let file = |line: &String| {
            let name = line.split_whitespace().find(|word| word.ends_with(".cpp") || word.ends_with(".c"))?;
            Some(Path::new(name).file_name().unwrap().to_string_lossy().into_owned())
        };
        let mut files: Vec<_> =
            self.commands().await.iter().filter(|line| line.contains(" -c ")).filter_map(file).collect();
        files.sort();
        files
    }

    async fn used(&self) -> Result<Vec<UsedLibrary>, BuildError> {
        Ok(planned(&self.bench.env.paths, &*self.bench.env.packages, &self.wish()).await?.libraries)
    }

    async fn names(&self) -> String {
        let names: Vec<_> = self.used().await.unwrap().into_iter().map(|library| library.name).collect();
        names.join(" ")
    }
}

/// `main.cpp` that includes these.
fn main_with(headers: &[&str]) -> String {
    headers.iter().map(|header| format!("#include <{header}>\n")).collect::<String>() + MAIN
}

#[tokio::test]
async fn flags_reach_whom_they_are_for() {
    let mut project =
        Project::new().with("src/own.c", "int own;\n").with("lib/L/L.h", "").with("lib/L/L.cpp", "");
    write(&project.folder.join("src/main.cpp"), &main_with(&["L.h"]));
    project.of.flags = vec!["-D ALL -D GONE=1 -std=gnu++14 -std=gnu99".into(), "-Wl,--no-relax -g".into()];
    project.of.own_flags = vec!["-DOWN".into()];
    project.of.unflags = vec!["-O1 -D GONE -g".into()];
    let log = project.commands().await;
    let line = |file: &str| log.iter().find(|line| line.contains(file)).unwrap().clone();
    let has = |file: &str, words: &[&str], not: &[&str]| {
        let line = line(file);
        let there = |word: &&&str| line.split_whitespace().any(|given| given == **word);
        assert_eq!(words.iter().filter(|word| !there(word)).count(), 0, "{words:?} in {line}");
        assert_eq!(not.iter().filter(there).count(), 0, "none of {not:?} in {line}");
    };
    has(
        "src/main.cpp",
        &["-DALL", "-DOWN", "-std=gnu++14", "-DPLATFORMIO=60200"],
        &["-std=gnu99", "-O1", "-DGONE=1", "-g"],
    );
    has("src/own.c", &["-DALL", "-DOWN", "-std=gnu99"], &["-std=gnu++14"]);
    has("lib/L/L.cpp", &["-DALL"], &["-DOWN", "-O1"]);
    has("ticks.c", &["-DALL", "-std=gnu99"], &["-DOWN", "-O1"]);
    has("-nostdlib", &["-Wl,--no-relax"], &["-DALL"]);
}

#[tokio::test]
async fn what_the_filter_keeps_is_compiled() {
    let mut project = Project::new()
        .with("src/a.cpp", "")
        .with("src/test/b.cpp", "")
        .with("src/test/keep.cpp", "")
        .with("shared/c.cpp", "")
        .with("shared/d.c", "");
    project.of.filter = "+<*> -<test/> +<test/keep.cpp> +<../shared/*.cpp>".into();
    assert_eq!(project.compiled().await, ["a.cpp", "c.cpp", "keep.cpp", "main.cpp", "main.cpp", "ticks.c"]);
    let_a_tick_pass(&project.bench.root()).await;
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_some());
    write(&project.folder.join("shared/e.cpp"), "");
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_none(), "a file that is new out there");
    assert!(project.compiled().await.contains(&"e.cpp".to_owned()));
    project.of.filter = "-<*>".into();
    let error = project.bench.build(&project.wish()).await.unwrap_err();
    assert_eq!(Problem::from(error).code, "F403");
}

#[tokio::test]
async fn libraries_of_libraries_until_nothing_new_is_found() {
    let project = Project::new()
        .with("src/main.cpp", &main_with(&["A.h"]))
        .with("lib/A/src/A.h", "#pragma once\n#include \"inner.h\"\n")
        .with("lib/A/src/inner.h", "#include <B.h>\n")
        .with("lib/A/src/A.cpp", "")
        .with("lib/A/examples/x.cpp", "nothing that compiles")
        .with("extra/B/B.h", "#pragma once\n#include <Dep.h>\n#include <A.h>\n")
        .with("extra/B/deep/b.cpp", "")
        .with("extra/B/tests/t.cpp", "nothing that compiles")
        .with("extra/Unused/Unused.h", "")
        .with("extra/Unused/u.cpp", "nothing that compiles");
    let used = project.used().await.unwrap();
    let because = |name: &str| used.iter().find(|library| library.name == name).unwrap().because.clone();
    assert_eq!(project.names().await, "A B Dep");
    assert!(because("A").ends_with("src/main.cpp includes A.h"), "{}", because("A"));
    assert!(because("B").ends_with("lib/A/src/inner.h includes B.h"), "{}", because("B"));
    assert!(because("Dep").ends_with("extra/B/B.h includes Dep.h"), "{}", because("Dep"));
    assert_eq!(
        project.compiled().await,
        ["A.cpp", "Dep.cpp", "b.cpp", "main.cpp", "main.cpp", "ticks.c"],
        "neither examples nor tests"
    );
}

#[tokio::test]
async fn the_first_shelf_hides_the_others_and_what_is_ignored_is_not_there() {
    let mut project = Project::new()
        .with("src/main.cpp", &main_with(&["Dep.h"]))
        .with("lib/Dep/Dep.h", "")
        .with("lib/Dep/mine.c", "int mine;\n")
        .with("extra/Other/Dep.h", "")
        .with("extra/Other/other.c", "int other;\n");
    let folder = |used: Vec<UsedLibrary>| used.into_iter().next().map(|library| library.folder);
    assert_eq!(folder(project.used().await.unwrap()), Some(project.folder.join("lib/Dep")));
    project.of.libraries.ignore = vec!["dep".into()];
    assert_eq!(folder(project.used().await.unwrap()), Some(project.folder.join("extra/Other")));
    project.of.libraries.ignore = vec!["Dep".into(), "Other".into()];
    assert_eq!(folder(project.used().await.unwrap()), None);
}

#[tokio::test]
async fn a_library_says_where_its_sources_are_and_what_it_needs() {
    let mut project = Project::new()
        .with("src/main.cpp", &main_with(&["m.h"]))
        .with(
            "lib/Mine/library.json",
            r#"{"name": "My Lib", "version": "2.1", "dependencies": {"o/Dep": "*", "nowhere": "^1"},
                "build": {"srcDir": "code", "includeDir": "inc", "srcFilter": "+<*.c> -<no.c>", "flags": ["-DMINE"]}}"#,
        )
        .with("lib/Mine/inc/m.h", "")
        .with("lib/Mine/code/yes.c", "#ifndef MINE\n#error no flag\n#endif\nint yes;\n")
        .with("lib/Mine/code/no.c", "nothing that compiles")
        .with("extra/Flat/library.properties", "name=Flat\nversion=1.0\n")
        .with("extra/Flat/Flat.h", "")
        .with("extra/Flat/utility/u.c", "int u;\n")
        .with("extra/Flat/deeper/no.c", "nothing that compiles");
    assert_eq!(project.names().await, "Mine Dep");
    assert_eq!(project.compiled().await, ["Dep.cpp", "main.cpp", "main.cpp", "ticks.c", "yes.c"]);
    project.of.libraries.needed = vec!["my-lib@^2".into(), "Flat".into()];
    assert_eq!(project.names().await, "Mine Dep Flat");
    assert!(project.compiled().await.contains(&"u.c".to_owned()));
    write(&project.folder.join("lib/Mine/library.json"), "{\n\"name\" 1}");
    let problem = Problem::from(project.used().await.unwrap_err());
    assert_eq!(problem.code, "F452");
    assert!(problem.message.contains("lib/Mine/library.json: line 2"), "{}", problem.message);
}

#[tokio::test]
async fn what_is_needed_and_is_nowhere_is_named() {
    let mut project = Project::new()
        .with("extra/Lib/library.json", r#"{"name": "Lib", "version": "1.2.3"}"#)
        .with("extra/FromGit/library.json", r#"{"name": "Called Otherwise"}"#)
        .with("extra/FromGit/.piopm", r#"{"spec": {"uri": "git+https://example.org/a/repository.git#v1"}}"#)
        .with("aside/Near/near.c", "int near;\n");
    let near = format!("file://{}", project.folder.join("aside/Near").display());
    for (needed, found) in [
        ("Lib", Ok("Lib")),
        ("somebody/Lib@^1.2", Ok("Lib")),
        ("Lib@1.2.4", Err("there is no library \"Lib@1.2.4\": 1.2.3 is there, and will not do")),
        ("None@^1", Err("there is no library \"None@^1\"")),
        ("https://example.org/a/repository.git", Ok("FromGit")),
        ("https://example.org/a/other.git", Err("there is no library \"https://example.org/a/other.git\"")),
        (&near, Ok("Near")),
        ("file:///nowhere/at/all", Err("there is no library \"file:///nowhere/at/all\"")),
    ] {
        project.of.libraries.needed = vec![needed.into()];
        let used = project.used().await.map(|used| used.into_iter().map(|it| it.name).collect::<String>());
        let used = used.map_err(|error| {
            let problem = Problem::from(error);
            assert_eq!((problem.class, problem.code.as_str()), (ProblemClass::Package, "F451"));
            let place = if needed.starts_with("file:") { "begins at" } else { "/extra" };
            assert!(problem.help.iter().any(|help| help.contains(place)), "{problem:?}");
            problem.message
        });
        assert_eq!(used.as_deref().map_err(String::as_str), found, "{needed}");
    }
}

#[tokio::test]
async fn a_library_for_another_framework_is_left_out() {
    let json = |framework: &str| format!("{{\"version\": \"1.0.0\", \"frameworks\": \"{framework}\"}}");
    let mut project = Project::new()
        .with("src/main.cpp", "#include <Arduino.h>\n#include <Shared.h>\nvoid setup() {}\nvoid loop() {}\n")
        .with("lib/First/library.json", &json("espidf"))
        .with("lib/First/Shared.h", "")
        .with("lib/First/first.c", "int first;\n")
        .with("lib/Second/library.json", &json("arduino, espidf"))
        .with("lib/Second/Shared.h", "")
        .with("lib/Second/second.c", "int second;\n");
    assert_eq!(project.names().await, "Second");
    // That it is needed is no error: another environment of the project may mean it.
    project.of.libraries.needed = vec!["First@^1".into()];
    assert_eq!(project.names().await, "Second");
    project.of.board.push((LIB_COMPAT.into(), "off".into()));
    assert_eq!(project.names().await, "First");
    write(&project.folder.join("lib/First/library.json"), &json("arduino"));
    project.of.board.retain(|(key, _)| key != LIB_COMPAT);
    assert_eq!(project.names().await, "First");
}

#[tokio::test]
async fn each_mode_looks_as_far_as_it_says() {
    let mut project = Project::new()
        .with("include/config.h", "#define USE_A\n")
        .with(
            "src/main.cpp",
            "#include \"config.h\"\n#ifdef USE_A\n#include <A.h>\n#else\n#include <B.h>\n#endif\n#if FLAG > 1\n#include <C.h>\n#endif\n\
             #include <Arduino.h>\nvoid setup() {}\nvoid loop() {}\n",
        )
        .with("lib/A/A.h", "")
        .with("lib/A/hidden.c", "#include <Hidden.h>\n")
        .with("lib/B/B.h", "")
        .with("lib/C/C.h", "")
        .with("lib/Hidden/Hidden.h", "")
        .with("lib/Needed/Needed.h", "");
    project.of.flags = vec!["-DFLAG=1".into()];
    for (mode, expect) in [
        (LibraryMode::Off, ""),
        (LibraryMode::Chain, "A B C Hidden"),
        (LibraryMode::ChainPlus, "A Hidden"),
        (LibraryMode::Deep, "A B C Hidden"),
        (LibraryMode::DeepPlus, "A Hidden"),
    ] {
        project.of.libraries.mode = mode;
        assert_eq!(project.names().await, expect, "{mode:?}");
    }
    project.of.flags = vec!["-DFLAG=2".into()];
    project.of.libraries.mode = LibraryMode::ChainPlus;
    assert_eq!(project.names().await, "A C Hidden");
    project.of.libraries.mode = LibraryMode::Off;
    project.of.libraries.needed = vec!["Needed".into()];
    assert_eq!(project.names().await, "Needed");
}

#[tokio::test]
async fn headers_that_include_each_other_end() {
    let all = "#include \"a.h\"\n#include \"b.h\"\n#include \"c.h\"\n";
    let mut project = Project::new()
        .with("src/main.cpp", &format!("{all}{}", main_with(&["Last.h"])))
        .with("src/a.h", &format!("#pragma once\n{all}#include <A.h>\n"))
        .with("src/b.h", &format!("#ifndef __B__\n#define __B__\n{all}#include <B.h>\n#endif\n"))
        .with("src/c.h", &format!("#pragma once\n{all}"))
        .with("lib/A/A.h", "")
        .with("lib/B/B.h", "")
        .with("lib/Last/Last.h", "");
    project.of.libraries.mode = LibraryMode::ChainPlus;
    assert_eq!(project.names().await, "B A Last");
    // With no guards at all they have no end: what they name counts all the same.
    for header in ["a.h", "b.h", "c.h"] {
        write(
            &project.folder.join("src").join(header),
            &format!("{all}#include <{}>\n", header.to_uppercase()),
        );
    }
    write(&project.folder.join("lib/A/A.H"), "");
    let names = project.names().await;
    assert!(names.contains("Last"), "{names}");
}

#[tokio::test]
async fn what_a_core_defines_is_known() {
    let mut project = Project::new()
        .with(
            "src/main.cpp",
            &format!("#if TOY == 1\n#include <A.h>\n#endif\n#ifdef NOTHING\n#include <B.h>\n#endif\n{MAIN}"),
        )
        .with("lib/A/A.h", "")
        .with("lib/B/B.h", "");
    project.of.libraries.mode = LibraryMode::ChainPlus;
    assert_eq!(project.names().await, "A");
}

#[tokio::test]
async fn two_of_one_name_are_two() {
    let mut project = Project::new()
        .with("src/main.cpp", &main_with(&["One.h"]))
        .with("lib/Same/One.h", "")
        .with("lib/Same/same.c", "int one;\n")
        .with("aside/Same/Two.h", "")
        .with("aside/Same/same.c", "int two;\n")
        .with("common/x.c", "int outside;\n")
        .with("src/common/x.c", "int inside;\n");
    project.of.filter = "+<*> +<../common/*.c>".into();
    project.of.libraries.needed = vec![format!("file://{}", project.folder.join("aside/Same").display())];
    assert_eq!(project.names().await, "Same Same");
    let log = project.commands().await;
    let objects: Vec<_> = log
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|word| word.ends_with("same.c.o"))
        .collect();
    let different: std::collections::BTreeSet<_> = objects.iter().collect();
    assert_eq!(different.len(), 2, "{objects:?}");
    assert_eq!(
        log.iter().filter(|line| line.contains(" -c ") && line.contains("x.c ")).count(),
        2,
        "{log:#?}"
    );
}

#[tokio::test]
async fn a_header_that_is_new_is_found_by_a_library_too() {
    let said = "#if __has_include(\"lib_conf.h\")\n#include \"lib_conf.h\"\n#endif\n#ifndef LEVEL\n#define LEVEL 1\n#endif\nint level = LEVEL;\n";
    let mut project = Project::new()
        .with("src/main.cpp", &main_with(&["L.h"]))
        .with("lib/L/L.h", "")
        .with("lib/L/l.c", said)
        .with("lib/M/M.h", "#define LEVEL 3\n");
    // Nobody asks for its level: of an archive it would be left out.
    project.of.board.push((LIB_ARCHIVE.into(), "no".into()));
    let_a_tick_pass(&project.bench.root()).await;
    let first = project.bench.build(&project.wish()).await.unwrap();
    let_a_tick_pass(&project.bench.root()).await;
    // There was no such folder.
    write(&project.folder.join("include/other.h"), "");
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_none());
    assert_eq!(project.bench.build(&project.wish()).await.unwrap().hash, first.hash);
    let_a_tick_pass(&project.bench.root()).await;
    write(&project.folder.join("include/lib_conf.h"), "#define LEVEL 2\n");
    let second = project.bench.build(&project.wish()).await.unwrap();
    assert_eq!(first.hash, second.hash, "a library does not look there");
    fs::remove_file(project.folder.join("include/lib_conf.h")).unwrap();
    assert_eq!(project.bench.build(&project.wish()).await.unwrap().hash, first.hash);
    let_a_tick_pass(&project.bench.root()).await;
    write(&project.folder.join("lib/L/lib_conf.h"), "#define LEVEL 4\n");
    let beside = project.bench.build(&project.wish()).await.unwrap();
    assert_ne!(beside.hash, first.hash, "it says 4, beside the library's source");
    // The same library in another project, which has none of that.
    project.folder = project.bench.root().join("other");
    for (file, text) in [
        ("src/main.cpp", main_with(&["L.h"])),
        ("lib/L/L.h", String::new()),
        ("include/other.h", String::new()),
        ("lib/L/l.c", said.into()),
    ] {
        write(&project.folder.join(file), &text);
    }
    let path = |below: &str| project.folder.join(below).display().to_string();
    project.of.folder = project.folder.display().to_string();
    (project.of.sources, project.of.include) = (path("src"), path("include"));
    project.of.libraries.folders = vec![path("lib")];
    let third = project.bench.build(&project.wish()).await.unwrap();
    assert_eq!(third.hash, first.hash, "it says 1, as the first did");
}

#[tokio::test]
async fn a_librarys_flags_are_cut_and_told_from_its_folder() {
    let project = Project::new()
        .with("src/main.cpp", &main_with(&["F.h"]))
        .with("lib/F/F.h", "")
        .with("lib/F/more/in_more.h", "")
        .with("lib/F/f.c", "#include <in_more.h>\n#if A != 1 || B != 2\n#error flags\n#endif\nint f;\n")
        .with(
            "lib/F/library.json",
            r#"{"name": "F", "build": {"flags": ["-D A=1 -DB=2", "-I more", "-Wl,--no-relax"]}}"#,
        );
    let log = project.commands().await;
    let link = log.iter().find(|line| line.contains("-nostdlib")).unwrap();
    assert!(link.contains("-Wl,--no-relax") && !link.contains("-DA=1"), "{link}");
    let own = log.iter().find(|line| line.contains("src/main.cpp")).unwrap();
    assert!(!own.contains("-DA=1") && !own.contains("--no-relax"), "{own}");
}

#[tokio::test]
async fn a_library_that_is_linked_is_an_input() {
    let mut project = Project::new().with("src/main.cpp", "extern \"C\" int given();\nint value = 0;\n#include <Arduino.h>\nvoid setup() { value = given(); }\nvoid loop() {}\n");
    let archive = |value: u32| {
        let (source, object) = (project.bench.root().join("given.c"), project.bench.root().join("given.o"));
        write(&source, &format!("int given() {{ return {value}; }}\n"));
        let path = project.folder.join("prebuilt/libgiven.a");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _not_there = fs::remove_file(&path);
        assert!(
            Command::new("gcc").arg("-c").arg(&source).arg("-o").arg(&object).status().unwrap().success()
        );
        assert!(Command::new("ar").arg("rcs").arg(&path).arg(&object).status().unwrap().success());
    };
    archive(1);
    project.of.flags = vec!["-Lprebuilt -lgiven".into()];
    let first = project.bench.build(&project.wish()).await.unwrap();
    let_a_tick_pass(&project.bench.root()).await;
    archive(2);
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_none());
    assert_ne!(project.bench.build(&project.wish()).await.unwrap().hash, first.hash);
}

#[tokio::test]
async fn a_new_library_is_seen() {
    let project = Project::new().with("src/main.cpp", &main_with(&["New.h"])).with("include/New.h", "");
    project.bench.build(&project.wish()).await.unwrap();
    let_a_tick_pass(&project.bench.root()).await;
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_some());
    fs::remove_file(project.folder.join("include/New.h")).unwrap();
    assert!(unchanged(&project.bench.env.paths, &project.wish()).is_none());
    let error = project.bench.build(&project.wish()).await.unwrap_err();
    assert_eq!(Problem::from(error).code, "F406");
    write(&project.folder.join("lib/New/New.h"), "");
    project.bench.build(&project.wish()).await.unwrap();
    assert_eq!(project.names().await, "New");
}

#[tokio::test]
async fn a_sketch_in_src_and_a_board_that_its_core_does_not_list() {
    let mut project = Project::new()
        .with("src/one.ino", "void setup() { later(); }\nvoid loop() {}\nvoid later() {}\n")
        .with("include/config.h", "")
        .with("src/two.ino", "#include \"config.h\"\n");
    fs::remove_file(project.folder.join("src/main.cpp")).unwrap();
    project.board = "arduino:avr:mine";
    let error = project.bench.build(&project.wish()).await.unwrap_err();
    assert_eq!(Problem::from(error).code, "F402");
    project.of.unlisted = true;
    let set = [
        ("build.core", "toy"),
        ("build.variant", "flat"),
        ("build.toy", "7"),
        ("upload.maximum_size", "3000"),
    ];
    project.of.board = set.map(|(key, value)| (key.into(), value.into())).to_vec();
    let built = project.bench.build(&project.wish()).await.unwrap();
    assert_eq!(built.sizes.image_bytes_max, 3000);
    assert!(project.bench.log().iter().any(|line| line.contains("-DTOY=7")));
}

#[tokio::test]
async fn for_this_machine() {
    let mut project = Project::new()
        .with("src/main.cpp", "#include <Say.h>\n#include <cstdio>\nint main() { std::puts(say()); }\n")
        .with("lib/Say/Say.h", "extern \"C\" const char *say();\n")
        .with("lib/Say/say.c", "const char *say() { return WORD; }\n");
    project.of.arduino = false;
    project.of.flags = vec![r#"-D WORD=\"hello\""#.into()];
    project.board = "native";
    let built = project.bench.build(&project.wish()).await.unwrap();
    let program = project.bench.root().join("program");
    fs::copy(&built.artifact, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Command::new(program).output().unwrap().stdout, b"hello\n");
    assert_eq!((built.compiled, built.cached), (2, 0));
    project.of.flags = vec!["!date".into()];
    let problem = Problem::from(project.bench.build(&project.wish()).await.unwrap_err());
    assert_eq!(problem.code, "F450");
    assert!(problem.message.contains("write what it prints"), "{}", problem.message);
}
