//! Sequences of edits, at random, of a project of PlatformIO's with libraries that need each other: each followed by a build
//! beside all that was built before, and by one that knows nothing.
//!
//! `FARMHAND_EDITS` says how many sequences, `FARMHAND_EDITS_SEED` the first one's seed; a failure names its own.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../actors/compiler/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand::config::{Config, Project, Sources};
use farmhand::protocol::Goal;
use farmhand_compiler::BuildWish;
use support::edited::{Dice, check, made, run, set_modified, turned, upgrade};
use support::{Bench, write};

const SEQUENCES: u64 = 30;
const EDITS: usize = 3;

/// A main file that needs a library, which needs a library, which needs a library; and one that only a flag asks for.
const FILES: [(&str, &str); 14] = [
    (
        "src/main.cpp",
        "#include <Arduino.h>\n#include <Top.h>\n#include \"config.h\"\nvoid setup() {}\nvoid loop() { top(); }\nint own = CONFIG + 1;\n",
    ),
    (
        "src/uses.cpp",
        "#include \"config.h\"\n#ifdef WITH_MORE\n#include <More.h>\nint uses() { return more(); }\n#endif\nint used = 1;\n",
    ),
    ("src/extra.cpp", "int extra = 1;\n"),
    ("include/config.h", "#pragma once\n#ifndef FLAG\n#define FLAG 0\n#endif\n#define CONFIG (FLAG + 1)\n"),
    ("lib/Top/Top.h", "#pragma once\nint top();\n#define TOP 1\n"),
    ("lib/Top/Top.cpp", "#include \"Top.h\"\n#include <Mid.h>\nint top() { return mid() + TOP + MID; }\n"),
    ("lib/Mid/src/Mid.h", "#pragma once\n#include <Low.h>\nint mid();\n#define MID (LOW + 1)\n"),
    ("lib/Mid/src/Mid.cpp", "#include \"Mid.h\"\nint mid() { return LOW + 1; }\n"),
    ("lib/Low/src/Low.h", "#pragma once\n#include \"deep/lower.h\"\n#define LOW (LOWER + 1)\n"),
    (
        "lib/Low/src/deep/lower.h",
        "#pragma once\n#ifndef UPGRADE\n#define UPGRADE 0\n#endif\n#ifndef FROM_LOW\n#define FROM_LOW 0\n#endif\n#define LOWER (UPGRADE + FROM_LOW + 1)\n",
    ),
    ("lib/Low/src/low.c", "#include \"Low.h\"\nint low = LOW;\n"),
    ("lib/More/More.h", "#pragma once\nint more();\n"),
    ("lib/More/More.cpp", "#include \"More.h\"\nint more() { return 1; }\n"),
    ("shelf/Near/Near.h", "#pragma once\n#define NEAR 1\n"),
];

/// Lines of `platformio.ini` that come, change and go: a key, and what it may be.
const OPTIONS: [(&str, &[&str]); 10] = [
    ("build_flags", &["-DFLAG=1", "-DFLAG=2 -O2", "-DWITH_MORE", "-DWITH_MORE -DFLAG=3"]),
    ("build_unflags", &["-O1", "-g", "-DFLAG=1"]),
    ("build_src_flags", &["-DOWN=1", "-DFLAG=7", "-Wextra"]),
    ("build_src_filter", &["+<*> -<extra.cpp>", "+<main.cpp> +<uses.cpp>", "+<*>", "+<*> +<../more/>"]),
    ("lib_ldf_mode", &["off", "chain", "deep", "chain+", "deep+"]),
    ("lib_ignore", &["More", "Mid", "Nothing"]),
    ("lib_extra_dirs", &["shelf"]),
    ("lib_deps", &["Near", "More", "Top"]),
    ("build_type", &["debug", "release"]),
    ("lib_archive", &["yes", "no"]),
];

