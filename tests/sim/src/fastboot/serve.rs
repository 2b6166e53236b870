//! A phone with all its places, for a test or for a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bench::{PhoneHandle, SimError};
use super::console::ConsolePlace;
use super::control::ControlPlace;
use super::options::PhoneOptions;
use super::phone::Phone;
use super::tcp::TcpPlace;
use super::udp::UdpPlace;

/// Where a phone is reached, and when it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServeOptions {
    /// What it is.
    pub phone: PhoneOptions,
    /// Where it listens for TCP; port 0 is any that is free.
    pub tcp: Option<SocketAddr>,
    /// Where it listens for UDP.
    pub udp: Option<SocketAddr>,
    /// Where the console of what it was sent listens, over TCP: it prints the banner to whoever is connected.
    pub console: Option<SocketAddr>,
    /// Its control socket.
    pub control: Option<PathBuf>,
    /// Ends when standard input does.
    pub die_with_stdin: bool,
}

/// A phone that is reached over sockets. Dropped, it is gone, and its control socket with it.
#[derive(Debug)]
pub struct SimPhone {
    handle: PhoneHandle,
    tcp: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    console: Option<SocketAddr>,
    control: Option<PathBuf>,
    tasks: JoinSet<Result<std::convert::Infallible, SimError>>,
    quit: mpsc::Receiver<()>,
}

impl SimPhone {
    /// Sets it up, within the current runtime. What it is asked goes to `show`, a line each.
    pub async fn start(
        options: ServeOptions,
        show: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, SimError> {
        if let Some(folder) = &options.phone.folder {
            std::fs::create_dir_all(folder).map_err(SimError::Partitions)?;
        }
        let phone = Phone::new(options.phone).map_err(SimError::Partitions)?;
        let tcp = options.tcp.map(TcpPlace::take).transpose()?;
        let udp = match options.udp {
            Some(address) => Some(UdpPlace::take(address).await?),
            None => None,
        };
        let console = match options.console {
            Some(address) => Some(ConsolePlace::take(address).await?),
            None => None,
        };
        let control = match &options.control {
            Some(path) => Some(ControlPlace::take(path).await?),
            None => None,
        };
        let (tell, quit) = mpsc::channel(1);
        let mut started = Self {
            handle: PhoneHandle::start(phone, show),
            tcp: tcp.as_ref().map(TcpPlace::address),
            udp: udp.as_ref().map(UdpPlace::address).transpose()?,
            console: console.as_ref().map(ConsolePlace::address).transpose()?,
            control: options.control,
            tasks: JoinSet::new(),
            quit,
        };
        if let Some(place) = tcp {
            started.tasks.spawn(place.serve(started.handle.clone()));
        }
        if let Some(place) = udp {
            started.tasks.spawn(place.serve(started.handle.clone()));
        }
        if let Some(place) = console {
            started.tasks.spawn(place.serve(started.handle.clone()));
        }
        if let Some(place) = control {
            started.tasks.spawn(place.serve(started.handle.clone(), tell));
        }
        Ok(started)
    }

    /// The phone itself.
    #[must_use]
    pub fn handle(&self) -> &PhoneHandle {
        &self.handle
    }

    /// Where it listens for TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// Where it listens for UDP.
    #[must_use]
    pub fn udp(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// Where its console listens.
    #[must_use]
    pub fn console(&self) -> Option<SocketAddr> {
        self.console
    }

    /// Its control socket.
    #[must_use]
    pub fn control(&self) -> Option<&Path> {
        self.control.as_deref()
    }

    /// Until it is told to quit, or one of its places fails.
    pub async fn ended(&mut self) -> Result<(), SimError> {
        tokio::select! {
            Some(()) = self.quit.recv() => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Ok(never)) => match never {},
                Ok(Err(error)) => Err(error),
                Err(_) => Err(SimError::Ended),
            },
            else => std::future::pending().await,
        }
    }
}

/// A simulated phone in the foreground, until it is told to quit, interrupted, or its standard input ends (if that was
/// asked for). Where it listens is shown first, a line each, then what it is asked.
pub async fn serve(
    options: ServeOptions,
    mut show: impl FnMut(&str) + Clone + Send + 'static,
) -> Result<(), SimError> {
    let (parent, mut parent_gone) = mpsc::channel(1);
    // Held where nobody watches standard input, so that it never ends.
    let _held = if options.die_with_stdin { tell_end_of_stdin(parent) } else { Some(parent) };
    let mut phone = SimPhone::start(options, show.clone()).await?;
    if let Some(tcp) = phone.tcp() {
        show(&format!("tcp {tcp}"));
    }
    if let Some(udp) = phone.udp() {
        show(&format!("udp {udp}"));
    }
    if let Some(console) = phone.console() {
        show(&format!("console {console}"));
    }
    if let Some(control) = phone.control() {
        show(&format!("control {}", control.display()));
    }
    show("ready");
    let mut terminated = signal(SignalKind::terminate()).map_err(SimError::listen("SIGTERM"))?;
    tokio::select! {
        ended = phone.ended() => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(SimError::listen("SIGINT"))?,
        _ = terminated.recv() => {}
        _ = parent_gone.recv() => {}
    }
    Ok(())
}

/// A thread of its own: a read of standard input cannot be given up.
fn tell_end_of_stdin(parent: mpsc::Sender<()>) -> Option<mpsc::Sender<()>> {
    std::thread::spawn(move || {
        let _closed = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(parent);
    });
    None
}
