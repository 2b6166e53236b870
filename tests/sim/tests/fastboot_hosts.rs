//! Hosts of the simulated phone, over each way that leads to it, and its process.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use farmhand_sim::fastboot::{Mode, Phone, PhoneHandle, PhoneOptions, ServeOptions, SimPhone};
use farmhand_wire::fastboot::tcp::{HANDSHAKE, frame};
use farmhand_wire::fastboot::udp::{HOST_PACKET_LEN_MAX, Host, Step};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpStream, UdpSocket, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Whatever does not happen within it does not happen.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at what is to become so.
const LOOK: Duration = Duration::from_millis(5);
/// Before a datagram is sent again: the line is short.
const RESEND: Duration = Duration::from_millis(10);
const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn image() -> Vec<u8> {
    let mut image = vec![0; 2048 + 200_000];
    image[..8].copy_from_slice(b"ANDROID!");
    image[8..12].copy_from_slice(&200_000_u32.to_le_bytes());
    image[36..40].copy_from_slice(&2048_u32.to_le_bytes());
    image
}

async fn phone() -> SimPhone {
    let options = ServeOptions {
        tcp: Some(SocketAddr::from(LOOPBACK)),
        udp: Some(SocketAddr::from(LOOPBACK)),
        ..ServeOptions::default()
    };
    SimPhone::start(options, |_| ()).await.unwrap()
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}: it does not happen"));
}

async fn fault(phone: &PhoneHandle, fault: &str) {
    let fault = fault.parse().unwrap();
    phone.call(|phone: &mut Phone| phone.fault(fault)).await.unwrap();
}

async fn counters(phone: &PhoneHandle) -> farmhand_sim::fastboot::Counters {
    phone.call(|phone| phone.counters()).await.unwrap()
}

/// A host on a stream. `None` is a connection that ended.
struct OnStream<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> OnStream<S> {
    async fn shake(stream: S) -> Option<Self> {
        let mut host = Self(stream);
        host.0.write_all(&HANDSHAKE).await.ok()?;
        let mut theirs = [0; 4];
        host.0.read_exact(&mut theirs).await.ok()?;
        assert_eq!(theirs, HANDSHAKE);
        Some(host)
    }

    async fn send(&mut self, packet: &[u8]) -> Option<()> {
        self.0.write_all(&frame(packet)).await.ok()
    }

    async fn heard(&mut self) -> Option<String> {
        let read = async {
            let len = self.0.read_u64().await.ok()?;
            let mut packet = vec![0; len as usize];
            self.0.read_exact(&mut packet).await.ok()?;
            Some(packet.escape_ascii().to_string())
        };
        timeout(DEADLINE, read).await.expect("an answer, or the end")
    }

    async fn ask(&mut self, packet: &[u8]) -> Option<String> {
        self.send(packet).await?;
        self.heard().await
    }

    async fn download(&mut self, data: &[u8]) -> Option<String> {
        self.ask(format!("download:{:08x}", data.len()).as_bytes()).await?;
        self.ask(data).await
    }
}

async fn connect(phone: &SimPhone) -> Option<OnStream<TcpStream>> {
    OnStream::shake(TcpStream::connect(phone.tcp().unwrap()).await.ok()?).await
}

