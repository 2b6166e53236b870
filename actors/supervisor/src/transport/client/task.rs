//! The task that owns a client's connection.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use farmhand_api::{ClientFrame, Problem, RequestId, ServerFrame, decode, encode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::Reply;
use crate::transport::frames::{FrameReader, FrameWriter};

/// Requests that may wait to be written; then no more are taken.
const UNWRITTEN_MAX: usize = 32;

/// A number that no request of this process had.
pub(super) fn next_id() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// To the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Write this, and hand on what comes for it.
    Ask { id: RequestId, frame: Vec<u8>, to: mpsc::Sender<Result<Reply, Problem>> },
    /// Nobody waits for it any more.
    Hush(RequestId),
}

/// Ends when the connection does, or the last client is dropped; all that wait then see their channel closed.
///
/// It never waits for room to write without reading meanwhile: the farm may be waiting for us to read.
pub(super) struct Task {
    commands: mpsc::Receiver<Command>,
    waiting: HashMap<RequestId, mpsc::Sender<Result<Reply, Problem>>>,
    unwritten: VecDeque<Vec<u8>>,
}

impl Task {
    pub(super) fn new(commands: mpsc::Receiver<Command>) -> Self {
        Self { commands, waiting: HashMap::new(), unwritten: VecDeque::new() }
    }

    pub(super) async fn run<R, W>(mut self, mut frames: FrameReader<R>, mut writer: FrameWriter<W>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (out, mut queued) = mpsc::channel::<Vec<u8>>(1);
        let writing = tokio::spawn(async move {
            while let Some(frame) = queued.recv().await {
                if writer.send(frame).await.is_err() {
                    return;
                }
            }
            writer.close().await;
        });
        loop {
            tokio::select! {
                command = self.commands.recv(), if self.unwritten.len() < UNWRITTEN_MAX => match command {
                    Some(Command::Ask { id, frame, to }) => {
                        self.waiting.insert(id, to);
                        self.unwritten.push_back(frame);
                    }
                    Some(Command::Hush(id)) => self.hush(id),
                    // The last client has gone.
                    None => break,
                },
                room = out.reserve(), if !self.unwritten.is_empty() => match (room, self.unwritten.pop_front()) {
                    (Ok(room), Some(frame)) => room.send(frame),
                    _ => break,
                },
                frame = frames.next() => match frame {
                    Ok(Some(frame)) => match decode(&frame) {
                        Ok(ServerFrame::Item(id, item)) => self.give(id, Ok(Reply::Item(item))).await,
                        Ok(ServerFrame::Done(id, answer)) => {
                            if let Some(to) = self.waiting.remove(&id) {
                                let _nobody_waits = to.send(answer.map(Reply::Done)).await;
                            }
                        }
                        Ok(ServerFrame::Hello(_)) | Err(_) => break,
                    },
                    Ok(None) | Err(_) => break,
                },
            }
        }
        // What was handed over is written, or the other end has gone and that fails: dropping the queue ends the
        // writer, which nobody needs to wait for.
        drop((out, writing));
    }

    async fn give(&mut self, id: RequestId, reply: Result<Reply, Problem>) {
        let Some(to) = self.waiting.get(&id) else { return };
        if to.send(reply).await.is_err() {
            self.hush(id);
        }
    }

    fn hush(&mut self, id: RequestId) {
        if self.waiting.remove(&id).is_some() {
            self.unwritten.push_back(encode(&ClientFrame::Hush(id)));
        }
    }
}
