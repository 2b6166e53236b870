//! What the session sets going: each act, by asking the actor that does it. An answer that does not come proves nothing.

use std::path::PathBuf;
use std::time::Duration;

use farmhand_api::{EventBody, Goal, Job, LogFrom, PartitionStep, Problem, ProblemClass, Source};
use farmhand_messages::compiler::{BuildWish, Built, Urgency};
use farmhand_messages::device::{COMMAND_MAX, DeviceError, FlashPlan, HANDOFF_MAX, HandoffKnown, Payload};
use farmhand_messages::fastboot::{Model, Profile, UsbIdentity};
use farmhand_messages::scheduler::{QUEUED_WITHIN, QueuePlace, Standing};
use farmhand_messages::session::{Outcome, Written};
use farmhand_messages::{
    CompilerMessage, DeviceMessage, DirectoryMessage, SchedulerMessage, SerialMessage, SessionMessage,
};
use farmhand_records::v1::{Artifact, DeviceSelect, FlashProgress, LeaseHeld, ModelOf, Phase, Session};
use farmhand_records::{Attempt, DeviceName, PlanHash};
use farmhand_runtime::{AskError, Ctx, ask, ask_once, load, save};
use farmhand_store::Durability;
use ractor::{ActorRef, registry};
use tokio::sync::mpsc;

use crate::plan::plan_hash;
use crate::state::Act;
use crate::{artifact, boot_image, problems};

/// A toolchain over a slow line, and a large program after it.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// What is known of a board may have to be installed first, and a virtual board built.
const DEVICE_READY: Duration = Duration::from_secs(45 * 60);
/// Answers from memory, or after one sync; a restart in between takes up to 2.5 s of back-off.
const ANSWER: Duration = Duration::from_secs(30);
/// 32 KiB at 57600 baud, written and read back, takes 15 s; a slow board is tried several times.
const TRANSFER: Duration = Duration::from_secs(10 * 60);
/// For each file that goes through a bootloader, besides: room is made, and it is written, by one command each, and its bytes
/// have as much as they need while they move. Here it is an actor that is given up, and not a device.
const TRANSFER_FILE: Duration = COMMAND_MAX.saturating_mul(3);
/// One command, and one sync. Longer proves nothing.
const HANDOFF: Duration = HANDOFF_MAX.saturating_add(Duration::from_secs(60));
/// A loader is asked for some seconds, and a gadget waited for.
const EVIDENCE: Duration = Duration::from_secs(2 * 60);
/// For a device to give up what it does: it ends a transfer before its next command, but waits for one that writes. The
/// longest of those is an erase of a large partition; and the fence in front of it may take a sync.
const GIVES_UP: Duration = COMMAND_MAX.saturating_add(Duration::from_secs(5 * 60));
/// One look at a board, behind whatever is being done with it.
const CALM: Duration = Duration::from_secs(60);
/// Steps that may wait to be told.
const STEPS: usize = 64;

