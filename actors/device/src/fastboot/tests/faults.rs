//! What goes wrong, and what is left to do afterwards.

use std::io::{Cursor, Read, repeat};
use std::net::Ipv4Addr;
use std::time::Duration;

use farmhand_wire::fastboot::ExchangeError;
use farmhand_wire::fastboot::tcp::{TcpError, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::{
    TRANSPORTS, asked, downloaded, fault, noise, over, over_bus, over_tcp, phone, plugged_in, sha256,
};
use crate::fastboot::{Client, ClientError, Connection, OpenError, PipeError, TcpPipe, UdpPipe};

async fn download(client: &mut Client, image: &[u8]) -> Result<String, ClientError> {
    let len = u32::try_from(image.len()).unwrap();
    client.download(Box::new(Cursor::new(image.to_vec())), len, &mut ()).await
}

#[tokio::test]
async fn a_transfer_that_is_cut_is_tried_again_over_a_new_connection() {
    let phone = phone().await;
    let image = noise(3 << 20);
    let mut client = over_tcp(&phone).await;
    fault(phone.handle(), "cut 1500000").await;
    let error = download(&mut client, &image).await.unwrap_err();
    // In the middle, or once all that the system holds back was sent.
    let cut = matches!(
        error,
        ClientError::Cut { error: PipeError::Gone(_), .. }
            | ClientError::Pipe { error: PipeError::Gone(_), .. }
    );
    assert!(cut, "{error}");
    assert_eq!(client.connection(), Connection::Reconnect);
    assert!(matches!(download(&mut client, &image).await, Err(ClientError::Unusable)));
    assert_eq!(client.resynchronise().await.unwrap(), Connection::Reconnect);
    drop(client);
    let mut client = over_tcp(&phone).await;
    download(&mut client, &image).await.unwrap();
    assert_eq!(downloaded(phone.handle()).await, Some(sha256(&image)));
}

#[tokio::test]
async fn a_source_that_ends_early_is_said_and_writes_nothing() {
    let phone = phone().await;
    for transport in TRANSPORTS {
        let mut client = over(transport, &phone).await;
        let source = Box::new(Cursor::new(noise(100_000)));
        let error = client.download(source, 300_000, &mut ()).await.unwrap_err();
        let ended =
            |error: &PipeError| matches!(error, PipeError::SourceEnded { got: 100_000, len: 300_000 });
        assert!(matches!(&error, ClientError::Cut { error, .. } if ended(error)), "{error}");
        assert_eq!(client.connection(), Connection::Reconnect);
        assert!(matches!(client.handoff(), Err(ClientError::Unusable)));
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_bus_what_is_lacking_is_made_up_with_zeros() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    let source = Box::new(Cursor::new(noise(100_000)));
    client.download(source, 300_000, &mut ()).await.unwrap_err();
    assert_eq!(client.connection(), Connection::Resynchronise);
    assert_eq!(client.resynchronise().await.unwrap(), Connection::Ready);
    assert!(matches!(client.handoff(), Err(ClientError::NothingStaged)));
    let image = noise(50_000);
    download(&mut client, &image).await.unwrap();
    assert_eq!(downloaded(&phone).await, Some(sha256(&image)));
    assert_eq!(phone.call(|phone| phone.counters().flashes).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_data_phase_that_stalls_ends_and_the_device_is_tried_again() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    fault(&phone, "stall-data 40000").await;
    let error = download(&mut client, &noise(200_000)).await.unwrap_err();
    assert!(matches!(error, ClientError::Cut { error: PipeError::Stalled { .. }, .. }), "{error}");
    // It goes on, in the middle of its data phase.
    fault(&phone, "clear").await;
    assert_eq!(client.resynchronise().await.unwrap(), Connection::Ready);
    let image = noise(30_000);
    download(&mut client, &image).await.unwrap();
    assert_eq!(downloaded(&phone).await, Some(sha256(&image)));
}

#[tokio::test]
async fn a_length_that_is_a_lie_sends_nothing() {
    let phone = phone().await;
    for lie in ["data-length 5", "data-length -5"] {
        let mut client = over_tcp(&phone).await;
        fault(phone.handle(), lie).await;
        let error = download(&mut client, &noise(1000)).await.unwrap_err();
        let length = matches!(
            &error,
            ClientError::Nonsense { error: ExchangeError::DataLength { asked: 1000, .. }, .. }
        );
        assert!(length, "{error}");
        assert_eq!(client.connection(), Connection::Reconnect);
    }
    let counted = phone.handle().call(|phone| phone.counters()).await.unwrap();
    assert_eq!(counted.download_bytes, 0);
}

#[tokio::test]
async fn what_no_specification_knows_is_an_error_and_no_hang() {
    let phone = phone().await;
    for kind in ["unknown-tag", "short"] {
        for transport in TRANSPORTS {
            let mut client = over(transport, &phone).await;
            fault(phone.handle(), &format!("nonsense {kind} getvar:")).await;
            let error = client.getvar(&"product".parse().unwrap()).await.unwrap_err();
            assert!(matches!(error, ClientError::Nonsense { .. }), "{kind}: {error}");
            assert_eq!(client.connection(), Connection::Reconnect);
        }
    }
    let mut client = over_tcp(&phone).await;
    fault(phone.handle(), "nonsense not-utf8 getvar:").await;
    let value = client.getvar(&"product".parse().unwrap()).await.unwrap();
    assert_eq!(value.as_deref(), Some("\\xff\\xfe\\x80"));
    fault(phone.handle(), "nonsense long getvar:").await;
    let value = client.getvar(&"product".parse().unwrap()).await.unwrap();
    assert_eq!(value.map(|value| value.len()), Some(296));
    fault(phone.handle(), "nonsense endless-info getvar:").await;
    let error = client.getvar(&"product".parse().unwrap()).await.unwrap_err();
    let endless = matches!(error, ClientError::Nonsense { error: ExchangeError::TooManyMessages { .. }, .. });
    assert!(endless, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_never_answers_is_given_up() {
    let phone = plugged_in();
    for command in ["getvar:product", "erase:misc", "oem log"] {
        let mut client = over_bus(&phone).await;
        fault(&phone, "stall").await;
        let error = client.raw(&command.parse().unwrap(), &mut ()).await.unwrap_err();
        assert!(matches!(error, ClientError::Pipe { error: PipeError::Silent(_), .. }), "{error}");
        assert_eq!(client.connection(), Connection::Resynchronise);
        fault(&phone, "clear").await;
    }
}

#[tokio::test]
async fn a_device_that_leaves_is_gone() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    fault(&phone, "vanish 0525:a4a7").await;
    assert!(client.gone());
    let error = client.getvar(&"product".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unusable | ClientError::Pipe { error: PipeError::Gone(_), .. }));
    assert_eq!(client.connection(), Connection::Gone);
    assert!(asked(&phone).await.is_empty());
}

#[tokio::test]
async fn a_refused_write_names_the_reason_and_goes_on() {
    let phone = phone().await;
    let mut client = over_tcp(&phone).await;
    download(&mut client, b"something").await.unwrap();
    fault(phone.handle(), "fail flash:misc partition is write protected").await;
    let error = client.flash(&"misc".parse().unwrap(), None, &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "device refused \"flash:misc\": partition is write protected");
    client.flash(&"misc".parse().unwrap(), None, &mut ()).await.unwrap();
}

/// Accepts one connection, says `words`, and keeps it open.
async fn says(words: Vec<u8>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&words).await.unwrap();
        let _until_the_host_leaves = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    address
}

#[tokio::test]
async fn whoever_speaks_something_else_is_no_device() {
    let error = TcpPipe::connect(&says(b"SSH-2.0-OpenSSH".to_vec()).await).await.unwrap_err();
    let greeting =
        matches!(&error, OpenError::Greeting { error: PipeError::Tcp(TcpError::NotFastboot(_)), .. });
    assert!(greeting, "{error}");
    let error = TcpPipe::connect(&says(b"FB00".to_vec()).await).await.unwrap_err();
    let version = matches!(&error, OpenError::Greeting { error: PipeError::Tcp(TcpError::Version(0)), .. });
    assert!(version, "{error}");
}

#[tokio::test]
async fn a_frame_of_any_length_takes_no_memory() {
    let mut words = b"FB01".to_vec();
    words.extend((1_u64 << 60).to_be_bytes());
    let mut client = Client::new(Box::new(TcpPipe::connect(&says(words).await).await.unwrap()));
    let error = client.getvar(&"product".parse().unwrap()).await.unwrap_err();
    let long =
        matches!(error, ClientError::Pipe { error: PipeError::Tcp(TcpError::FrameTooLong { .. }), .. });
    assert!(long, "{error}");
}

#[tokio::test]
async fn a_device_may_give_its_data_in_frames_of_any_length() {
    let mut words = b"FB01".to_vec();
    words.extend(frame(b"DATA00000006"));
    for part in [&b"a"[..], b"", b"bcd", b"ef"] {
        words.extend(frame(part));
    }
    words.extend(frame(b"OKAY"));
    let mut client = Client::new(Box::new(TcpPipe::connect(&says(words).await).await.unwrap()));
    let mut out = Vec::new();
    assert_eq!(client.upload(&mut out, &mut ()).await.unwrap(), 6);
    assert_eq!(out, b"abcdef");
}

/// It stops reading for longer than a device is given that has said no, and goes on. Guard: `tells` in `tcp/data.rs`.
#[tokio::test]
async fn a_device_that_tells_how_it_goes_still_listens() {
    const LEN: u64 = 64 << 20;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[b"FB01".to_vec(), frame(b"DATA04000000")].concat()).await.unwrap();
        // Its greeting, the command's frame, and the data's.
        let before = 4 + 8 + b"download:04000000".len() + 8;
        stream.read_exact(&mut vec![0; before]).await.unwrap();
        stream.write_all(&frame(b"INFOerasing first")).await.unwrap();
        tokio::time::sleep(3 * crate::fastboot::deadlines::QUIET).await;
        let read = tokio::io::copy(&mut (&mut stream).take(LEN), &mut tokio::io::sink()).await.unwrap();
        assert_eq!(read, LEN);
        stream.write_all(&frame(b"OKAYall of it")).await.unwrap();
    });
    let mut client = Client::new(Box::new(TcpPipe::connect(&address).await.unwrap()));
    let len = u32::try_from(LEN).unwrap();
    assert_eq!(client.download(Box::new(repeat(7)), len, &mut ()).await.unwrap(), "all of it");
    device.await.unwrap();
}