fn okay() -> Option<String> {
    Some("OKAY".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_it_is_as_over_tcp() {
    let phone = SimPhone::start(ServeOptions::default(), |_| ()).await.unwrap();
    let mut host = OnStream::shake(phone.handle().connect()).await.unwrap();
    assert_eq!(host.ask(b"getvar:product").await.as_deref(), Some("OKAYfarmhand-phone"));
    assert_eq!(host.download(&image()).await, okay());
    assert_eq!(host.ask(b"boot").await, okay());
    assert_eq!(host.heard().await, None, "it has left");
    assert_eq!(counters(phone.handle()).await.boots, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_host_waits() {
    let phone = phone().await;
    let mut first = connect(&phone).await.unwrap();
    assert!(first.ask(b"getvar:product").await.is_some());
    let mut second = TcpStream::connect(phone.tcp().unwrap()).await.unwrap();
    second.write_all(&HANDSHAKE).await.unwrap();
    assert!(first.ask(b"getvar:product").await.is_some());
    assert_eq!(counters(phone.handle()).await.hosts, 1);
    drop(first);
    let mut theirs = [0; 4];
    timeout(DEADLINE, second.read_exact(&mut theirs)).await.unwrap().unwrap();
    let mut second = OnStream(second);
    assert!(second.ask(b"getvar:product").await.is_some());
    assert_eq!(counters(phone.handle()).await.hosts, 2);
}

/// Its place is closed while it is something else, and the same when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_booted_cannot_be_reached() {
    let phone = phone().await;
    for round in 1..=3 {
        let mut host = connect(&phone).await.unwrap();
        assert_eq!(host.ask(b"reboot-bootloader").await, okay());
        assert_eq!(host.heard().await, None);
        // It is at the same port, once it listens again.
        let mut again = None;
        until("it is back", async || {
            again = connect(&phone).await;
            again.is_some()
        })
        .await;
        let mut host = again.unwrap();
        assert_eq!(host.download(&image()).await, okay());
        assert_eq!(host.ask(b"boot").await, okay());
        assert_eq!(host.heard().await, None);
        until("it refuses", async || TcpStream::connect(phone.tcp().unwrap()).await.is_err()).await;
        assert_eq!(counters(phone.handle()).await.boots, round);
        phone.handle().call(|phone| phone.enter(Mode::Loader)).await.unwrap();
        until("it is back", async || connect(&phone).await.is_some()).await;
    }
}

/// Whoever listens hears each start of an image, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn its_console_prints_the_banner_of_what_it_booted() {
    let options = ServeOptions {
        phone: PhoneOptions { banner: Some("login:".to_owned()), ..PhoneOptions::default() },
        console: Some(SocketAddr::from(LOOPBACK)),
        ..ServeOptions::default()
    };
    let phone = SimPhone::start(options, |_| ()).await.unwrap();
    let mut console = TcpStream::connect(phone.console().unwrap()).await.unwrap();
    for mode in [Mode::System, Mode::Booted, Mode::Loader, Mode::Booted] {
        phone.handle().call(move |phone| phone.enter(mode)).await.unwrap();
        if mode == Mode::Booted {
            let mut banner = [0; 8];
            timeout(DEADLINE, console.read_exact(&mut banner)).await.unwrap().unwrap();
            assert_eq!(&banner, b"login:\r\n");
        }
    }
    drop(phone);
    assert_eq!(timeout(DEADLINE, console.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_can_be_tried_again() {
    let phone = phone().await;
    fault(phone.handle(), "cut 100K").await;
    let mut host = connect(&phone).await.unwrap();
    assert_eq!(host.download(&image()).await, None);
    let mut host = connect(&phone).await.unwrap();
    assert_eq!(host.ask(b"boot").await.as_deref(), Some("FAILnothing was downloaded"));
    fault(phone.handle(), "slow 2M").await;
    assert_eq!(host.download(&image()).await, okay());
    fault(phone.handle(), "boot-unanswered").await;
    assert_eq!(host.ask(b"boot").await, None);
    assert_eq!(counters(phone.handle()).await.boots, 1);
}

/// A host that dies while the phone is stalled does not hold it: it is told apart from one that waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_phone_is_left_by_its_host() {
    let phone = phone().await;
    fault(phone.handle(), "stall-data 1K").await;
    let mut host = connect(&phone).await.unwrap();
    assert!(host.ask(b"download:00030f40").await.is_some());
    host.send(&vec![0; 100_000]).await.unwrap();
    until("it stalls", async || phone.handle().call(|phone| phone.stalled()).await.unwrap()).await;
    drop(host);
    fault(phone.handle(), "clear").await;
    let mut next = connect(&phone).await.unwrap();
    assert_eq!(next.download(&image()).await, okay());
    assert_eq!(counters(phone.handle()).await.downloads, 1);
}

/// A host on UDP, that repeats itself.
struct OnUdp {
    socket: UdpSocket,
    host: Host,
}

impl OnUdp {
    async fn connect(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from(LOOPBACK)).await.unwrap();
        socket.connect(to).await.unwrap();
        let mut connected = Self { socket, host: Host::new(HOST_PACKET_LEN_MAX) };
        connected.host.start().unwrap();
        connected.exchange().await;
        connected
    }

    /// Until what was begun has ended; the bytes that were read.
    async fn exchange(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let mut datagram = vec![0; 65_536];
        self.socket.send(self.host.datagram()).await.unwrap();
        loop {
            let came = timeout(RESEND, self.socket.recv(&mut datagram)).await;
            let step = match came {
                Ok(len) => self.host.on_datagram(&datagram[..len.unwrap()]).unwrap(),
                Err(_) => self.host.on_timeout().unwrap(),
            };
            match step {
                Step::Send => {
                    self.socket.send(self.host.datagram()).await.unwrap();
                }
                Step::Wait | Step::Ignored => {}
                Step::Connected { .. } | Step::Written => return read,
                Step::Received { bytes, last } => {
                    read.extend_from_slice(bytes);
                    if last {
                        return read;
                    }
                    self.host.read().unwrap();
                    self.socket.send(self.host.datagram()).await.unwrap();
                }
            }
        }
    }

    async fn ask(&mut self, packet: &[u8]) -> String {
        self.host.write(packet).unwrap();
        self.exchange().await;
        self.host.read().unwrap();
        self.exchange().await.escape_ascii().to_string()
    }
}

/// Three of ten datagrams come to harm, and each command is carried out once and answered, to the last one.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_line_each_command_is_carried_out_once() {
    for seed in 0..10 {
        let phone = phone().await;
        let mut host = OnUdp::connect(phone.udp().unwrap()).await;
        fault(phone.handle(), &format!("datagrams 100 100 100 {seed}")).await;
        assert_eq!(host.ask(b"getvar:product").await, "OKAYfarmhand-phone");
        assert_eq!(host.ask(format!("download:{:08x}", image().len()).as_bytes()).await, "DATA00031540");
        assert_eq!(host.ask(&image()).await, "OKAY");
        assert_eq!(host.ask(b"boot").await, "OKAY");
        until("it has left", async || {
            phone.handle().call(|phone| phone.presence().mode).await.unwrap() == Mode::Booted
        })
        .await;
        let counters = counters(phone.handle()).await;
        assert_eq!((counters.commands, counters.downloads, counters.boots), (3, 1, 1), "seed {seed}");
    }
}

/// Over UDP too, although nobody says that they have gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_boot_whose_answer_is_not_read_happens() {
    let phone = phone().await;
    let mut host = OnUdp::connect(phone.udp().unwrap()).await;
    host.ask(format!("download:{:08x}", image().len()).as_bytes()).await;
    host.ask(&image()).await;
    host.host.write(b"boot").unwrap();
    host.exchange().await;
    drop(host);
    until("it has left", async || counters(phone.handle()).await.boots == 1).await;
}

/// The phone as a process.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(control: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farmhand-sim"));
        command.arg("fastboot").args(["--tcp", "127.0.0.1:0", "--control"]).arg(control).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("it says something");
        line.unwrap().expect("it goes on")
    }

    async fn ended(mut self) {
        assert!(timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap().success());
    }
}

