//! How the store is asked. A handle is an address: cheap to clone, of no state of its own.

use std::{
    path::{Path, PathBuf},
    sync::mpsc as sync_mpsc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    CheckReport, Crash, Disk, Durability, ExportReport, Listed, OpenError, OpenReport, Put, RecordKey, Seq,
    StoreError, Stored,
    backend::Backend,
    engine::{Change, Engine},
    folder::Folder,
    memory::Memory,
    thread::{Reply, Request, serve},
};

/// How many requests may wait: every device of a large lab at once. More are refused as `Busy`.
const QUEUE_MAX: usize = 4096;
/// How long an answer is waited for: longer than a disk under load takes, shorter than a person does.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How long an opening or an export may take: a database of gigabytes on a slow disk.
const LONG_WAIT: Duration = Duration::from_secs(600);

/// How the store's thread is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Running,
    /// It has stopped at a failure, named here; nothing is written or read any more. The farm must stop.
    Failed(String),
    /// It was closed.
    Ended,
}

/// The address of the thread that owns the database.
///
/// Each method has a twin `blocking_*` for callers outside of an async runtime. A method that is dropped before its
/// answer may still be carried out.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    requests: mpsc::Sender<Request>,
    health: watch::Receiver<Health>,
}

impl StoreHandle {
    /// Opens the store in a folder, making it where there is none. Waits 2 s for a lock that is held.
    pub async fn open(root: impl Into<PathBuf>) -> Result<(Self, OpenReport), OpenError> {
        let root = root.into();
        let (reply, opened) = oneshot::channel();
        let handle = Self::start(root.clone(), reply_open(reply))?;
        match tokio::time::timeout(LONG_WAIT, opened).await {
            Ok(Ok(report)) => report.map(|report| (handle, report)),
            Ok(Err(_)) => Err(panicked(root)),
            Err(_) => Err(OpenError::NoAnswer { path: root, after: LONG_WAIT }),
        }
    }

    /// As [`Self::open`], for a thread.
    pub fn blocking_open(root: impl Into<PathBuf>) -> Result<(Self, OpenReport), OpenError> {
        let root = root.into();
        let (reply, opened) = sync_mpsc::sync_channel(1);
        // Whoever does not wait any more has gone; the answer is nobody's.
        let handle = Self::start(root.clone(), move |answer| drop(reply.send(answer)))?;
        match opened.recv_timeout(LONG_WAIT) {
            Ok(report) => report.map(|report| (handle, report)),
            Err(sync_mpsc::RecvTimeoutError::Disconnected) => Err(panicked(root)),
            Err(sync_mpsc::RecvTimeoutError::Timeout) => {
                Err(OpenError::NoAnswer { path: root, after: LONG_WAIT })
            }
        }
    }

    fn start(
        root: PathBuf,
        opened: impl FnOnce(Result<OpenReport, OpenError>) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let place = root.clone();
        Self::spawn(
            move || {
                let (folder, swept) = Folder::open(&root)?;
                Engine::open(folder, swept)
            },
            opened,
        )
        .map_err(|error| OpenError::Io {
            what: "start a thread for",
            path: place,
            detail: error.to_string(),
        })
    }

    /// The same store over memory, with its thread. The disk is had back with [`Self::crash`].
    pub async fn open_memory(disk: Disk) -> Result<(Self, OpenReport), OpenError> {
        let path = PathBuf::from("memory");
        let (reply, opened) = oneshot::channel();
        let open = || Engine::open(Memory::new(disk), Vec::new());
        let handle = Self::spawn(open, reply_open(reply)).map_err(|error| OpenError::Io {
            what: "start a thread for",
            path: path.clone(),
            detail: error.to_string(),
        })?;
        match opened.await {
            Ok(report) => report.map(|report| (handle, report)),
            Err(_) => Err(panicked(path)),
        }
    }