/// Guard: `Drop` of [`TcpPipe`]. The thread that reads the source is left behind, and has the socket too.
#[tokio::test]
async fn a_transfer_that_is_given_up_ends_its_connection_though_its_source_hangs() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[b"FB01".to_vec(), frame(b"DATA00001000")].concat()).await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let (_hold, held) = std::sync::mpsc::channel();
    let mut client = Client::new(Box::new(TcpPipe::connect(&address).await.unwrap()));
    {
        let mut nobody = ();
        let download = client.download(Box::new(Hangs { asked, held }), 0x1000, &mut nobody);
        tokio::select! {
            ended = download => panic!("{ended:?}"),
            _ = is_asked.recv() => {}
        }
    }
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(20), device).await;
    assert!(ended.is_ok(), "the device waits yet");
}

/// A source that says when it is asked, and gives nothing until the other end of `held` is gone.
struct Hangs {
    asked: tokio::sync::mpsc::UnboundedSender<()>,
    held: std::sync::mpsc::Receiver<()>,
}

impl Read for Hangs {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        let _nobody = self.asked.send(());
        let _end = self.held.recv();
        Ok(0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_takes_no_more_is_heard() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let words = [b"FB01".to_vec(), frame(b"DATA04000000"), frame(b"FAILno room")].concat();
        stream.write_all(&words).await.unwrap();
        // It reads nothing.
        stream
    };
    let (pipe, _held) = tokio::join!(TcpPipe::connect(&address), device);
    let mut client = Client::new(Box::new(pipe.unwrap()));
    let error = client.download(Box::new(repeat(7)), 64 << 20, &mut ()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Cut { error: PipeError::Spoke(words), .. } if words == "no room"),
        "{error}"
    );
    assert_eq!(client.connection(), Connection::Reconnect);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let error = TcpPipe::connect(&says(Vec::new()).await).await.unwrap_err();
    assert!(matches!(error, OpenError::Silent { .. }), "{error}");
    let mute = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let error = UdpPipe::connect(&mute.local_addr().unwrap().to_string()).await.unwrap_err();
    assert!(matches!(error, OpenError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn where_nobody_listens_is_said_at_once() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let error = TcpPipe::connect(&address).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error}");
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let error = UdpPipe::connect(&address).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_host_that_is_given_up_in_the_middle_leaves_a_connection_of_no_use() {
    let phone = phone().await;
    let mut client = over_tcp(&phone).await;
    let (_held, hears) = std::sync::mpsc::channel();
    {
        let source = repeat(7).take(1 << 22);
        let never_ends = Box::new(source.chain(Stuck(hears)));
        let mut nobody = ();
        let download = client.download(never_ends, 1 << 27, &mut nobody);
        let soon = tokio::time::timeout(Duration::from_millis(50), download);
        assert!(soon.await.is_err(), "its source never ends");
    }
    assert_eq!(client.connection(), Connection::Reconnect);
    assert!(matches!(client.getvar(&"product".parse().unwrap()).await, Err(ClientError::Unusable)));
}

/// A file that gives nothing for as long as the other end is there.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Read for Stuck {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.recv().map_or(Ok(0), |()| Ok(0))
    }
}
