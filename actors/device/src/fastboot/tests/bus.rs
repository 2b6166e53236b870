//! A bus in memory. As USB, it has no connection: what a host left unread, or half sent, its successor finds. What a phone
//! that is stalled does not take is held back.

use std::time::Duration;

use async_trait::async_trait;
use farmhand_sim::fastboot::{Out, PhoneHandle, Presence};
use tokio::time::{Instant, sleep};

use crate::fastboot::pipe::{Moved, Pipe, PipeError, Recovery, Sink};
use crate::fastboot::source::{Reading, Source};

/// Bytes of one transfer.
const TRANSFER_LEN: usize = 16 << 10;
/// How often a transfer that waits looks whether it can go on.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct BusPipe {
    phone: PhoneHandle,
    plugged: Presence,
    /// Before this the phone neither hears nor says anything: it is at work.
    busy_until: Instant,
    /// For so long the phone thinks before each thing that it says.
    thinks: Duration,
    /// What the phone has not heard yet.
    unheard: Vec<Vec<u8>>,
}

impl BusPipe {
    pub(super) async fn open(phone: &PhoneHandle) -> Self {
        let plugged = phone.call(|phone| phone.presence()).await.unwrap();
        Self {
            phone: phone.clone(),
            plugged,
            busy_until: Instant::now(),
            thinks: Duration::ZERO,
            unheard: Vec::new(),
        }
    }

    pub(super) fn busy_for(mut self, time: Duration) -> Self {
        self.busy_until = Instant::now() + time;
        self
    }

    pub(super) fn thinks_for(mut self, time: Duration) -> Self {
        self.thinks = time;
        self
    }

    fn here(&self) -> Result<(), PipeError> {
        if *self.phone.presence().borrow() == self.plugged {
            return Ok(());
        }
        Err(PipeError::Gone("it left the bus".to_owned()))
    }

    /// One transfer to the phone; `false` once `until` has passed.
    async fn give(&mut self, bytes: Vec<u8>, until: Instant) -> Result<bool, PipeError> {
        if Instant::now() < self.busy_until {
            // Its controller takes the packet, and it hears it later.
            self.unheard.push(bytes);
            return Ok(true);
        }
        while self.phone.call(|phone| phone.stalled()).await.unwrap() {
            self.here()?;
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
        self.here()?;
        self.phone.call(move |phone| phone.receive(&bytes, true)).await.unwrap();
        Ok(true)
    }

    /// One transfer from the phone; `None` once `until` has passed.
    async fn take(&mut self, len_max: usize, until: Instant) -> Result<Option<Vec<u8>>, PipeError> {
        loop {
            if Instant::now() >= self.busy_until {
                for bytes in std::mem::take(&mut self.unheard) {
                    self.phone.call(move |phone| phone.receive(&bytes, true)).await.unwrap();
                }
                let out = self.phone.call(move |phone| {
                    let out = phone.next_out(len_max);
                    if out.is_some() {
                        phone.sent();
                    }
                    out
                });
                match out.await.unwrap() {
                    Some(Out::Reply(bytes) | Out::Data(bytes)) => {
                        sleep(self.thinks).await;
                        return Ok(Some(bytes.to_vec()));
                    }
                    Some(Out::Cut) => return Err(PipeError::Halted),
                    None => self.here()?,
                }
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(LOOK).await;
        }
    }
}

#[async_trait]
impl Pipe for BusPipe {
    async fn send(&mut self, packet: &[u8], deadline: Duration) -> Result<(), PipeError> {
        match self.give(packet.to_vec(), Instant::now() + deadline).await? {
            true => Ok(()),
            false => Err(PipeError::Silent(deadline)),
        }
    }

    async fn receive(&mut self, len_max: usize, deadline: Duration) -> Result<Vec<u8>, PipeError> {
        self.take(len_max, Instant::now() + deadline).await?.ok_or(PipeError::Silent(deadline))
    }

    async fn send_data(
        &mut self,
        source: Source,
        len: u64,
        stall: Duration,
        moved: &mut Moved<'_>,
    ) -> Result<(), PipeError> {
        let mut reading = Reading::new(source, len);
        let mut sent = 0;
        while sent < len {
            let chunk = reading.fill(vec![0; reading.next_len(TRANSFER_LEN)]).await?;
            let part = chunk.len() as u64;
            if !self.give(chunk, Instant::now() + stall).await? {
                return Err(PipeError::Stalled { moved: sent, len, after: stall });
            }
            sent += part;
            moved(sent);
        }
        Ok(())
    }

    async fn receive_data(
        &mut self,
        len: u64,
        sink: &mut dyn Sink,
        stall: Duration,
    ) -> Result<(), PipeError> {
        let mut taken = 0;
        while taken < len {
            let Some(bytes) = self.take(TRANSFER_LEN, Instant::now() + stall).await? else {
                return Err(PipeError::Stalled { moved: taken, len, after: stall });
            };
            taken += bytes.len() as u64;
            sink.take(&bytes).await?;
        }
        Ok(())
    }

    fn gone(&mut self) -> bool {
        self.here().is_err()
    }

    fn recovery(&self) -> Recovery {
        Recovery::Drain
    }

    fn mark(&self) -> Option<u64> {
        Some(u64::from(self.plugged.plug))
    }

    fn found(&self) -> Option<u64> {
        self.mark()
    }

    async fn mend(&mut self) -> Result<(), PipeError> {
        self.here()
    }

    async fn end_data_phase(&mut self, len_max: u64) -> Result<(), PipeError> {
        let mut sent = 0;
        while sent < len_max {
            let chunk = vec![0; TRANSFER_LEN];
            if !self.give(chunk, Instant::now() + LOOK).await? {
                return Err(PipeError::Silent(LOOK));
            }
            sent += TRANSFER_LEN as u64;
            if self.take(TRANSFER_LEN, Instant::now()).await?.is_some() {
                break;
            }
        }
        Ok(())
    }
}
