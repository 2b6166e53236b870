//! A data phase to the device. One packet of a few kilobytes is under way at a time, so that what counts is how soon its
//! answer is heard.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmhand_wire::fastboot::udp::RESEND_AFTER;
use rustix::event::PollFlags;

use super::UdpPipe;
use super::line::{Line, Next};
use crate::fastboot::pipe::{Moved, PipeError};
use crate::fastboot::source::{Source, fill};
use crate::fastboot::thread::{Owner, on_thread};

/// Packets that are sent as one message: each is full, of the size that was agreed on.
const MESSAGE_PACKETS: usize = 32;
/// A device on a link nearby answers so soon that to fall asleep and be woken takes longer than to ask again.
const SOON: Duration = Duration::from_micros(60);
/// Bytes of a packet's header (README, "UDP Packet format").
const HEADER_LEN: u16 = 4;

/// What the thread has.
struct Sender<'a> {
    socket: &'a UdpSocket,
    line: &'a mut Line,
    owner: &'a Owner,
    stall: Duration,
}

impl UdpPipe {
    pub(super) async fn data_out(
        &mut self,
        mut source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        let message = usize::from(self.packet_len.saturating_sub(HEADER_LEN).max(1)) * MESSAGE_PACKETS;
        let mut line = std::mem::replace(&mut self.line, Line::new());
        let socket = Arc::clone(&self.direct);
        let send = move |owner: &Owner| {
            let mut sender = Sender { socket: &socket, line: &mut line, owner, stall };
            let done = sender.send(&mut source, len, message);
            (line, done)
        };
        let (line, done) = on_thread(stall, moved, send).await?;
        self.line = line;
        done
    }
}

impl Sender<'_> {
    fn send(&mut self, source: &mut Source, len: u64, message: usize) -> Result<(), PipeError> {
        let mut chunk = vec![0; message];
        let mut sent = 0;
        while sent < len {
            let part = usize::try_from(len - sent).unwrap_or(message).min(message);
            fill(source, &mut chunk[..part], sent, len)?;
            self.line.host.write(&chunk[..part])?;
            if !self.run()? {
                return Err(PipeError::Stalled { moved: sent, len, after: self.stall });
            }
            sent += part as u64;
            self.owner.moved(sent);
        }
        Ok(())
    }

    /// As the task does it: drives the machine until the message has arrived; false once no packet of it has for so long.
    fn run(&mut self) -> Result<bool, PipeError> {
        let mut next = Next::Send;
        let mut until = Instant::now() + self.stall;
        let mut clock = until;
        loop {
            self.owner.is_there()?;
            if next == Next::Send {
                self.transmit()?;
            }
            if next.starts_clock() {
                clock = Instant::now() + RESEND_AFTER;
            }
            let heard = self.hear(clock.min(until))?;
            let (came, now) = (heard.is_some(), Instant::now());
            next = match heard {
                None if now >= until => return Ok(false),
                heard => self.line.heard(heard)?,
            };
            match next {
                Next::Done(_) => return Ok(true),
                // The packet before has arrived.
                Next::Send if came => until = now + self.stall,
                _ if now >= until => return Ok(false),
                _ => {}
            }
        }
    }

    fn hear(&mut self, until: Instant) -> Result<Option<io::Result<usize>>, PipeError> {
        let soon = Instant::now() + SOON;
        loop {
            match self.socket.recv(&mut self.line.inbox) {
                // Not yet; or a datagram whose checksum is wrong was readable, and is not there.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                heard => return Ok(Some(heard)),
            }
            if Instant::now() < soon {
                std::hint::spin_loop();
            } else if self.owner.wait(self.socket.as_fd(), PollFlags::IN, until)?.is_empty() {
                return Ok(None);
            }
        }
    }

    fn transmit(&self) -> Result<(), PipeError> {
        let datagram = self.line.host.datagram();
        match self.socket.send(datagram) {
            // An error of a packet before it: whether anybody listens, the answer says.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(datagram),
            // The network's queue is full: as if it were lost on the way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
        .map(drop)
        .map_err(|error| PipeError::socket(&error))
    }
}
