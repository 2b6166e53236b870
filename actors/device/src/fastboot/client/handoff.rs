//! `boot`, which is the handoff: issued at most once for what was downloaded, in steps between which the caller writes
//! down how far it is.

use farmhand_wire::fastboot::Command;
use thiserror::Error;
use tokio::time::timeout;

use super::{Body, Client, Listener};
use crate::fastboot::deadlines::{BOOT_MAX, silence};
use crate::fastboot::error::ClientError;
use crate::fastboot::pipe::{Connection, PipeError};

/// Everything stands ready, and nothing was sent. Here the intent is made durable.
#[derive(Debug)]
#[must_use = "nothing is sent until it is"]
pub struct Handoff<'c> {
    client: &'c mut Client,
    packet: Vec<u8>,
}

/// `boot` has left the host. What the device does with it is not known.
#[derive(Debug)]
#[must_use = "the device's word is still to be heard"]
pub struct Issued<'c> {
    client: &'c mut Client,
}

/// The device said OKAY to `boot`, with this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Mostly empty.
    pub value: String,
}

/// How a handoff did not end well.
#[derive(Debug, Error)]
pub enum HandoffError {
    /// No byte of it left the host.
    #[error("boot was not sent: {0}")]
    NotSent(#[source] ClientError),
    /// The device heard it and refused: it is where it was.
    #[error(transparent)]
    Refused(ClientError),
    /// It may have been carried out. **Never** to be sent again without evidence.
    #[error("whether it boots is not known: {0}")]
    Ambiguous(#[source] ClientError),
}

impl Client {
    /// Makes ready to boot what was downloaded by this client. Sends nothing. What was downloaded is used up when the
    /// handoff is sent, whatever comes of it: a second one needs a download of its own.
    pub fn handoff(&mut self) -> Result<Handoff<'_>, ClientError> {
        if self.connection() != Connection::Ready {
            return Err(ClientError::Unusable);
        }
        if self.staged.is_none() {
            return Err(ClientError::NothingStaged);
        }
        let packet = Command::Boot
            .encode(self.limit)
            .map_err(|error| ClientError::Command { command: Command::Boot.to_string(), error })?;
        Ok(Handoff { client: self, packet })
    }
}

impl<'c> Handoff<'c> {
    /// The number to write down with the intent; see [the module](crate::fastboot) for what it proves.
    #[must_use]
    pub fn mark(&self) -> Option<u64> {
        self.client.mark()
    }

    /// Sends it: the first byte leaves within this call, and never before.
    pub async fn send(self) -> Result<Issued<'c>, HandoffError> {
        let Self { client, packet } = self;
        if client.gone() {
            client.connection = client.after_error();
            return Err(HandoffError::NotSent(ClientError::Unusable));
        }
        client.staged = None;
        client.connection = client.after_error();
        let sent = client.pipe.send(&packet, silence(&Command::Boot, None)).await;
        match sent {
            Ok(()) => Ok(Issued { client }),
            Err(error) => {
                let error = ClientError::Pipe { command: Command::Boot.to_string(), error };
                Err(HandoffError::Ambiguous(error))
            }
        }
    }

    /// Sends it, and hears what the device says.
    pub async fn issue(self, hear: &mut dyn Listener) -> Result<Acknowledged, HandoffError> {
        self.send().await?.finish(hear).await
    }
}

impl Issued<'_> {
    /// Hears what the device says. After OKAY the device is on its way, and this client of no more use.
    pub async fn finish(self, hear: &mut dyn Listener) -> Result<Acknowledged, HandoffError> {
        let client = self.client;
        let wait = silence(&Command::Boot, None);
        let heard = timeout(BOOT_MAX, client.hear_out(&Command::Boot, wait, Body::None, hear)).await;
        let heard = heard.unwrap_or_else(|_| {
            let error = PipeError::Silent(BOOT_MAX);
            Err(ClientError::Pipe { command: Command::Boot.to_string(), error })
        });
        match client.settle(heard) {
            Ok(value) => {
                client.connection = Connection::Gone;
                Ok(Acknowledged { value })
            }
            Err(error @ ClientError::Refused { .. }) => Err(HandoffError::Refused(error)),
            Err(error) => Err(HandoffError::Ambiguous(error)),
        }
    }
}
