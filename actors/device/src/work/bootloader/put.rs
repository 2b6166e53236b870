//! An image goes to the device: into its memory, or into its partitions, one proven step after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farmhand_api::{EventBody, Problem};
use farmhand_messages::device::{FastbootWay, KeptFile, PartitionWork, Payload};
use farmhand_messages::fastboot::{Allow, Model};
use farmhand_records::v1::{FlashProgress, Identity, Leave};
use farmhand_runtime::{Failpoint, failpoint, save};
use farmhand_store::Durability;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::{Ended, Stays, Tools};
use super::look::{Looked, look};
use super::reach::{Reached, same};
use super::stay::BootloaderStay;
use super::tell::Tell;
use crate::evidence::Try;
use crate::fastboot::{Client, ClientError};
use crate::problems;
use crate::state::{OnDevice, Outcome, Spoiled};

/// To put an image on a device through its bootloader.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) of: Try,
    pub(crate) payload: Payload,
    /// That the device must be of.
    pub(crate) model: Option<Model>,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
    /// Cancelled once it is not wanted any more.
    pub(crate) stop: CancellationToken,
}

/// What was moved.
struct Moved {
    image_bytes: u64,
    written_bytes: u64,
}

impl Put {
    /// Does it: from [`crate::state::Act::Transfer`].
    pub(crate) async fn run(self, tools: Tools, way: FastbootWay) -> Ended {
        let leave = match &self.payload {
            Payload::Boot(_) => None,
            Payload::Partitions { leave, .. } => Some(*leave),
            Payload::Program { .. } | Payload::Guest { .. } => {
                let why = "it boots images and writes partitions, and takes no program".to_owned();
                return spoiled(Spoiled::untouched(problems::out_of_order(&tools.config.name, why)));
            }
        };
        if let Err(problem) = self.allowed(&tools, &way) {
            return spoiled(Spoiled::untouched(problem));
        }
        let reached = self.stop.run_until_cancelled(self.alone(&tools, &way)).await;
        let Reached { mut client, identity, .. } = match reached {
            Some(Ok(reached)) => reached,
            Some(Err(problem)) => return spoiled(Spoiled::untouched(*problem)),
            None => return spoiled(Spoiled::untouched(problems::stopped(&tools.config.name))),
        };
        client.stop_with(self.stop.clone());
        let progress = match self.begins_at(&tools, &identity).await {
            Ok(progress) => progress,
            Err(another) => return spoiled(*another),
        };
        let mut tell = Tell(self.progress.clone());
        let moved = match &self.payload {
            Payload::Boot(file) => self.stage(&tools, &mut client, file, &mut tell).await,
            Payload::Partitions { steps, once, .. } => {
                self.write(&tools, &mut client, progress, (steps, *once), &mut tell).await
            }
            Payload::Program { .. } | Payload::Guest { .. } => unreachable!("refused above"),
        };
        match moved {
            Ok(Moved { image_bytes, written_bytes }) => {
                // The stay has its own end.
                client.stop_with(CancellationToken::new());
                let mark = client.mark();
                let (starts, handoffs) = (mark, None);
                let on_device =
                    OnDevice { image_bytes, written_bytes, identity, epoch: None, starts, handoffs };
                let stay = BootloaderStay::new(self.of, client, leave, tools, tell);
                let outcome = Outcome::Transferred(Ok(on_device));
                Ended { stay: Some(Stays::Bootloader(Box::new(stay))), ..outcome.into() }
            }
            Err(failed) => spoiled(*failed),
        }
    }

    /// Reaches it, once nobody speaks to it under another name any more: known by now, or from the device itself.
    async fn alone(&self, tools: &Tools, way: &FastbootWay) -> Result<Reached, Box<Problem>> {
        let known = tools.others_are_idle().await?;
        let reached = tools.reach(way, self.model.as_ref()).await?;
        if reached.also == known {
            return Ok(reached);
        }
        // What is said to it meanwhile is not heard by two.
        drop(reached.client);
        tools.others_are_idle().await?;
        tools.reach(way, self.model.as_ref()).await
    }

    /// Whether all that it would do may be done: known before anything is sent.
    fn allowed(&self, tools: &Tools, way: &FastbootWay) -> Result<(), Problem> {
        let may = |what: Allow, touches: String| match way.allow.contains(&what) {
            true => Ok(()),
            false => Err(problems::not_allowed(&tools.config, way, tools.ctx.paths.home(), what, &touches)),
        };
        match &self.payload {
            Payload::Boot(_) => may(Allow::Boot, "boot an image from its memory".into()),
            Payload::Partitions { steps, .. } => steps.iter().try_for_each(|step| match step {
                PartitionWork::Flash { partition, .. } => {
                    may(Allow::Flash, format!("write its partition {partition}"))
                }
                PartitionWork::Erase { partition } => {
                    may(Allow::Erase, format!("erase its partition {partition}"))
                }
            }),
            Payload::Program { .. } | Payload::Guest { .. } => Ok(()),
        }
    }

