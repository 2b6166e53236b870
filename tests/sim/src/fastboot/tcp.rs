//! The phone over TCP: one host at a time, the next one waits.

use std::convert::Infallible;
use std::net::SocketAddr;

use rustix::net::{Shutdown, shutdown};
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
            // Closed alone it would go on listening in a child of this process that has not come to its `exec` yet, and the
            // port could not be had again.
            let _closed_next = shutdown(&listener, Shutdown::Both);
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::{sleep, timeout};

    use super::super::{Mode, ServeOptions, SimPhone};
    use super::*;

    const LOOK: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    /// Guard: `shutdown` in `serve`. A copy of the listening socket stands for a child that was forked and not yet executed.
    #[tokio::test]
    async fn it_listens_again_whoever_has_a_copy_of_its_socket() {
        let phone = SimPhone::start(ServeOptions::default(), |_| ()).await.unwrap();
        let place = TcpPlace::take(([127, 0, 0, 1], 0).into()).unwrap();
        let address = place.address();
        let _copy = place.first.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
        let serving = tokio::spawn(place.serve(phone.handle().clone()));
        let mut host = TcpStream::connect(address).await.unwrap();
        host.write_all(b"FB01").await.unwrap();
        host.read_exact(&mut [0; 4]).await.expect("it is served");
        let listens =
            async || timeout(LOOK, TcpStream::connect(address)).await.is_ok_and(|made| made.is_ok());
        for (mode, wanted) in [(Mode::System, false), (Mode::Loader, true)] {
            phone.handle().call(move |phone| phone.enter(mode)).await.unwrap();
            timeout(LONG, async {
                while listens().await != wanted {
                    sleep(LOOK).await;
                }
            })
            .await
            .unwrap_or_else(|_| panic!("{mode:?}: it listens: {}", !wanted));
        }
        assert!(!serving.is_finished());
    }
}
