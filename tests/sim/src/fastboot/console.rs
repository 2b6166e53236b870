//! The serial port of what a phone was sent, for hosts that reach it over a network: a place on TCP that prints the banner
//! while that runs.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::bench::{PhoneHandle, SimError};
use super::presence::{Mode, Presence};

/// Its console. Whoever is connected is shown the banner each time that an image is started, also the last one's where it
/// still runs; what it sends is not read.
#[derive(Debug)]
pub(super) struct ConsolePlace {
    listener: TcpListener,
}

impl ConsolePlace {
    pub(super) async fn take(address: SocketAddr) -> Result<Self, SimError> {
        let listener =
            TcpListener::bind(address).await.map_err(SimError::listen(format!("tcp {address}")))?;
        Ok(Self { listener })
    }

    pub(super) fn address(&self) -> Result<SocketAddr, SimError> {
        self.listener.local_addr().map_err(SimError::listen("tcp"))
    }

    /// One reader at a time, as a serial port has it; a newer one takes over.
    pub(super) async fn serve(self, phone: PhoneHandle) -> Result<Infallible, SimError> {
        let banner = phone.call(|phone| phone.options().banner.clone()).await?.unwrap_or_default();
        let mut presence = phone.presence();
        let mut reader: Option<TcpStream> = None;
        let mut shown: Option<Presence> = None;
        loop {
            let now = *presence.borrow_and_update();
            if let Some(stream) = &mut reader
                && now.mode == Mode::Booted
                && shown != Some(now)
            {
                shown = Some(now);
                if stream.write_all(format!("{banner}\r\n").as_bytes()).await.is_err() {
                    reader = None;
                }
            }
            tokio::select! {
                changed = presence.changed() => changed.map_err(|_| SimError::Ended)?,
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        reader = Some(stream);
                        shown = None;
                    }
                }
            }
        }
    }
}