    fn spawn<B: Backend>(
        open: impl FnOnce() -> Result<(Engine<B>, OpenReport), OpenError> + Send + 'static,
        opened: impl FnOnce(Result<OpenReport, OpenError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let (sender, health) = watch::channel(Health::Running);
        std::thread::Builder::new().name("farmhand-store".to_owned()).spawn(move || match open() {
            Ok((engine, report)) => {
                opened(Ok(report));
                serve(engine, inbox, &sender);
            }
            Err(why) => opened(Err(why)),
        })?;
        Ok(Self { requests, health })
    }

    /// How the thread is, now and from now on. The sender goes away with the thread, however it ends.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Waits until the store has stopped and answers why. What runs on it must stop as well.
    pub async fn failed(&self) -> String {
        let mut health = self.health.clone();
        let stopped = health.wait_for(|health| *health != Health::Running).await;
        match stopped.as_deref() {
            Ok(Health::Failed(why)) => why.clone(),
            Ok(Health::Ended | Health::Running) => "it was closed".to_owned(),
            Err(_) => "its thread has ended".to_owned(),
        }
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy { waiting: QUEUE_MAX },
            mpsc::error::TrySendError::Closed(_) => StoreError::Exited,
        })
    }

    async fn ask<T: Send + 'static>(
        &self,
        wait: Duration,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        // Whoever does not wait any more has gone; the answer is nobody's.
        self.send(request(Box::new(move |answer| drop(reply.send(answer)))))?;
        match tokio::time::timeout(wait, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Exited),
            Err(_) => Err(StoreError::NoAnswer { after: wait }),
        }
    }

    fn blocking_ask<T: Send + 'static>(
        &self,
        wait: Duration,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_mpsc::sync_channel(1);
        self.send(request(Box::new(move |answer| drop(reply.send(answer)))))?;
        answer.recv_timeout(wait).unwrap_or_else(|error| match error {
            sync_mpsc::RecvTimeoutError::Timeout => Err(StoreError::NoAnswer { after: wait }),
            sync_mpsc::RecvTimeoutError::Disconnected => Err(StoreError::Exited),
        })
    }

    /// Writes a record. Answered as its durability says; `Err` but for the ambiguous ones means nothing was written.
    pub async fn put(&self, put: Put) -> Result<Seq, StoreError> {
        self.put_all(vec![put]).await
    }

    /// Writes all of these or none, at the strongest durability among them. Answers the last one's number.
    pub async fn put_all(&self, puts: Vec<Put>) -> Result<Seq, StoreError> {
        self.ask(ANSWER_WAIT, |reply| Request::Write(Change::Put(puts), reply)).await
    }

    /// The record, if there is one.
    pub async fn get(&self, kind: u16, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        self.ask(ANSWER_WAIT, |reply| Request::Get(RecordKey::new(kind, key), reply)).await
    }

    /// All records of a kind, in order of their keys.
    pub async fn list(&self, kind: u16) -> Result<Vec<Listed>, StoreError> {
        self.ask(ANSWER_WAIT, |reply| Request::List(kind, reply)).await
    }

    /// Removes a record; one that has a mark is removed as `Marked`. Where there is none, nothing is written.
    pub async fn remove(&self, kind: u16, key: &[u8], durability: Durability) -> Result<(), StoreError> {
        let change = Change::Remove(RecordKey::new(kind, key), durability);
        self.ask(ANSWER_WAIT, |reply| Request::Write(change, reply)).await.map(|_| ())
    }

    /// Says that what the opening reported has been acted on, durably: the next opening does not tell it again.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.ask(ANSWER_WAIT, Request::Settle).await
    }

    /// Reads every record and every mark, and compares them.
    pub async fn check(&self) -> Result<CheckReport, StoreError> {
        self.ask(LONG_WAIT, Request::Check).await
    }

    /// Writes everything as text to a file.
    pub async fn export(&self, path: impl AsRef<Path>) -> Result<ExportReport, StoreError> {
        let path = path.as_ref().to_owned();
        self.ask(LONG_WAIT, |reply| Request::Export(path, reply)).await
    }

    /// Does what was asked before, syncs, and lets go of the folder; when it answers, another may open it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.ask(LONG_WAIT, Request::Close).await
    }

    /// Ends a memory store at once and answers its disk as the crash leaves it. `Exited` for one over a folder, which
    /// is dropped.
    pub async fn crash(&self, crash: Crash) -> Result<Disk, StoreError> {
        let mut disk = self.ask(ANSWER_WAIT, Request::Crash).await?;
        disk.crash(crash);
        Ok(disk)
    }

    /// [`Self::put`], for a thread.
    pub fn blocking_put(&self, put: Put) -> Result<Seq, StoreError> {
        self.blocking_put_all(vec![put])
    }

    /// [`Self::put_all`], for a thread.
    pub fn blocking_put_all(&self, puts: Vec<Put>) -> Result<Seq, StoreError> {
        self.blocking_ask(ANSWER_WAIT, |reply| Request::Write(Change::Put(puts), reply))
    }

    /// [`Self::get`], for a thread.
    pub fn blocking_get(&self, kind: u16, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        self.blocking_ask(ANSWER_WAIT, |reply| Request::Get(RecordKey::new(kind, key), reply))
    }

    /// [`Self::list`], for a thread.
    pub fn blocking_list(&self, kind: u16) -> Result<Vec<Listed>, StoreError> {
        self.blocking_ask(ANSWER_WAIT, |reply| Request::List(kind, reply))
    }

    /// [`Self::remove`], for a thread.
    pub fn blocking_remove(&self, kind: u16, key: &[u8], durability: Durability) -> Result<(), StoreError> {
        let change = Change::Remove(RecordKey::new(kind, key), durability);
        self.blocking_ask(ANSWER_WAIT, |reply| Request::Write(change, reply)).map(|_| ())
    }

    /// [`Self::settle`], for a thread.
    pub fn blocking_settle(&self) -> Result<(), StoreError> {
        self.blocking_ask(ANSWER_WAIT, Request::Settle)
    }

    /// [`Self::check`], for a thread.
    pub fn blocking_check(&self) -> Result<CheckReport, StoreError> {
        self.blocking_ask(LONG_WAIT, Request::Check)
    }

    /// [`Self::export`], for a thread.
    pub fn blocking_export(&self, path: impl AsRef<Path>) -> Result<ExportReport, StoreError> {
        let path = path.as_ref().to_owned();
        self.blocking_ask(LONG_WAIT, |reply| Request::Export(path, reply))
    }

    /// [`Self::close`], for a thread.
    pub fn blocking_close(&self) -> Result<(), StoreError> {
        self.blocking_ask(LONG_WAIT, Request::Close)
    }
}