    /// Into its memory. Nothing is written.
    async fn stage(
        &self,
        tools: &Tools,
        client: &mut Client,
        file: &KeptFile,
        tell: &mut Tell,
    ) -> Result<Moved, Box<Spoiled>> {
        let name = &tools.config.name;
        let failed = |error: ClientError| touched(problems::bootloader_failed(name, &error));
        let most = client.max_download_size().await.map_err(failed)?;
        let whole = fits(file, most).map_err(|why| untouched(problems::does_not_fit(name, &why)))?;
        let source = Box::new(open(tools, file).await?.into_std().await);
        client.download(source, whole, tell).await.map_err(failed)?;
        failpoint(Failpoint::DownloadAfter);
        Ok(Moved { image_bytes: file.bytes, written_bytes: file.bytes })
    }

    /// Into its partitions. What this session has proven to be written is not written again.
    async fn write(
        &self,
        tools: &Tools,
        client: &mut Client,
        mut progress: FlashProgress,
        (steps, once): (&[PartitionWork], bool),
        tell: &mut Tell,
    ) -> Result<Moved, Box<Spoiled>> {
        if once && progress.begun > progress.done {
            let step = steps.get(progress.done as usize).map_or("a step", name_of);
            let why = format!("{step} was begun, and may have been done");
            return Err(ambiguous(problems::out_of_order(&tools.config.name, why)));
        }
        let mut moved = Moved { image_bytes: 0, written_bytes: 0 };
        let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        // All of them before the first is begun: a bad one leaves all as it was.
        let left = steps.get(progress.done as usize..).unwrap_or_default();
        let looked = look(&tools.config.name, client, left).await.map_err(|problem| untouched(*problem))?;
        let mut looked = looked.into_iter();
        for (at, step) in (1..).zip(steps) {
            let bytes = bytes_of(step);
            moved.image_bytes += bytes;
            let began = Instant::now();
            let before = at <= progress.done;
            if !before {
                if self.stop.is_cancelled() {
                    return Err(touched(problems::stopped(&tools.config.name)));
                }
                progress.begun = at;
                record(tools, &progress)
                    .await
                    .map_err(|why| untouched(problems::not_recorded(&tools.config.name, &why)))?;
                failpoint(Failpoint::PartitionBefore);
                let ready = looked.next().expect("every step that is left was looked at");
                let doubt = AtomicBool::new(false);
                if let Err(failed) = self.one(tools, client, ready, (once, &doubt), tell).await {
                    if !doubt.into_inner() {
                        // Known not to be done: as if it had not been begun. Not recorded, it stays in doubt.
                        progress.begun = progress.done;
                        let _in_doubt = record(tools, &progress).await;
                    }
                    return Err(failed);
                }
                failpoint(Failpoint::PartitionAfter);
                progress.done = at;
                record(tools, &progress)
                    .await
                    .map_err(|why| touched(problems::not_recorded(&tools.config.name, &why)))?;
                failpoint(Failpoint::PartitionRecorded);
                moved.written_bytes += bytes;
            }
            tell.tell(EventBody::Partition {
                name: name_of(step).to_owned(),
                erased: matches!(step, PartitionWork::Erase { .. }),
                bytes,
                elapsed_ms: millis(began.elapsed()),
                step: at,
                steps: count,
                before,
            });
        }
        Ok(moved)
    }

    async fn one(
        &self,
        tools: &Tools,
        client: &mut Client,
        Looked { partition, image }: Looked,
        (once, in_doubt): (bool, &AtomicBool),
        tell: &mut Tell,
    ) -> Result<(), Box<Spoiled>> {
        let device = &tools.config.name;
        let some_written = AtomicBool::new(false);
        // Of a command that writes nobody knows, unless the device has refused it; a part of a step is not none of it.
        let failed = |error: ClientError| {
            let refused = matches!(error, ClientError::Refused { .. } | ClientError::Command { .. });
            let problem = problems::bootloader_failed(device, &error);
            let doubt = some_written.load(Ordering::Relaxed) || !refused && writes(&error);
            in_doubt.store(doubt, Ordering::Relaxed);
            if once && doubt { ambiguous(problem) } else { touched(problem) }
        };
        let Some(image) = image else {
            return client.erase(&partition, None, tell).await.map(drop).map_err(failed);
        };
        client.make_room(&partition, image.writes(), tell).await.map_err(failed)?;
        let mut written = |_| some_written.store(true, Ordering::Relaxed);
        client.flash_pieces(&partition, &image, 0, &mut written, tell).await.map_err(failed)
    }

