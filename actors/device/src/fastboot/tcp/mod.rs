//! Fastboot over TCP: a handshake, then frames (README of AOSP's fastboot, "TCP Protocol v1").

mod data;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use farmhand_wire::fastboot::REPLY_ACCEPTED_LEN_MAX;
use farmhand_wire::fastboot::tcp::{Fed, FrameDecoder, HANDSHAKE, Handshake, Shaken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadlines::{CONNECT, QUIET};
use super::error::OpenError;
use super::pipe::{Moved, Pipe, PipeError, Recovery, Sink};
use super::source::Source;
use data::{data_out, tells};

/// Bytes that one read of the socket takes at most.
const READ_LEN: usize = 64 << 10;

/// A connection to a device.
#[derive(Debug)]
pub struct TcpPipe {
    stream: TcpStream,
    decoder: FrameDecoder,
    /// What came, and is not decoded yet; at most [`READ_LEN`].
    unread: BytesMut,
    /// Half a frame may have been sent or taken: nothing that follows would make sense.
    broken: bool,
}

impl Drop for TcpPipe {
    /// A thread whose source hangs has the socket too, and nobody waits for it: the device is to see that it ends here.
    fn drop(&mut self) {
        let _closed_already = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }
}

impl TcpPipe {
    /// Connects to `host:port`, and shakes hands.
    pub async fn connect(address: &str) -> Result<Self, OpenError> {
        match timeout(CONNECT, Self::greet(address)).await {
            Ok(done) => done,
            Err(_) => Err(OpenError::Silent { address: address.to_owned(), after: CONNECT }),
        }
    }

    async fn greet(address: &str) -> Result<Self, OpenError> {
        let refused = |error| OpenError::Connect { address: address.to_owned(), error };
        let wrong = |error| OpenError::Greeting { address: address.to_owned(), error };
        let mut stream = TcpStream::connect(address).await.map_err(refused)?;
        // Commands are short, and each is waited for.
        stream.set_nodelay(true).map_err(refused)?;
        stream.write_all(&HANDSHAKE).await.map_err(|error| wrong(PipeError::socket(&error)))?;
        let mut unread = BytesMut::with_capacity(READ_LEN);
        let mut handshake = Handshake::new();
        loop {
            match stream.read_buf(&mut unread).await {
                Ok(0) => return Err(wrong(hung_up())),
                Ok(_) => {}
                Err(error) => return Err(wrong(PipeError::socket(&error))),
            }
            let behind = match handshake.feed(&unread).map_err(|error| wrong(error.into()))? {
                Shaken::Need => None,
                Shaken::Done { unused, .. } => Some(unread.len() - unused.len()),
            };
            unread.advance(behind.unwrap_or(unread.len()));
            if behind.is_some() {
                return Ok(Self { stream, decoder: FrameDecoder::new(), unread, broken: false });
            }
        }
    }

    /// Takes the next piece of a frame of at most `len_max` bytes, and says whether the frame ends with it.
    async fn piece(&mut self, len_max: u64, until: Instant) -> Result<Option<(BytesMut, bool)>, PipeError> {
        loop {
            let (len, last, taken) = match self.decoder.feed(&self.unread, len_max)? {
                Fed::Need => (0, None, self.unread.len()),
                Fed::Piece { bytes, last, unused } => {
                    (bytes.len(), Some(last), self.unread.len() - unused.len())
                }
            };
            let piece = last.map(|last| {
                // The piece is what stands last in what was taken.
                let mut taken = self.unread.split_to(taken);
                (taken.split_off(taken.len() - len), last)
            });
            if piece.is_some() {
                return Ok(piece);
            }
            self.unread.clear();
            self.unread.reserve(READ_LEN);
            match timeout_at(until, self.stream.read_buf(&mut self.unread)).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => return Err(hung_up()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(PipeError::socket(&error)),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8], deadline: Duration) -> Result<(), PipeError> {
        match timeout(deadline, self.stream.write_all(bytes)).await {
            Ok(done) => done.map_err(|error| PipeError::socket(&error)),
            Err(_) => Err(PipeError::Silent(deadline)),
        }
    }

    async fn packet(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        let until = Instant::now() + deadline;
        let mut packet = Vec::new();
        loop {
            let room = (len_max - packet.len()) as u64;
            let Some((bytes, last)) = self.piece(room, until).await? else {
                return Err(PipeError::Silent(deadline));
            };
            packet.extend_from_slice(&bytes);
            if last && !packet.is_empty() {
                return Ok(packet);
            }
        }
    }

    async fn stream_in(&mut self, len: u64, sink: &mut dyn Sink, stall: Duration) -> Result<(), PipeError> {
        let mut taken = 0;
        while taken < len {
            let Some((bytes, _)) = self.piece(len - taken, Instant::now() + stall).await? else {
                return Err(PipeError::Stalled { moved: taken, len, after: stall });
            };
            taken += bytes.len() as u64;
            if !bytes.is_empty() {
                sink.take(&bytes).await?;
            }
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

fn hung_up() -> PipeError {
    PipeError::Gone("it closed the connection".to_owned())
}

#[async_trait]
impl Pipe for TcpPipe {
    async fn send(&mut self, packet: &[u8], deadline: Duration) -> Result<(), PipeError> {
        self.begin()?;
        let frame = farmhand_wire::fastboot::tcp::frame(packet);
        let result = self.write(&frame, deadline).await;
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
        let result = data_out(&self.stream, !tells(&self.unread), source, len, stall, moved).await;
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

    async fn last_words(&mut self) -> Option<Vec<u8>> {
        self.packet(REPLY_ACCEPTED_LEN_MAX, QUIET).await.ok()
    }

    fn gone(&mut self) -> bool {
        let mut byte = [0];
        // What is ready to be read stays where it is: a peer that hung up reads as nothing.
        match rustix::net::recv(
            &self.stream,
            &mut byte[..],
            rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT,
        ) {
            Ok((0, _)) => self.unread.is_empty(),
            Ok(_) => false,
            Err(error) => error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR,
        }
    }

    fn recovery(&self) -> Recovery {
        Recovery::Reconnect
    }

    fn mark(&self) -> Option<u64> {
        None
    }

    fn found(&self) -> Option<u64> {
        None
    }

    async fn mend(&mut self) -> Result<(), PipeError> {
        if self.broken { Err(PipeError::Broken) } else { Ok(()) }
    }
}