/// The thread has gone without a word: it panicked.
fn panicked(path: PathBuf) -> OpenError {
    OpenError::Io { what: "open", path, detail: "its thread panicked".to_owned() }
}

fn reply_open(
    reply: oneshot::Sender<Result<OpenReport, OpenError>>,
) -> impl FnOnce(Result<OpenReport, OpenError>) + Send + 'static {
    move |answer| drop(reply.send(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store whose thread is held up until the sender is dropped.
    async fn held_up() -> (StoreHandle, sync_mpsc::Sender<()>) {
        let (store, _) = StoreHandle::open_memory(Disk::new()).await.unwrap();
        let (release, held) = sync_mpsc::channel();
        let (reached, there) = oneshot::channel();
        let hold = move |_| {
            reached.send(()).unwrap();
            held.recv().unwrap_err();
        };
        store.send(Request::Get(RecordKey::new(1, []), Box::new(hold))).unwrap();
        there.await.unwrap();
        (store, release)
    }

    fn ask(store: &StoreHandle, n: usize) -> Result<oneshot::Receiver<Result<Seq, StoreError>>, StoreError> {
        let put = Put {
            kind: 1,
            version: 1,
            key: n.to_string().into_bytes(),
            body: vec![],
            incarnation: 1,
            durability: Durability::Marked,
        };
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |answer| drop(reply.send(answer)));
        store.send(Request::Write(Change::Put(vec![put]), reply)).map(|()| answer)
    }

    #[tokio::test]
    async fn what_waits_rides_on_one_sync() {
        let (store, release) = held_up().await;
        let waiting: Vec<_> = (0..64).map(|n| ask(&store, n).unwrap()).collect();
        drop(release);
        for answer in waiting {
            answer.await.unwrap().unwrap();
        }
        let disk = store.crash(Crash::default()).await.unwrap();
        assert_eq!(disk.syncs(), 2 + 2, "two at the opening; the marks and the table");
    }

    #[tokio::test]
    async fn a_full_queue_is_busy() {
        let (store, release) = held_up().await;
        let waiting: Vec<_> = (0..QUEUE_MAX).map(|n| ask(&store, n).unwrap()).collect();
        assert_eq!(ask(&store, 0).unwrap_err(), StoreError::Busy { waiting: QUEUE_MAX });
        drop(release);
        for answer in waiting {
            answer.await.unwrap().unwrap();
        }
        ask(&store, 0).unwrap().await.unwrap().unwrap();
    }
}