    /// How far it is, at the device that is reached. Which that is, is durable before the first byte of an image; where
    /// this session has reached another one before, nothing is sent to this one.
    async fn begins_at(&self, tools: &Tools, identity: &Identity) -> Result<FlashProgress, Box<Spoiled>> {
        let device = tools.config.name.clone();
        let not_recorded = |why: String| untouched(problems::not_recorded(&tools.config.name, &why));
        let Try { session, attempt, plan } = self.of;
        let known = tools.begun_at(&self.of).await.map_err(not_recorded)?;
        if let Some(known) = &known
            && let Err((is, was)) = same(&known.at, identity)
        {
            let problem = problems::another_device(&device, &is, &was);
            let once = matches!(self.payload, Payload::Partitions { once: true, .. });
            let in_doubt = once && known.attempt == attempt && known.begun > known.done;
            return Err(if in_doubt { ambiguous(problem) } else { untouched(problem) });
        }
        let progress = match known.filter(|known| known.plan == plan) {
            Some(known) if known.attempt == attempt => return Ok(known),
            // What an earlier attempt had begun was settled before this one.
            Some(known) => FlashProgress { attempt, begun: known.done, ..known },
            None => {
                let at = identity.clone();
                FlashProgress { device, session, attempt, plan, begun: 0, done: 0, at }
            }
        };
        record(tools, &progress).await.map_err(not_recorded)?;
        Ok(progress)
    }
}

/// Durable before the next byte: on the disk twice, for it says what may be done again.
async fn record(tools: &Tools, progress: &FlashProgress) -> Result<(), String> {
    let saved = save(&tools.ctx.store, progress, tools.ctx.incarnation, Durability::Marked).await;
    saved.map(drop).map_err(|error| error.to_string())
}

async fn open(tools: &Tools, file: &KeptFile) -> Result<tokio::fs::File, Box<Spoiled>> {
    tokio::fs::File::open(&file.path)
        .await
        .map_err(|error| untouched(problems::not_kept(&tools.config.name, &file.said, &error)))
}

/// Bytes of a download.
fn fits(file: &KeptFile, most: Option<u64>) -> Result<u32, String> {
    let too_large =
        |most: u64| format!("{} has {} bytes, and the device takes {most} at once", file.said, file.bytes);
    match most {
        Some(most) if file.bytes > most => Err(too_large(most)),
        _ => u32::try_from(file.bytes).map_err(|_| too_large(u64::from(u32::MAX))),
    }
}

/// Whether it was being written when that happened.
fn writes(error: &ClientError) -> bool {
    let command = match error {
        ClientError::Pipe { command, .. }
        | ClientError::Nonsense { command, .. }
        | ClientError::Cut { command, .. } => command,
        _ => return false,
    };
    command.starts_with("flash:") || command.starts_with("erase:")
}

fn name_of(step: &PartitionWork) -> &str {
    match step {
        PartitionWork::Flash { partition, .. } | PartitionWork::Erase { partition } => partition,
    }
}

fn bytes_of(step: &PartitionWork) -> u64 {
    match step {
        PartitionWork::Flash { file, .. } => file.bytes,
        PartitionWork::Erase { .. } => 0,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn spoiled(spoiled: Spoiled) -> Ended {
    Outcome::Transferred(Err(spoiled)).into()
}

fn untouched(problem: Problem) -> Box<Spoiled> {
    Box::new(Spoiled::untouched(problem))
}

fn touched(problem: Problem) -> Box<Spoiled> {
    Box::new(Spoiled { touched: true, ..Spoiled::untouched(problem) })
}

fn ambiguous(problem: Problem) -> Box<Spoiled> {
    Box::new(Spoiled { touched: true, ambiguous: true, ..Spoiled::untouched(problem) })
}

/// How a bootloader is left, in words.
pub(super) fn leaving(leave: Option<Leave>) -> &'static str {
    match leave {
        None => "boot",
        Some(Leave::Stay) => "it stays in its bootloader",
        Some(Leave::Reboot) => "reboot",
        Some(Leave::Continue) => "continue",
        Some(Leave::RebootBootloader) => "reboot-bootloader",
    }
}
