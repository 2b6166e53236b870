//! Edits at random, and what must be true after each: the build beside all that was built before makes what one makes that
//! knows nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use farmhand_api::Problem;
use farmhand_compiler::{BuildWish, unchanged};
use farmhand_runtime::Paths;
use tokio::task::JoinSet;

use super::Bench;

const SEED: u64 = 1;
/// Sequences at once.
const AT_ONCE: usize = 2;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(crate) fn digit(&mut self) -> char {
        char::from(b'1' + u8::try_from(self.below(8)).unwrap())
    }
}

/// The same text with its last digit another one: of the same length.
pub(crate) fn turned(text: &str, digit: char) -> String {
    let at = text.rfind(|c: char| c.is_ascii_digit()).unwrap();
    format!("{}{digit}{}", &text[..at], &text[at + 1..])
}

pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// The compiler becomes another one, under its path; with its size and time where `hidden`.
pub(crate) fn upgrade(bench: &Bench, digit: char, hidden: bool) -> String {
    for name in ["gcc", "g++"] {
        let path = bench.package("avr-gcc").join(format!("1.0/usr/bin/avr-{name}"));
        let before = fs::metadata(&path).unwrap();
        // The link does not know the define, and does not mind it.
        bench.tool(name, &format!("exec {name} -DUPGRADE={digit} \"$@\""));
        if hidden && fs::metadata(&path).unwrap().len() == before.len() {
            set_modified(&path, before.modified().unwrap());
        }
        assert!(fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0);
    }
    format!("compiler {digit}{}", if hidden { ", with its size and time" } else { "" })
}

/// Builds beside what is there, and from nothing; both must come to the same.
pub(crate) async fn check(bench: &Bench, wish: &BuildWish) -> Result<(), String> {
    let ours = bench.build(wish).await;
    let build_dir = &wish.build_dir;
    let objects = made(build_dir);
    let aside = build_dir.with_file_name("aside");
    fs::rename(build_dir, &aside).unwrap();
    let mut env = bench.env.clone();
    let home = bench.root().join("clean-home");
    env.paths = Paths::new(&home);
    let building = farmhand_compiler::build(&env, wish, None);
    let clean = tokio::time::timeout(super::DEADLINE, building).await.expect("a build of a toy ends");
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
    let again = unchanged(&bench.env.paths, wish);
    match again {
        Some(again) if again.hash != clean.hash => Err(format!("unchanged, it says: {again:?}")),
        _ => Ok(()),
    }
}

/// Objects, archives and programs in a build folder.
pub(crate) fn made(build_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

/// Runs sequences of edits, so many where nobody says; each gives how many edits it made, or what differed.
#[allow(clippy::print_stdout, reason = "how many there were is what it is run for")]
pub(crate) async fn run<S>(sequences: u64, sequence: impl Fn(u64) -> S)
where
    S: Future<Output = Result<usize, String>> + Send + 'static,
{
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (first, sequences) = (number("FARMHAND_EDITS_SEED", SEED), number("FARMHAND_EDITS", sequences));
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
