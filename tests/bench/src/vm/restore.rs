//! A restore, to a guest that is healthy and to its first answer; and commands right behind one.

use std::time::{Duration, Instant};

use super::{World, bare, by};
use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::stats::Series;

/// By each, in turn.
const ROUNDS: usize = 9;
/// Commands at once.
const AT_ONCE: usize = 10;

/// What was measured of one.
#[derive(Default)]
struct Times {
    healthy: Vec<Duration>,
    /// Until the first command has ended, from the beginning.
    answered: Vec<Duration>,
    one: Vec<Duration>,
    ten: Vec<Duration>,
}

impl Times {
    fn add(&mut self, [healthy, one, ten]: [Duration; 3]) {
        self.healthy.push(healthy);
        self.answered.push(healthy + one);
        self.one.push(one);
        self.ten.push(ten);
    }
}

pub(super) async fn run(world: &World) -> Result<Vec<Report>, Failure> {
    let (mut peers, mut ours, mut boots) = (Times::default(), Times::default(), Vec::new());
    // One that does not count: files are in memory from then on.
    for round in 0..=ROUNDS {
        let boot = world.farm.boot().await?;
        let peer = Box::pin(peer(world)).await?;
        let our = Box::pin(our(world)).await?;
        if round > 0 {
            boots.push(boot);
            peers.add(peer);
            ours.add(our);
        }
    }
    Ok(vec![restored(world, &peers, &ours, &boots)?, commands(&peers, &ours)])
}

/// So many commands at once behind a restore; behind another one, which follows at once: to healthy, and one command.
async fn our(world: &World) -> Result<[Duration; 3], Failure> {
    world.farm.restore().await?;
    let ten = world.farm.run(AT_ONCE).await?;
    let healthy = world.farm.restore().await?;
    Ok([healthy, world.farm.run(1).await?, ten])
}

async fn peer(world: &World) -> Result<[Duration; 3], Failure> {
    let machine = world.bare(&bare::folder(&world.folder, "one")?)?;
    let ten = bare::run(&machine.healthy().await?, AT_ONCE).await?;
    drop(machine);
    let folder = bare::folder(&world.folder, "one")?;
    let began = Instant::now();
    let machine = world.bare(&folder)?;
    let link = machine.healthy().await?;
    let healthy = began.elapsed();
    Ok([healthy, bare::run(&link, 1).await?, ten])
}

fn restored(world: &World, peers: &Times, ours: &Times, boots: &[Duration]) -> Result<Report, Failure> {
    let memory = std::fs::metadata(world.snapshot.join("memory"))?.len();
    Ok(Report {
        title: format!(
            "vm: a Linux guest of 256 MiB is restored, {} MB of memory in its snapshot; {ROUNDS} of each, in turn",
            memory / 1_000_000
        ),
        rows: vec![
            Row::time("peer: bare QEMU, spawn to healthy", Series::times(&peers.healthy)),
            Row::time("farmhand, restore to healthy", Series::times(&ours.healthy))
                .against(by(&ours.healthy, &peers.healthy))
                .goal(Goal::TimesAtMost(1.2)),
            Row::time("peer: bare QEMU, to the end of `true`", Series::times(&peers.answered)),
            Row::time("farmhand, to the end of `true`", Series::times(&ours.answered))
                .against(by(&ours.answered, &peers.answered))
                .goal(Goal::TimesAtMost(1.2)),
            Row::time("peer: farmhand, boot to healthy", Series::times(boots)),
            Row::time("farmhand, restore to healthy", Series::times(&ours.healthy))
                .against(by(&ours.healthy, boots)),
        ],
        notes: Vec::new(),
    })
}

fn commands(peers: &Times, ours: &Times) -> Report {
    Report {
        title: format!("vm: `true` in a guest, right behind its restore; {ROUNDS} of each, in turn"),
        rows: vec![
            Row::time("peer: one, by farmhand", Series::times(&ours.one)),
            Row::time(format!("{AT_ONCE} at once, by farmhand"), Series::times(&ours.ten))
                .against(by(&ours.ten, &ours.one))
                .goal(Goal::TimesAtMost(2.0)),
            Row::time("peer: one, in bare QEMU", Series::times(&peers.one)),
            Row::time(format!("{AT_ONCE} at once, in bare QEMU"), Series::times(&peers.ten))
                .against(by(&peers.ten, &peers.one)),
            Row::time("one, by farmhand", Series::times(&ours.one)).against(by(&ours.one, &peers.one)),
            Row::time(format!("{AT_ONCE} at once, by farmhand"), Series::times(&ours.ten))
                .against(by(&ours.ten, &peers.ten)),
        ],
        notes: vec![
            "the last two rows' peers are those in bare QEMU: the same agent, asked through its socket"
                .into(),
        ],
    }
}
