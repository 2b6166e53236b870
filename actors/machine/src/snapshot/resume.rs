//! A machine that is paused by us goes on, whatever failed meanwhile, or is ended: one that stays paused looks like one that
//! is well, and answers nobody.

use std::path::Path;
use std::time::Duration;

use farmhand_runtime::{Failpoint, failpoint};
use farmhand_wire::qmp::{Answer, Command, MigrationInfo, MigrationStatus};
use tokio::time::{Instant, sleep};

use super::SnapshotError;
use super::hold::Mark;
use crate::machine::{Machine, MachineError, Now};
use crate::monitor::{Monitor, MonitorError};
use crate::process;

/// In a machine's folder for as long as it may be paused by us: who adopts it then lets it go on.
pub(crate) const SAVING: &str = "saving";
/// What a machine is in that was paused, and whose memory is being or was saved (QAPI `RunState`). In any other state that is
/// not running its guest has put itself, and stays.
const OURS: [&str; 4] = ["paused", "finish-migrate", "postmigrate", "save-vm"];
/// For a machine to go on: two answers of a monitor that takes its time. QEMU needs a thousandth of a second.
const RESUMED_WITHIN: Duration = Duration::from_secs(20);
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Does this while the machine is paused, and lets it go on.
pub(super) async fn while_paused<T>(
    machine: &Machine,
    folder: &Path,
    work: impl Future<Output = Result<T, SnapshotError>>,
) -> Result<T, SnapshotError> {
    let mark = Mark::make(folder, SAVING)?;
    failpoint(Failpoint::SaveMarked);
    let began = Instant::now();
    let done = match pause(machine).await {
        Ok(()) => {
            failpoint(Failpoint::SavePaused);
            work.await
        }
        // An answer that is lost, or an error, is no proof that it runs.
        Err(error) => Err(error),
    };
    let resumed = go_on(machine, folder).await;
    tracing::debug!(paused_ms = began.elapsed().as_millis(), ok = resumed.is_ok(), "a machine was paused");
    failpoint(Failpoint::SaveResumed);
    let unmarked = mark.remove();
    SnapshotError::both(done, resumed.and(unmarked).map_err(SnapshotError::from))
}

async fn pause(machine: &Machine) -> Result<(), SnapshotError> {
    machine.monitor().ask(Command::Stop).await.map_err(MachineError::from)?;
    match machine.now().await? {
        Now::Stopped(state) if state == "paused" => Ok(()),
        // Its guest has reset it or powered it off just before.
        Now::Stopped(state) => Err(SnapshotError::NotRunning(state)),
        other => Err(MachineError::State { found: format!("{other:?}"), wanted: "paused" }.into()),
    }
}

/// A machine that was being saved when its owner died goes on, as it would have.
pub(crate) async fn go_on_after_a_crash(machine: &Machine, folder: &Path) -> Result<(), MachineError> {
    let Some(mark) = Mark::left(folder, SAVING)? else { return Ok(()) };
    go_on(machine, folder).await?;
    forget(folder, mark)
}

/// Of a machine that has ended nothing tells that it was being saved.
pub(crate) fn forget_the_save(folder: &Path) -> Result<(), MachineError> {
    match Mark::left(folder, SAVING) {
        Ok(Some(mark)) => forget(folder, mark),
        // Its owner lives, and finds out by itself.
        Ok(None) | Err(MachineError::Busy) => Ok(()),
        Err(error) => Err(error),
    }
}

fn forget(folder: &Path, mark: Mark) -> Result<(), MachineError> {
    // The owner who died may have got no further than to bind it.
    super::stream::remove(&folder.join(super::OUT))?;
    mark.remove()
}

/// Lets it go on, or ends it.
async fn go_on(machine: &Machine, folder: &Path) -> Result<(), MachineError> {
    let until = Instant::now() + RESUMED_WITHIN;
    let mut monitor = machine.monitor().clone();
    loop {
        let Err(error) = try_once(&monitor).await else { return Ok(()) };
        if !machine.process().is_alive() {
            return Err(error);
        }
        if Instant::now() > until {
            process::end(machine.process()).await?;
            return Err(MachineError::NotResumed { why: error.to_string() });
        }
        if matches!(error, MachineError::Monitor(MonitorError::Gone(_)))
            && let Ok((again, _nobody_listens)) = Monitor::connect(&folder.join(process::MONITOR)).await
        {
            // The connection is lost and not the machine. Its owner will find that out; this one is for now.
            monitor = again;
        }
        sleep(TRY_AGAIN).await;
    }
}

async fn try_once(monitor: &Monitor) -> Result<(), MachineError> {
    // Nothing where none is under way.
    monitor.ask(Command::MigrateCancel).await?;
    match monitor.ask(Command::QueryMigrate).await? {
        Answer::Migration(MigrationInfo { status, .. }) if is_over(status.as_ref()) => {}
        other => return Err(MachineError::State { found: format!("{other:?}"), wanted: "no more saved" }),
    }
    match Machine::state_of(monitor).await? {
        Now::Stopped(state) if OURS.contains(&state.as_str()) => {}
        // It runs, or its guest has stopped it.
        _ => return Ok(()),
    }
    monitor.ask(Command::Cont).await?;
    // Its answer alone proves nothing.
    match Machine::state_of(monitor).await? {
        Now::Stopped(state) if OURS.contains(&state.as_str()) => {
            Err(MachineError::State { found: state, wanted: "running again" })
        }
        _ => Ok(()),
    }
}

/// Whether no migration will change the machine's state any more.
fn is_over(status: Option<&MigrationStatus>) -> bool {
    use MigrationStatus::{Cancelled, Completed, Failed, None as NeverAny};
    matches!(status, None | Some(NeverAny | Completed | Failed | Cancelled))
}
