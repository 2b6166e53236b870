//! An agent's process, and the port between it and a host.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use farmhand_agent_link::{AgentLink, Command, Hello, LinkError, PROGRAM, Running};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::sync::mpsc;

/// For what is certain to come.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);
pub(crate) const LEN_MAX: usize = 64 << 20;

/// What a test does to the port.
enum Mishap {
    /// These bytes come to the agent.
    Bytes(Vec<u8>),
    /// The host's connection is closed.
    Cut,
}

pub(crate) struct Guest {
    pub(crate) folder: TempDir,
    pub(crate) agent: Child,
    mishaps: mpsc::Sender<Mishap>,
}

impl Guest {
    /// With an agent that runs and nobody at its port.
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let listen = |name| UnixListener::bind(folder.path().join(name)).expect("a socket");
        let (port, hosts) = (listen("port"), listen("chardev"));
        let (mishaps, happens) = mpsc::channel(8);
        tokio::spawn(be_port(port, hosts, happens));
        let agent = Self::begin(&folder, &folder.path().join("port"));
        Self { folder, agent, mishaps }
    }

    /// An agent at another port.
    pub(crate) fn agent_at(port: &str) -> (TempDir, Child) {
        let folder = TempDir::new().expect("a folder");
        let agent = Self::begin(&folder, port.as_ref());
        (folder, agent)
    }

    fn begin(folder: &TempDir, port: &Path) -> Child {
        let program = folder.path().join("farmhand-agent");
        std::fs::write(&program, PROGRAM).expect("the program is written");
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is executable");
        let mut agent = tokio::process::Command::new(&program);
        agent.arg(port).current_dir(folder.path()).stdin(Stdio::null());
        agent.kill_on_drop(true);
        loop {
            match agent.spawn() {
                // Another test has just forked, and its child has our file open until it is its own program.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                begun => return begun.expect("the agent begins"),
            }
        }
    }

    pub(crate) async fn linked() -> (Self, AgentLink) {
        let guest = Self::new().await;
        let (link, _) = guest.link().await;
        (guest, link)
    }

    pub(crate) fn chardev(&self) -> PathBuf {
        self.folder.path().join("chardev")
    }

    pub(crate) async fn link(&self) -> (AgentLink, Hello) {
        AgentLink::connect(&self.chardev(), WITHIN).await.expect("the agent answers")
    }

    pub(crate) async fn inject(&self, bytes: &[u8]) {
        self.mishaps.send(Mishap::Bytes(bytes.to_vec())).await.expect("there is a port");
    }

    pub(crate) async fn cut(&self) {
        self.mishaps.send(Mishap::Cut).await.expect("there is a port");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path in UTF-8").into()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits for a file with this in it.
    pub(crate) async fn wait_for(&self, name: &str, text: &str) {
        wait_until(|| self.read(name).contains(text)).await;
    }
}

impl Drop for Guest {
    /// In a guest all ends with it. Here the agent's children would go on.
    fn drop(&mut self) {
        let Some(agent) = self.agent.id() else { return };
        let tasks = std::fs::read_dir(format!("/proc/{agent}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?)) {
                let _has_ended = kill_process_group(child, Signal::KILL);
            }
        }
    }
}

pub(crate) async fn wait_until(mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, so).await.expect("it comes to be so");
}

pub(crate) fn lives(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    // A zombie lives no more.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) fn command(argv: &[&str]) -> Command {
    Command { argv: argv.iter().map(|&word| word.into()).collect(), ..Command::default() }
}

pub(crate) fn shell(script: &str) -> Command {
    command(&["sh", "-c", script])
}

pub(crate) async fn run(link: &AgentLink, script: &str) -> Running {
    link.run(shell(script)).await.expect("it is accepted")
}

/// All it says on standard output.
pub(crate) async fn answer(link: &AgentLink, script: &str) -> Result<String, LinkError> {
    let (out, ..) = link.run(shell(script)).await?.collect(LEN_MAX).await?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

async fn be_port(port: UnixListener, hosts: UnixListener, mut happens: mpsc::Receiver<Mishap>) {
    loop {
        let Ok((agent, _)) = port.accept().await else { return };
        let (mut from_agent, mut to_agent) = agent.into_split();
        let mut agent_lives = true;
        while agent_lives {
            tokio::select! {
                host = hosts.accept() => {
                    let Ok((host, _)) = host else { return };
                    agent_lives = pump(host, &mut from_agent, &mut to_agent, &mut happens).await;
                }
                mishap = happens.recv() => match mishap {
                    Some(Mishap::Bytes(bytes)) => agent_lives = to_agent.write_all(&bytes).await.is_ok(),
                    Some(Mishap::Cut) => {}
                    None => return,
                },
            }
        }
    }
}

/// Until the host is gone, or the agent. Whether the agent is still there.
async fn pump(
    host: UnixStream,
    from_agent: &mut OwnedReadHalf,
    to_agent: &mut OwnedWriteHalf,
    happens: &mut mpsc::Receiver<Mishap>,
) -> bool {
    let (mut from_host, mut to_host) = host.into_split();
    let up = async {
        let mut chunk = vec![0; 8 << 10];
        loop {
            match from_agent.read(&mut chunk).await {
                Ok(0) | Err(_) => return false,
                Ok(read) if to_host.write_all(&chunk[..read]).await.is_err() => return true,
                Ok(_) => {}
            }
        }
    };
    let down = async {
        let mut chunk = vec![0; 8 << 10];
        loop {
            let bytes = tokio::select! {
                read = from_host.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return true,
                    Ok(read) => &chunk[..read],
                },
                mishap = happens.recv() => match mishap {
                    Some(Mishap::Bytes(bytes)) => &bytes.clone()[..],
                    Some(Mishap::Cut) | None => return true,
                },
            };
            if to_agent.write_all(bytes).await.is_err() {
                return false;
            }
        }
    };
    tokio::select! {
        agent_lives = up => agent_lives,
        agent_lives = down => agent_lives,
    }
}

pub(crate) fn is_static(program: &Path) -> bool {
    let bytes = std::fs::read(program).expect("it is there");
    // ELF-64: the program headers' offset, their length and their number; the type of an interpreter's is 3.
    let number =
        |at: usize, len| (0..len).rev().fold(0, |sum, byte| sum << 8 | usize::from(bytes[at + byte]));
    let (offset, len, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).all(|header| number(offset + header * len, 4) != 3)
}
