//! Builds, against `make` that runs the same commands: everything made anew, again from another project, and nothing to
//! do. Both are spawned as a person's shell would, from command to prompt.

mod farmhand;
mod makefile;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::set_up::{SetUp, Tool, succeed};
use crate::stats::{Series, medians, ratios};
use farmhand::Farmhand;
pub(crate) use farmhand::forget_objects;
use makefile::MakeTree;

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
    let (mut peer, mut cold, mut again) = (Vec::new(), Vec::new(), Vec::new());
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
        if round > 0 {
            peer.push(made);
            cold.push(built);
            again.push(rebuilt);
        }
    }
    let by = |times: &[Duration]| ratios(&seconds(times), &seconds(&peer));
    Ok(Report {
        title: format!(
            "build: the Arduino core and a sketch, {commands} commands; {ROUNDS} of each, in turn; the same bytes came of all"
        ),
        rows: vec![
            Row::time(format!("peer: make -j{JOBS}, the same commands"), Series::times(&peer)),
            Row::time("farmhand build, no object cached", Series::times(&cold))
                .against(by(&cold))
                .goal(Goal::TimesAtMost(1.05)),
            Row::time("farmhand build, from another project", Series::times(&again))
                .against(by(&again))
                .goal(Goal::TimesAtMost(0.25)),
        ],
        notes: vec![],
    })
}

/// Nothing to do.
pub(crate) async fn unchanged(set_up: &SetUp) -> Result<Report, Failure> {
    let (make, ours, folder) = begin(set_up).await?;
    let tree = MakeTree::plan(&ours, &project(folder.path(), "make")?, JOBS).await?;
    succeed(&mut tree.make(&make))?;
    let project = project(folder.path(), "blink")?;
    succeed(&mut ours.build(&project))?;
    let (mut peer, mut idle) = (Vec::new(), Vec::new());
    for round in 0..=IDLE_ROUNDS {
        let several = |mut command: Command| {
            (0..IDLE_BUILDS).map(|_| timed(&mut command)).collect::<Result<Vec<_>, _>>()
        };
        let made = several(tree.make(&make))?;
        let built = several(ours.build(&project))?;
        if round > 0 {
            peer.push(made);
            idle.push(built);
        }
    }
    Ok(Report {
        title: format!(
            "noop: nothing to do, command to prompt; {IDLE_ROUNDS} rounds of {IDLE_BUILDS} each, in turn"
        ),
        rows: vec![
            Row::time("peer: make, the same tree", Series::times(&peer.concat())),
            Row::time("farmhand build", Series::times(&idle.concat()))
                .against(ratios(&medians(&idle), &medians(&peer)))
                .goal(Goal::MedianWithin(0.03)),
        ],
        notes: vec![],
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