/// Does one act; gives what came of it.
pub(crate) async fn work(ctx: Ctx, session: Session, act: Act) -> Outcome {
    let done = match act {
        Act::Build => build(&ctx, &session).await,
        Act::Acquire { board, port, select, lift, seen } => {
            acquire(&ctx, &session, board, port, select, lift, seen).await
        }
        Act::Plan { artifact, device } => plan(&ctx, &session, &artifact, &device).await,
        Act::Connect { lease } => connect(&ctx, &session, lease).await,
        Act::Transfer { lease, attempt, plan, artifact } => {
            let payload = match artifact::payload(&ctx.paths, &session.job, &artifact).await {
                Ok(payload) => payload,
                Err(problem) => return Outcome::Transferred(Err(DeviceError::NotBegun(Box::new(problem)))),
            };
            let model = match model(&ctx, &session).await {
                Ok(model) => model,
                Err(problem) => return Outcome::Transferred(Err(DeviceError::NotBegun(Box::new(problem)))),
            };
            let console_baud = session.job.baud;
            let plan = FlashPlan { artifact: artifact.hash, payload, hash: plan, console_baud, model };
            let (progress, steps) = mpsc::channel(STEPS);
            let name = ctx.names.device(&lease.device);
            let files = match &plan.payload {
                Payload::Program { .. } | Payload::Guest { .. } => 0,
                Payload::Boot(_) => 1,
                Payload::Partitions { steps, .. } => u32::try_from(steps.len()).unwrap_or(u32::MAX),
            };
            let within = TRANSFER.saturating_add(TRANSFER_FILE.saturating_mul(files));
            let asked = ask(&name, within, |reply| DeviceMessage::Transfer {
                token: lease.token,
                session: session.id,
                attempt,
                plan: plan.clone(),
                progress: Some(progress.clone()),
                reply,
            });
            told(&ctx, &session, steps, |body| body, asked).await.map(Outcome::Transferred)
        }
        Act::Reserve { lease } => {
            let token = lease.token;
            // Before there is an intent the scheduler knows of it: a lease that runs out behind it is nobody else's.
            let (id, scheduler) = (session.id, ctx.names.scheduler());
            let told = ask(&scheduler, ANSWER, |reply| SchedulerMessage::Renew {
                session: id,
                token,
                intent: true,
                reply,
            });
            match told.await {
                Ok(Ok(())) => {}
                Ok(Err(_lost)) => return Outcome::Reserved(Err(DeviceError::Fenced)),
                Err(error) => return Outcome::Lost(format!("the scheduler {error}")),
            }
            let name = ctx.names.device(&lease.device);
            let asked = ask(&name, ANSWER, |reply| DeviceMessage::ReserveEpoch { token, reply });
            asked.await.map(Outcome::Reserved)
        }
        Act::Handoff { lease, attempt, plan, epoch } => {
            let name = ctx.names.device(&lease.device);
            // Asked once, whatever comes of it: here the command leaves us.
            let asked = ask_once(&name, HANDOFF, |reply| DeviceMessage::Handoff {
                token: lease.token,
                session: session.id,
                attempt,
                plan,
                epoch,
                reply,
            });
            match asked.await {
                // Nobody was there to do it.
                Err(error @ AskError::Absent) => {
                    let problem = problems::lost(lease.device.as_str(), &error.to_string());
                    Ok(Outcome::HandedOff(Err(DeviceError::NotBegun(Box::new(problem)))))
                }
                other => other.map(Outcome::HandedOff),
            }
        }
        Act::Evidence { lease, attempt, plan } => {
            let name = ctx.names.device(&lease.device);
            let model = match model(&ctx, &session).await {
                Ok(model) => model,
                Err(problem) => return Outcome::Evidence(Err(DeviceError::NotBegun(Box::new(problem)))),
            };
            let steps = match &session.job.build.source {
                Source::Partitions(steps, _) => u32::try_from(steps.len()).unwrap_or(u32::MAX),
                _ => 0,
            };
            let known = HandoffKnown { epoch: session.epoch, model, steps };
            let asked = ask(&name, EVIDENCE, |reply| DeviceMessage::Evidence {
                token: lease.token,
                session: session.id,
                attempt,
                plan,
                known: known.clone(),
                reply,
            });
            asked.await.map(Outcome::Evidence)
        }
        Act::Confirm { lease, epoch } => {
            let token = lease.token;
            let name = ctx.names.device(&lease.device);
            let asked = ask(&name, CALM, |reply| DeviceMessage::Confirm { token, epoch, reply });
            asked.await.map(Outcome::Confirmed)
        }
        Act::Reach { device } => {
            let name = ctx.names.serial(&device);
            let asked = ask(&name, ANSWER, |reply| SerialMessage::Position { reply });
            asked.await.map(|(offset, _epoch)| Outcome::Reached(offset))
        }
        Act::Renew { token, intent } => {
            let session = session.id;
            let name = ctx.names.scheduler();
            let asked = ask(&name, ANSWER, |reply| SchedulerMessage::Renew { session, token, intent, reply });
            asked.await.map(Outcome::Renewed)
        }
        Act::Stop { lease } => stop(&ctx, &session, lease).await,
        Act::Release { lease, quarantine } => release(&ctx, &session, lease, quarantine).await,
        Act::Observe { .. } | Act::End => Ok(Outcome::Lost("the shell does this itself".into())),
    };
    done.unwrap_or_else(|error| Outcome::Lost(format!("the actor that was asked {error}")))
}

/// Runs `work`, and tells its steps as they come.
async fn told<E, T>(
    ctx: &Ctx,
    session: &Session,
    mut steps: mpsc::Receiver<E>,
    event: impl Fn(E) -> EventBody,
    work: impl Future<Output = T>,
) -> T {
    let device = session.lease.as_ref().map(|lease| &lease.device);
    let tell = |step| ctx.event(Some(session.id), device, event(step));
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => tell(step),
            done = &mut work => {
                while let Ok(step) = steps.try_recv() {
                    tell(step);
                }
                return done;
            }
        }
    }
}