/// What a library may say of itself.
const MANIFESTS: [(&str, &[&str]); 3] = [
    (
        "lib/Low/library.json",
        &[
            r#"{"name": "Low", "version": "1.0.0", "build": {"flags": "-DFROM_LOW=1"}}"#,
            r#"{"name": "Low", "version": "1.0.0", "build": {"flags": "-DFROM_LOW=2"}}"#,
            r#"{"name": "Low", "version": "1.0.0", "build": {"srcFilter": "-<low.c>"}}"#,
        ],
    ),
    (
        "lib/Top/library.json",
        &[
            r#"{"name": "Top", "version": "1.0.0", "dependencies": {"More": "*"}}"#,
            r#"{"name": "Top", "version": "1.0.0", "build": {"flags": "-DTOPPED"}}"#,
        ],
    ),
    (
        "lib/Mid/library.properties",
        &["name=Mid\nversion=1.0.0\n", "name=Mid\nversion=1.0.1\nincludes=Mid.h\n"],
    ),
];

struct World {
    bench: Bench,
    folder: PathBuf,
    options: [Option<&'static str>; OPTIONS.len()],
    dice: Dice,
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::new(2);
        let boards = bench.core().join("boards.txt");
        let text = fs::read_to_string(&boards).unwrap();
        fs::write(&boards, text.replace("tiny.", "uno.").replace("maximum_size=10\n", "maximum_size=4000\n"))
            .unwrap();
        let folder = bench.root().join("p/blink");
        for (name, text) in FILES {
            write(&folder.join(name), text);
        }
        let world = Self { bench, folder, options: [None; OPTIONS.len()], dice: Dice(seed) };
        world.write_ini();
        world
    }

    fn write_ini(&self) {
        // All of a library is linked, asked for or not: what is stale in it is seen.
        let mut text =
            "[env]\nlib_archive = no\n[env:one]\nplatform = atmelavr\nboard = uno\nframework = arduino\n"
                .to_owned();
        for ((key, _), value) in OPTIONS.iter().zip(self.options) {
            text.extend(value.map(|value| format!("{key} = {value}\n")));
        }
        write(&self.folder.join("platformio.ini"), &text);
    }

