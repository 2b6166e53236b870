//! Kill a build anywhere: at each named point, and at times by chance. The next one makes what a clean one makes, byte for
//! byte, what is in the cache is what it says, and what the killed one left unfinished is collected.
//!
//! `FARMHAND_TEST_KILLS` says how many by chance; `FARMHAND_TEST_SEED` which.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use farmhand_tests::shared_packages::{Installer, packages};
use farmhand_tests::{Desk, Dice, Home, OF_BUILDS, copy_project, or_hang, timeless};
use rustix::process::{Pid, Signal, kill_process_group};

/// How many builds are killed by chance, where `FARMHAND_TEST_KILLS` does not say: of each kind.
const KILLS: u64 = 6;
/// So many times a point is passed in one build, where it is passed that often.
const TIMES: u32 = 2;
/// What a build leaves that others read.
const MADE: [&str; 6] = ["o", "a", "elf", "hex", "d", "json"];

/// A project of a person's.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A sketch with headers, on Arduino's core: an archive, a link, a hex file.
    Sketch,
    /// A program without a core.
    Bare,
    /// A `platformio.ini` with a library: for this machine.
    PlatformIo,
}

impl Kind {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Sketch => &["avr-gcc", "arduino-avr"],
            Self::Bare => &["riscv-gcc"],
            Self::PlatformIo => &[],
        }
    }

    /// Whether one clean build makes of it what another does. A link with link-time optimisation leaves names of its own
    /// temporary files in the program's debug information; what is flashed is the same.
    fn is_the_same(self, path: &Path) -> bool {
        !(matches!(self, Self::Sketch) && path.extension().is_some_and(|end| end == "elf"))
    }
}

const KINDS: [Kind; 3] = [Kind::Sketch, Kind::Bare, Kind::PlatformIo];

struct World {
    desk: Desk,
    project: PathBuf,
    kind: Kind,
    /// What a clean build made, and how long that took.
    clean: BTreeMap<PathBuf, Vec<u8>>,
    took: Duration,
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn is_unfinished(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.starts_with(".tmp") || name.starts_with(".making")
    })
}