async fn build(ctx: &Ctx, session: &Session) -> Result<Outcome, AskError> {
    let job = &session.job;
    let paths = ctx.paths.clone();
    let built = match &job.build.source {
        Source::Artifact(path) => {
            let path = PathBuf::from(path);
            keep(move || artifact::keep_program(&paths, &path)).await
        }
        Source::Guest(guest) => {
            let program = guest.program.clone();
            keep(move || artifact::keep_guest_program(&paths, &program)).await
        }
        Source::Partitions(steps, _) => {
            if let Err(problem) = profile(ctx, session).await? {
                return Ok(Outcome::Built(Err(problem)));
            }
            let steps = steps.clone();
            keep(move || artifact::keep_partitions(&paths, &steps)).await
        }
        Source::Boot(boot) => {
            let boot = boot.clone();
            match profile(ctx, session).await? {
                Ok(profile) => {
                    let parameters = profile.map(|profile| profile.boot);
                    keep(move || boot_image::keep(&paths, &boot, parameters.as_ref())).await
                }
                Err(problem) => Err(problem),
            }
        }
        Source::Sketch(_)
        | Source::Tree(_)
        | Source::Environment(_)
        | Source::Profile(_)
        | Source::Command(..)
        | Source::CommandOf(..) => {
            let wish = BuildWish::of(job);
            // What is tried again by itself has nobody who looks at it.
            let again = session.attempt != Attempt::default();
            let urgency = if again { Urgency::Background } else { Urgency::Person };
            let (progress, steps) = mpsc::channel(STEPS);
            let (install, installs) = mpsc::channel(STEPS);
            let name = ctx.names.compiler();
            let asked = ask(&name, BUILD, |reply| CompilerMessage::Build {
                wish: wish.clone(),
                urgency,
                progress: Some(progress.clone()),
                install: Some(install.clone()),
                reply,
            });
            let asked = told(ctx, session, steps, EventBody::Build, asked);
            match told(ctx, session, installs, EventBody::Install, asked).await? {
                Ok(built) if job.goal != Goal::Build && !job.is_for_linux() => check_image(built).await,
                built => built,
            }
        }
    };
    Ok(Outcome::Built(built))
}

/// The profile of the job's board, of which the model is durable from here on: the session is held to it, whatever becomes of
/// the profile's file.
async fn profile(ctx: &Ctx, session: &Session) -> Result<Result<Option<Profile>, Problem>, AskError> {
    let (board, project) = (&session.job.board, &session.job.project);
    let read =
        |reply| DirectoryMessage::Profile { board: board.clone(), project: Some(project.clone()), reply };
    let profile = match ask(&ctx.names.directory(), ANSWER, read).await? {
        Ok(profile) => profile,
        Err(problem) => return Ok(Err(problem)),
    };
    let of = ModelOf { session: session.id, model: profile.as_ref().map(Profile::model) };
    let saved = save(&ctx.store, &of, ctx.incarnation, Durability::Durable).await;
    Ok(saved
        .map(|_| profile)
        .map_err(|error| problems::lost("keep the device's profile", &error.to_string())))
}

/// The model that the session's device must be of.
async fn model(ctx: &Ctx, session: &Session) -> Result<Option<Model>, Problem> {
    if !is_of_bootloader(&session.job) {
        return Ok(None);
    }
    let lost = |why: String| problems::lost("the device's profile", &why);
    match load::<ModelOf>(&ctx.store, &session.id.0.to_be_bytes()).await {
        Ok(Some(known)) => Ok(known.model),
        // Built by a farmhand that kept none.
        Ok(None) => {
            let profile = profile(ctx, session).await.map_err(|error| lost(error.to_string()))??;
            Ok(profile.map(|profile| profile.model()))
        }
        Err(error) => Err(lost(error.to_string())),
    }
}

/// Whether its device is a bootloader that speaks fastboot.
fn is_of_bootloader(job: &Job) -> bool {
    matches!(job.build.source, Source::Boot(_) | Source::Partitions(..))
}

/// Keeps files, beside the tasks.
async fn keep(work: impl FnOnce() -> Result<Built, Problem> + Send + 'static) -> Result<Built, Problem> {
    let kept = tokio::task::spawn_blocking(work).await;
    kept.unwrap_or_else(|panic| Err(problems::lost("take the file", &panic.to_string())))
}

