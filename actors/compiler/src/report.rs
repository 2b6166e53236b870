//! What a build did, when, and how large it came out: kept in its folder, for those who ask later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use farmhand_messages::compiler::{BuildWish, Sizes};
use farmhand_runtime::Paths;
use serde::{Deserialize, Serialize};

use crate::cache::{remove_file, write_whole};
use crate::place::build_folder;
use crate::plan::{Kind, Plan};

/// Its name in the build folder.
pub(crate) const NAME: &str = "report.json";
/// What compilers printed, likewise; none where they printed nothing.
const SAID: &str = "said.json";
/// Raised when a name or a meaning changes: an older one is no report.
const FORMAT: u32 = 1;

/// One action of a build. Times are in microseconds since the build began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// For people: `wiring.c`.
    pub what: String,
    /// `compile`, `archive`, `link`, `convert`; `run` for a project's own command.
    pub kind: String,
    /// Steps whose outputs it reads.
    pub from: Vec<usize>,
    /// What it needs was there.
    pub ready_us: u64,
    /// A worker began with it, or the cache was asked.
    pub began_us: u64,
    /// It was made, or found.
    pub ended_us: u64,
    /// It was found.
    pub cached: bool,
}

/// A build that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildReport {
    format: u32,
    /// For this board.
    pub board: String,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// How long it took, in microseconds; without the installation of a toolchain.
    pub elapsed_us: u64,
    /// Actions at once.
    pub workers: usize,
    /// What was done, in the order of the plan.
    pub steps: Vec<Step>,
    /// How large it came out.
    pub sizes: Sizes,
    /// Where it left its things.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The linked program, with its symbols, where there is one.
    pub elf: Option<PathBuf>,
}

/// When an action was carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) ready: Instant,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) cached: bool,
}

impl Step {
    pub(crate) fn new(what: &str, kind: &str, from: &[usize], span: Span, origin: Instant) -> Self {
        let us =
            |at: Instant| u64::try_from(at.saturating_duration_since(origin).as_micros()).unwrap_or(u64::MAX);
        Self {
            what: what.to_owned(),
            kind: kind.to_owned(),
            from: from.to_vec(),
            ready_us: us(span.ready),
            began_us: us(span.began),
            ended_us: us(span.ended),
            cached: span.cached,
        }
    }

    /// How long it took, in microseconds.
    #[must_use]
    pub fn took_us(&self) -> u64 {
        self.ended_us.saturating_sub(self.began_us)
    }
}

/// The steps of a plan.
pub(crate) fn steps(plan: &Plan, spans: &[Span], origin: Instant) -> Vec<Step> {
    let of = |(action, span): (&crate::plan::Action, &Span)| {
        Step::new(&action.what, action.kind.verb(), &action.from, *span, origin)
    };
    plan.actions.iter().zip(spans).map(of).collect()
}

/// Keeps what compilers printed in a build folder, for who builds it again and has nothing to do.
pub(crate) fn keep_said(folder: &Path, printed: &[String]) -> io::Result<()> {
    let path = folder.join(SAID);
    if printed.is_empty() {
        return remove_file(&path);
    }
    let text = serde_json::to_vec(printed).map_err(io::Error::other)?;
    write_whole(&path, &[&text])
}

