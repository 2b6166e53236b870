//! Sequences of edits, at random, each followed by a build beside all that was built before, and by one that knows
//! nothing: what they make is the same, byte for byte.
//!
//! `FARMHAND_EDITS` says how many sequences, `FARMHAND_EDITS_SEED` the first one's seed; a failure names its own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use farmhand_api::Problem;
use farmhand_compiler::{BuildWish, unchanged};
use farmhand_runtime::Paths;
use support::{Bench, sketch_wish, write};
use tokio::task::JoinSet;

const SEQUENCES: u64 = 40;
const SEED: u64 = 1;
const EDITS: usize = 3;
/// Sequences at once.
const AT_ONCE: usize = 2;

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
        "#include \"src/one.h\"\n#include <pins.h>\nint other() { return VALUE1 + VALUE2 + PIN + UPGRADE; }\n",
    ),
    ("src/plain.c", "#include \"deep/three.h\"\nint plain[] = {VALUE0, UPGRADE, 1};\n"),
];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn digit(&mut self) -> char {
        char::from(b'1' + u8::try_from(self.below(8)).unwrap())
    }
}

struct World {
    bench: Bench,
    folder: PathBuf,
    wish: BuildWish,
    dice: Dice,
}

/// The same text with its last digit another one: of the same length.
fn turned(text: &str, digit: char) -> String {
    let at = text.rfind(|c: char| c.is_ascii_digit()).unwrap();
    format!("{}{digit}{}", &text[..at], &text[at + 1..])
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::new(2);
        let folder = bench.root().join("p/blink");
        for (name, text) in FILES {
            write(&folder.join(name), text);
        }
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
        match self.dice.below(14) {
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
            kind @ (6 | 7) => self.upgrade(kind == 7),
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
            11 => self.come_and_go(),
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

    /// The compiler becomes another one, under its path; with its size and time where `hidden`.
    fn upgrade(&mut self, hidden: bool) -> String {
        let digit = self.dice.digit();
        for name in ["gcc", "g++"] {
            let path = self.bench.package("avr-gcc").join(format!("1.0/usr/bin/avr-{name}"));
            let before = fs::metadata(&path).unwrap();
            // The link does not know the define, and does not mind it.
            self.bench.tool(name, &format!("exec {name} -DUPGRADE={digit} \"$@\""));
            if hidden && fs::metadata(&path).unwrap().len() == before.len() {
                set_modified(&path, before.modified().unwrap());
            }
            assert!(fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0);
        }
        format!("compiler {digit}{}", if hidden { ", with its size and time" } else { "" })
    }

    /// A file is new that is found before another, or compiled; or it goes again.
    fn come_and_go(&mut self) -> String {
        let digit = self.dice.digit();
        let core = self.bench.core().join("cores/toy/pins.h");
        let files = [
            (self.folder.join("src/more.c"), format!("int more = {digit};\n")),
            (self.folder.join("src/deep/config.h"), format!("#define PERIOD {digit}\n")),
            (core, format!("#define PIN {digit}\n")),
        ];
        let (file, text) = &files[self.dice.below(files.len())];
        if file.exists() {
            fs::remove_file(file).unwrap();
            return format!("{} goes", file.display());
        }
        write(file, text);
        format!("{} comes", file.display())
    }

    /// Builds beside what is there, and from nothing; both must come to the same.
    async fn check(&self) -> Result<(), String> {
        let ours = self.bench.build(&self.wish).await;
        let build_dir = &self.wish.build_dir;
        let objects = made(build_dir);
        let aside = build_dir.with_file_name("aside");
        fs::rename(build_dir, &aside).unwrap();
        let mut env = self.bench.env.clone();
        let home = self.bench.root().join("clean-home");
        env.paths = Paths::new(&home);
        let building = farmhand_compiler::build(&env, &self.wish, None);
        let clean = tokio::time::timeout(support::DEADLINE, building).await.expect("a build of a toy ends");
        let expect = made(build_dir);
        fs::remove_dir_all(&home).unwrap();
        fs::remove_dir_all(build_dir).unwrap();
        fs::rename(&aside, build_dir).unwrap();
        let (ours, clean) = match (ours, clean) {
            (Ok(ours), Ok(clean)) => (ours, clean),
            (Err(ours), Err(clean)) => {
                let (ours, clean) = (Problem::from(ours), Problem::from(clean));
                return (ours.code == clean.code).then_some(()).ok_or(format!("{ours:?}\nbut {clean:?}"));
            }
            (ours, clean) => return Err(format!("{ours:?}\nbut {clean:?}")),
        };
        if (ours.hash, ours.sizes) != (clean.hash, clean.sizes) {
            return Err(format!("{ours:?}\nis not {clean:?}"));
        }
        for (path, bytes) in &expect {
            // Of a file that is gone an object may be left; of one that is there it is this one. Nobody reads an object
            // where nothing is to do: one that was removed comes back when it is wanted.
            match objects.get(path) {
                Some(ours) if ours == bytes => {}
                None if ours.unchanged => {}
                _ => return Err(format!("{} is stale", path.display())),
            }
        }
        let again = unchanged(&self.bench.env.paths, &self.wish);
        match again {
            Some(again) if again.hash != clean.hash => Err(format!("unchanged, it says: {again:?}")),
            _ => Ok(()),
        }
    }
}

/// Objects, archives and programs in a build folder.
fn made(build_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![build_dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| ["o", "a", "elf", "hex"].iter().any(|known| end == *known))
            {
                found.insert(path.strip_prefix(build_dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

async fn sequence(seed: u64) -> Result<usize, String> {
    let mut world = World::new(seed);
    let mut said = Vec::new();
    world.check().await.map_err(|why| format!("seed {seed}, at first: {why}"))?;
    for _ in 0..EDITS {
        // Some together: what one hides the other must not.
        for _ in 0..=world.dice.below(2) {
            said.push(world.edit());
        }
        world.check().await.map_err(|why| format!("seed {seed}: {}: {why}", said.join("; ")))?;
    }
    Ok(said.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_edited_a_build_makes_what_a_clean_one_makes() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (first, sequences) = (number("FARMHAND_EDITS_SEED", SEED), number("FARMHAND_EDITS", SEQUENCES));
    let mut running: JoinSet<Result<usize, String>> = JoinSet::new();
    let (mut edits, mut failures) = (0, Vec::new());
    let mut take = |ended: Result<usize, String>| match ended {
        Ok(made) => edits += made,
        Err(why) => failures.push(why),
    };
    for seed in first..first + sequences {
        if running.len() >= AT_ONCE {
            take(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(sequence(seed));
    }
    while let Some(ended) = running.join_next().await {
        take(ended.unwrap());
    }
    assert!(failures.is_empty(), "{} of {sequences}:\n{}", failures.len(), failures.join("\n"));
    println!("{sequences} sequences, {edits} edits");
}
