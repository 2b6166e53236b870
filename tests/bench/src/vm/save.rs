//! A save of a guest that runs, until all of it is on the disk and the guest goes on.

use super::{World, bare, by};
use crate::Failure;
use crate::report::{Report, Row};
use crate::stats::Series;

/// By each, in turn.
const ROUNDS: usize = 7;
/// What farmhand calls it.
const NAME: &str = "saved";

pub(super) async fn run(world: &World) -> Result<Report, Failure> {
    let (mut peers, mut limited, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    // One that does not count.
    for round in 0..=ROUNDS {
        let mut times = Vec::new();
        for limit in [true, false] {
            // Each of a machine that has done the same: it came up, and was asked how it is.
            let mut machine = world.bare(&bare::folder(&world.folder, "saves")?)?;
            machine.healthy().await?;
            let (took, len) = machine.save(limit)?;
            times.push(took);
            bytes = len;
        }
        world.farm.restore().await?;
        world.farm.save(NAME).await?;
        let our = world.farm.save(NAME).await?;
        if round > 0 {
            limited.push(times[0]);
            peers.push(times[1]);
            ours.push(our);
        }
    }
    Ok(Report {
        title: format!(
            "vm: a guest is saved, {} MB of memory and its disk, synced; {ROUNDS} of each, in turn",
            bytes / 1_000_000
        ),
        rows: vec![
            Row::time("peer: bare QEMU, into a file, no limit", Series::times(&peers)),
            Row::time("(by its own limit of 128 MiB a second)", Series::times(&limited))
                .against(by(&limited, &peers)),
            Row::time("farmhand, command to done", Series::times(&ours)).against(by(&ours, &peers)),
        ],
        notes: Vec::new(),
    })
}
