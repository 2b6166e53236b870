//! Builds, against `make` that runs the same commands: everything made anew, again from another project, and nothing to
//! do. Both are spawned as a person's shell would, from command to prompt.

mod edit;
mod farmhand;
mod makefile;
mod many;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::daemon::{Begins, Daemon};
use crate::report::{Goal, Report, Row};
use crate::set_up::{SetUp, Tool, on_path, succeed};
use crate::stats::{Series, medians, ratios};
pub(crate) use edit::edit;
use farmhand::Farmhand;
pub(crate) use farmhand::forget_objects;
use makefile::MakeTree;
pub(crate) use many::many;

/// Builds of everything, of each kind, in turn.
const ROUNDS: usize = 9;
/// Compilers at once, for both.
const JOBS: &str = "2";
/// Rounds of builds with nothing to do.
const IDLE_ROUNDS: usize = 9;
/// Of each, in a round.
const IDLE_BUILDS: usize = 25;

/// What is built: the sketch that the README builds.
const SKETCH: [(&str, &str); 2] = [
    ("blink.ino", include_str!("../../../../examples/blink/blink.ino")),
    ("farmhand.toml", include_str!("../../../../examples/blink/farmhand.toml")),
];

/// Cold, and from another project.
pub(crate) async fn cold(set_up: &SetUp) -> Result<Report, Failure> {
    let (make, ours, folder) = begin(set_up).await?;
    let tree = MakeTree::plan(&ours, &project(folder.path(), "make")?, JOBS).await?;
    let commands = tree.commands;
    let ccache = on_path("ccache");
    let (mut peer, mut cold, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first_ever, mut cached) = (Vec::new(), Vec::new());
    // One round more than counts: the first reads everything from the disk.
    for round in 0..=ROUNDS {
        tree.clean()?;
        let made = timed(&mut tree.make(&make))?;
        ours.forget_objects()?;
        let first = project(folder.path(), &format!("first-{round}"))?;
        let built = timed(&mut ours.build(&first))?;
        let second = project(folder.path(), &format!("second-{round}"))?;
        let rebuilt = timed(&mut ours.build(&second))?;
        same(&tree.artifact, &first)?;
        same(&tree.artifact, &second)?;
        ours.forget_toolchain()?;
        let ever = timed(&mut ours.build(&project(folder.path(), &format!("ever-{round}"))?))?;
        if let Some(ccache) = &ccache {
            let elsewhere = project(folder.path(), &format!("ccache-{round}"))?;
            let by_ccache = MakeTree::plan_with(&ours, &elsewhere, JOBS, Some(ccache)).await?;
            by_ccache.clean()?;
            let mut command = by_ccache.make(&make);
            // As far as ccache goes itself: paths below the project are relative, and where it lies does not count.
            command.env("CCACHE_DIR", folder.path().join("ccache")).env("CCACHE_BASEDIR", &elsewhere);
            command.env("CCACHE_NOHASHDIR", "1");
            let made = timed(&mut command)?;
            same(&by_ccache.artifact, &second)?;
            if round > 0 {
                cached.push(made);
            }
        }
        if round > 0 {
            first_ever.push(ever);
            peer.push(made);
            cold.push(built);
            again.push(rebuilt);
        }
    }
    let by = |times: &[Duration]| ratios(&seconds(times), &seconds(&peer));
    let mut rows = vec![
        Row::time(format!("peer: make -j{JOBS}, the same commands"), Series::times(&peer)),
        Row::time("farmhand build, no object cached", Series::times(&cold))
            .against(by(&cold))
            .goal(Goal::TimesAtMost(1.05)),
        Row::time("farmhand build, toolchain not looked at yet", Series::times(&first_ever))
            .against(by(&first_ever)),
        Row::time("farmhand build, from another project", Series::times(&again))
            .against(by(&again))
            .goal(Goal::TimesAtMost(0.25)),
    ];
    let mut notes = Vec::new();
    if ccache.is_some() {
        rows.push(
            Row::time("make with ccache, from another project", Series::times(&cached)).against(by(&cached)),
        );
        let ratio = ratios(&seconds(&again), &seconds(&cached)).median();
        notes.push(format!("farmhand's look-ups by ccache's: {ratio:.2} x; ccache finds objects only, and make links and converts"));
    } else {
        notes.push("there is no ccache on the PATH".into());
    }
    Ok(Report {
        title: format!(
            "build: the Arduino core and a sketch, {commands} commands; {ROUNDS} of each, in turn; the same bytes came of all"
        ),
        rows,
        notes,
    })
}