    /// As the command line reads it.
    fn wish(&self) -> BuildWish {
        let project = Project { folder: self.folder.clone(), artifact: None };
        let sources = Sources { project: Some(self.folder.clone()), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        BuildWish::of(&config.job(&project, Goal::Build).unwrap())
    }

    /// A file that is there, and that is not the project's settings.
    fn any_file(&mut self) -> PathBuf {
        let mut files: Vec<_> = FILES.iter().map(|(name, _)| self.folder.join(name)).collect();
        files.push(self.bench.core().join("cores/toy/ticks.c"));
        files.push(self.bench.core().join("variants/flat/pins.h"));
        files.retain(|file| file.exists());
        let at = self.dice.below(files.len());
        files.swap_remove(at)
    }

    /// A file with a digit, and its text with another one.
    fn turn(&mut self) -> (PathBuf, String) {
        loop {
            let file = self.any_file();
            let text = fs::read_to_string(&file).unwrap();
            if text.contains(|c: char| c.is_ascii_digit()) {
                let digit = self.dice.digit();
                return (file, turned(&text, digit));
            }
        }
    }

    /// One edit; says which.
    fn edit(&mut self) -> String {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        match self.dice.below(16) {
            0..=4 => self.option(),
            5 | 6 => {
                let (file, texts) = MANIFESTS[self.dice.below(MANIFESTS.len())];
                let path = self.folder.join(file);
                if path.exists() && self.dice.below(3) == 0 {
                    fs::remove_file(&path).unwrap();
                    return format!("{file} goes");
                }
                let at = self.dice.below(texts.len());
                write(&path, texts[at]);
                format!("{file}: {at}")
            }
            7 => {
                let file = self.any_file();
                set_modified(&file, SystemTime::now());
                format!("touch {}", name(&file))
            }
            8 => {
                let digit = self.dice.digit();
                let file = "lib/Low/src/deep/lower.h";
                let text = FILES.iter().find(|(name, _)| *name == file).unwrap().1;
                write(&self.folder.join(file), &turned(text, digit));
                format!("three levels down: {digit}")
            }
            9 => {
                let (file, text) = self.turn();
                write(&file, &text);
                format!("change {}", name(&file))
            }
            10 => {
                let (file, text) = self.turn();
                write(&file, &text);
                set_modified(&file, SystemTime::now() - Duration::from_secs(86_400));
                format!("yesterday's {}", name(&file))
            }
            kind @ (11 | 12) => {
                let (file, text) = self.turn();
                let modified = fs::metadata(&file).unwrap().modified().unwrap();
                let place = if kind == 11 { file.clone() } else { file.with_extension("new~") };
                fs::write(&place, text).unwrap();
                set_modified(&place, modified);
                fs::rename(&place, &file).unwrap();
                format!("{} with its size and time", name(&file))
            }
            13 => upgrade(&self.bench, self.dice.digit(), self.dice.below(2) == 0),
            14 => {
                let build_dir = self.wish().build_dir;
                let objects = made(&build_dir);
                let Some(path) = objects.keys().nth(self.dice.below(objects.len().max(1))) else {
                    return "nothing to remove".into();
                };
                fs::remove_file(build_dir.join(path)).unwrap();
                format!("remove {}", path.display())
            }
            _ => self.come_and_go(),
        }
    }

    /// A line of `platformio.ini` comes, changes or goes.
    fn option(&mut self) -> String {
        let at = self.dice.below(OPTIONS.len());
        let (key, values) = OPTIONS[at];
        let value = match self.options[at] {
            Some(_) if self.dice.below(3) == 0 => None,
            _ => Some(values[self.dice.below(values.len())]),
        };
        self.options[at] = value;
        self.write_ini();
        format!("{key} = {value:?}")
    }

    /// A library comes or goes, whole; or a file that is compiled, or found before another.
    fn come_and_go(&mut self) -> String {
        let digit = self.dice.digit();
        let files = [
            ("more/outside.cpp".to_owned(), format!("int outside = {digit};\n")),
            ("src/new.c".to_owned(), format!("int made_anew = {digit};\n")),
            (
                "src/Mid.h".to_owned(),
                format!("#pragma once\nint mid();\n#define LOW 1\n#define MID {digit}\n"),
            ),
            ("lib/Low/src/more.c".to_owned(), format!("int low_more = {digit};\n")),
            ("lib/Top/Low.h".to_owned(), format!("#pragma once\n#define LOW {digit}\n")),
        ];
        // One more than files: a whole library.
        let at = self.dice.below(files.len() + 1);
        let Some((file, text)) = files.get(at) else {
            let library = ["Near", "More", "Low"][self.dice.below(3)];
            let home = if library == "Near" { "shelf" } else { "lib" };
            let (here, away) = (self.folder.join(home).join(library), self.folder.join("away").join(library));
            let (from, to) = if here.exists() { (here, away) } else { (away, here) };
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(from, &to).unwrap();
            return format!("library {library} is now in {}", name_of_parent(&to));
        };
        let file = self.folder.join(file);
        if file.exists() {
            fs::remove_file(&file).unwrap();
            return format!("{} goes", file.display());
        }
        write(&file, text);
        format!("{} comes", file.display())
    }
}

fn name_of_parent(path: &Path) -> String {
    path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned()
}

async fn sequence(seed: u64) -> Result<usize, String> {
    let mut world = World::new(seed);
    let mut said = Vec::new();
    check(&world.bench, &world.wish()).await.map_err(|why| format!("seed {seed}, at first: {why}"))?;
    for _ in 0..EDITS {
        // Some together: what one hides the other must not.
        for _ in 0..=world.dice.below(2) {
            said.push(world.edit());
        }
        let checked = check(&world.bench, &world.wish()).await;
        checked.map_err(|why| format!("seed {seed}: {}: {why}", said.join("; ")))?;
    }
    Ok(said.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_edited_a_build_makes_what_a_clean_one_makes() {
    // What is built at first is a program; else nothing of this is shown.
    let world = World::new(0);
    let built = world.bench.build(&world.wish()).await.unwrap();
    assert!(built.compiled >= 8, "{built:?}");
    run(SEQUENCES, sequence).await;
}
