//! Packets and data phases as transfers.

use std::collections::VecDeque;
use std::fs;
use std::time::Duration;

use async_trait::async_trait;
use farmhand_messages::fastboot::UsbIdentity;
use farmhand_wire::fastboot::{REPLY_ACCEPTED_LEN_MAX, REPLY_LEN_MAX};
use nusb::transfer::{Buffer, Completion, TransferError};
use tokio::time::{Instant, timeout, timeout_at};

use super::list::Found;
use super::open::{Opened, open};
use super::transfers::{BulkIn, BulkOut, buffers, clear_halt, next_request, take_back};
use crate::fastboot::deadlines::{FILL, PRESENCE, QUIET};
use crate::fastboot::error::OpenError;
use crate::fastboot::pipe::{Moved, Pipe, PipeError, Recovery, Sink};
use crate::fastboot::source::{Reading, Source};

/// Bytes of zeros in one transfer to a device whose data phase has no host any more: what is too much of them is heard as
/// commands that are none, each of which is answered.
const FILLER_LEN: usize = 16 << 10;

/// A device's interface, claimed. Released when it is dropped.
#[derive(Debug)]
pub struct UsbPipe {
    found: Found,
    bulk_in: BulkIn,
    bulk_out: BulkOut,
    /// Bytes that each transfer asks for that is under way from the device.
    asked: VecDeque<usize>,
    /// What came in transfers that were taken back.
    inbox: VecDeque<Vec<u8>>,
    gone: bool,
}