/// Nothing to do.
pub(crate) async fn unchanged(set_up: &SetUp) -> Result<Report, Failure> {
    let (make, ours, folder) = begin(set_up).await?;
    let tree = MakeTree::plan(&ours, &project(folder.path(), "make")?, JOBS).await?;
    succeed(&mut tree.make(&make))?;
    let ninja = on_path("ninja");
    let ninja_tree = MakeTree::plan(&ours, &project(folder.path(), "ninja")?, JOBS).await?;
    ninja_tree.write_ninja()?;
    if let Some(ninja) = &ninja {
        // Twice: what the compilers say that they read it knows only then.
        succeed(&mut ninja_tree.ninja(ninja))?;
        succeed(&mut ninja_tree.ninja(ninja))?;
    }
    let project = project(folder.path(), "blink")?;
    succeed(&mut ours.build(&project))?;
    let (mut peer, mut other, mut idle, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=IDLE_ROUNDS {
        let several = |mut command: Command| {
            (0..IDLE_BUILDS).map(|_| timed(&mut command)).collect::<Result<Vec<_>, _>>()
        };
        let made = several(tree.make(&make))?;
        let by_ninja = ninja.as_ref().map(|ninja| several(ninja_tree.ninja(ninja))).transpose()?;
        let built = several(ours.build(&project))?;
        let farm = Daemon::begin(set_up, Begins { farm_toml: "", fresh: true, log: "warn" }).await?;
        let with_farm = several(ours.build(&project))?;
        farm.end().await?;
        if round > 0 {
            peer.push(made);
            other.extend(by_ninja);
            idle.push(built);
            beside.push(with_farm);
        }
    }
    let by = |rounds: &[Vec<Duration>]| ratios(&medians(rounds), &medians(&peer));
    let mut rows = vec![Row::time("peer: make, the same tree", Series::times(&peer.concat()))];
    let mut notes = Vec::new();
    if other.is_empty() {
        notes.push("there is no ninja on the PATH".into());
    } else {
        rows.push(Row::time("ninja, the same tree", Series::times(&other.concat())).against(by(&other)));
    }
    rows.push(
        Row::time("farmhand build, no farm", Series::times(&idle.concat()))
            .against(by(&idle))
            .goal(Goal::MedianWithin(0.03)),
    );
    rows.push(
        Row::time("farmhand build, beside a farm", Series::times(&beside.concat()))
            .against(by(&beside))
            .goal(Goal::MedianWithin(0.015)),
    );
    Ok(Report {
        title: format!(
            "noop: nothing to do, command to prompt; {IDLE_ROUNDS} rounds of {IDLE_BUILDS} each, in turn"
        ),
        rows,
        notes,
    })
}

async fn begin(set_up: &SetUp) -> Result<(Tool, Farmhand, tempfile::TempDir), Failure> {
    let make = set_up.peer("make").await?;
    let ours = Farmhand::new(set_up).await?;
    Ok((make, ours, tempfile::tempdir_in(&set_up.folder)?))
}

/// A project of its own.
pub(crate) fn project(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let project = folder.join(name).join("blink");
    std::fs::create_dir_all(&project)?;
    for (name, text) in SKETCH {
        std::fs::write(project.join(name), text)?;
    }
    Ok(project)
}

/// From command to prompt.
fn timed(command: &mut Command) -> Result<Duration, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let ended = command.spawn()?.wait_with_output()?;
    let time = begun.elapsed();
    if ended.status.success() {
        return Ok(time);
    }
    Err(format!("{command:?}: {}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr)).into())
}

/// Both made the same.
fn same(artifact: &Path, project: &Path) -> Result<(), Failure> {
    let name = artifact.file_name().ok_or("make's artifact has no name")?;
    let ours = project.join(".farmhand/build").join(name);
    if std::fs::read(artifact)? == std::fs::read(&ours)? {
        return Ok(());
    }
    Err(format!("{} is not what make built", ours.display()).into())
}

fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}
