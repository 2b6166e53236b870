//! A reader: a task that reads the recording at its own pace, from memory or from the disk, and is told when there
//! is more. It asks nothing of the recorder but a moment, so a slow one slows nobody; what the recording no longer
//! has when a reader comes to it is marked in that reader's stream.

use std::io;
use std::path::{Path, PathBuf};

use farmhand_api::{LogFrom, LogItem};
use farmhand_records::Epoch;
use tokio::sync::{mpsc, oneshot, watch};

use crate::entry::Entry;
use crate::recorder::{End, now};
use crate::replay::{self, Found, Replay};
use crate::ring::RingAnswer;

/// Items that wait in a reader's channel.
pub(crate) const READER_ITEMS: usize = 256;
/// Entries read from the disk at once: at most 1 MiB of chunks.
const DISK_ENTRIES: usize = 256;

/// A reader's question to the recorder: what follows from this entry on?
pub(crate) type Ask = (u64, oneshot::Sender<RingAnswer>);

/// What a reader is to read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The recording's folder.
    pub(crate) dir: PathBuf,
    /// From where.
    pub(crate) from: LogFrom,
    /// The entry there, where the ring knew it.
    pub(crate) start: Option<u64>,
    /// How far the recording was when the reader came.
    pub(crate) end: End,
    /// Go on as it comes.
    pub(crate) follow: bool,
    /// The recorder's end.
    pub(crate) watch: watch::Receiver<End>,
    /// Where to ask for what is in memory.
    pub(crate) asks: mpsc::Sender<Ask>,
    /// The reader.
    pub(crate) to: mpsc::Sender<LogItem>,
}

/// The reader does not read any more, or the recorder is gone.
struct Gone;

impl Reading {
    /// Reads until the end, or until nobody wants it.
    pub(crate) async fn run(mut self) {
        let _nobody_is_there = self.read().await;
    }

    async fn read(&mut self) -> Result<(), Gone> {
        let seq = match self.start {
            Some(seq) => seq,
            None => self.find_on_disk().await.unwrap_or(self.end.seq),
        };
        let mut place = Place::new(seq, self.from, self.end);
        let mut disk = None;
        while self.wait_beyond(place.seq).await? {
            let (reply, answer) = oneshot::channel();
            self.asks.send((place.seq, reply)).await.map_err(|_| Gone)?;
            match answer.await.map_err(|_| Gone)? {
                RingAnswer::Entries(entries) => {
                    disk = None;
                    for entry in &entries {
                        self.give(&mut place, entry).await?;
                    }
                }
                RingAnswer::Older { seq, offset } => {
                    disk = self.read_disk(&mut place, disk.take(), seq, offset).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until there is an entry `seq`: false where the reading ends before.
    async fn wait_beyond(&mut self, seq: u64) -> Result<bool, Gone> {
        if !self.follow {
            return Ok(seq < self.end.seq);
        }
        tokio::select! {
            end = self.watch.wait_for(|end| end.seq > seq) => end.map(|_| true).map_err(|_| Gone),
            () = self.to.closed() => Err(Gone),
        }
    }

    async fn find_on_disk(&self) -> Option<u64> {
        let (dir, from) = (self.dir.clone(), self.from);
        match blocking(move || replay::find(&dir, from)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the recording cannot be searched");
                Some(0)
            }
        }
    }

    /// One batch from the disk; where it has nothing, on with the ring, which begins at `ring_seq`.
    async fn read_disk(
        &self,
        place: &mut Place,
        replay: Option<Replay>,
        ring_seq: u64,
        ring_offset: u64,
    ) -> Result<Option<Replay>, Gone> {
        let (dir, seq) = (self.dir.clone(), place.seq);
        let batch = blocking(move || read_batch(&dir, replay, seq)).await;
        let (replay, batch) = match batch {
            Ok(read) => read,
            Err(error) => {
                let trouble = Found::End(Some(error.to_string()));
                (None, vec![trouble])
            }
        };
        for found in batch {
            match found {
                Found::Entry(entry) => self.give(place, &entry).await?,
                Found::Damage(why) => self.damage(place, &why).await?,
                Found::End(trouble) => {
                    // The disk refused what the ring has dropped since, or cannot be read.
                    if place.seq < ring_seq {
                        if let Some(why) = trouble {
                            self.damage(place, &why).await?;
                        }
                        let lost = place.jump(ring_offset, true);
                        place.seq = ring_seq;
                        self.send(lost).await?;
                    }
                }
            }
        }
        Ok(replay)
    }

    async fn damage(&self, place: &mut Place, why: &str) -> Result<(), Gone> {
        tracing::warn!(why, "the recording is damaged");
        place.damaged = true;
        let offset = place.offset.unwrap_or(0);
        let why = format!("the recording is damaged: {why}");
        self.send(Some(LogItem::Gap { offset, stamp: now(), why })).await
    }

    async fn give(&self, place: &mut Place, entry: &Entry) -> Result<(), Gone> {
        if entry.seq < place.seq || (!self.follow && entry.seq >= self.end.seq) {
            place.seq = place.seq.max(entry.seq + 1);
            return Ok(());
        }
        place.seq = entry.seq + 1;
        if place.epoch.is_some_and(|epoch| entry.epoch < epoch) {
            return Ok(());
        }
        place.epoch = None;
        let lost = place.jump(entry.offset, place.damaged);
        place.damaged = false;
        self.send(lost).await?;
        let item = entry.item(place.offset.unwrap_or(0));
        place.offset = Some(place.offset.unwrap_or(0).max(entry.end()));
        self.send(item).await
    }

    async fn send(&self, item: Option<LogItem>) -> Result<(), Gone> {
        match item {
            Some(item) => self.to.send(item).await.map_err(|_| Gone),
            None => Ok(()),
        }
    }
}

/// How far a reader is.
#[derive(Debug)]
struct Place {
    /// The next entry.
    seq: u64,
    /// The stream's offset that it has all before; none until its first entry says.
    offset: Option<u64>,
    /// Nothing is given before this epoch.
    epoch: Option<Epoch>,
    /// What is missing next was damaged.
    damaged: bool,
}

impl Place {
    fn new(seq: u64, from: LogFrom, end: End) -> Self {
        let (offset, epoch) = match from {
            LogFrom::Start | LogFrom::Time(_) => (None, None),
            LogFrom::Now => (Some(end.offset), None),
            LogFrom::Offset(offset) => (Some(offset), None),
            // One that is to come, if none was found.
            LogFrom::Epoch(epoch) => (None, (seq >= end.seq).then_some(epoch)),
        };
        Self { seq, offset, epoch, damaged: false }
    }

    /// Goes to an offset: what is lost by that.
    fn jump(&mut self, to: u64, dropped: bool) -> Option<LogItem> {
        let from = self.offset.replace(self.offset.unwrap_or(to).max(to))?;
        (from < to).then(|| LogItem::Lost { offset: from, bytes: to - from, dropped })
    }
}

fn read_batch(dir: &Path, replay: Option<Replay>, seq: u64) -> io::Result<(Option<Replay>, Vec<Found>)> {
    let mut replay = match replay {
        Some(replay) => replay,
        None => Replay::open(dir, seq)?,
    };
    let mut batch = Vec::new();
    while batch.len() < DISK_ENTRIES {
        let found = replay.next()?;
        let end = matches!(found, Found::End(_));
        batch.push(found);
        if end {
            break;
        }
    }
    Ok((Some(replay), batch))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