/// What is no program for a device is found before a device is asked for.
async fn check_image(built: Built) -> Result<Built, Problem> {
    artifact::program(&built.artifact.display().to_string()).await?;
    Ok(built)
}

/// Whether it has an actor.
fn is_there(ctx: &Ctx, device: &DeviceName) -> bool {
    registry::where_is(ctx.names.device(device)).is_some()
}

async fn acquire(
    ctx: &Ctx,
    session: &Session,
    board: String,
    port: Option<String>,
    select: DeviceSelect,
    lift: Option<DeviceName>,
    seen: Option<QueuePlace>,
) -> Result<Outcome, AskError> {
    let directory = ctx.names.directory();
    let bootloader = match model(ctx, session).await {
        Ok(model) => {
            let shows = model.as_ref().map(UsbIdentity::of).unwrap_or_default();
            is_of_bootloader(&session.job).then_some(shows)
        }
        Err(problem) => return Ok(Outcome::Standing(Err(problem))),
    };
    let provided = ask(&directory, DEVICE_READY, |reply| DirectoryMessage::Provide {
        board: board.clone(),
        port: port.clone(),
        bootloader: bootloader.clone(),
        reply,
    });
    let mut provided = provided.await?;
    // What was handed off to a device is settled with it, though it is not where the job says any more. Where there is no
    // such device any more, nobody waits for it.
    let past = session.finished_unix_ms.is_some()
        || matches!(session.phase, Phase::HandoffIntended | Phase::HandoffIssued(_) | Phase::Observing);
    if let Some(lease) =
        session.lease.as_ref().filter(|lease| select == DeviceSelect::Named(lease.device.clone()))
        && past
        && provided.as_ref().err().is_none_or(|problem| problem.class == ProblemClass::NoDevice)
        && !is_there(ctx, &lease.device)
    {
        let claim = |reply| DirectoryMessage::Claim { device: lease.device.clone(), reply };
        match ask(&directory, DEVICE_READY, claim).await? {
            Ok(()) if is_there(ctx, &lease.device) => provided = Ok(()),
            Err(problem) if problem.class == ProblemClass::NoDevice => provided = Err(problem),
            // Its actor is on its way, or is tried again by whoever asks it.
            _ => {}
        }
    }
    if let Err(problem) = provided {
        return Ok(Outcome::Standing(Err(problem)));
    }
    let scheduler = ctx.names.scheduler();
    if let Some(device) = lift {
        let lifted =
            ask(&scheduler, ANSWER, |reply| SchedulerMessage::Unquarantine { device: device.clone(), reply });
        let _was_set_aside = lifted.await?;
    }
    let asked = ask(&scheduler, ANSWER + QUEUED_WITHIN, |reply| SchedulerMessage::Acquire {
        session: session.id,
        board: board.clone(),
        select: select.clone(),
        seen,
        reply,
    });
    let standing: Result<Standing, Problem> = asked.await?;
    Ok(Outcome::Standing(standing))
}

async fn plan(
    ctx: &Ctx,
    session: &Session,
    artifact: &Artifact,
    device: &DeviceName,
) -> Result<Outcome, AskError> {
    let drivers = ask(&ctx.names.directory(), ANSWER, |reply| DirectoryMessage::Drivers { reply }).await?;
    let driver = drivers.into_iter().find(|(name, _)| name == device).map(|(_, driver)| driver);
    let plan = |payload: Payload| -> PlanHash {
        let driver = driver.as_deref().unwrap_or_default();
        // A program by what it puts where, whatever file it is from; all else by its bytes.
        let content = match &payload {
            Payload::Program { image, .. } => *image.hash().as_bytes(),
            Payload::Boot(_) | Payload::Partitions { .. } | Payload::Guest { .. } => artifact.hash.0,
        };
        plan_hash(driver, &session.job.board, &content, session.handoff)
    };
    Ok(Outcome::Planned(artifact::payload(&ctx.paths, &session.job, artifact).await.map(plan)))
}

async fn connect(ctx: &Ctx, session: &Session, lease: LeaseHeld) -> Result<Outcome, AskError> {
    // Where it is plugged in now: one that came back may have another port than its actor knows.
    let claim = |reply| DirectoryMessage::Claim { device: lease.device.clone(), reply };
    if let Err(problem) = ask(&ctx.names.directory(), DEVICE_READY, claim).await? {
        return Ok(Outcome::Connected(Err(DeviceError::NotBegun(Box::new(problem)))));
    }
    let (progress, steps) = mpsc::channel(STEPS);
    let name = ctx.names.device(&lease.device);
    let asked = ask(&name, DEVICE_READY, |reply| DeviceMessage::Connect {
        token: lease.token,
        session: session.id,
        console_baud: session.job.baud,
        progress: Some(progress.clone()),
        reply,
    });
    told(ctx, session, steps, |body| body, asked).await.map(Outcome::Connected)
}

