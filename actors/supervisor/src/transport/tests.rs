//! Both ends together, and one end against what breaks the protocol. A small responder stands for the farm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farmhand_api::{
    API, ClientFrame, DeviceName, Epoch, Event, EventBody, EventSeq, FRAME_BYTES_MAX, Hello, HelloAnswer,
    LogFrom, LogItem, LogOf, ProblemClass, ServerFrame, SessionId, Stamp, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::connection::REQUESTS_MAX;
use super::*;

/// Long for a loaded machine; only a test that fails waits for it.
const SOON: Duration = Duration::from_secs(20);
const CHUNK_BYTES: usize = 4096;

/// Answers devices at once, a session when `open` says so, `n` events where session n is asked for, and a log for as
/// long as it is read.
struct Responder {
    open: watch::Receiver<bool>,
    asked: watch::Sender<usize>,
    chunks: AtomicUsize,
    logs: watch::Sender<usize>,
}

#[async_trait]
impl Answerer for Responder {
    async fn answer(&self, request: Request, items: mpsc::Sender<Item>) -> Result<Answer, Problem> {
        match request {
            Request::Session(_) => {
                self.asked.send_modify(|count| *count += 1);
                let mut open = self.open.clone();
                let _closed = open.wait_for(|open| *open).await;
                Ok(Answer::Done)
            }
            Request::Events { session: Some(SessionId(count)), .. } => {
                for number in 1..=count {
                    let body = EventBody::Note(number.to_string());
                    let seq = EventSeq { farm: 1, number };
                    let event = Event { seq, unix_ms: 0, session: None, device: None, body };
                    if items.send(Item::Event(Box::new(event))).await.is_err() {
                        break;
                    }
                }
                Ok(Answer::Done)
            }
            Request::Log { .. } => {
                self.logs.send_modify(|count| *count += 1);
                let bytes = Bytes::from(vec![b'x'; CHUNK_BYTES]);
                let chunk = LogItem::Chunk { offset: 0, epoch: Epoch(1), stamp: Stamp::default(), bytes };
                while items.send(Item::Log(chunk.clone())).await.is_ok() {
                    self.chunks.fetch_add(1, Ordering::SeqCst);
                }
                self.logs.send_modify(|count| *count -= 1);
                Ok(Answer::Done)
            }
            _ => Ok(Answer::Devices(Vec::new())),
        }
    }
}

struct Farm {
    home: tempfile::TempDir,
    gateway: Gateway,
    responder: Arc<Responder>,
    open: watch::Sender<bool>,
    _lock: HomeLock,
}

fn farm() -> Farm {
    let home = tempfile::tempdir().unwrap();
    let lock = HomeLock::take(home.path()).unwrap();
    let (open, is_open) = watch::channel(false);
    let responder = Arc::new(Responder {
        open: is_open,
        asked: watch::channel(0).0,
        chunks: AtomicUsize::new(0),
        logs: watch::channel(0).0,
    });
    let gateway = Gateway::listen_as(&lock, responder.clone()).unwrap();
    Farm { home, gateway, responder, open, _lock: lock }
}

impl Farm {
    async fn client(&self) -> Client {
        Client::connect(self.home.path()).await.unwrap()
    }

    async fn logs(&self, count: usize) {
        let mut logs = self.responder.logs.subscribe();
        timeout(SOON, logs.wait_for(|now| *now == count)).await.expect("streams begin and end").unwrap();
    }

    /// A connection by hand, after the hello.
    async fn raw(&self) -> UnixStream {
        let mut stream = connect(self.home.path()).await.unwrap().unwrap();
        put(&mut stream, &encode(&ClientFrame::Hello(Hello { api: API, client: "test".into() }))).await;
        assert!(matches!(get(&mut stream).await, Some(ServerFrame::Hello(_))));
        stream
    }
}

fn log() -> Request {
    let of = LogOf::Device(DeviceName::new("uno").unwrap());
    Request::Log { of, from: LogFrom::Now, follow: true }
}

async fn put(stream: &mut (impl AsyncWriteExt + Unpin), frame: &[u8]) {
    stream.write_u32(u32::try_from(frame.len()).unwrap()).await.unwrap();
    stream.write_all(frame).await.unwrap();
}

/// The next frame; none at the end of the stream, however it ends.
async fn get(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<ServerFrame> {
    let read = async {
        let length = stream.read_u32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut frame).await.ok()?;
        Some(farmhand_api::decode(&frame).unwrap())
    };
    timeout(SOON, read).await.expect("a frame, or an end")
}

