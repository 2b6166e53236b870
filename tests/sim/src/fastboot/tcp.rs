//! The phone over TCP: one host at a time, the next one waits.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::io::{DuplexStream, duplex, split};
use tokio::net::{TcpListener, TcpSocket};

use super::bench::{PhoneHandle, SimError};
use super::stream::converse;

/// Hosts that wait.
const BACKLOG: u32 = 16;
/// What a pipe in memory holds, in bytes.
const PIPE_BYTES: usize = 64 << 10;

/// A phone's place on TCP. The port stays its own while the phone is something else and refuses connections.
#[derive(Debug)]
pub struct TcpPlace {
    address: SocketAddr,
    /// It listens from the beginning: whoever knows the address can connect.
    first: Option<TcpListener>,
    /// Bound, and never listens: the port is nobody else's.
    _held: TcpSocket,
}

impl TcpPlace {
    /// Takes it; port 0 is any that is free.
    pub fn take(address: SocketAddr) -> Result<Self, SimError> {
        let failed = SimError::listen_tcp(address);
        let bound = || {
            let held = bind(address)?;
            let address = held.local_addr()?;
            Ok(Self { address, first: Some(listen(address)?), _held: held })
        };
        bound().map_err(failed)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves hosts as long as the phone lives.
    pub async fn serve(mut self, phone: PhoneHandle) -> Result<Infallible, SimError> {
        loop {
            let presence = phone.speaks_fastboot().await?;
            let listener = match self.first.take() {
                Some(first) => first,
                None => listen(self.address).map_err(SimError::listen_tcp(self.address))?,
            };
            let hosts = async {
                loop {
                    let (stream, host) = match listener.accept().await {
                        Ok(accepted) => accepted,
                        Err(error) => return tracing::debug!(%error, "a host could not be let in"),
                    };
                    // Answers are short, and each is waited for.
                    let _slower = stream.set_nodelay(true);
                    let (reader, writer) = stream.into_split();
                    let ended = converse(&phone, reader, writer).await;
                    tracing::debug!(%host, %ended, "a host of the simulated phone");
                }
            };
            tokio::select! {
                () = hosts => {}
                changed = phone.changed_from(presence) => changed?,
            }
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

impl PhoneHandle {
    /// A connection in memory, on which the host speaks as over TCP. It ends when the phone changes what it is at.
    pub fn connect(&self) -> DuplexStream {
        let (host, device) = duplex(PIPE_BYTES);
        let phone = self.clone();
        tokio::spawn(async move {
            let presence = *phone.presence().borrow();
            let (reader, writer) = split(device);
            tokio::select! {
                ended = converse(&phone, reader, writer) => tracing::debug!(%ended, "a host in memory"),
                _changed = phone.changed_from(presence) => {}
            }
        });
        host
    }
}