/// What compilers printed, warnings and the like, in the last build of a wish; in the order of the plan. Of what is unchanged it still
/// holds.
#[must_use]
pub fn last_said(paths: &Paths, wish: &BuildWish) -> Vec<String> {
    let text = fs::read(build_folder(paths, wish).join(SAID)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

impl BuildReport {
    /// Of a build that began then, and ends now.
    pub(crate) fn new(board: &str, origin: Instant, workers: usize, steps: Vec<Step>) -> Self {
        let elapsed_us = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let now_ms = u64::try_from(crate::cache::now_ns() / 1_000_000).unwrap_or(0);
        Self {
            format: FORMAT,
            board: board.to_owned(),
            began_unix_ms: now_ms.saturating_sub(elapsed_us / 1000),
            elapsed_us,
            workers,
            steps,
            sizes: Sizes::default(),
            folder: PathBuf::new(),
            elf: None,
        }
    }

    /// Keeps it in a build folder.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        write_whole(&folder.join(NAME), &[&text])
    }

    /// Files compiled, and those taken from the cache.
    #[must_use]
    pub fn compiled_and_cached(&self) -> (usize, usize) {
        let compiles = || self.steps.iter().filter(|step| step.kind == Kind::Compile.verb());
        (compiles().filter(|step| !step.cached).count(), compiles().filter(|step| step.cached).count())
    }

    /// On which worker each step ran, counted from 0; none where it was found in the cache. Workers are alike: a step
    /// goes to the lowest that was free.
    #[must_use]
    pub fn lanes(&self) -> Vec<Option<usize>> {
        let mut order: Vec<usize> = (0..self.steps.len()).filter(|&at| !self.steps[at].cached).collect();
        order.sort_by_key(|&at| (self.steps[at].began_us, self.steps[at].ended_us));
        let mut free_at: Vec<u64> = Vec::new();
        let mut lanes = vec![None; self.steps.len()];
        for at in order {
            let Step { began_us, ended_us, .. } = self.steps[at];
            let lane = free_at.iter().position(|&free| free <= began_us).unwrap_or_else(|| {
                free_at.push(0);
                free_at.len() - 1
            });
            free_at[lane] = ended_us;
            lanes[at] = Some(lane);
        }
        lanes
    }

    /// The steps that the build could not have been shorter than, however many workers there are: the longest chain
    /// in which each reads what the one before it made. First to last.
    #[must_use]
    pub fn critical_path(&self) -> Vec<usize> {
        // Plans name what a step reads before it.
        let mut longest: Vec<(u64, Option<usize>)> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let before = step
                .from
                .iter()
                .filter_map(|&from| longest.get(from).map(|(us, _)| (*us, from)))
                .max_by_key(|&(us, from)| (us, std::cmp::Reverse(from)));
            longest.push((before.map_or(0, |(us, _)| us) + step.took_us(), before.map(|(_, from)| from)));
        }
        let last = (0..longest.len()).max_by_key(|&at| (longest[at].0, std::cmp::Reverse(at)));
        let mut path: Vec<usize> = std::iter::successors(last, |&at| longest[at].1).collect();
        path.reverse();
        path
    }
}

/// The report of the last build of this that came to its end.
#[must_use]
pub fn last_report(paths: &Paths, wish: &BuildWish) -> Option<BuildReport> {
    read(&build_folder(paths, wish))
}

pub(crate) fn read(folder: &Path) -> Option<BuildReport> {
    let mut report: BuildReport = serde_json::from_slice(&fs::read(folder.join(NAME)).ok()?).ok()?;
    report.folder = folder.to_owned();
    (report.format == FORMAT).then_some(report)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(steps: &[(&[usize], u64, u64, bool)]) -> BuildReport {
        let origin = Instant::now();
        let at = |us| origin + Duration::from_micros(us);
        let step = |&(from, began, ended, cached): &(&[usize], u64, u64, bool)| {
            let span = Span { ready: origin, began: at(began), ended: at(ended), cached };
            Step::new("a.c", "compile", from, span, origin)
        };
        BuildReport::new("b", origin, 2, steps.iter().map(step).collect())
    }

    #[test]
    fn the_critical_path_is_the_longest_chain_and_not_the_last_that_ended() {
        // 1 ended last of the compiles, for it began late; 0 took longer.
        let report = report(&[
            (&[], 0, 50, false),
            (&[], 45, 60, false),
            (&[0, 1], 60, 70, false),
            (&[2], 70, 75, false),
        ]);
        assert_eq!(report.critical_path(), [0, 2, 3]);
        assert_eq!(report.lanes(), [Some(0), Some(1), Some(0), Some(0)]);
        assert_eq!(report.compiled_and_cached(), (4, 0));
    }

    #[test]
    fn a_worker_does_one_thing_at_a_time() {
        let report =
            report(&[(&[], 0, 10, false), (&[], 0, 30, false), (&[], 5, 6, true), (&[], 10, 20, false)]);
        assert_eq!(report.lanes(), [Some(0), Some(1), None, Some(0)]);
        assert_eq!(report.compiled_and_cached(), (3, 1));
    }

    #[test]
    fn it_is_found_again_and_another_format_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = report(&[(&[], 0, 10, false)]);
        report.folder = folder.path().to_owned();
        report.write(folder.path()).unwrap();
        assert_eq!(read(folder.path()), Some(report.clone()));
        report.format += 1;
        report.write(folder.path()).unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
