//! A device on a socket on which QEMU listens. The connection is the cable.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::codec::CodecError;
use super::function::Function;
use super::redirected::Redirected;

/// For one look at the function: its task answers between two packets.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Callers that wait at once.
const CALLS: usize = 16;
/// What is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;
/// Room made for each read, in bytes. More is not read before what it led to is on its way.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// Why a device is not plugged in any more, or never was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlugError {
    /// Nobody listens there.
    #[error("plug into {}: {source}", .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The other end is gone.
    #[error("the other end has gone: {0}")]
    Lost(#[from] io::Error),
    /// The other end speaks something else.
    #[error("understand the other end: {0}")]
    Codec(#[from] CodecError),
    /// It does not answer.
    #[error("the device did not answer within {} s", CALL_DEADLINE.as_secs())]
    Mute,
    /// It has ended before.
    #[error("the device is not plugged in any more")]
    Ended,
}

type Call<F> = Box<dyn FnOnce(&mut Redirected<F>) + Send>;

/// A device that is plugged in. Dropped, it is pulled out, at whatever point it is: the other end sees the connection
/// end, as it does when the device's process is killed.
#[derive(Debug)]
pub struct Plugged<F> {
    calls: mpsc::Sender<Call<F>>,
    task: JoinHandle<(F, Result<(), PlugError>)>,
}

impl<F> Drop for Plugged<F> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<F: Function> Plugged<F> {
    /// Plugs it into the socket on which the virtual machine listens.
    pub async fn into_socket(path: &Path, function: F) -> Result<Self, PlugError> {
        let failed = |source| PlugError::Connect { path: path.to_owned(), source };
        let socket = UnixStream::connect(path).await.map_err(failed)?;
        let (calls, orders) = mpsc::channel(CALLS);
        let task = tokio::spawn(serve(socket, Redirected::new(function), orders));
        Ok(Self { calls, task })
    }

    /// Has the device itself looked at, or changed, between two packets.
    pub async fn call<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut F) -> R + Send + 'static,
    ) -> Result<R, PlugError> {
        self.ask(|device| look(device.function())).await
    }

    /// Whether the guest has found it and chosen its configuration.
    pub async fn is_configured(&self) -> Result<bool, PlugError> {
        self.ask(|device| device.is_configured()).await
    }

    async fn ask<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Redirected<F>) -> R + Send + 'static,
    ) -> Result<R, PlugError> {
        let (answer, answered) = oneshot::channel();
        let call: Call<F> = Box::new(move |device| {
            let _nobody_waits = answer.send(look(device));
        });
        let asked = async {
            self.calls.send(call).await.map_err(|_| PlugError::Ended)?;
            answered.await.map_err(|_| PlugError::Ended)
        };
        timeout(CALL_DEADLINE, asked).await.unwrap_or(Err(PlugError::Mute))
    }

    /// Pulls it out, and gives the device back.
    pub async fn pull(mut self) -> Result<F, PlugError> {
        // Nobody can ask any more: its task ends.
        self.calls = mpsc::channel(1).0;
        match timeout(CALL_DEADLINE, &mut self.task).await {
            Ok(Ok((function, Ok(())))) => Ok(function),
            Ok(Ok((_, Err(error)))) => Err(error),
            Ok(Err(_)) => Err(PlugError::Ended),
            Err(_) => Err(PlugError::Mute),
        }
    }
}

/// Until the other end goes, or nobody can ask any more.
async fn serve<F: Function>(
    mut socket: UnixStream,
    mut device: Redirected<F>,
    mut orders: mpsc::Receiver<Call<F>>,
) -> (F, Result<(), PlugError>) {
    let ended = run(&mut socket, &mut device, &mut orders).await;
    if let Err(error) = &ended {
        tracing::debug!(%error, "a simulated device is unplugged");
    }
    (device.into_function(), ended)
}

async fn run<F: Function>(
    socket: &mut UnixStream,
    device: &mut Redirected<F>,
    orders: &mut mpsc::Receiver<Call<F>>,
) -> Result<(), PlugError> {
    let (mut reader, mut writer) = socket.split();
    let mut arrived = BytesMut::new();
    loop {
        let backlog = device.output().len();
        arrived.reserve(READ_BYTES);
        tokio::select! {
            call = orders.recv() => match call {
                Some(call) => {
                    call(device);
                    device.settle();
                }
                None => return Ok(()),
            },
            written = writer.write(device.output()), if backlog > 0 => {
                let written = written?;
                device.output().advance(written);
            }
            read = reader.read_buf(&mut arrived), if backlog < OUTPUT_BYTES_MAX => {
                if read? == 0 {
                    return Err(PlugError::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
                device.received(&arrived.split())?;
            }
        }
    }
}
