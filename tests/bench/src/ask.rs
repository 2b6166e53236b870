//! A question to an actor through the socket, while nothing else goes on, and while the farm builds.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use farmhand::config::{Config, Project, Sources};
use farmhand::protocol::{Answer, Goal as JobGoal, Job, PhaseName, Request, SessionId};
use farmhand::transport::Client;
use farmhand_runtime::Paths;

use crate::Failure;
use crate::build;
use crate::daemon::Daemon;
use crate::report::{Goal, Report, Row};
use crate::set_up::SetUp;
use crate::stats::Series;

/// Questions of each kind, where nothing else goes on.
const IDLE: usize = 2000;
/// Questions of each kind before a farm is as warm as it gets.
const WARM_UP: usize = 100;
/// Builds during which is asked.
const BUILDS: usize = 8;
/// Between two questions during a build: more would be a load of its own.
const PAUSE: Duration = Duration::from_millis(2);
/// A build takes a second or two.
const BUILD_WITHIN: Duration = Duration::from_secs(300);
/// Questions of which the median is put beside the peer's.
const CHUNK: usize = 100;
/// What the peer sends and gets back, in bytes: about a question.
const ECHO_BYTES: usize = 64;

/// Times of each question, by its row.
struct Asked {
    status: Vec<Duration>,
    devices: Vec<Duration>,
    session: Vec<Duration>,
}

pub(crate) async fn run(set_up: &SetUp) -> Result<Report, Failure> {
    let daemon = Daemon::start(set_up).await?;
    let folder = tempfile::tempdir_in(&set_up.folder)?;
    let client = &daemon.client;
    let peer = tokio::task::spawn_blocking(echo).await??;
    for _ in 0..WARM_UP {
        ask(client, Request::Status).await?;
    }
    let mut status = Vec::with_capacity(IDLE);
    let mut devices = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        status.push(ask(client, Request::Status).await?);
        devices.push(ask(client, Request::Devices).await?);
    }
    let mut busy = Asked { status: vec![], devices: vec![], session: vec![] };
    for build in 0..BUILDS {
        during(client, set_up, &build::project(folder.path(), &format!("ask-{build}"))?, &mut busy).await?;
    }
    daemon.end().await?;

    let echo = Series::times(&peer).median();
    let by_peer = |times: &[Duration]| {
        Series::of(times.chunks(CHUNK).map(|chunk| Series::times(chunk).median() / echo))
    };
    let row = |what: &str, times: &[Duration]| {
        Row::time(what, Series::times(times)).against(by_peer(times)).goal(Goal::P99Within(0.01))
    };
    Ok(Report {
        title: format!(
            "ask: a question through the socket of farmhandd; {IDLE} of each while idle, {} while it builds",
            busy.status.len()
        ),
        rows: vec![
            Row::time("peer: an echo over a Unix socket, no farm", Series::times(&peer)),
            row("idle: status, of the farm's root", &status),
            row("idle: devices, of two actors and the store", &devices),
            row("building: status", &busy.status),
            row("building: devices", &busy.devices),
            row("building: the session that builds", &busy.session),
        ],
        notes: vec!["a build keeps every core at work; who asks then waits for one".into()],
    })
}

/// Asks all the while that a project is built with no object cached.
async fn during(client: &Client, set_up: &SetUp, project: &Path, asked: &mut Asked) -> Result<(), Failure> {
    build::forget_objects(&Paths::new(set_up.home()))?;
    let key = format!("bench-{}-{}", std::process::id(), project.display());
    let job = Box::new(job(project)?);
    let Answer::Session(session) = client.ask(Request::Submit { key, job }).await? else {
        return Err("a job that was submitted is no session".into());
    };
    let until = Instant::now() + BUILD_WITHIN;
    while Instant::now() < until {
        asked.status.push(ask(client, Request::Status).await?);
        asked.devices.push(ask(client, Request::Devices).await?);
        let begun = Instant::now();
        let phase = phase(client, session.id).await?;
        asked.session.push(begun.elapsed());
        if phase == PhaseName::Finished {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("{} is not built within {} s", project.display(), BUILD_WITHIN.as_secs()).into())
}

async fn ask(client: &Client, request: Request) -> Result<Duration, Failure> {
    let begun = Instant::now();
    client.ask(request).await?;
    Ok(begun.elapsed())
}

async fn phase(client: &Client, id: SessionId) -> Result<PhaseName, Failure> {
    match client.ask(Request::Session(id)).await? {
        Answer::Session(view) => match &view.problem {
            Some(problem) => Err(format!("the build: {}", problem.message).into()),
            None => Ok(view.phase),
        },
        other => Err(format!("asked for a session, got {other:?}").into()),
    }
}

/// The job that the command line would make of a project.
fn job(project: &Path) -> Result<Job, Failure> {
    let found = Project::find(Some(project), None, project).map_err(|error| error.to_string())?;
    let sources = Sources { project: Some(found.folder.clone()), ..Sources::default() };
    let config = Config::load(&sources).map_err(|error| error.to_string())?;
    config.job(&found, JobGoal::Build).map_err(|error| error.to_string().into())
}

/// What a question costs where there is nothing behind the socket.
fn echo() -> Result<Vec<Duration>, Failure> {
    let (mut near, mut far) = UnixStream::pair()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut bytes = [0; ECHO_BYTES];
        for _ in 0..WARM_UP + IDLE {
            far.read_exact(&mut bytes)?;
            far.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut times = Vec::with_capacity(WARM_UP + IDLE);
    let mut bytes = [0; ECHO_BYTES];
    for _ in 0..WARM_UP + IDLE {
        let begun = Instant::now();
        near.write_all(&bytes)?;
        near.read_exact(&mut bytes)?;
        times.push(begun.elapsed());
    }
    echo.join().map_err(|_| "the echo panicked")??;
    Ok(times.split_off(WARM_UP))
}
