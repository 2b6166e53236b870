//! Machines of one snapshot, made at once: how long it takes, and what memory they have together.

use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};

use super::bare::{self, Bare};
use super::machines::memory;
use super::{World, by};
use crate::Failure;
use crate::report::{Report, Row};
use crate::stats::{Series, ratios};

/// By each, in turn.
const ROUNDS: usize = 5;
/// Machines.
const COUNT: u16 = 10;

/// Of each round.
#[derive(Default)]
struct Found {
    peers: Vec<Duration>,
    ours: Vec<Duration>,
    /// Bytes, of one bare machine alone, so many times.
    alone: Vec<f64>,
    peer_bytes: Vec<f64>,
    our_bytes: Vec<f64>,
}

pub(super) async fn run(world: &World) -> Result<Vec<Report>, Failure> {
    world.farm.end_guest().await?;
    let mut found = Found::default();
    for _ in 0..ROUNDS {
        let alone = alone(world).await?;
        Box::pin(peer(world)).await?;
        let (peer, peer_bytes) = Box::pin(peer(world)).await?;
        Box::pin(our(world)).await?;
        let (our, our_bytes) = Box::pin(our(world)).await?;
        found.alone.push(alone * f64::from(COUNT));
        found.peers.push(peer);
        found.peer_bytes.push(peer_bytes);
        found.ours.push(our);
        found.our_bytes.push(our_bytes);
    }
    Ok(vec![times(&found), bytes(&found)])
}

/// Bytes of one machine where there is no other.
async fn alone(world: &World) -> Result<f64, Failure> {
    let machine = world.bare(&bare::folder(&world.folder, "alone")?)?;
    machine.healthy().await?;
    memory([machine.pid()])
}

/// Until all are healthy, and the bytes of them.
async fn our(world: &World) -> Result<(Duration, f64), Failure> {
    let (took, made) = world.farm.clones(COUNT).await?;
    let processes = world.farm.machines.all();
    if processes.len() != usize::from(COUNT) {
        return Err(format!("{} machines of {COUNT} run", processes.len()).into());
    }
    let bytes = memory(processes.iter().map(|process| process.pid))?;
    world.farm.end_machines(made).await?;
    Ok((took, bytes))
}

async fn peer(world: &World) -> Result<(Duration, f64), Failure> {
    let folders: Result<Vec<_>, _> =
        (0..COUNT).map(|nth| bare::folder(&world.folder, &format!("clone-{nth}"))).collect();
    let folders = folders?;
    let began = Instant::now();
    let mut all = JoinSet::new();
    for folder in folders {
        let (told, snapshot) = (world.told.clone(), world.snapshot.clone());
        all.spawn(async move {
            let machine = spawn_blocking(move || Bare::restored(&told, &snapshot, &folder)).await??;
            machine.healthy().await?;
            Ok::<_, Failure>(machine)
        });
    }
    let mut machines = Vec::new();
    while let Some(made) = all.join_next().await {
        machines.push(made??);
    }
    let took = began.elapsed();
    Ok((took, memory(machines.iter().map(Bare::pid))?))
}

fn times(found: &Found) -> Report {
    Report {
        title: format!(
            "vm: {COUNT} machines of one snapshot, until all are healthy; {ROUNDS} of each, in turn"
        ),
        rows: vec![
            Row::time(format!("peer: {COUNT} bare QEMUs at once"), Series::times(&found.peers)),
            Row::time(format!("farmhand, {COUNT} clones"), Series::times(&found.ours))
                .against(by(&found.ours, &found.peers)),
        ],
        notes: Vec::new(),
    }
}

fn bytes(found: &Found) -> Report {
    let by_alone = |bytes: &[f64]| ratios(bytes, &found.alone);
    let series = |bytes: &[f64]| Series::of(bytes.iter().copied());
    Report {
        title: format!("vm: memory of these {COUNT}, once they are healthy (PSS)"),
        rows: vec![
            Row::bytes(format!("peer: one bare QEMU alone, times {COUNT}"), series(&found.alone)),
            Row::bytes(format!("{COUNT} bare QEMUs"), series(&found.peer_bytes))
                .against(by_alone(&found.peer_bytes)),
            Row::bytes(format!("farmhand's {COUNT} clones"), series(&found.our_bytes))
                .against(by_alone(&found.our_bytes)),
        ],
        notes: Vec::new(),
    }
}
