//! Fastboot over UDP: what may be lost is sent again (README of AOSP's fastboot, "UDP Protocol v1"). The machine is the
//! codec's; here are the socket and the clock.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_wire::fastboot::udp::{
    DATAGRAM_LEN_MAX, HOST_PACKET_LEN_MAX, Host, RESEND_AFTER, Step, UdpError,
};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadlines::CONNECT;
use super::error::OpenError;
use super::pipe::{Moved, Pipe, PipeError, Recovery, Sink, Source, fill};

/// Packets of a data phase that are sent as one message: each is full, of the size that was agreed on.
const MESSAGE_PACKETS: usize = 8;
/// Bytes of a packet's header (README, "UDP Packet format").
const HEADER_LEN: u16 = 4;
/// One packet is under way at a time, and on a fast network its answer is here before a thread that waits for it could
/// be woken: so long it is looked for first. Twice what the loopback of a slow machine takes.
const LOOKED_FOR: Duration = Duration::from_micros(100);

/// A connection to a device.
#[derive(Debug)]
pub struct UdpPipe {
    socket: UdpSocket,
    /// The same, for looking.
    direct: std::net::UdpSocket,
    host: Host,
    inbox: Vec<u8>,
    /// The number that the device expected as we came.
    found: u16,
    /// Bytes of a packet, header included.
    packet_len: u16,
    broken: bool,
    /// The device's machine said that nobody listens there.
    refused: bool,
}

/// How a wait for the machine ended.
enum Done {
    Connected(u16),
    Written,
    /// Bytes in the inbox, from where to where, and whether the message ends with them.
    Received(usize, usize, bool),
}

impl UdpPipe {
    /// Asks the device at `host:port` for its number, and begins.
    pub async fn connect(address: &str) -> Result<Self, OpenError> {
        let connect = |error| OpenError::Connect { address: address.to_owned(), error };
        let mut pipe = match timeout(CONNECT, bound(address)).await {
            Ok(bound) => bound.map_err(connect)?,
            Err(_) => return Err(OpenError::Silent { address: address.to_owned(), after: CONNECT }),
        };
        let until = Instant::now() + CONNECT;
        let began = match pipe.host.start() {
            Ok(step) => pipe.run(sends(&step), until).await,
            Err(error) => Err(error.into()),
        };
        match began {
            Ok(Some(Done::Connected(packet_len))) => {
                // The last packet was the init, which bore the number that the device expected.
                pipe.found = last_number(&pipe.host);
                pipe.packet_len = packet_len;
                Ok(pipe)
            }
            Ok(_) | Err(PipeError::Udp(UdpError::NoAnswer { .. })) => {
                Err(OpenError::Silent { address: address.to_owned(), after: CONNECT })
            }
            Err(PipeError::Gone(_)) => Err(connect(io::ErrorKind::ConnectionRefused.into())),
            Err(error) => Err(OpenError::Greeting { address: address.to_owned(), error }),
        }
    }

    /// The bytes of a packet that were agreed on, its header included.
    #[must_use]
    pub fn packet_len(&self) -> u16 {
        self.packet_len
    }