#[tokio::test]
async fn items_come_in_order_and_the_answer_last() {
    let farm = farm();
    for client in [farm.client().await, farm.gateway.connect().await.unwrap()] {
        let mut replies =
            client.stream(Request::Events { after: None, session: Some(SessionId(1000)) }).await.unwrap();
        for number in 1..=1000_u64 {
            let Some(Reply::Item(Item::Event(event))) = replies.next().await.unwrap() else {
                panic!("an event")
            };
            assert_eq!(event.seq.number, number);
        }
        assert_eq!(replies.next().await.unwrap(), Some(Reply::Done(Answer::Done)));
        assert_eq!(replies.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn another_api_is_told_ours_and_not_served() {
    let farm = farm();
    let mut stream = connect(farm.home.path()).await.unwrap().unwrap();
    put(&mut stream, &encode(&ClientFrame::Hello(Hello { api: API + 1, client: "newer".into() }))).await;
    let Some(ServerFrame::Hello(answer)) = get(&mut stream).await else { panic!("a hello") };
    assert_eq!((answer.api, answer.pid), (API, std::process::id()));
    assert_eq!(get(&mut stream).await, None);
}

#[tokio::test]
async fn a_farm_of_another_api_is_named() {
    let (near, mut far) = tokio::io::duplex(1024);
    let older = async move {
        let length = far.read_u32().await.unwrap();
        let mut hello = vec![0; length as usize];
        far.read_exact(&mut hello).await.unwrap();
        let answer = HelloAnswer { api: API + 1, farm: "farmhandd 9".into(), pid: 17 };
        put(&mut far, &encode(&ServerFrame::Hello(answer))).await;
    };
    let (client, ()) = tokio::join!(Client::over(near), older);
    let problem = Problem::from(client.unwrap_err());
    assert_eq!(problem.code, "F822");
    assert!(problem.message.contains("farmhandd 9 (pid 17)"), "{}", problem.message);
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_that_connection_alone() {
    let farm = farm();
    let bystander = farm.client().await;

    let mut no_hello = connect(farm.home.path()).await.unwrap().unwrap();
    put(&mut no_hello, &encode(&ClientFrame::Ask(1, Request::Devices))).await;
    assert_eq!(get(&mut no_hello).await, None);

    let mut garbage = farm.raw().await;
    put(&mut garbage, &[0xff; 40]).await;
    assert_eq!(get(&mut garbage).await, None);

    let mut behind = farm.raw().await;
    let mut frame = encode(&ClientFrame::Ask(1, Request::Devices));
    frame.push(0);
    put(&mut behind, &frame).await;
    assert_eq!(get(&mut behind).await, None);

    let mut oversize = farm.raw().await;
    oversize.write_u32(u32::try_from(FRAME_BYTES_MAX).unwrap() + 1).await.unwrap();
    assert_eq!(get(&mut oversize).await, None);

    let mut twice = farm.raw().await;
    put(&mut twice, &encode(&ClientFrame::Ask(1, log()))).await;
    put(&mut twice, &encode(&ClientFrame::Ask(1, log()))).await;
    while get(&mut twice).await.is_some() {}
    farm.logs(0).await;

    let mut torn = farm.raw().await;
    torn.write_all(&[0, 0, 0, 9, 1]).await.unwrap();
    drop(torn);

    assert_eq!(bystander.ask(Request::Devices).await.unwrap(), Answer::Devices(Vec::new()));
}

#[tokio::test]
async fn what_does_not_fit_in_a_frame_is_refused_before_it_is_sent() {
    let farm = farm();
    let client = farm.client().await;
    let device = DeviceName::new("uno").unwrap();
    let huge = Request::Write { device, bytes: vec![0; FRAME_BYTES_MAX].into(), take: false };
    assert!(matches!(client.ask(huge).await, Err(ClientError::TooLarge(_))));
    assert!(client.ask(Request::Devices).await.is_ok());
}

#[tokio::test]
async fn one_connection_has_so_many_requests_and_no_more() {
    let farm = farm();
    let client = farm.client().await;
    let mut held = Vec::new();
    for _ in 0..REQUESTS_MAX {
        held.push(client.stream(Request::Session(SessionId(1))).await.unwrap());
    }
    let mut asked = farm.responder.asked.subscribe();
    timeout(SOON, asked.wait_for(|count| *count == REQUESTS_MAX)).await.unwrap().unwrap();
    let Err(ClientError::Problem(problem)) = client.ask(Request::Devices).await else {
        panic!("it was let in")
    };
    assert_eq!(problem.class, ProblemClass::Busy);
    let other = farm.client().await;
    assert!(other.ask(Request::Devices).await.is_ok());

    farm.open.send_replace(true);
    for mut replies in held {
        assert_eq!(replies.next().await.unwrap(), Some(Reply::Done(Answer::Done)));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody_and_little() {
    let farm = farm();
    let mut stalled = farm.raw().await;
    put(&mut stalled, &encode(&ClientFrame::Ask(1, log()))).await;
    farm.logs(1).await;
    let client = farm.client().await;
    let mut chunks = usize::MAX;
    // Until the stream stands still: its queues are full.
    let still = async {
        loop {
            for _ in 0..50 {
                client.ask(Request::Devices).await.unwrap();
            }
            let now = farm.responder.chunks.load(Ordering::SeqCst);
            if now == chunks {
                return now;
            }
            chunks = now;
        }
    };
    let kept = timeout(SOON, still).await.expect("a stream that nobody reads stands still");
    assert!(kept * CHUNK_BYTES < 2 << 20, "{kept} chunks were taken for a client that reads none");
    // It reads on where it was.
    assert!(matches!(get(&mut stalled).await, Some(ServerFrame::Item(1, Item::Log(_)))));
}

#[tokio::test]
async fn a_client_that_goes_ends_its_own_streams() {
    let farm = farm();
    let stays = farm.client().await;
    let mut stream = stays.stream(log()).await.unwrap();
    let goes = farm.client().await;
    let mut its = goes.stream(log()).await.unwrap();
    assert!(matches!(its.next().await, Ok(Some(Reply::Item(_)))));
    farm.logs(2).await;
    drop((goes, its));
    farm.logs(1).await;
    for _ in 0..1000 {
        assert!(matches!(stream.next().await, Ok(Some(Reply::Item(_)))));
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_and_the_connection_goes_on() {
    let farm = farm();
    let client = farm.client().await;
    drop(client.stream(log()).await.unwrap());
    let mut replies = client.stream(log()).await.unwrap();
    assert!(matches!(replies.next().await, Ok(Some(Reply::Item(_)))));
    drop(replies);
    farm.logs(0).await;
    assert!(client.ask(Request::Devices).await.is_ok());
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let farm = farm();
    let mut clients = Vec::new();
    let told = loop {
        let client = farm.client().await;
        match client.ask(Request::Devices).await {
            Ok(_) => clients.push(client),
            Err(error) => break error,
        }
        assert!(clients.len() < 1000, "there is no bound");
    };
    assert_eq!(Problem::from(told).class, ProblemClass::Busy);
    clients.pop();
    let mut count = farm.gateway.connections();
    timeout(SOON, count.wait_for(|now| *now == clients.len())).await.unwrap().unwrap();
    assert!(farm.client().await.ask(Request::Devices).await.is_ok());
}

#[tokio::test]
async fn a_stop_answers_what_was_asked_and_ends_streams() {
    let farm = farm();
    let client = farm.client().await;
    let mut asked = farm.responder.asked.subscribe();
    let mut answer = client.stream(Request::Session(SessionId(1))).await.unwrap();
    timeout(SOON, asked.wait_for(|count| *count == 1)).await.unwrap().unwrap();
    let unread = farm.client().await;
    let _endless = unread.stream(log()).await.unwrap();
    farm.logs(1).await;
    let stopping = tokio::spawn(farm.gateway.stop());
    let gone = async { while connect(farm.home.path()).await.unwrap().is_some() {} };
    timeout(SOON, gone).await.expect("nobody finds a farm that stops");
    farm.open.send_replace(true);
    assert_eq!(answer.next().await.unwrap(), Some(Reply::Done(Answer::Done)));
    timeout(SOON, stopping).await.unwrap().unwrap();
    assert!(matches!(client.ask(Request::Devices).await, Err(ClientError::Lost)));
}

#[tokio::test]
async fn what_is_no_farm_is_said() {
    let (near, mut far): (_, DuplexStream) = tokio::io::duplex(1024);
    far.write_all(b"Welcome to host\n").await.unwrap();
    let error = Client::over(near).await.unwrap_err();
    assert!(matches!(error, ClientError::NotAFarm(_)), "{error}");
    let home = tempfile::tempdir().unwrap();
    let error = Client::connect(home.path()).await.unwrap_err();
    assert!(matches!(error, ClientError::NoFarm { .. }) && error.is_lost(), "{error}");
}
