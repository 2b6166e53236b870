//! The sketches that Arduino's own programs bring, and those of the core's libraries: each builds as it lies there, and what is made
//! is what the same commands make when they are run by hand.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use farmhand_api::Problem;
use farmhand_compiler::{BuildEnv, BuildWish, Pool, Programs, Telling, build, planned};
use farmhand_records::v1::{Build, Source, Toolchain};
use farmhand_runtime::Paths;
use farmhand_tests::shared_packages::Installer;
use farmhand_tests::timeless;
use tempfile::TempDir;

/// For the board that most are for.
const UNO: &str = "arduino:avr:uno";
/// Sketches that are for boards with more than one serial port.
const MEGA: &[&str] = &["MultiSerial", "SerialPassthrough"];
/// Sketches whose libraries are in no package of Debian's, and the header that is missed first.
const MISSED: &[(&str, &str)] = &[
    ("ButtonMouseControl", "Mouse.h"),
    ("JoystickMouseControl", "Mouse.h"),
    ("KeyboardAndMouseControl", "Keyboard.h"),
    ("KeyboardLogout", "Keyboard.h"),
    ("KeyboardMessage", "Keyboard.h"),
    ("KeyboardReprogram", "Keyboard.h"),
    ("KeyboardSerial", "Keyboard.h"),
    ("p05_ServoMoodIndicator", "Servo.h"),
    ("p11_CrystalBall", "LiquidCrystal.h"),
    ("p12_KnockLock", "Servo.h"),
    ("p13_TouchSensorLamp", "CapacitiveSensor.h"),
];
/// All of them: where none is left out of the lists above, each builds for the Uno.
const ALL: usize = 100;
/// One of each kind of board, and of chip.
const BY_HAND: &[(&str, &str)] = &[
    ("arduino:avr:uno", "Blink"),
    ("arduino:avr:mega", "MultiSerial"),
    ("arduino:avr:leonardo", "master_reader"),
    ("mighty-1284p:avr:mighty_opt", "DigitalPotControl"),
];

struct Bench {
    folder: TempDir,
    env: BuildEnv,
    sketches: BTreeMap<String, PathBuf>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = BuildEnv {
            paths: Paths::new(folder.path().join("home")),
            pool: Pool::start(0),
            packages: Arc::new(Installer),
            programs: Programs::default(),
            is_farm: false,
            telling: Telling::Steps,
        };
        let mut sketches = BTreeMap::new();
        for (package, below) in [
            ("arduino-examples", "usr/share/doc/arduino/examples"),
            ("arduino-avr", "usr/share/arduino/hardware/arduino/avr/libraries"),
        ] {
            find(&Installer.named(package).await.unwrap().prefix.join(below), &mut sketches);
        }
        Self { folder, env, sketches }
    }

    /// A copy of a sketch: what is installed is not written to.
    fn wish(&self, board: &str, name: &str) -> BuildWish {
        let folder = self.folder.path().join(board.replace(':', "-")).join(name);
        copy(&self.sketches[name], &folder);
        let build = Build {
            source: Source::Sketch(folder.to_str().unwrap().into()),
            toolchain: Toolchain::Managed,
            flags: vec![],
            cxx_flags: vec![],
            link_flags: vec![],
            jobs: 0,
        };
        BuildWish { board: board.into(), build, build_dir: folder.join(".farmhand/build") }
    }
}

fn find(folder: &Path, sketches: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, sketches);
        } else if path.extension().is_some_and(|end| end == "ino") && path.file_stem() == folder.file_name() {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(
                sketches.insert(name, folder.to_owned()).is_none(),
                "two of one name: {}",
                path.display()
            );
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(to.join(path.file_name().unwrap()), fs::read(&path).unwrap()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_builds() {
    let bench = Bench::new().await;
    let missed: BTreeMap<_, _> = MISSED.iter().copied().collect();
    let listed: BTreeSet<_> = MEGA.iter().copied().chain(missed.keys().copied()).collect();
    assert!(listed.iter().all(|name| bench.sketches.contains_key(*name)), "{listed:?}");
    assert_eq!(bench.sketches.len(), ALL, "{:?}", bench.sketches.keys());
    let mut wrong = Vec::new();
    for name in bench.sketches.keys() {
        let board = if MEGA.contains(&name.as_str()) { "arduino:avr:mega" } else { UNO };
        let built = build(&bench.env, &bench.wish(board, name), None).await;
        match (built, missed.get(name.as_str())) {
            (Ok(_), None) => {}
            (Err(error), Some(header)) => {
                let problem = Problem::from(error);
                let line = format!("fatal error: {header}");
                assert!(problem.detail.iter().any(|detail| detail.contains(&line)), "{name}: {problem:?}");
            }
            (Ok(_), Some(header)) => wrong.push(format!("{name} builds without {header}")),
            (Err(error), None) => wrong.push(format!("{name}: {:?}", Problem::from(error).detail)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_it_is_the_same() {
    let bench = Bench::new().await;
    for (board, name) in BY_HAND {
        let wish = bench.wish(board, name);
        build(&bench.env, &wish, None).await.unwrap_or_else(|error| panic!("{name} for {board}: {error:?}"));
        let all = planned(&bench.env.paths, &Installer, &wish).await.unwrap();
        let ours: Vec<_> = all.commands.iter().map(|command| fs::read(&command.output).unwrap()).collect();
        // What farmhand made is taken away first: nothing of it is left to be compared with itself.
        for command in &all.commands {
            fs::remove_file(&command.output).unwrap();
        }
        let mut left: Vec<_> = all.commands.iter().zip(&ours).collect();
        while !left.is_empty() {
            let (ready, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(command, _)| command.inputs.iter().all(|input| input.exists()));
            assert!(!ready.is_empty(), "{name} for {board}: a circle");
            for (command, ours) in ready {
                let mut run = Command::new(&command.program);
                run.args(&command.args).current_dir(&all.folder).env_clear().envs(&all.environment);
                let ended = run.output().unwrap();
                assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
                // Link-time optimisation leaves the random names of its files in the program's symbols; what is made of it
                // for the board has none.
                if command.output.extension().is_some_and(|end| end == "elf") {
                    continue;
                }
                let by_hand = fs::read(&command.output).unwrap();
                assert!(
                    timeless(by_hand) == timeless(ours.clone()),
                    "{name} for {board}: {}",
                    command.output.display()
                );
            }
            left = later;
        }
        assert!(all.commands.len() > 20, "{name} for {board}: with its core");
    }
}