impl UsbPipe {
    /// Opens the device at this port, if it is the one that is meant. Nothing is sent to it.
    pub async fn open(port_path: &str, identity: &UsbIdentity) -> Result<Self, OpenError> {
        let Opened { found, bulk_in, bulk_out } = open(port_path, identity).await?;
        Ok(Self { found, bulk_in, bulk_out, asked: VecDeque::new(), inbox: VecDeque::new(), gone: false })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Found {
        &self.found
    }

    /// What a transfer's end means.
    fn error(&mut self, error: TransferError) -> PipeError {
        match error {
            TransferError::Stall => PipeError::Halted,
            TransferError::Disconnected => {
                self.gone = true;
                PipeError::Gone("it was unplugged, or left the bus".to_owned())
            }
            // Some host controllers call an unplugged device so.
            _ if self.gone() => PipeError::Gone(format!("it left the bus ({error})")),
            _ => PipeError::Link(error.to_string()),
        }
    }

    async fn failed(&mut self, error: TransferError) -> PipeError {
        let error = self.error(error);
        if !matches!(error, PipeError::Gone(_))
            && let Err(error) = self.mend_all(matches!(error, PipeError::Halted)).await
        {
            return error;
        }
        error
    }

    /// Takes back what is under way, keeping what came; lifts halts.
    async fn mend_all(&mut self, halted: bool) -> Result<(), PipeError> {
        for done in take_back(&mut self.bulk_in).await? {
            if done.actual_len > 0 {
                self.inbox.push_back(done.buffer[..done.actual_len].to_vec());
            }
        }
        self.asked.clear();
        take_back(&mut self.bulk_out).await?;
        if halted {
            clear_halt(&mut self.bulk_in).await?;
            clear_halt(&mut self.bulk_out).await?;
        }
        Ok(())
    }

    async fn stream_out(
        &mut self,
        source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        let mut free = buffers(&self.bulk_out);
        let mut reading = Reading::new(source, len);
        let mut sent = 0;
        // What the image's file says is wrong, once all that was read before is sent.
        let mut unread = None;
        while sent < len {
            while reading.left() > 0 && unread.is_none() {
                let Some(mut buffer) = free.pop() else { break };
                buffer.clear();
                buffer.extend_fill(reading.next_len(buffer.capacity()), 0);
                match reading.fill(buffer).await {
                    Ok(buffer) => self.bulk_out.submit(buffer),
                    Err(error) => unread = Some(error),
                }
            }
            if self.bulk_out.pending() == 0 {
                return Err(unread.unwrap_or_else(|| PipeError::Link("no memory for transfers".to_owned())));
            }
            let Ok(done) = timeout(stall, self.bulk_out.next_complete()).await else {
                for done in take_back(&mut self.bulk_out).await? {
                    sent += done.actual_len as u64;
                }
                moved(sent);
                return Err(PipeError::Stalled { moved: sent, len, after: stall });
            };
            let Completion { buffer, actual_len, status } = done;
            let whole = actual_len == buffer.len();
            free.push(buffer);
            sent += actual_len as u64;
            moved(sent);
            if let Err(error) = status {
                return Err(self.failed(error).await);
            }
            if !whole {
                self.mend_all(false).await?;
                return Err(PipeError::Link("the kernel sent a part of a transfer".to_owned()));
            }
        }
        Ok(())
    }

    async fn stream_in(&mut self, len: u64, sink: &mut dyn Sink, stall: Duration) -> Result<(), PipeError> {
        let mut free = buffers(&self.bulk_in);
        let packet = self.bulk_in.max_packet_size();
        let mut remaining = len;
        while remaining > 0 {
            if let Some(bytes) = self.inbox.pop_front() {
                remaining = remaining.saturating_sub(bytes.len() as u64);
                sink.take(&bytes).await?;
                continue;
            }
            while let Some(mut buffer) = free.pop() {
                let pending = self.asked.iter().sum::<usize>() as u64;
                let Some(next) = next_request(remaining, pending, packet, buffer.capacity()) else {
                    free.push(buffer);
                    break;
                };
                buffer.set_requested_len(next);
                self.ask(buffer);
            }
            let Ok(done) = timeout(stall, self.bulk_in.next_complete()).await else {
                self.mend_all(false).await?;
                return Err(PipeError::Stalled { moved: len - remaining, len, after: stall });
            };
            self.asked.pop_front();
            let Completion { buffer, actual_len, status } = done;
            // More than remains is the machine's to judge; an empty packet means nothing.
            let taken = if actual_len > 0 { sink.take(&buffer[..actual_len]).await } else { Ok(()) };
            remaining = remaining.saturating_sub(actual_len as u64);
            free.push(buffer);
            if let Err(error) = status {
                return Err(self.failed(error).await);
            }
            if let Err(error) = taken {
                self.mend_all(false).await?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// A transfer from the device. What it asks for is known until its end.
    fn ask(&mut self, buffer: Buffer) {
        self.asked.push_back(buffer.requested_len());
        self.bulk_in.submit(buffer);
    }

    /// What the next transfer from the device brings; `None` once `until` has passed. It stays under way then, so that
    /// nothing is lost that comes later.
    async fn next_in(&mut self, len: usize, until: Instant) -> Result<Option<Vec<u8>>, PipeError> {
        loop {
            if let Some(bytes) = self.inbox.pop_front() {
                return Ok(Some(bytes));
            }
            if self.bulk_in.pending() == 0 {
                self.ask(Buffer::new(len));
            }
            let Ok(done) = timeout_at(until, self.bulk_in.next_complete()).await else { return Ok(None) };
            self.asked.pop_front();
            if done.actual_len > 0 {
                self.inbox.push_back(done.buffer[..done.actual_len].to_vec());
            }
            if let Err(error) = done.status {
                return Err(self.failed(error).await);
            }
            // An empty packet means nothing (README of AOSP's fastboot, "Transport and Framing", step 3).
        }
    }

    /// A reply ends with a short packet. Where packets are so short that a reply may fill one or several (full speed),
    /// they are taken one by one, and what follows a full one at once belongs to it: loaders leave out the empty packet
    /// that would end it.
    async fn packet(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        let packet_len = self.bulk_in.max_packet_size();
        let one_by_one = packet_len < REPLY_LEN_MAX;
        let len = if one_by_one { packet_len } else { len_max.next_multiple_of(packet_len) };
        let Some(mut reply) = self.next_in(len, Instant::now() + deadline).await? else {
            return Err(PipeError::Silent(deadline));
        };
        let mut last = reply.len();
        while one_by_one && last == packet_len && reply.len() < len_max {
            let Some(more) = self.next_in(len, Instant::now() + QUIET).await? else { break };
            last = more.len();
            reply.extend(more);
        }
        if reply.len() > len_max {
            return Err(PipeError::TooLong { len: reply.len() as u64, len_max: len_max as u64 });
        }
        Ok(reply)
    }

    /// Zeros, until the device says something.
    async fn fill_up(&mut self, len_max: u64) -> Result<(), PipeError> {
        let mut sent = 0;
        let until = Instant::now() + FILL;
        while sent < len_max && self.inbox.is_empty() {
            if Instant::now() >= until {
                self.mend_all(false).await?;
                return Err(PipeError::Silent(FILL));
            }
            if self.bulk_in.pending() == 0 {
                let packet_len = self.bulk_in.max_packet_size();
                self.ask(Buffer::new(REPLY_ACCEPTED_LEN_MAX.next_multiple_of(packet_len)));
            }
            if self.bulk_out.pending() == 0 {
                let mut zeros = Buffer::new(FILLER_LEN);
                zeros.extend_fill(FILLER_LEN, 0);
                self.bulk_out.submit(zeros);
            }
            let (bulk_in, bulk_out) = (&mut self.bulk_in, &mut self.bulk_out);
            let first = timeout(PRESENCE, async {
                tokio::select! {
                    biased;
                    done = bulk_in.next_complete() => (true, done),
                    done = bulk_out.next_complete() => (false, done),
                }
            });
            let Ok((heard, done)) = first.await else {
                self.mend_all(false).await?;
                return Err(PipeError::Silent(PRESENCE));
            };
            if heard {
                self.asked.pop_front();
                if done.actual_len > 0 {
                    self.inbox.push_back(done.buffer[..done.actual_len].to_vec());
                }
            } else {
                sent += done.actual_len as u64;
            }
            if let Err(error) = done.status {
                return Err(self.failed(error).await);
            }
        }
        take_back(&mut self.bulk_out).await?;
        Ok(())
    }
}

#[async_trait]
impl Pipe for UsbPipe {
    async fn send(&mut self, packet: &[u8], deadline: Duration) -> Result<(), PipeError> {
        // Left by a call that was given up.
        take_back(&mut self.bulk_out).await?;
        self.bulk_out.submit(Buffer::from(packet));
        let Ok(done) = timeout(deadline, self.bulk_out.next_complete()).await else {
            take_back(&mut self.bulk_out).await?;
            return Err(PipeError::Silent(deadline));
        };
        match done.status {
            Ok(()) if done.actual_len == packet.len() => Ok(()),
            Ok(()) => Err(PipeError::Link("the kernel sent a part of a packet".to_owned())),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn receive(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        self.packet(len_max, deadline).await
    }

    async fn send_data(
        &mut self,
        source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        take_back(&mut self.bulk_out).await?;
        self.stream_out(source, len, stall, moved).await
    }

    async fn receive_data(
        &mut self,
        len: u64,
        sink: &mut dyn Sink,
        stall: Duration,
    ) -> Result<(), PipeError> {
        // A transfer that waits for a reply may ask for more than the data.
        self.mend_all(false).await?;
        self.stream_in(len, sink, stall).await
    }

    async fn last_words(&mut self) -> Option<Vec<u8>> {
        self.packet(REPLY_ACCEPTED_LEN_MAX, QUIET).await.ok()
    }

    fn gone(&mut self) -> bool {
        // The kernel takes the folder away with the device, and another one has another number.
        let number = fs::read_to_string(self.found.info.sysfs_path().join("devnum")).unwrap_or_default();
        self.gone |= number.trim().parse() != Ok(self.found.info.device_address());
        self.gone
    }

    fn recovery(&self) -> Recovery {
        Recovery::Drain
    }

    fn mark(&self) -> Option<u64> {
        Some(self.found.enumeration)
    }

    fn found(&self) -> Option<u64> {
        Some(self.found.enumeration)
    }

    async fn mend(&mut self) -> Result<(), PipeError> {
        if self.gone() {
            return Err(PipeError::Gone("it left the bus".to_owned()));
        }
        self.mend_all(false).await
    }

    async fn end_data_phase(&mut self, len_max: u64) -> Result<(), PipeError> {
        self.mend_all(false).await?;
        self.inbox.clear();
        self.fill_up(len_max).await
    }
}
