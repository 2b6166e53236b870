//! Many sketches: `compile-many`, against `make` for each of them.

use std::time::Duration;

use super::{JOBS, MakeTree, begin, project, seconds, timed};
use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::set_up::SetUp;
use crate::stats::{Series, ratios};

/// As many as a library has examples, or a few of them.
const SKETCHES: usize = 30;
/// All of them, of each kind, in turn.
const ROUNDS: usize = 3;

/// Thirty sketches that share a core, no object cached.
pub(crate) async fn many(set_up: &SetUp) -> Result<Report, Failure> {
    let (make, ours, folder) = begin(set_up).await?;
    let mut trees = Vec::new();
    for at in 0..SKETCHES {
        let sketch = differing(&project(folder.path(), &format!("make/{at}"))?, at)?;
        trees.push(MakeTree::plan(&ours, &sketch, JOBS).await?);
    }
    let (mut peer, mut all) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut made = Duration::ZERO;
        for tree in &trees {
            tree.clean()?;
            made += timed(&mut tree.make(&make))?;
        }
        ours.forget_objects()?;
        let sketches = folder.path().join(format!("ours-{round}"));
        let mut own = Vec::new();
        for at in 0..SKETCHES {
            own.push(differing(&project(&sketches, &at.to_string())?, at)?);
        }
        let built = timed(&mut ours.many(&sketches))?;
        for (tree, own) in trees.iter().zip(&own) {
            super::same(&tree.artifact, own)?;
        }
        if round > 0 {
            peer.push(made);
            all.push(built);
        }
    }
    Ok(Report {
        title: format!(
            "many: {SKETCHES} sketches with one core, no object cached; {ROUNDS} of each, in turn; the same bytes came of all"
        ),
        rows: vec![
            Row::time(format!("peer: {SKETCHES} times make -j{JOBS}"), Series::times(&peer)),
            Row::time("farmhand compile-many", Series::times(&all))
                .against(ratios(&seconds(&all), &seconds(&peer)))
                .goal(Goal::TimesAtMost(0.4)),
        ],
        notes: vec![],
    })
}

/// Each sketch is another program.
fn differing(project: &std::path::Path, at: usize) -> Result<std::path::PathBuf, Failure> {
    let sketch = project.join("blink.ino");
    let text = std::fs::read_to_string(&sketch)?;
    std::fs::write(&sketch, format!("{text}\nvolatile int own_{at} = {at};\n"))?;
    Ok(project.to_owned())
}
