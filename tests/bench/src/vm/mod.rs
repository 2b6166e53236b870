//! Virtual machines: a Linux guest that is restored, told what to do, saved, cloned; and machines that the next farm adopts.
//!
//! The peer is bare QEMU, of the same build and with the same words, and of the same snapshot. It is what any farm must do, and
//! less than one may: it verifies nothing, ends no machine that ran, keeps no record, opens no console.
//!
//! What is timed is done twice, and the second one counts: the memory that it takes is what the first one has just given back. A host
//! may have taken back what was free for a while, and page faults would be most of what is measured.

mod adopt;
mod bare;
mod clones;
mod farm;
mod machines;
mod monitor;
mod restore;
mod save;

use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::report::Report;
use crate::set_up::SetUp;
use crate::stats::{Series, ratios};
use bare::{Bare, Told};
use farm::Farm;

/// A farm with a guest, and what its peer needs.
struct World {
    farm: Farm,
    told: Told,
    snapshot: PathBuf,
    /// Where peers run.
    folder: PathBuf,
}

impl World {
    /// A bare machine of the same snapshot, let go.
    fn bare(&self, folder: &std::path::Path) -> Result<Bare, Failure> {
        Bare::restored(&self.told, &self.snapshot, folder)
    }
}

pub(crate) async fn run(set_up: &SetUp) -> Result<Vec<Report>, Failure> {
    let farm = Farm::start(set_up).await?;
    let (told, snapshot) = (Told::of(&farm.folder())?, farm.snapshot());
    let world = World { farm, told, snapshot, folder: bare::folder(&set_up.folder, "vm")? };
    let mut reports = restore::run(&world).await?;
    reports.push(save::run(&world).await?);
    reports.extend(clones::run(&world).await?);
    world.farm.end().await?;
    reports.push(adopt::run(set_up).await?);
    Ok(reports)
}

fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

/// Round by round.
fn by(ours: &[Duration], peers: &[Duration]) -> Series {
    ratios(&seconds(ours), &seconds(peers))
}
