//! One connection, seen from the farm.
//!
//! A task reads, a task writes, and each request has a task. What a client does not take stays in bounded queues of
//! its own connection, and holds up nobody else: the farm's streams end in these queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use farmhand_api::{
    API, Answer, ClientFrame, FRAME_BYTES_MAX, Hello, HelloAnswer, Item, Problem, ProblemClass, Request,
    RequestId, ServerFrame, decode, encode,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Answerer;
use super::frames::{FrameReader, FrameWriter};

/// Requests of one connection that are being answered; more are refused as busy.
pub(super) const REQUESTS_MAX: usize = 32;
/// Frames that may wait for a client to take them.
const FRAMES_QUEUED: usize = 32;
/// Items of one stream that may wait for a place among those frames.
const ITEMS_QUEUED: usize = 64;
/// A client sends its hello at once.
const HELLO: Duration = Duration::from_secs(5);
/// When a client has gone or the farm stops, a request's streams are closed, and it ends within this: longer than
/// the farm's own deadline for a question to an actor. What an actor was told to do, it does all the same.
const LEAVE: Duration = Duration::from_secs(15);
/// What is written last is taken within this, or the client reads no more.
const FLUSH: Duration = Duration::from_secs(2);

type Out = mpsc::Sender<Vec<u8>>;

/// How much is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Full,
    /// There are too many connections: one request is answered, with `Busy`.
    Busy,
}

/// Serves a connection until the client goes, breaks the protocol, or `stop`.
pub(super) async fn serve<S>(
    answerer: Arc<dyn Answerer>,
    stream: S,
    stop: CancellationToken,
    service: Service,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let mut frames = FrameReader::new(read);
    let mut writer = FrameWriter::new(write);
    let hello = tokio::select! {
        hello = timeout(HELLO, greet(&mut frames, &mut writer)) => hello,
        () = stop.cancelled() => return,
    };
    let client = match hello {
        Ok(Some(client)) => client,
        Ok(None) => return writer.close().await,
        Err(_) => {
            tracing::debug!("a client said no hello");
            return;
        }
    };
    tracing::debug!(%client, "connected");
    let (out, mut queued) = mpsc::channel::<Vec<u8>>(FRAMES_QUEUED);
    let mut writing = tokio::spawn(async move {
        while let Some(frame) = queued.recv().await {
            if writer.send(frame).await.is_err() {
                return;
            }
        }
        writer.close().await;
    });
    let mut connection = Connection { answerer, out, running: HashMap::new(), tasks: JoinSet::new() };
    let why = match service {
        Service::Full => connection.run(&mut frames, &stop).await,
        Service::Busy => connection.refuse(&mut frames).await,
    };
    tracing::debug!(%client, why, "disconnected");
    connection.leave().await;
    if timeout(FLUSH, &mut writing).await.is_err() {
        writing.abort();
    }
}

/// Hello both ways; who the client is, where both speak the same.
async fn greet<R, W>(frames: &mut FrameReader<R>, writer: &mut FrameWriter<W>) -> Option<String>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let frame = frames.next().await.ok()??;
    let Ok(ClientFrame::Hello(Hello { api, client })) = decode(&frame) else {
        tracing::warn!("a client began with something that is no hello");
        return None;
    };
    let answer = HelloAnswer {
        api: API,
        farm: concat!("farmhand ", env!("CARGO_PKG_VERSION")).into(),
        pid: std::process::id(),
    };
    writer.send(encode(&ServerFrame::Hello(answer))).await.ok()?;
    if api != API {
        tracing::info!(%client, api, "speaks another API");
        return None;
    }
    Some(client)
}

struct Connection {
    answerer: Arc<dyn Answerer>,
    out: Out,
    running: HashMap<RequestId, CancellationToken>,
    tasks: JoinSet<RequestId>,
}

impl Connection {
    async fn run<R>(
        &mut self,
        frames: &mut FrameReader<ReadHalf<R>>,
        stop: &CancellationToken,
    ) -> &'static str
    where
        R: AsyncRead + AsyncWrite,
    {
        loop {
            let frame = tokio::select! {
                frame = frames.next() => frame,
                Some(ended) = self.tasks.join_next() => {
                    match ended {
                        Ok(id) => drop(self.running.remove(&id)),
                        // Its answer will never come: the connection's end tells the client so.
                        Err(_) => return "a request's task panicked",
                    }
                    continue;
                }
                () = self.out.closed() => return "it takes nothing any more",
                () = stop.cancelled() => return "the farm stops",
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => return "it left",
                Err(error) => {
                    tracing::debug!(%error, "read a frame");
                    return "its frames cannot be read";
                }
            };
            match decode(&frame) {
                Ok(ClientFrame::Ask(id, request)) => {
                    if !self.ask(id, request).await {
                        return "it used a number twice";
                    }
                }
                Ok(ClientFrame::Hush(id)) => {
                    if let Some(hush) = self.running.get(&id) {
                        hush.cancel();
                    }
                }
                Ok(ClientFrame::Hello(_)) => return "it said hello twice",
                Err(error) => {
                    tracing::warn!(%error, "a client's frame");
                    return "it sent what is no frame";
                }
            }
        }
    }