async fn told(control: &Path, line: &str) -> Vec<String> {
    let mut socket = UnixStream::connect(control).await.unwrap();
    socket.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(socket).lines();
    let mut answer = Vec::new();
    loop {
        let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("a last word");
        match line.as_str() {
            "ok" => return answer,
            line if line.starts_with("error: ") => panic!("{line}"),
            line => answer.push(line.to_owned()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_process_says_where_it_is_and_what_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let arguments = ["--serial", "c0ffee", "--partition", "misc=4K", "--slots", "0", "--udp", "127.0.0.1:0"];
    let mut process = Process::start(&control, &arguments);
    let tcp: SocketAddr = process.line().await.strip_prefix("tcp ").unwrap().parse().unwrap();
    assert!(process.line().await.starts_with("udp 127.0.0.1:"));
    assert_eq!(process.line().await, format!("control {}", control.display()));
    assert_eq!(process.line().await, "ready");
    let mut host = OnStream::shake(TcpStream::connect(tcp).await.unwrap()).await.unwrap();
    assert_eq!(host.ask(b"getvar:serialno").await.as_deref(), Some("OKAYc0ffee"));
    assert_eq!(process.line().await, "now in its bootloader, plug 1 boot 1");
    assert_eq!(process.line().await, "#1 boot 1 getvar:serialno -> OKAY c0ffee");
    assert_eq!(told(&control, "log").await, ["#1 boot 1 getvar:serialno -> OKAY c0ffee"]);
    told(&control, "fault cut-at getvar:").await;
    assert_eq!(host.ask(b"getvar:serialno").await, None);
    assert!(told(&control, "counters").await[0].starts_with("commands=2 "));
    told(&control, "quit").await;
    process.ended().await;
    assert!(!control.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_process_ends_with_its_parents_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut process = Process::start(&control, &["--die-with-stdin"]);
    while process.line().await != "ready" {}
    told(&control, "presence").await;
    drop(process.stdin.take());
    process.ended().await;

    // What a phone that was killed left behind is in nobody's way; what is alive is.
    let mut killed = Process::start(&control, &[]);
    while killed.line().await != "ready" {}
    killed.child.kill().await.unwrap();
    assert!(control.exists());
    let mut next = Process::start(&control, &[]);
    while next.line().await != "ready" {}
    let mut second = Process::start(&control, &[]);
    assert!(!timeout(DEADLINE, second.child.wait()).await.unwrap().unwrap().success());
    told(&control, "quit").await;
    next.ended().await;
}
