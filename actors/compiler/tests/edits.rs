//! Sequences of edits, at random, each followed by a build beside all that was built before, and by one that knows
//! nothing: what they make is the same, byte for byte.
//!
//! `FARMHAND_EDITS` says how many sequences, `FARMHAND_EDITS_SEED` the first one's seed; a failure names its own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_compiler::BuildWish;
use support::edited::{Dice, check, made, run, set_modified, turned, upgrade};
use support::{Bench, sketch_wish, write};

const SEQUENCES: u64 = 40;
const EDITS: usize = 3;

/// The sketch: a header three levels down, one that only one file sees, one that a file of C sees too.
const FILES: [(&str, &str); 7] = [
    (
        "blink.ino",
        "#include \"config.h\"\nint table[PERIOD + 1];\nvoid setup() {}\nvoid loop() { step(1); }\nint step(int by) { return by * PERIOD + VALUE0; }\n",
    ),
    ("config.h", "#include \"src/one.h\"\n#define PERIOD 1\n"),
    ("src/one.h", "#include \"deep/two.h\"\n#define VALUE1 1\n"),
    ("src/deep/two.h", "#include \"three.h\"\n#define VALUE2 1\n"),
    (
        "src/deep/three.h",
        "#ifndef VALUE0\n#define VALUE0 1\n#endif\n#ifndef UPGRADE\n#define UPGRADE 0\n#endif\n",
    ),
    (
        "other.cpp",
        "#include \"src/one.h\"\n#include <pins.h>\n#if __has_include(\"src/asked.txt\")\nint asked = 1;\n#endif\n\
         int other() { return VALUE1 + VALUE2 + PIN + UPGRADE; }\n",
    ),
    (
        "src/plain.c",
        "#include \"deep/three.h\"\nint plain[] = {VALUE0, UPGRADE,\n#include \"table.dat\"\n};\n",
    ),
];

struct World {
    bench: Bench,
    folder: PathBuf,
    wish: BuildWish,
    dice: Dice,
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::new(2);
        let folder = bench.root().join("p/blink");
        for (name, text) in FILES {
            write(&folder.join(name), text);
        }
        write(&bench.core().join("variants/flat/table.dat"), "1, 2\n");
        let wish = sketch_wish(&folder);
        Self { bench, folder, wish, dice: Dice(seed) }
    }

    /// A file of the sketch or of the core that is there.
    fn any_file(&mut self) -> PathBuf {
        let core = self.bench.core();
        let mut files: Vec<_> = FILES.iter().map(|(name, _)| self.folder.join(name)).collect();
        files.push(core.join("variants/flat/pins.h"));
        files.push(core.join("cores/toy/ticks.c"));
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
            0 => {
                let file = self.any_file();
                set_modified(&file, SystemTime::now());
                format!("touch {}", name(&file))
            }
            1 | 2 => {
                let digit = self.dice.digit();
                let file = self.folder.join("src/deep/three.h");
                let text = FILES[4].1.replace("VALUE0 1", &format!("VALUE0 {digit}"));
                write(&file, &text);
                format!("the deepest header: {digit}")
            }
            3 => {
                let (file, text) = self.turn();
                write(&file, &text);
                format!("change {}", name(&file))
            }
            4 => {
                let level = ["-O0", "-O1", "-O2", "-Os"][self.dice.below(4)];
                self.wish.build.flags = vec![level.into()];
                format!("flag {level}")
            }
            5 => {
                let define = format!("-DVALUE0={}", self.dice.digit());
                self.wish.build.flags.retain(|flag| !flag.starts_with("-D"));
                self.wish.build.flags.push(define.clone());
                define
            }
            kind @ (6 | 7) => upgrade(&self.bench, self.dice.digit(), kind == 7),
            8 => {
                // A clock that was set back: what is written now is older than what was built.
                let (file, text) = self.turn();
                write(&file, &text);
                set_modified(&file, SystemTime::now() - Duration::from_secs(86_400));
                format!("yesterday's {}", name(&file))
            }
            9 => {
                let (file, text) = self.turn();
                let modified = fs::metadata(&file).unwrap().modified().unwrap();
                write(&file, &text);
                set_modified(&file, modified);
                format!("{} with its size and time, in place", name(&file))
            }
            10 => {
                let (file, text) = self.turn();
                let modified = fs::metadata(&file).unwrap().modified().unwrap();
                let other = file.with_extension("new~");
                fs::write(&other, text).unwrap();
                set_modified(&other, modified);
                fs::rename(&other, &file).unwrap();
                format!("{} with its size and time, another file", name(&file))
            }
            11 | 14 | 15 => self.come_and_go(),
            12 => {
                // An output goes, as if somebody had tidied up.
                let objects = made(&self.wish.build_dir);
                let Some(path) = objects.keys().nth(self.dice.below(objects.len().max(1))) else {
                    return "nothing to remove".into();
                };
                fs::remove_file(self.wish.build_dir.join(path)).unwrap();
                format!("remove {}", path.display())
            }
            _ => {
                let (at, text) = (self.dice.below(FILES.len()), self.dice.digit());
                let (file, original) = FILES[at];
                write(&self.folder.join(file), original);
                format!("{file} as it was at first ({text})")
            }
        }
    }

    /// A file is new that is found before another, asked for, compiled, or none of these; or it goes again.
    fn come_and_go(&mut self) -> String {
        let digit = self.dice.digit();
        let core = self.bench.core().join("cores/toy/pins.h");
        let files = [
            (self.folder.join("src/more.c"), format!("int more = {digit};\n")),
            (self.folder.join("src/deep/config.h"), format!("#define PERIOD {digit}\n")),
            (core, format!("#define PIN {digit}\n")),
            (self.folder.join("src/table.dat"), format!("{digit}\n")),
            (self.folder.join("src/asked.txt"), format!("{digit}\n")),
            (self.folder.join("src/notes.md"), format!("{digit}\n")),
        ];
        let (file, text) = &files[self.dice.below(files.len())];
        if file.exists() {
            fs::remove_file(file).unwrap();
            return format!("{} goes", file.display());
        }
        write(file, text);
        format!("{} comes", file.display())
    }
}

async fn sequence(seed: u64) -> Result<usize, String> {
    let mut world = World::new(seed);
    let mut said = Vec::new();
    check(&world.bench, &world.wish).await.map_err(|why| format!("seed {seed}, at first: {why}"))?;
    for _ in 0..EDITS {
        // Some together: what one hides the other must not.
        for _ in 0..=world.dice.below(2) {
            said.push(world.edit());
        }
        check(&world.bench, &world.wish)
            .await
            .map_err(|why| format!("seed {seed}: {}: {why}", said.join("; ")))?;
    }
    Ok(said.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_edited_a_build_makes_what_a_clean_one_makes() {
    run(SEQUENCES, sequence).await;
}
