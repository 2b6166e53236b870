//! Snapshots of emulated machines. Their folder has no owner but the locks in it: what concerns no device is done here.

use std::time::Duration;

use farmhand_api::{
    Answer, CLONES_MAX, DeviceState, DeviceView, Item, Problem, SnapshotCommand, SnapshotView,
};
use farmhand_device::of_snapshot;
use farmhand_machine::{Description, Keep, Listed, MadeBy, SnapshotError, SnapshotName, Snapshots};
use farmhand_messages::device::SnapshotWish;
use farmhand_messages::{DeviceMessage, DirectoryMessage};
use farmhand_records::DeviceName;
use farmhand_runtime::{ask, ask_once, unix_ms};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};

use super::bootloader::{problem, tell};
use super::{ANSWER, Api};
use crate::devices::QEMU_BOARD;
use crate::problems::{leased, so_many_clones, unanswered};

/// Memory is written to a disk, or read from one; and QEMU may have to be installed first.
const WITHIN: Duration = Duration::from_secs(45 * 60);
/// Machines that are made at once: each takes a processor for some tens of milliseconds.
const AT_ONCE: usize = 4;
/// Steps that may wait to be told.
const STEPS: usize = 64;

impl Api {
    pub(super) async fn snapshot(
        &self,
        command: SnapshotCommand,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        match command {
            SnapshotCommand::Create { device, name, replace } => {
                let wish = SnapshotWish::Save { name: name.clone(), replace };
                self.of_device(&device, wish, items).await?;
                self.of_folder(move |all| Ok(Answer::Snapshots(vec![one(&all.describe(&named(&name)?)?)])))
                    .await
            }
            SnapshotCommand::Restore { device, name } => {
                let wish = SnapshotWish::Restore { name };
                let said = self.of_device(&device, wish, items).await?;
                Ok(Answer::Said(self.healthy(&device, said).await?))
            }
            SnapshotCommand::Clone { name, count } => self.clones(name, count, items).await,
            SnapshotCommand::End { device } => {
                self.of_device(&device, SnapshotWish::End, items).await?;
                // One that was made for somebody is made anew, where it is wanted again.
                self.unmake(vec![device]).await.map(|()| Answer::Done)
            }
            SnapshotCommand::List => {
                self.of_folder(|all| Ok(Answer::Snapshots(all.list()?.iter().map(listed).collect()))).await
            }
            SnapshotCommand::Verify { name } => {
                let all = Snapshots::open(&self.paths.snapshots());
                let verified = async { all?.verify(&named(&name)?).await };
                let said = verified.await.map_err(|error| of_snapshot(&error))?;
                Ok(Answer::Snapshots(vec![one(&said)]))
            }
            SnapshotCommand::Delete { name } => {
                self.of_folder(move |all| all.delete(&named(&name)?).map(|()| Answer::Done)).await
            }
            SnapshotCommand::Prune { unused_ms, bytes_max } => {
                let keep = Keep { len_bytes_max: bytes_max, unused_max: Duration::from_millis(unused_ms) };
                self.of_folder(move |all| {
                    let pruned = all.prune(keep, unix_ms())?;
                    if let Some((_, error)) = pruned.failed.into_iter().next() {
                        return Err(error);
                    }
                    let (removed, in_use) = (pruned.removed.len(), pruned.in_use.len());
                    Ok(Answer::Said(format!("{removed} removed; {in_use} stay, for they are in use")))
                })
                .await
            }
        }
    }

