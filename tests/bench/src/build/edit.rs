//! One file edited: farmhand, against `make`, and against what has to be run by hand.

use std::time::{Duration, Instant};

use super::{JOBS, MakeTree, begin, project, seconds, timed};
use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::set_up::{SetUp, succeed};
use crate::stats::{Series, ratios};

/// Edits, each built by all.
const ROUNDS: usize = 15;

/// The sketch itself changes: it is compiled, linked and converted.
pub(crate) async fn edit(set_up: &SetUp) -> Result<Report, Failure> {
    let (make, ours, folder) = begin(set_up).await?;
    let (theirs, own) = (project(folder.path(), "make")?, project(folder.path(), "blink")?);
    let tree = MakeTree::plan(&ours, &theirs, JOBS).await?;
    succeed(&mut tree.make(&make))?;
    succeed(&mut ours.build(&own))?;
    let (mut peer, mut by_hand, mut built) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let text = format!("{}\nvolatile int edited = {round};\n", super::SKETCH[0].1);
        std::fs::write(own.join("blink.ino"), &text)?;
        let ours_took = timed(&mut ours.build(&own))?;
        // What farmhand wrote for its compiler, for make: the same edit.
        std::fs::copy(
            own.join(".farmhand/build/sketch/blink.ino.cpp"),
            theirs.join(".farmhand/build/sketch/blink.ino.cpp"),
        )?;
        let made = timed(&mut tree.make(&make))?;
        super::same(&tree.artifact, &own)?;
        let begun = Instant::now();
        for mut command in tree.after_an_edit() {
            timed(&mut command)?;
        }
        let hand = begun.elapsed();
        if round > 0 {
            peer.push(made);
            by_hand.push(hand);
            built.push(ours_took);
        }
    }
    let over: Vec<Duration> =
        built.iter().zip(&by_hand).map(|(ours, hand)| ours.saturating_sub(*hand)).collect();
    Ok(Report {
        title: format!(
            "edit: the sketch changed, all else as it was; {ROUNDS} of each, in turn; the same bytes came of all"
        ),
        rows: vec![
            Row::time(format!("peer: make -j{JOBS}"), Series::times(&peer)),
            Row::time("compile, link and convert, by hand", Series::times(&by_hand))
                .against(ratios(&seconds(&by_hand), &seconds(&peer))),
            Row::time("farmhand build", Series::times(&built))
                .against(ratios(&seconds(&built), &seconds(&peer))),
            Row::time("farmhand build, over what is done by hand", Series::times(&over))
                .goal(Goal::MedianWithin(0.03)),
        ],
        notes: vec![],
    })
}