/// Has the device end what it does for the session. It is asked for as long as it takes, and again where it does not answer:
/// given to another meanwhile, it would be written to under that one's lease. No quarantine: every command has a deadline of
/// its own, so it always comes to an end, and is as good as before then.
async fn gives_up(ctx: &Ctx, lease: &LeaseHeld) -> Result<(), AskError> {
    let (name, token) = (ctx.names.device(&lease.device), lease.token);
    // Where nobody has claimed the device since the farm's start, nothing of it is open.
    if !is_there(ctx, &lease.device) {
        return Ok(());
    }
    match ask(&name, GIVES_UP, |reply| DeviceMessage::Disconnect { token, reply }).await {
        // Its tasks have ended with it.
        Ok(()) | Err(AskError::Absent) => Ok(()),
        Err(error) => {
            tracing::warn!(device = %lease.device, "disconnect: it {error}; asked again");
            Err(error)
        }
    }
}

/// Ends a transfer; gives what it has written.
async fn stop(ctx: &Ctx, session: &Session, lease: LeaseHeld) -> Result<Outcome, AskError> {
    gives_up(ctx, &lease).await?;
    let known = match load::<FlashProgress>(&ctx.store, lease.device.as_str().as_bytes()).await {
        Ok(known) => known,
        Err(error) => return Ok(Outcome::Lost(error.to_string())),
    };
    let ours = |known: &FlashProgress| (known.session, Some(known.plan)) == (session.id, session.plan);
    let Some(known) = known.filter(ours) else { return Ok(Outcome::Stopped(Written::default())) };
    let names: Vec<_> = match &session.job.build.source {
        Source::Partitions(steps, _) => steps.iter().map(name_of).collect(),
        _ => Vec::new(),
    };
    let (done, begun) = (known.done as usize, known.begun as usize);
    Ok(Outcome::Stopped(Written {
        begun: names.get(done).filter(|_| begun > done).cloned(),
        done: names.into_iter().take(done).collect(),
    }))
}

/// What a step touches.
fn name_of(step: &PartitionStep) -> String {
    match step {
        PartitionStep::Flash(partition, _) => partition.clone(),
        PartitionStep::Erase(partition) => format!("{partition} (erased)"),
    }
}

async fn release(
    ctx: &Ctx,
    session: &Session,
    lease: Option<LeaseHeld>,
    quarantine: Option<farmhand_records::v1::Quarantine>,
) -> Result<Outcome, AskError> {
    if let Some(lease) = &lease {
        gives_up(ctx, lease).await?;
    }
    let name = ctx.names.scheduler();
    let asked = ask(&name, ANSWER, |reply| SchedulerMessage::Release {
        session: session.id,
        quarantine: quarantine.clone(),
        reply,
    });
    asked.await.map(|()| Outcome::Released)
}

/// Reads a device's output. `credit` items may be under way; `judged` gives one back for each, and ends the reading
/// when it is closed.
pub(crate) async fn pump(
    ctx: Ctx,
    session: ActorRef<SessionMessage>,
    step: u64,
    (device, from): (DeviceName, LogFrom),
    mut credit: usize,
    mut judged: mpsc::Receiver<()>,
) -> SessionMessage {
    let message = |outcome| SessionMessage::Outcome { step, outcome: Box::new(outcome) };
    let name = ctx.names.serial(&device);
    let subscribed = ask(&name, ANSWER, |reply| SerialMessage::Subscribe { from, follow: true, reply });
    let Ok(mut reader) = subscribed.await else { return message(Outcome::OutputEnded) };
    if session.cast(message(Outcome::Subscribed)).is_err() {
        return message(Outcome::OutputEnded);
    }
    loop {
        tokio::select! {
            item = reader.recv(), if credit > 0 => {
                let Some(item) = item else { break };
                credit -= 1;
                if session.cast(message(Outcome::Output(item))).is_err() {
                    break;
                }
            }
            more = judged.recv() => match more {
                Some(()) => credit += 1,
                None => break,
            }
        }
    }
    message(Outcome::OutputEnded)
}