    /// As many devices as there are to be: all of them, or none.
    async fn clones(&self, name: String, count: u16, items: &mpsc::Sender<Item>) -> Result<Answer, Problem> {
        if !(1..=CLONES_MAX).contains(&count) {
            return Err(so_many_clones(count));
        }
        let all = Snapshots::open(&self.paths.snapshots());
        let said = all.and_then(|all| all.describe(&named(&name)?)).map_err(|error| of_snapshot(&error))?;
        let board = format!("{QEMU_BOARD}{}", said.kind);
        let make =
            |reply| DirectoryMessage::Machines { board: board.clone(), called: name.clone(), count, reply };
        let names = ask_once(self.names.directory(), ANSWER, make).await;
        let names = names.map_err(|error| unanswered("directory", error))??;
        let mut made = Ok(());
        let (mut rest, mut at_work) = (names.iter().cloned(), JoinSet::new());
        loop {
            while at_work.len() < AT_ONCE
                && made.is_ok()
                && let Some(device) = rest.next()
            {
                let (api, items) = (self.clone(), items.clone());
                let wish = SnapshotWish::Restore { name: name.clone() };
                at_work.spawn(async move {
                    let said = api.of_device(&device, wish, &items).await?;
                    api.healthy(&device, said).await
                });
            }
            match at_work.join_next().await {
                None => break,
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(problem))) => made = made.and(Err(problem)),
                Some(Err(panic)) => {
                    made = made.and(Err(of_snapshot(&SnapshotError::Panicked(panic.to_string()))))
                }
            }
        }
        if let Err(problem) = made {
            for device in &names {
                if let Err(problem) = self.of_device(device, SnapshotWish::End, items).await {
                    tracing::warn!(%device, why = %problem.message, "a machine that is not wanted does not end");
                }
            }
            self.unmade(names).await;
            return Err(problem);
        }
        let devices = self.devices().await?;
        let of = |name| devices.iter().find(|view| view.name.as_ref() == Some(name)).cloned();
        let devices = names.iter().filter_map(of).collect();
        Ok(Answer::Devices(devices))
    }

    /// These devices are there no more, as far as they were made for somebody.
    async fn unmake(&self, devices: Vec<DeviceName>) -> Result<(), Problem> {
        let unmake = |reply| DirectoryMessage::Unmake { devices: devices.clone(), reply };
        let unmade = ask(self.names.directory(), ANSWER, unmake).await;
        unmade.map_err(|error| unanswered("directory", error))
    }

    /// The same, where another problem is told.
    pub(super) async fn unmade(&self, devices: Vec<DeviceName>) {
        if let Err(problem) = self.unmake(devices).await {
            tracing::warn!(why = %problem.message, "devices that are not wanted stay");
        }
    }

    /// Files are read and removed: in a thread that may wait for them.
    async fn of_folder(
        &self,
        work: impl FnOnce(&Snapshots) -> Result<Answer, SnapshotError> + Send + 'static,
    ) -> Result<Answer, Problem> {
        let folder = self.paths.snapshots();
        let done = spawn_blocking(move || Snapshots::open(&folder).and_then(|all| work(&all))).await;
        let done = done.unwrap_or_else(|panic| Err(SnapshotError::Panicked(panic.to_string())));
        done.map_err(|error| of_snapshot(&error))
    }

    pub(super) async fn of_device(
        &self,
        device: &DeviceName,
        wish: SnapshotWish,
        items: &mpsc::Sender<Item>,
    ) -> Result<String, Problem> {
        let devices = self.devices().await?;
        let view = devices.into_iter().find(|view| view.name.as_ref() == Some(device));
        if let Some(DeviceView { state: DeviceState::Leased, holder: Some(session), .. }) = view {
            return Err(leased(device, session));
        }
        self.claim(device).await?;
        let (progress, mut steps) = mpsc::channel(STEPS);
        let name = self.names.device(device);
        let asked = ask_once(&name, WITHIN, |reply| DeviceMessage::Snapshot {
            wish,
            progress: Some(progress),
            reply,
        });
        tokio::pin!(asked);
        let done = loop {
            tokio::select! {
                biased;
                Some(body) = steps.recv() => tell(items, device, body).await,
                done = &mut asked => break done,
            }
        };
        done.map_err(|error| unanswered("device", error))?.map_err(problem)
    }
}

fn named(name: &str) -> Result<SnapshotName, SnapshotError> {
    SnapshotName::new(name)
}

fn one(said: &Description) -> SnapshotView {
    SnapshotView {
        name: said.name.to_string(),
        wrong: None,
        kind: said.kind.clone(),
        device: said.machine.clone(),
        cached: said.made_by == MadeBy::Cache,
        bytes: said.len_bytes(),
        made_unix_ms: said.made_unix_ms,
        used_unix_ms: said.made_unix_ms,
    }
}

fn listed(listed: &Listed) -> SnapshotView {
    match &listed.description {
        Ok(said) => SnapshotView { used_unix_ms: listed.used_unix_ms, ..one(said) },
        Err(error) => SnapshotView {
            name: listed.name.clone(),
            wrong: Some(Box::new(of_snapshot(error))),
            kind: String::new(),
            device: String::new(),
            cached: false,
            bytes: 0,
            made_unix_ms: 0,
            used_unix_ms: listed.used_unix_ms,
        },
    }
}