impl World {
    async fn new(kind: Kind) -> Self {
        let home = Home::empty();
        fs::create_dir_all(packages()).unwrap();
        std::os::unix::fs::symlink(packages(), home.path().join("packages")).unwrap();
        for package in kind.packages() {
            Installer.named(package).await.unwrap();
        }
        let desk = Desk::new(home);
        let example = |name: &str, to: &str| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
            copy_project(&root.join(name), &desk.work().join(to)).unwrap();
            desk.work().join(to)
        };
        let project = match kind {
            Kind::Sketch => {
                let project = desk.blink("blink");
                desk.write("blink/deep/one.h", "#pragma once\n#include \"two.h\"\n");
                desk.write("blink/deep/two.h", "#pragma once\n#define TWO 2\n");
                desk.write("blink/other.cpp", "#include \"deep/one.h\"\nint other() { return TWO; }\n");
                project
            }
            Kind::Bare => example("riscv-virt", "bare"),
            Kind::PlatformIo => {
                let project = example("native", "native");
                desk.write("native/lib/Near/Near.h", "#pragma once\nint near();\n");
                desk.write("native/lib/Near/Near.cpp", "#include \"Near.h\"\nint near() { return 1; }\n");
                desk.write("native/src/uses.cpp", "#include <Near.h>\nint uses() { return near(); }\n");
                project
            }
        };
        let mut world = Self { desk, project, kind, clean: BTreeMap::new(), took: Duration::ZERO };
        world.build(false).await;
        world.forget();
        let began = Instant::now();
        world.build(false).await;
        (world.took, world.clean) = (began.elapsed(), world.made());
        assert!(world.clean.len() > 4, "{kind:?}: {:?}", world.clean.keys());
        world
    }

    fn build_dir(&self) -> PathBuf {
        self.project.join(".farmhand")
    }

    fn objects(&self) -> PathBuf {
        self.desk.home().paths().objects()
    }

    /// As if nothing had been built ever.
    fn forget(&self) {
        for folder in [self.build_dir(), self.objects(), self.desk.home().paths().artifacts()] {
            let _there_was_none = fs::remove_dir_all(folder);
        }
    }

    async fn build(&self, unchanged: bool) {
        let said = self.desk.run(["build", self.project.to_str().unwrap(), "--json"]).await;
        let answer = said.expect(0).json();
        assert_eq!(answer["unchanged"], unchanged, "{:?}: {answer}", self.kind);
    }

    /// What is in the build's folder. What depends on when or how it was built is left out: the report is one.
    fn made(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let counts = |path: &PathBuf| {
            path.extension().is_some_and(|end| MADE.iter().any(|known| end == *known))
                && !path.ends_with("report.json")
                && self.kind.is_the_same(path)
        };
        let relative = |path: PathBuf| (path.strip_prefix(self.build_dir()).unwrap().to_owned(), path);
        let all = files(&self.build_dir()).into_iter().filter(counts).map(relative);
        all.map(|(name, path)| (name, timeless(fs::read(path).unwrap()))).collect()
    }

    #[track_caller]
    fn is_clean(&self, when: &str) {
        let made = self.made();
        for (path, bytes) in &self.clean {
            // What a compiler names that it read lies beside what it made, and not in the cache.
            let gone = path.extension().is_some_and(|end| end == "d") && !made.contains_key(path);
            assert!(
                gone || made.get(path) == Some(bytes),
                "{:?}, {when}: {} differs",
                self.kind,
                path.display()
            );
        }
        let left: Vec<_> = files(&self.build_dir()).into_iter().filter(|path| is_unfinished(path)).collect();
        assert!(left.is_empty(), "{:?}, {when}: {left:?}", self.kind);
    }

    /// Builds behind a build that was killed, at once, and looks at all of it; how many unfinished files that one left.
    async fn goes_on(&self, when: &str) -> usize {
        // Where it was killed after its last word there is nothing to do.
        let said = self.desk.run(["build", self.project.to_str().unwrap(), "--json"]).await;
        assert_eq!(said.code, Some(0), "{:?}, {when}: {}", self.kind, said.stderr);
        self.is_clean(when);
        self.build(true).await;
        // From the cache alone.
        fs::remove_dir_all(self.build_dir()).unwrap();
        self.build(false).await;
        self.is_clean(&format!("{when}, and then from the cache"));
        self.nothing_unfinished_stays().await
    }

    /// What is unfinished in the cache is collected once it is old.
    async fn nothing_unfinished_stays(&self) -> usize {
        let unfinished = || {
            let folders = [self.objects(), self.desk.home().paths().artifacts()];
            folders
                .iter()
                .flat_map(|folder| files(folder))
                .filter(|path| is_unfinished(path))
                .collect::<Vec<_>>()
        };
        let left = unfinished();
        for path in &left {
            let long_ago = SystemTime::now() - Duration::from_secs(7 * 86_400);
            let file = File::open(path).unwrap();
            file.set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        }
        self.desk.run(["clean", "--cache"]).await.expect(0);
        assert_eq!(unfinished(), Vec::<PathBuf>::new(), "{:?}", self.kind);
        left.len()
    }

    /// Builds from nothing, and ends the process at a point; whether it came there.
    async fn dies_at(&self, point: &str, nth: u32) -> bool {
        self.forget();
        let mut command = self.desk.farmhand(["build", self.project.to_str().unwrap()]);
        command.env("FARMHAND_FAILPOINT", format!("{point}:{nth}"));
        let ended = or_hang("a build", command.spawn().unwrap().wait_with_output()).await.unwrap();
        let died = String::from_utf8_lossy(&ended.stderr).contains(&format!("failpoint {point}"));
        assert_eq!(ended.status.success(), !died, "{:?}, {point}: {ended:?}", self.kind);
        died
    }

    /// Builds, from nothing or from the cache, and kills the process and its group after a while.
    async fn dies_after(&self, time: Duration, from_nothing: bool) {
        match from_nothing {
            true => self.forget(),
            false => fs::remove_dir_all(self.build_dir()).unwrap(),
        }
        let mut child = self.desk.farmhand(["build", self.project.to_str().unwrap()]).spawn().unwrap();
        let group = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        tokio::time::sleep(time).await;
        let _ended_already = kill_process_group(group, Signal::KILL);
        or_hang("a build that was killed", child.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn killed_at_every_point_a_build_ends_as_a_clean_one() {
    let (mut kills, mut left) = (0, 0);
    let mut never: Vec<&str> = OF_BUILDS.to_vec();
    for kind in KINDS {
        let world = World::new(kind).await;
        for point in OF_BUILDS {
            for nth in 1..=TIMES {
                if !world.dies_at(point, nth).await {
                    break;
                }
                never.retain(|other| other != point);
                kills += 1;
                left += world.goes_on(&format!("killed at {point}:{nth}")).await;
            }
        }
    }
    eprintln!("{kills} kills, {left} files left unfinished");
    assert!(never.iter().all(|point| ["object-wanted", "object-delivered"].contains(point)), "{never:?}");
    assert!(left > 0, "a file that is not finished is left where its writer is killed");
}

#[tokio::test]
async fn killed_while_it_takes_from_the_cache_a_build_ends_as_a_clean_one() {
    let world = World::new(Kind::Sketch).await;
    for point in ["object-wanted", "object-delivered"] {
        fs::remove_dir_all(world.build_dir()).unwrap();
        let mut command = world.desk.farmhand(["build", world.project.to_str().unwrap()]);
        command.env("FARMHAND_FAILPOINT", format!("{point}:2"));
        let ended = or_hang("a build", command.spawn().unwrap().wait_with_output()).await.unwrap();
        assert!(String::from_utf8_lossy(&ended.stderr).contains(&format!("failpoint {point}")), "{ended:?}");
        world.goes_on(&format!("killed at {point}")).await;
    }
}

#[tokio::test]
async fn killed_at_any_time_a_build_ends_as_a_clean_one() {
    let kills = std::env::var("FARMHAND_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut dice = Dice::seeded();
    for kind in KINDS {
        let world = World::new(kind).await;
        let most = u64::try_from(world.took.as_micros()).unwrap();
        for n in 0..kills {
            let time = Duration::from_micros(dice.below(most));
            world.dies_after(time, dice.below(4) != 0).await;
            world.goes_on(&format!("killed after {time:?}, {n}")).await;
        }
    }
}
