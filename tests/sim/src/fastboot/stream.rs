//! A conversation over a stream: TCP, or a pipe in memory (AOSP, fastboot/README.md, "TCP Protocol v1").

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farmhand_wire::fastboot::tcp::{Fed, FrameDecoder, HANDSHAKE, Handshake, Shaken, TcpError, header};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{sleep, timeout};

use super::bench::{PhoneHandle, SimError};
use super::presence::Out;

/// For the other end's first four bytes: who connects and says nothing holds the phone no longer.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);
/// How often a phone that is stalled looks whether it still is, and whether its host is still there.
const STALLED_LOOK: Duration = Duration::from_millis(20);
/// Read at once, in bytes.
const READ_BYTES: usize = 256 << 10;
/// Of a data phase to the host, sent in one frame, in bytes.
const SEND_BYTES: usize = 1 << 20;

/// How a conversation ended.
#[derive(Debug, Error)]
pub(super) enum Ended {
    #[error("the host left")]
    Host,
    #[error("the connection was cut")]
    Cut,
    #[error(transparent)]
    Phone(#[from] SimError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] TcpError),
    #[error("the host did not say that it speaks fastboot")]
    NoHandshake,
}

/// Where a host is read from; it can be seen that it has gone without reading what it left.
pub(super) trait Reader: AsyncRead + Unpin + Send {
    fn hung_up(&self) -> bool;
}

impl Reader for OwnedReadHalf {
    fn hung_up(&self) -> bool {
        let socket = self.as_ref();
        let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|_| fds[0].revents().intersects(gone))
    }
}

impl Reader for ReadHalf<DuplexStream> {
    /// A pipe in memory is dropped with its test.
    fn hung_up(&self) -> bool {
        false
    }
}

/// One host, to its end.
pub(super) async fn converse(
    phone: &PhoneHandle,
    mut reader: impl Reader,
    mut writer: impl AsyncWrite + Unpin + Send,
) -> Ended {
    match run(phone, &mut reader, &mut writer).await {
        Ok(never) => match never {},
        Err(ended) => {
            // What was answered last is on its way; no more than that can be done for it.
            let _gone = writer.shutdown().await;
            if let Err(error) = phone.call(|phone| phone.host_left()).await {
                return error.into();
            }
            ended
        }
    }
}

async fn run(
    phone: &PhoneHandle,
    reader: &mut impl Reader,
    writer: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<std::convert::Infallible, Ended> {
    let mut read = BytesMut::new();
    writer.write_all(&HANDSHAKE).await?;
    timeout(HANDSHAKE_DEADLINE, shake(reader, &mut read)).await.map_err(|_| Ended::NoHandshake)??;
    phone.call(|phone| phone.host_arrived()).await?;
    let mut frames = FrameDecoder::new();
    loop {
        let arrived = read.split().freeze();
        let mut rest = &arrived[..];
        while !rest.is_empty() {
            // A phone that is stalled in the middle of what came takes no more of it.
            wait_while_stalled(phone, reader).await?;
            let Fed::Piece { bytes, last, unused } = frames.feed(rest, u64::MAX)? else { break };
            rest = unused;
            let piece: Bytes = arrived.slice_ref(bytes);
            let len = piece.len();
            let pace = phone.call(move |phone| {
                phone.receive(&piece, last);
                phone.bytes_per_s()
            });
            if let Some(bytes_per_s) = pace.await? {
                sleep(Duration::from_secs_f64(len as f64 / bytes_per_s as f64)).await;
            }
            answer(phone, writer).await?;
        }
        wait_while_stalled(phone, reader).await?;
        // Whoever lifted a stall may have left something to say.
        answer(phone, writer).await?;
        read.reserve(READ_BYTES);
        if reader.read_buf(&mut read).await? == 0 {
            return Err(Ended::Host);
        }
    }
}

async fn shake(reader: &mut impl Reader, read: &mut BytesMut) -> Result<(), Ended> {
    let mut handshake = Handshake::new();
    loop {
        if reader.read_buf(read).await? == 0 {
            return Err(Ended::Host);
        }
        let arrived = read.split();
        if let Shaken::Done { unused, .. } = handshake.feed(&arrived)? {
            read.extend_from_slice(unused);
            return Ok(());
        }
    }
}

async fn wait_while_stalled(phone: &PhoneHandle, reader: &impl Reader) -> Result<(), Ended> {
    while phone.call(|phone| phone.stalled()).await? {
        if reader.hung_up() {
            return Err(Ended::Host);
        }
        sleep(STALLED_LOOK).await;
    }
    Ok(())
}

/// All that the phone has to say.
async fn answer(phone: &PhoneHandle, writer: &mut (impl AsyncWrite + Unpin + Send)) -> Result<(), Ended> {
    while let Some(out) = phone.call(|phone| phone.next_out(SEND_BYTES)).await? {
        let (Out::Reply(bytes) | Out::Data(bytes)) = out else { return Err(Ended::Cut) };
        let mut frame = BytesMut::with_capacity(8 + bytes.len());
        frame.extend_from_slice(&header(bytes.len() as u64));
        frame.extend_from_slice(&bytes);
        writer.write_all(&frame).await?;
        writer.flush().await?;
        phone.call(|phone| phone.sent()).await?;
    }
    Ok(())
}
