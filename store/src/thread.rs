//! The thread that owns the database. It reads, gathers what is to be written into groups, and answers.

use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use crate::{
    CheckReport, Disk, ExportReport, GROUP_RECORDS_MAX, Health, Listed, RecordKey, Seq, StoreError, Stored,
    backend::Backend,
    engine::{Change, Engine},
};

/// How an answer goes back: to a task or to a thread that waits.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// What the thread is asked.
pub(crate) enum Request {
    Write(Change, Reply<Seq>),
    Get(RecordKey, Reply<Option<Stored>>),
    List(u16, Reply<Vec<Listed>>),
    Settle(Reply<()>),
    Check(Reply<CheckReport>),
    Export(PathBuf, Reply<ExportReport>),
    Close(Reply<()>),
    /// Pulls the disk out of a memory store, as it is.
    Crash(Reply<Disk>),
}

/// Serves until it is closed, or nobody can ask any more. Requests that come during a sync are the next group.
pub(crate) fn serve<B: Backend>(
    mut engine: Engine<B>,
    mut inbox: mpsc::Receiver<Request>,
    health: &watch::Sender<Health>,
) {
    let mut group = Group::default();
    while let Some(first) = inbox.blocking_recv() {
        let mut last = group.take(first, &mut engine);
        while last.is_none()
            && group.changes.len() < GROUP_RECORDS_MAX
            && let Ok(next) = inbox.try_recv()
        {
            last = group.take(next, &mut engine);
        }
        group.commit(&mut engine);
        if let Some(reason) = engine.poisoned() {
            health.send_if_modified(|health| {
                let first = *health == Health::Running;
                if first {
                    *health = Health::Failed(reason.to_owned());
                }
                first
            });
        }
        match last {
            Some(Last::Close(reply)) => return close(engine, inbox, health, reply),
            Some(Last::Crash(reply)) => return reply(engine.into_disk().ok_or(StoreError::Exited)),
            None => {}
        }
    }
    if let Err(why) = engine.close() {
        tracing::error!(%why, "closing the store");
    }
    ended(health);
}

/// What was asked before it is still done; what comes later is refused.
fn close<B: Backend>(
    mut engine: Engine<B>,
    mut inbox: mpsc::Receiver<Request>,
    health: &watch::Sender<Health>,
    reply: Reply<()>,
) {
    inbox.close();
    let mut group = Group::default();
    while let Ok(next) = inbox.try_recv() {
        match group.take(next, &mut engine) {
            Some(Last::Close(also)) => also(Err(StoreError::Exited)),
            Some(Last::Crash(also)) => also(Err(StoreError::Exited)),
            None => {}
        }
    }
    group.commit(&mut engine);
    let closed = engine.close();
    ended(health);
    reply(closed);
}

fn ended(health: &watch::Sender<Health>) {
    health.send_if_modified(|health| {
        let running = *health == Health::Running;
        if running {
            *health = Health::Ended;
        }
        running
    });
}

/// A request after which nothing is served.
enum Last {
    Close(Reply<()>),
    Crash(Reply<Disk>),
}

/// Changes that ride on one sync.
#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    replies: Vec<Option<Reply<Seq>>>,
}

impl Group {
    /// Gathers a change; answers anything else at once. A read beside a write that was not answered yet sees the old
    /// record: nobody has been told of the new one.
    fn take<B: Backend>(&mut self, request: Request, engine: &mut Engine<B>) -> Option<Last> {
        match request {
            Request::Write(change, reply) => {
                self.changes.push(change);
                self.replies.push(Some(reply));
            }
            Request::Get(key, reply) => reply(engine.get(&key)),
            Request::List(kind, reply) => reply(engine.list(kind)),
            Request::Settle(reply) => reply(engine.settle()),
            Request::Check(reply) => reply(engine.check()),
            Request::Export(path, reply) => reply(engine.export(&path)),
            Request::Close(reply) => return Some(Last::Close(reply)),
            Request::Crash(reply) => return Some(Last::Crash(reply)),
        }
        None
    }

    fn commit<B: Backend>(&mut self, engine: &mut Engine<B>) {
        if self.changes.is_empty() {
            return;
        }
        let replies = &mut self.replies;
        engine.commit(std::mem::take(&mut self.changes), |index, answer| {
            if let Some(reply) = replies[index].take() {
                reply(answer);
            }
        });
        replies.clear();
    }
}
