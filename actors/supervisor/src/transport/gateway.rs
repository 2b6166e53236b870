//! The farm's end of all connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farmhand_api::{Problem, ProblemClass};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection::{Service, serve};
use super::socket::Bound;
use super::{Answerer, Client, ClientError, HomeLock};
use crate::Farm;

/// Connections that are served at once: a lab's people and their scripts, with eight descriptors each to spare below
/// the usual limit of 1024.
const CONNECTIONS_MAX: usize = 64;
/// Beyond those, so many are told that there are too many; more are closed unheard.
const REFUSED_MAX: usize = 16;
/// Connections within the process that may wait to be taken in.
const ATTACHED: usize = 4;
/// Bytes that wait between the two ends of a connection within the process: as a socket's buffer.
const DUPLEX_BYTES: usize = 64 << 10;
/// After a refused or failed `accept`, such as for want of descriptors, before the next: not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections end within this; each has its own, shorter, deadlines.
const STOP: Duration = Duration::from_secs(20);

/// Why a farm does not listen.
#[derive(Debug, Error)]
#[error("listen in {}: {source}", .home.display())]
pub struct ListenError {
    home: PathBuf,
    source: std::io::Error,
}

impl From<ListenError> for Problem {
    fn from(error: ListenError) -> Self {
        let denied = error.source.kind() == std::io::ErrorKind::PermissionDenied;
        Self {
            class: if denied { ProblemClass::Permission } else { ProblemClass::Infra },
            code: "F613".into(),
            message: error.to_string(),
            detail: Vec::new(),
            help: vec!["choose another folder: FARMHAND_HOME=...".into()],
            place: None,
        }
    }
}

/// Serves a farm to front ends: through the socket in its folder, and within the process.
#[derive(Debug)]
pub struct Gateway {
    attach: mpsc::Sender<tokio::io::DuplexStream>,
    connections: watch::Receiver<usize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Listens in the farm's folder, whose lock the farm holds.
    pub fn listen(farm: &Farm) -> Result<Self, ListenError> {
        let api = farm.api();
        let home = api.paths().home().to_owned();
        Self::start(home, Arc::new(api))
    }

    /// As [`Gateway::listen`], for whoever holds the folder's lock and answers by other means.
    pub fn listen_as(lock: &HomeLock, answerer: Arc<dyn Answerer>) -> Result<Self, ListenError> {
        Self::start(lock.home().to_owned(), answerer)
    }

    fn start(home: PathBuf, answerer: Arc<dyn Answerer>) -> Result<Self, ListenError> {
        let bound = Bound::bind(&home).map_err(|source| ListenError { home, source })?;
        let (attach, attached) = mpsc::channel(ATTACHED);
        let (count, connections) = watch::channel(0);
        let stop = CancellationToken::new();
        let accept = Accept {
            answerer,
            bound,
            attached,
            count,
            stop: stop.clone(),
            served: JoinSet::new(),
            refused: JoinSet::new(),
        };
        Ok(Self { attach, connections, stop, task: tokio::spawn(accept.run()) })
    }

    /// A client within the process: the same frames, over memory.
    pub async fn connect(&self) -> Result<Client, ClientError> {
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        // A gateway that has stopped drops it: the client is told by the end of the stream.
        let _it_stopped = self.attach.send(far).await;
        Client::over(near).await
    }

    /// How many connections are served now.
    #[must_use]
    pub fn connections(&self) -> watch::Receiver<usize> {
        self.connections.clone()
    }

    /// Ends: the socket is removed, streams are closed, requests that are being answered still are.
    pub async fn stop(self) {
        self.stop.cancel();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Accept {
    answerer: Arc<dyn Answerer>,
    bound: Bound,
    attached: mpsc::Receiver<tokio::io::DuplexStream>,
    count: watch::Sender<usize>,
    stop: CancellationToken,
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl Accept {
    async fn run(mut self) {
        loop {
            tokio::select! {
                accepted = self.bound.listener.accept() => match accepted {
                    Ok((stream, _)) => self.take_in(stream),
                    Err(error) => {
                        tracing::warn!(%error, "accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(stream) = self.attached.recv() => self.serve(stream),
                Some(_) = self.served.join_next() => {}
                Some(_) = self.refused.join_next() => {}
                () = self.stop.cancelled() => break,
            }
            self.count.send_replace(self.served.len());
        }
        let Self { bound, mut served, refused, .. } = self;
        // Before the connections end: nobody finds a farm that is going.
        drop(bound);
        drop(refused);
        while served.join_next().await.is_some() {}
    }

    /// Only whoever runs as we do may command the boards.
    fn take_in(&mut self, stream: UnixStream) {
        let ours = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == ours => self.serve(stream),
            Ok(peer) => tracing::warn!(uid = peer.uid(), "another user's connection was refused"),
            Err(error) => tracing::warn!(%error, "a connection without credentials was refused"),
        }
    }

    fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(&mut self, stream: S) {
        let (answerer, stop) = (self.answerer.clone(), self.stop.clone());
        if self.served.len() < CONNECTIONS_MAX {
            self.served.spawn(serve(answerer, stream, stop, Service::Full));
        } else if self.refused.len() < REFUSED_MAX {
            self.refused.spawn(serve(answerer, stream, stop, Service::Busy));
        } else {
            tracing::warn!("a connection was closed: there are too many");
        }
    }
}
