//! Nothing to do costs nothing, and stale firmware is never served: one test for each way an input can change.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::Path;

use farmhand_compiler::{BuildWish, unchanged};
use support::{Bench, let_a_tick_pass, sketch_wish, write};

/// A sketch that was built, and is unchanged.
async fn built() -> (Bench, BuildWish) {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let_a_tick_pass(&bench.root()).await;
    let wish = sketch_wish(&folder);
    bench.build(&wish).await.unwrap();
    bench.log();
    assert!(unchanged(&bench.env.paths, &wish).is_some(), "it was built just now");
    (bench, wish)
}

fn source(wish: &BuildWish) -> &Path {
    wish.build_dir.ancestors().nth(2).unwrap()
}

#[tokio::test]
async fn nothing_to_do_runs_nothing() {
    let (bench, wish) = built().await;
    let again = bench.build(&wish).await.unwrap();
    assert!(again.unchanged);
    assert_eq!((again.compiled, again.cached), (0, 0));
    assert_eq!(bench.log(), Vec::<String>::new());
}

/// Makes a change; what is built after it must differ from what was built before, or not, as said.
async fn check(differs: bool, change: impl FnOnce(&Bench, &mut BuildWish)) {
    let (bench, mut wish) = built().await;
    let before = unchanged(&bench.env.paths, &wish).unwrap();
    change(&bench, &mut wish);
    assert_eq!(unchanged(&bench.env.paths, &wish), None, "the change must be seen");
    let after = bench.build(&wish).await.unwrap();
    assert_eq!(after.hash != before.hash, differs);
    assert!(after.artifact.is_file());
}

#[tokio::test]
async fn a_source_changes() {
    check(true, |_, wish| {
        write(&source(wish).join("blink.ino"), "void setup() {}\nvoid loop() {}\n");
    })
    .await;
}

#[tokio::test]
async fn a_file_changes_that_a_flag_of_the_link_names() {
    let (bench, mut wish) = built().await;
    let extra = source(&wish).join("extra.ld");
    write(&extra, "PROVIDE(extra = 1);\n");
    wish.build.link_flags = vec![extra.to_str().unwrap().into()];
    let_a_tick_pass(&bench.root()).await;
    bench.build(&wish).await.unwrap();
    assert!(unchanged(&bench.env.paths, &wish).is_some());
    bench.log();
    write(&extra, "PROVIDE(extra = 2);\n");
    assert_eq!(unchanged(&bench.env.paths, &wish), None, "the change must be seen");
    bench.build(&wish).await.unwrap();
    assert!(bench.log().iter().any(|line| line.contains("extra.ld")), "and the program linked again");
}

#[tokio::test]
async fn a_header_changes_that_is_included() {
    check(true, |_, wish| write(&source(wish).join("config.h"), "#define PERIOD 2\n")).await;
}

#[tokio::test]
async fn a_file_is_new() {
    check(true, |_, wish| write(&source(wish).join("new.cpp"), "int x[] = {1, 2, 3};\n")).await;
}

#[tokio::test]
async fn a_file_is_new_in_a_folder_that_is_new() {
    check(true, |_, wish| write(&source(wish).join("src/deep/new.c"), "int x[] = {1, 2, 3};\n")).await;
}

#[tokio::test]
async fn a_file_is_gone() {
    check(true, |_, wish| fs::remove_file(source(wish).join("other.cpp")).unwrap()).await;
}

#[tokio::test]
async fn a_header_is_new_that_is_found_first() {
    // The core includes "pins.h" of its variant; one in its own folder is found before it.
    check(true, |bench, _| write(&bench.core().join("cores/toy/pins.h"), "#define PIN 7\n")).await;
}

#[tokio::test]
async fn a_file_of_the_core_changes() {
    check(true, |bench, _| write(&bench.core().join("variants/flat/pins.h"), "#define PIN 14\n")).await;
}

