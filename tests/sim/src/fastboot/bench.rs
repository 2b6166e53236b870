//! A phone on its own task: whoever has the [`PhoneHandle`] looks at it, changes it, or speaks to it.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::phone::Phone;
use super::presence::Presence;

/// For one look at the phone: it answers between two packets; longest is to write a large image to a slow disk.
pub const CALL_DEADLINE: Duration = Duration::from_secs(120);
/// Callers that wait at once.
const CALLS: usize = 64;

/// Why a phone cannot be reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// It has ended.
    #[error("the simulated phone has ended")]
    Ended,
    /// It does not answer.
    #[error("the simulated phone did not answer within {} s", CALL_DEADLINE.as_secs())]
    Mute,
    /// Nobody can be listened to there.
    #[error("listen on {at}: {source}")]
    Listen {
        /// The address or path.
        at: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Its partitions cannot be had.
    #[error("make the partitions: {0}")]
    Partitions(std::io::Error),
    /// What was to be shown cannot be written.
    #[error("write what it was asked: {0}")]
    Show(std::io::Error),
}

impl SimError {
    pub(super) fn listen(at: impl ToString) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Listen { at: at.to_string(), source }
    }

    pub(super) fn listen_tcp(at: SocketAddr) -> impl FnOnce(std::io::Error) -> Self {
        Self::listen(format!("tcp {at}"))
    }
}

type Call = Box<dyn FnOnce(&mut Phone) + Send>;

/// Reaches a phone. It lives as long as one of these.
#[derive(Debug, Clone)]
pub struct PhoneHandle {
    calls: mpsc::Sender<Call>,
    presence: watch::Receiver<Presence>,
}

impl PhoneHandle {
    /// Sets a phone up on a task of its own. What it is asked goes to `show`, a line each.
    pub fn start(mut phone: Phone, mut show: impl FnMut(&str) + Send + 'static) -> Self {
        let (calls, mut orders) = mpsc::channel::<Call>(CALLS);
        let (tell, presence) = watch::channel(phone.presence());
        tokio::spawn(async move {
            while let Some(call) = orders.recv().await {
                call(&mut phone);
                phone.take_lines().iter().for_each(|line| show(line));
                tell.send_if_modified(|known| std::mem::replace(known, phone.presence()) != phone.presence());
            }
        });
        Self { calls, presence }
    }

    /// Has the phone looked at, or changed, between two packets.
    pub async fn call<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Phone) -> R + Send + 'static,
    ) -> Result<R, SimError> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |phone| {
            let _nobody_waits = answer.send(look(phone));
        });
        let asked = async {
            self.calls.send(call).await.map_err(|_| SimError::Ended)?;
            answered.await.map_err(|_| SimError::Ended)
        };
        timeout(CALL_DEADLINE, asked).await.unwrap_or(Err(SimError::Mute))
    }

    /// Where it is to be found, and each change of that.
    #[must_use]
    pub fn presence(&self) -> watch::Receiver<Presence> {
        self.presence.clone()
    }

    /// Once it speaks fastboot: where it is to be found.
    pub async fn speaks_fastboot(&self) -> Result<Presence, SimError> {
        let mut presence = self.presence();
        let found = presence.wait_for(Presence::speaks_fastboot).await.map_err(|_| SimError::Ended)?;
        Ok(*found)
    }

    /// Once it is no longer as it was.
    pub async fn changed_from(&self, was: Presence) -> Result<(), SimError> {
        let mut presence = self.presence();
        presence.wait_for(|now| *now != was).await.map_err(|_| SimError::Ended)?;
        Ok(())
    }
}
