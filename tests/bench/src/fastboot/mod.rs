//! A large image to a simulated phone, over TCP and UDP: farmhand's host against Debian's `fastboot`, on one phone.

mod ours;
mod peer;
mod phone;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::set_up::SetUp;
use crate::stats::{Series, ratios};
use phone::Phone;

/// Of each work over each transport, by each, in turn.
const ROUNDS: usize = 7;
/// Bytes of the image, which the phone takes at once.
const IMAGE_BYTES: u64 = 256 << 20;

/// What is done with the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Into the phone's memory.
    Stage,
    /// And from there into a partition.
    Flash,
}

pub(crate) async fn run(set_up: &SetUp) -> Result<Vec<Report>, Failure> {
    let fastboot = set_up.peer("fastboot").await?;
    let image = image(&set_up.folder)?;
    let phone = Phone::start()?;
    let mut reports = Vec::new();
    for (over, address) in [("TCP", phone.tcp()), ("UDP", phone.udp())] {
        for work in [Work::Stage, Work::Flash] {
            let (mut ours, mut peers, mut wholes) = (vec![], vec![], vec![]);
            // One that does not count: files and memory are then where they stay.
            for round in 0..=ROUNDS {
                let (sent, whole) = peer::run(&fastboot, address, work, &image)?;
                let our = ours::run(address, work, &image).await?;
                if round > 0 {
                    peers.push(sent);
                    wholes.push(whole);
                    ours.push(our);
                }
            }
            reports.push(report(over, work, &ours, &peers, &wholes));
        }
    }
    phone.end()?;
    Ok(reports)
}

fn report(over: &str, work: Work, ours: &[Duration], peers: &[Duration], wholes: &[Duration]) -> Report {
    let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let by = ratios(&seconds(ours), &seconds(peers));
    let rate = |times: &[Duration]| (IMAGE_BYTES >> 20) as f64 / Series::times(times).median();
    let (what, commands) = match work {
        Work::Stage => ("into its memory", "download"),
        Work::Flash => ("into a partition", "download and flash"),
    };
    Report {
        title: format!(
            "fastboot: {} MiB to a simulated phone over {over}, {what}; {ROUNDS} of each, in turn",
            IMAGE_BYTES >> 20
        ),
        rows: vec![
            Row::time(format!("peer: fastboot, its {commands}"), Series::times(peers)),
            Row::time("(start to exit)", Series::times(wholes)),
            Row::time(format!("farmhand's host, its {commands}"), Series::times(ours))
                .against(by)
                .goal(Goal::TimesAtMost(1.0)),
        ],
        notes: vec![format!(
            "medians: {:.0} MiB/s by fastboot, {:.0} MiB/s by farmhand",
            rate(peers),
            rate(ours)
        )],
    }
}

/// A file of that length that does not repeat, and is no sparse image.
fn image(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("image");
    if std::fs::metadata(&path).is_ok_and(|about| about.len() == IMAGE_BYTES) {
        return Ok(path);
    }
    let mut file = BufWriter::new(File::create(&path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..IMAGE_BYTES / 8 {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    Ok(path)
}