#[tokio::test]
async fn a_board_changes() {
    check(true, |bench, _| {
        let path = bench.core().join("boards.txt");
        let text = fs::read_to_string(&path).unwrap().replace("toy.build.toy=1", "toy.build.toy=2");
        fs::write(path, text).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_platform_gets_a_local_file() {
    check(true, |bench, _| {
        write(&bench.core().join("platform.local.txt"), "build.extra_flags=-DPERIOD=9 -include stdint.h\n");
        write(&bench.core().join("variants/flat/pins.h"), "#define PIN 15\n");
    })
    .await;
}

#[tokio::test]
async fn flags_change() {
    check(true, |_, wish| wish.build.flags.extend(["-UTOY".into(), "-DTOY=5".into()])).await;
}

#[tokio::test]
async fn the_tool_is_replaced() {
    check(false, |bench, _| bench.tool("g++", "exec g++ \"$@\" # another")).await;
}

#[tokio::test]
async fn the_toolchain_gets_another_version() {
    check(false, |bench, _| {
        let package = bench.package("avr-gcc");
        fs::create_dir(package.join("1.0.1")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_changes_within_a_tick_and_keeps_its_size() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let wish = sketch_wish(&folder);
    // Written, built and written again as fast as can be, with the same times put back where the system lets us.
    for round in 0..5 {
        let path = folder.join("config.h");
        write(&path, &format!("#define PERIOD {round}\n"));
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        let before = bench.build(&wish).await.unwrap();
        write(&path, &format!("#define PERIOD {}\n", round + 1));
        fs::File::options().append(true).open(&path).unwrap().set_modified(times).unwrap();
        assert_eq!(unchanged(&bench.env.paths, &wish), None, "round {round}");
        let after = bench.build(&wish).await.unwrap();
        assert_ne!(after.hash, before.hash, "round {round}");
    }
}

#[tokio::test]
async fn the_artifact_is_gone_or_changed() {
    check(false, |bench, wish| {
        fs::remove_file(unchanged(&bench.env.paths, wish).unwrap().artifact).unwrap();
    })
    .await;
    check(false, |bench, wish| {
        let artifact = unchanged(&bench.env.paths, wish).unwrap().artifact;
        fs::remove_file(&artifact).unwrap();
        fs::write(&artifact, ":00000001FF\n").unwrap();
    })
    .await;
    check(false, |_, wish| fs::remove_file(wish.build_dir.join("blink.ino.elf")).unwrap()).await;
}

#[tokio::test]
async fn the_fingerprint_is_damaged() {
    check(false, |_, wish| {
        let path = wish.build_dir.join("fingerprint");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(path, bytes).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_touch_is_no_change() {
    let (bench, wish) = built().await;
    let path = source(&wish).join("config.h");
    let text = fs::read(&path).unwrap();
    fs::write(&path, text).unwrap();
    assert!(unchanged(&bench.env.paths, &wish).is_some());
    write(&source(&wish).join(".hidden"), "no source");
    assert!(unchanged(&bench.env.paths, &wish).is_some());
}

#[tokio::test]
async fn another_wish_is_another_build() {
    let (bench, wish) = built().await;
    let other = BuildWish { board: "arduino:avr:tiny".into(), ..wish.clone() };
    assert_eq!(unchanged(&bench.env.paths, &other), None);
    let home = farmhand_runtime::Paths::new(bench.root().join("other home"));
    assert_eq!(unchanged(&home, &wish), None, "its artifact is in another farm");
    assert!(unchanged(&bench.env.paths, &wish).is_some());
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_compiled_is_not_taken_for_what_was_compiled() {
    let bench = Bench::new(2);
    let folder = bench.sketch("p");
    let_a_tick_pass(&bench.root()).await;
    // The compiler has read the header when it changes.
    let edit = format!(
        "g++ \"$@\"\ncase \"$*\" in *other.cpp*) echo '#define PERIOD 9' > {}/config.h ;; esac",
        folder.display()
    );
    bench.tool("g++", &edit);
    let wish = sketch_wish(&folder);
    bench.build(&wish).await.unwrap();
    assert_eq!(unchanged(&bench.env.paths, &wish), None);
    bench.tool("g++", "exec g++ \"$@\"");
    let after = bench.build(&wish).await.unwrap();
    let elsewhere = bench.sketch("q");
    write(&elsewhere.join("config.h"), "#define PERIOD 9\n");
    let fresh = bench.build(&sketch_wish(&elsewhere)).await.unwrap();
    assert_eq!(after.hash, fresh.hash);
}