    /// Drives the machine until what is under way has ended; `None` once `until` has passed.
    async fn run(&mut self, send: bool, until: Instant) -> Result<Option<Done>, PipeError> {
        if send {
            self.transmit().await?;
        }
        let mut clock = Instant::now() + RESEND_AFTER;
        loop {
            let heard = match self.look() {
                Some(heard) => Ok(heard),
                None => timeout_at(clock.min(until), self.socket.recv(&mut self.inbox)).await,
            };
            let step = match heard {
                Err(_) if Instant::now() >= until => return Ok(None),
                Err(_) => self.host.on_timeout()?,
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.refused = true;
                    return Err(PipeError::Gone("nobody listens on its port any more".to_owned()));
                }
                Ok(Err(error)) => return Err(PipeError::socket(&error)),
                Ok(Ok(len)) => {
                    let step = self.host.on_datagram(&self.inbox[..len])?;
                    match step {
                        Step::Received { bytes, last } => {
                            // A piece is what stands behind the header, up to the end of its packet.
                            return Ok(Some(Done::Received(len - bytes.len(), len, last)));
                        }
                        Step::Connected { packet_len_max, .. } => {
                            return Ok(Some(Done::Connected(packet_len_max)));
                        }
                        Step::Written => return Ok(Some(Done::Written)),
                        Step::Send => Step::Send,
                        Step::Wait => Step::Wait,
                        Step::Ignored => Step::Ignored,
                    }
                }
            };
            match step {
                Step::Send => {
                    self.transmit().await?;
                    clock = Instant::now() + RESEND_AFTER;
                }
                Step::Wait => clock = Instant::now() + RESEND_AFTER,
                _ if Instant::now() >= until => return Ok(None),
                _ => {}
            }
        }
    }

    /// What is here by now, or comes at once.
    fn look(&mut self) -> Option<io::Result<usize>> {
        let since = std::time::Instant::now();
        loop {
            match self.direct.recv(&mut self.inbox) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                heard => return Some(heard),
            }
            if since.elapsed() >= LOOKED_FOR {
                return None;
            }
            std::hint::spin_loop();
        }
    }

    async fn transmit(&mut self) -> Result<(), PipeError> {
        match self.socket.send(self.host.datagram()).await {
            Ok(_) => Ok(()),
            // An error of a packet before it: whether anybody listens, the answer says.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self
                .socket
                .send(self.host.datagram())
                .await
                .map(drop)
                .map_err(|error| PipeError::socket(&error)),
            Err(error) => Err(PipeError::socket(&error)),
        }
    }

    async fn write(&mut self, message: &[u8], deadline: Duration) -> Result<(), PipeError> {
        let send = sends(&self.host.write(message)?);
        match self.run(send, Instant::now() + deadline).await? {
            Some(_) => Ok(()),
            None => Err(PipeError::Silent(deadline)),
        }
    }

    async fn read(&mut self, until: Instant) -> Result<Option<(&[u8], bool)>, PipeError> {
        let send = sends(&self.host.read()?);
        Ok(match self.run(send, until).await? {
            Some(Done::Received(from, to, last)) => Some((&self.inbox[from..to], last)),
            _ => None,
        })
    }

    async fn packet(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        let until = Instant::now() + deadline;
        let mut packet = Vec::new();
        loop {
            let Some((bytes, last)) = self.read(until).await? else {
                return Err(PipeError::Silent(deadline));
            };
            packet.extend_from_slice(bytes);
            if packet.len() > len_max {
                return Err(PipeError::TooLong { len: packet.len() as u64, len_max: len_max as u64 });
            }
            if last && !packet.is_empty() {
                return Ok(packet);
            }
        }
    }

    async fn stream_out(
        &mut self,
        source: &mut Source<'_>,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        let message = usize::from(self.packet_len.saturating_sub(HEADER_LEN).max(1)) * MESSAGE_PACKETS;
        let mut chunk = vec![0; message];
        let mut sent = 0;
        while sent < len {
            let part = usize::try_from(len - sent).unwrap_or(message).min(message);
            fill(source, &mut chunk[..part], sent, len).await?;
            match self.write(&chunk[..part], stall).await {
                Err(PipeError::Silent(after)) => return Err(PipeError::Stalled { moved: sent, len, after }),
                done => done?,
            }
            sent += part as u64;
            moved(sent);
        }
        Ok(())
    }

    async fn stream_in(&mut self, len: u64, sink: &mut dyn Sink, stall: Duration) -> Result<(), PipeError> {
        let mut taken = 0;
        while taken < len {
            let Some((bytes, _)) = self.read(Instant::now() + stall).await? else {
                return Err(PipeError::Stalled { moved: taken, len, after: stall });
            };
            taken += bytes.len() as u64;
            sink.take(bytes).await?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), PipeError> {
        if self.broken {
            return Err(PipeError::Broken);
        }
        // Until it has ended well: whoever gives up in the middle leaves it so.
        self.broken = true;
        Ok(())
    }

    fn end<T>(&mut self, result: Result<T, PipeError>) -> Result<T, PipeError> {
        self.broken = result.is_err();
        result
    }
}

/// A socket of our own, which hears that address only.
async fn bound(address: &str) -> io::Result<UdpPipe> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host(address).await? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // Neither of these waits.
        let direct = std::net::UdpSocket::bind(any)?;
        match direct.connect(address) {
            Ok(()) => {
                direct.set_nonblocking(true)?;
                return Ok(UdpPipe {
                    socket: UdpSocket::from_std(direct.try_clone()?)?,
                    direct,
                    host: Host::new(HOST_PACKET_LEN_MAX),
                    inbox: vec![0; usize::from(DATAGRAM_LEN_MAX)],
                    found: 0,
                    packet_len: 0,
                    broken: false,
                    refused: false,
                });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn sends(step: &Step<'_>) -> bool {
    matches!(step, Step::Send)
}

/// Of the packet that was sent last (README, "UDP Packet format": two bytes, big endian, behind two others).
fn last_number(host: &Host) -> u16 {
    match host.datagram() {
        [_, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

#[async_trait]
impl Pipe for UdpPipe {
    async fn send(&mut self, packet: &[u8], deadline: Duration) -> Result<(), PipeError> {
        self.begin()?;
        let result = self.write(packet, deadline).await;
        self.end(result)
    }

    async fn receive(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        self.begin()?;
        let result = self.packet(len_max, deadline).await;
        self.end(result)
    }

    async fn send_data(
        &mut self,
        source: &mut Source<'_>,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        self.begin()?;
        let result = self.stream_out(source, len, stall, moved).await;
        self.end(result)
    }

    async fn receive_data(
        &mut self,
        len: u64,
        sink: &mut dyn Sink,
        stall: Duration,
    ) -> Result<(), PipeError> {
        self.begin()?;
        let result = self.stream_in(len, sink, stall).await;
        self.end(result)
    }

    fn gone(&mut self) -> bool {
        if let Ok(Some(error)) = self.socket.take_error() {
            self.refused |= error.kind() == io::ErrorKind::ConnectionRefused;
        }
        self.refused
    }

    fn recovery(&self) -> Recovery {
        Recovery::Reconnect
    }

    fn mark(&self) -> Option<u64> {
        // Every packet of ours is answered before the next: the device expects the number behind the last one.
        (!self.broken).then(|| u64::from(last_number(&self.host).wrapping_add(1)))
    }

    fn found(&self) -> Option<u64> {
        Some(u64::from(self.found))
    }

    async fn mend(&mut self) -> Result<(), PipeError> {
        if self.broken { Err(PipeError::Broken) } else { Ok(()) }
    }
}
