//! Which new names in a project's folders compile what again: those that a compiler may find first, and no others.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::PathBuf;

use farmhand_compiler::{BuildWish, Built};
use support::{Bench, let_a_tick_pass, sketch_wish, write};

/// A sketch of which one file takes in one that is no header by its name, and another asks whether one is there.
struct Desk {
    bench: Bench,
    folder: PathBuf,
    wish: BuildWish,
}

impl Desk {
    async fn built() -> (Self, Built) {
        let bench = Bench::new(2);
        let folder = bench.sketch("p");
        write(&bench.core().join("variants/flat/table.dat"), "1, 2, 3\n");
        write(&folder.join("src/table.cpp"), "int table[] = {\n#include \"table.dat\"\n};\n");
        let asks = "#if __has_include(\"extra.txt\")\nint extra[] = {7, 7};\n#endif\n";
        write(&folder.join("src/asks.cpp"), asks);
        let desk = Self { wish: sketch_wish(&folder), bench, folder };
        let built = desk.build().await;
        (desk, built)
    }

    async fn build(&self) -> Built {
        let_a_tick_pass(&self.bench.root()).await;
        self.bench.build(&self.wish).await.unwrap()
    }

    /// Adds a file and builds: what is compiled then, by its name.
    async fn with(&self, name: &str) -> (Vec<String>, Built) {
        self.bench.log();
        write(&self.folder.join(name), "int added = 4;\n");
        let built = self.build().await;
        let source = |line: String| {
            let word = line.split(' ').find(|word| word.ends_with(".cpp") || word.ends_with(".c"))?;
            Some(word.rsplit('/').next()?.to_owned())
        };
        let mut compiled: Vec<_> = self.bench.log().into_iter().filter_map(source).collect();
        compiled.sort();
        compiled.dedup();
        (compiled, built)
    }
}

#[tokio::test]
async fn what_nobody_takes_in_compiles_nothing_again() {
    let (desk, before) = Desk::built().await;
    for name in ["notes.md", "src/notes.txt", "build.log", "src/table.cpp~"] {
        let (compiled, built) = desk.with(name).await;
        // Who asks which files there are is told of any.
        assert_eq!(compiled, ["asks.cpp"], "{name}");
        assert_eq!(built.hash, before.hash, "{name}");
    }
    let (compiled, _) = desk.with("src/new.cpp").await;
    assert_eq!(compiled, ["asks.cpp", "new.cpp"]);
}

#[tokio::test]
async fn what_would_be_found_first_is_compiled_with() {
    let (desk, before) = Desk::built().await;
    write(&desk.folder.join("src/table.dat"), "4\n");
    let (compiled, after) = desk.with("notes.md").await;
    assert_eq!(compiled, ["asks.cpp", "table.cpp"]);
    assert_ne!(after.hash, before.hash);
    fs::remove_file(desk.folder.join("src/table.dat")).unwrap();
    let (compiled, again) = desk.with("more.md").await;
    assert_eq!((compiled, again.hash), (vec!["asks.cpp".to_owned()], before.hash));
}

#[tokio::test]
async fn what_is_asked_for_is_seen() {
    let (desk, before) = Desk::built().await;
    let (_, after) = desk.with("src/extra.txt").await;
    assert_ne!(after.hash, before.hash);
    fs::remove_file(desk.folder.join("src/extra.txt")).unwrap();
    assert_eq!(desk.build().await.hash, before.hash);
}

#[tokio::test]
async fn a_header_that_is_new_is_looked_at_by_all() {
    let (desk, before) = Desk::built().await;
    let (compiled, built) = desk.with("new.h").await;
    assert_eq!(compiled, ["asks.cpp", "blink.ino.cpp", "other.cpp", "table.cpp"]);
    assert_eq!(built.hash, before.hash);
}
