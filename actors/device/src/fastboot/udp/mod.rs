//! Fastboot over UDP: what may be lost is sent again (README of AOSP's fastboot, "UDP Protocol v1"). The machine is the
//! codec's; here are the socket and the clock.

mod data;
mod line;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_wire::fastboot::udp::{RESEND_AFTER, UdpError};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadlines::CONNECT;
use super::error::OpenError;
use super::pipe::{Moved, Pipe, PipeError, Recovery, Sink};
use super::source::Source;
use line::{Done, Line, Next};

/// A connection to a device.
#[derive(Debug)]
pub struct UdpPipe {
    socket: UdpSocket,
    /// The same, for a thread that waits by itself.
    direct: Arc<std::net::UdpSocket>,
    line: Line,
    /// The number that the device expected as we came.
    found: u16,
    /// Bytes of a packet, header included.
    packet_len: u16,
    broken: bool,
    /// The device's machine said that nobody listens there.
    refused: bool,
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
        let began = match pipe.line.host.start() {
            Ok(_) => pipe.run(until).await,
            Err(error) => Err(error.into()),
        };
        match began {
            Ok(Some(Done::Connected(packet_len))) => {
                // The last packet was the init, which bore the number that the device expected.
                pipe.found = pipe.line.last_number();
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

    /// Drives the machine until what was begun has ended; `None` once `until` has passed.
    async fn run(&mut self, until: Instant) -> Result<Option<Done>, PipeError> {
        let mut next = Next::Send;
        let mut clock = Instant::now();
        loop {
            match next {
                Next::Done(done) => return Ok(Some(done)),
                Next::Send => self.transmit().await?,
                Next::Wait | Next::Ignore => {}
            }
            if next.starts_clock() {
                clock = Instant::now() + RESEND_AFTER;
            }
            let heard = timeout_at(clock.min(until), self.socket.recv(&mut self.line.inbox)).await;
            if Instant::now() >= until && heard.is_err() {
                return Ok(None);
            }
            next = self.line.heard(heard.ok())?;
            if next == Next::Ignore && Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    async fn transmit(&mut self) -> Result<(), PipeError> {
        match self.socket.send(self.line.host.datagram()).await {
            // An error of a packet before it: whether anybody listens, the answer says.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(self.line.host.datagram()).await
            }
            sent => sent,
        }
        .map(drop)
        .map_err(|error| PipeError::socket(&error))
    }

    async fn write(&mut self, message: &[u8], deadline: Duration) -> Result<(), PipeError> {
        self.line.host.write(message)?;
        match self.run(Instant::now() + deadline).await? {
            Some(_) => Ok(()),
            None => Err(PipeError::Silent(deadline)),
        }
    }

    async fn read(&mut self, until: Instant) -> Result<Option<(&[u8], bool)>, PipeError> {
        self.line.host.read()?;
        Ok(match self.run(until).await? {
            Some(Done::Received(from, to, last)) => Some((&self.line.inbox[from..to], last)),
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
        self.refused |= matches!(result, Err(PipeError::Gone(_)));
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
                    direct: Arc::new(direct),
                    line: Line::new(),
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
        source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        self.begin()?;
        let result = self.data_out(source, len, stall, moved).await;
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
        (!self.broken).then(|| u64::from(self.line.last_number().wrapping_add(1)))
    }

    fn found(&self) -> Option<u64> {
        Some(u64::from(self.found))
    }

    async fn mend(&mut self) -> Result<(), PipeError> {
        if self.broken { Err(PipeError::Broken) } else { Ok(()) }
    }
}
