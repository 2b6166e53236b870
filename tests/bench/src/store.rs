//! A checkpoint in the store, against the least that a durable record can cost: append it to a file and fdatasync.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use farmhand_records::v1::{
    Artifact, Build, DeviceSelect, Evidence, Goal as JobGoal, HandoffKind, Job, LeaseHeld, Observed, OnGap,
    Phase, Session, Source, Toolchain,
};
use farmhand_records::{
    Attempt, ContentHash, DeviceName, Epoch, FencingToken, Incarnation, PlanHash, Record as _, SessionId,
};
use farmhand_runtime::put;
use farmhand_store::{Durability, StoreHandle};
use tokio::task::JoinSet;

use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::stats::{Series, medians, ratios};

/// Of everything, in turn. The machine's moods are longer than a round, and are the same for all in it.
const ROUNDS: usize = 15;
/// Of each kind, in a round.
const WRITES: usize = 100;
/// Writers together.
const WRITERS: usize = 64;
/// Of each of them, in a round.
const WRITES_TOGETHER: usize = 20;
/// The peer's file is as long as so many bytes before the rewriting peer begins.
const REWRITTEN_BYTES: usize = 1024 * 1024;

/// Where records go, ours and the peers'.
struct Places {
    store: StoreHandle,
    appended: File,
    rewritten: File,
    /// What a peer writes: the record and its key, nothing around them.
    bytes: Vec<u8>,
}

pub(crate) async fn run(folder: &Path) -> Result<Report, Failure> {
    let folder = tempfile::tempdir_in(folder)?;
    let (store, _) = StoreHandle::open(folder.path().join("store")).await?;
    let record = session(1);
    let bytes = [record.key(), record.encode()].concat();
    let create = |name| OpenOptions::new().create_new(true).write(true).open(folder.path().join(name));
    let mut rewritten = create("rewritten")?;
    rewritten.write_all(&vec![0; REWRITTEN_BYTES])?;
    rewritten.sync_all()?;
    let mut places = Places { store, appended: create("appended")?, rewritten, bytes };
    let report = measure(&mut places).await?;
    places.store.close().await?;
    Ok(report)
}

async fn measure(places: &mut Places) -> Result<Report, Failure> {
    let mut appended = Vec::new();
    let mut rewritten = Vec::new();
    let mut kinds =
        [Durability::Marked, Durability::Durable, Durability::Progress].map(|kind| (kind, Vec::new()));
    let mut alone = Vec::new();
    let mut together = Vec::new();
    // One round more than counts: the first finds everything cold.
    for _ in 0..=ROUNDS {
        appended.push(append(places)?);
        rewritten.push(rewrite(places)?);
        for (kind, rounds) in &mut kinds {
            rounds.push(one_writer(&places.store, SessionId(1), *kind, WRITES).await?);
        }
        alone.push(rate(&places.store, 1, WRITES).await?);
        together.push(rate(&places.store, WRITERS, WRITES_TOGETHER).await?);
    }
    for rounds in
        [&mut appended, &mut rewritten].into_iter().chain(kinds.iter_mut().map(|(_, rounds)| rounds))
    {
        rounds.remove(0);
    }
    alone.remove(0);
    together.remove(0);

    let peer = medians(&appended);
    let times = |rounds: &[Vec<Duration>]| Series::times(&rounds.concat());
    let row = |what: &str, rounds: &[Vec<Duration>]| {
        Row::time(what, times(rounds)).against(ratios(&medians(rounds), &peer))
    };
    let [(_, marked), (_, durable), (_, progress)] = &kinds;
    Ok(Report {
        title: format!(
            "store: a session's checkpoint, {} bytes; {ROUNDS} rounds of {WRITES} each, in turn",
            places.bytes.len()
        ),
        rows: vec![
            Row::time("peer: append and fdatasync", times(&appended)),
            row("(rewrite in place and fdatasync)", &rewritten),
            row("guards a handoff", marked).goal(Goal::TimesAtMost(2.5)),
            row("does not, and waits for the disk", durable).goal(Goal::TimesAtMost(1.3)),
            row("progress, waits for nothing", progress),
            Row::rate("one writer that guards a handoff", Series::of(alone.iter().copied())),
            Row::rate(format!("{WRITERS} such writers together"), Series::of(together.iter().copied()))
                .against(ratios(&together, &alone))
                .goal(Goal::TimesAtLeast(10.0)),
        ],
        notes: vec!["the last row's peer is the row above it".into()],
    })
}

fn append(places: &mut Places) -> Result<Vec<Duration>, Failure> {
    let Places { appended, bytes, .. } = places;
    peer(|| {
        appended.write_all(bytes)?;
        appended.sync_data()
    })
}

/// A file that does not grow: its length needs no writing.
fn rewrite(places: &mut Places) -> Result<Vec<Duration>, Failure> {
    let Places { rewritten, bytes, .. } = places;
    rewritten.rewind()?;
    peer(|| {
        rewritten.write_all(bytes)?;
        rewritten.sync_data()
    })
}

fn peer(mut act: impl FnMut() -> std::io::Result<()>) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        act()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Each write when the one before it was answered, as a session writes.
async fn one_writer(
    store: &StoreHandle,
    id: SessionId,
    durability: Durability,
    writes: usize,
) -> Result<Vec<Duration>, Failure> {
    let mut record = session(id.0);
    let mut times = Vec::with_capacity(writes);
    for write in 0..writes {
        record.observed.offset = write as u64;
        let put = put(&record, Incarnation(1), durability);
        let begun = Instant::now();
        store.put(put).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Records a second.
async fn rate(store: &StoreHandle, writers: usize, writes: usize) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        let id = SessionId(100 + writer as u64);
        tasks.spawn(async move {
            one_writer(&store, id, Durability::Marked, writes).await.map_err(|failure| failure.to_string())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok((writers * writes) as f64 / begun.elapsed().as_secs_f64())
}

/// As it is right before a handoff.
fn session(id: u64) -> Session {
    let project = "/home/someone/projects/blink";
    let device = DeviceName::new("uno-1").expect("a name of five letters");
    Session {
        id: SessionId(id),
        job: Job {
            title: "blink".into(),
            project: project.into(),
            goal: JobGoal::Run,
            board: "arduino:avr:uno".into(),
            build: Build {
                source: Source::Sketch(project.into()),
                toolchain: Toolchain::Managed,
                flags: vec![],
                cxx_flags: vec![],
                link_flags: vec![],
                jobs: 0,
            },
            device: DeviceSelect::Named(device.clone()),
            once: false,
            expect: vec!["blink 3".into()],
            expect_places: vec![],
            fail_on: vec!["panic".into()],
            timeout_ms: 20_000,
            on_gap: OnGap::Reset,
            baud: 115_200,
            infra_retries: 0,
        },
        phase: Phase::HandoffIssued(Evidence::Complete("leave programming: in sync, ok".into())),
        attempt: Attempt(1),
        lease: Some(LeaseHeld { device, token: FencingToken(12) }),
        artifact: Some(Artifact {
            hash: ContentHash([0x5a; 32]),
            path: "/home/someone/.local/share/farmhand/artifacts/5a5a5a5a5a5a5a5a".into(),
            image_bytes: 2900,
        }),
        plan: Some(PlanHash([0xa5; 32])),
        handoff: HandoffKind::Repeatable,
        epoch: Some(Epoch(34)),
        observed: Observed::default(),
        cancel: false,
        infra_failures: 0,
        created_unix_ms: 1_750_000_000_000,
        finished_unix_ms: None,
    }
}