    async fn ask(&mut self, id: RequestId, request: Request) -> bool {
        if self.running.contains_key(&id) {
            return false;
        }
        if self.running.len() >= REQUESTS_MAX {
            let busy = busy(format!("{REQUESTS_MAX} requests of this connection are being answered"));
            // A client that asks faster than it reads is held up here, and nobody else.
            let _it_has_gone = self.out.send(encode(&ServerFrame::Done(id, Err(busy)))).await;
            return true;
        }
        let hush = CancellationToken::new();
        self.running.insert(id, hush.clone());
        let (answerer, out) = (self.answerer.clone(), self.out.clone());
        self.tasks.spawn(async move {
            answer(answerer, id, request, &out, &hush).await;
            id
        });
        true
    }

    /// Answers the first request with `Busy`.
    async fn refuse<R: AsyncRead + AsyncWrite>(
        &mut self,
        frames: &mut FrameReader<ReadHalf<R>>,
    ) -> &'static str {
        if let Ok(Ok(Some(frame))) = timeout(HELLO, frames.next()).await
            && let Ok(ClientFrame::Ask(id, _)) = decode(&frame)
        {
            let busy = busy("too many front ends are connected to this farm".into());
            let _it_has_gone = self.out.try_send(encode(&ServerFrame::Done(id, Err(busy))));
        }
        "there are too many connections"
    }

    /// Ends its streams, and awaits its requests.
    async fn leave(mut self) {
        for hush in self.running.values() {
            hush.cancel();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LEAVE, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Answers one request: its items as the client takes them, then the answer.
async fn answer(
    answerer: Arc<dyn Answerer>,
    id: RequestId,
    request: Request,
    out: &Out,
    hush: &CancellationToken,
) {
    let (to_items, mut items) = mpsc::channel(ITEMS_QUEUED);
    let mut answering = answerer.answer(request, to_items);
    let mut hushed = false;
    let answer = loop {
        tokio::select! {
            answer = &mut answering => break answer,
            Some(item) = items.recv(), if !hushed => {
                hushed = !forward(out, hush, id, item).await;
            }
            () = hush.cancelled(), if !hushed => hushed = true,
            () = out.closed(), if !hushed => hushed = true,
        }
        if hushed {
            items.close();
        }
    };
    drop(answering);
    items.close();
    while let Some(item) = items.recv().await {
        if hushed || !forward(out, hush, id, item).await {
            break;
        }
    }
    let _it_has_gone = out.send(done(id, answer)).await;
}

/// Whether the client still wants it.
async fn forward(out: &Out, hush: &CancellationToken, id: RequestId, item: Item) -> bool {
    let frame = encode(&ServerFrame::Item(id, item));
    if frame.len() > FRAME_BYTES_MAX {
        tracing::error!(bytes = frame.len(), "an item is larger than a frame");
        return true;
    }
    tokio::select! {
        sent = out.send(frame) => sent.is_ok(),
        () = hush.cancelled() => false,
    }
}

fn done(id: RequestId, answer: Result<Answer, Problem>) -> Vec<u8> {
    let frame = encode(&ServerFrame::Done(id, answer));
    if frame.len() <= FRAME_BYTES_MAX {
        return frame;
    }
    let problem = Problem {
        class: ProblemClass::Infra,
        code: "F824".into(),
        message: format!("the answer has {} bytes, more than the {FRAME_BYTES_MAX} of a frame", frame.len()),
        detail: Vec::new(),
        help: vec!["ask for less: one session, or those not finished".into()],
        place: None,
    };
    encode(&ServerFrame::Done(id, Err(problem)))
}

fn busy(message: String) -> Problem {
    Problem {
        class: ProblemClass::Busy,
        code: "F612".into(),
        message,
        detail: Vec::new(),
        help: vec!["ask again in a moment".into()],
        place: None,
    }
}
