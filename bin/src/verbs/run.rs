//! `run` and `flash`: submit a job, and follow it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use farmhand::is_waited_for;
use farmhand::protocol::{Answer, Goal, Job, ProblemClass, Request, SessionView, Source};
use farmhand::transport::Client;

use super::{block_on, boot, monitor, plan};
use crate::args::{Eol, From, Global, RunFlags, Target};
use crate::exit;
use crate::failed::Failed;
use crate::follow::{OnInterrupt, follow};
use crate::project;
use crate::reach::Reach;
use crate::settle::{settle, tell_moved};
use crate::term::Term;

/// A farm that leaves between two steps is asked for again so often.
const SUBMITS: u32 = 3;

pub(crate) fn run(
    global: &Global,
    term: &Term,
    path: Option<&Path>,
    goal: Goal,
    targets: &[Target],
    flags: &RunFlags,
) -> Result<u8, Failed> {
    // As in other tools: `-t upload` is no more than that, `-t upload -t monitor` watches after it.
    let goal = if targets.contains(&Target::Upload) { Goal::Flash } else { goal };
    let (project, config) = project::load(global, path, flags.flags())?;
    project::tell_notes(term, &config, &mut BTreeSet::new());
    let mut job = config.job(&project, goal)?;
    if goal == Goal::Flash && matches!(job.build.source, Source::Boot(_)) {
        let message = "nothing is flashed here: [boot] boots from memory, and writes nothing";
        return Err(Failed::usage(message, &["farmhand boot", "or farmhand fastboot flash PARTITION FILE"]));
    }
    if global.dry_run {
        return Ok(plan::show(term, &job));
    }
    tell_moved(global, term, [&job])?;
    settle(global, term, &mut job, flags.build.locked)?;
    let watch = targets.contains(&Target::Monitor);
    let upload = targets.is_empty() || targets.contains(&Target::Upload);
    let mut reach = Reach::new(global)?;
    block_on(async move {
        let mut code = exit::PASSED;
        if matches!(job.build.source, Source::Boot(_)) {
            boot::find_device(&mut reach, &mut job, config.get("board").is_some()).await?;
        }
        if upload {
            code = submit_and_follow(&mut reach, term, job).await?;
        }
        if watch && code == exit::PASSED {
            let wish = monitor::Wish {
                name: None,
                from: From::Epoch,
                timestamp: false,
                input: true,
                eol: Eol::Lf,
                take: false,
            };
            code = monitor::run(&mut reach, global, term, &wish).await?;
        }
        reach.close().await;
        Ok(code)
    })
}

pub(crate) async fn submit_and_follow(reach: &mut Reach, term: &Term, job: Job) -> Result<u8, Failed> {
    if is_waited_for(reach.home()) {
        let message = "this runs in a build command of the farm, which waits for it: a session could not begin before it ends";
        let help = ["farmhand build, which needs no farm", "or run it when the build has ended"];
        return Err(Failed::new(ProblemClass::Configuration, "F423", message, &help));
    }
    let (client, view) = submit(reach, job).await?;
    follow(reach, client, term, &view, OnInterrupt::Cancel).await
}

/// Makes the session. The key makes asking again safe: the same session is answered.
async fn submit(reach: &mut Reach, job: Job) -> Result<(Client, SessionView), Failed> {
    let request = Request::Submit { key: key()?, job: Box::new(job) };
    let mut tries = 0;
    loop {
        let client = reach.client().await?;
        match client.ask(request.clone()).await {
            Ok(Answer::Session(view)) => return Ok((client, *view)),
            Ok(_) => return Err(Failed::usage("the farm answered something else", &["farmhand status"])),
            Err(error) if error.is_lost() && tries < SUBMITS => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Unique to this wish.
fn key() -> Result<String, Failed> {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    read.map_err(|error| Failed::io("/dev/urandom", &error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
