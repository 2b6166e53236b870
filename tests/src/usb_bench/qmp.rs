//! QEMU's monitor (QMP, the QEMU Machine Protocol): one JSON object a line.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For one answer, or one event: QEMU answers between two blocks of the guest's code.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why QEMU did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QmpError {
    /// The connection.
    #[error("talk to QEMU's monitor: {0}")]
    Io(#[from] std::io::Error),
    /// Its words.
    #[error("understand QEMU's monitor: {0}")]
    Json(#[from] serde_json::Error),
    /// It refuses.
    #[error("{command}: {detail}")]
    Refused {
        /// What was asked.
        command: String,
        /// QEMU's words.
        detail: String,
    },
    /// It does not answer.
    #[error("QEMU's monitor says nothing for {} s", DEADLINE.as_secs())]
    Mute,
}

/// A connection to the monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    /// Events that nobody waited for yet.
    events: Vec<Value>,
}

impl Qmp {
    /// Connects, and leaves the mode in which nothing else is allowed.
    pub async fn connect(path: &Path) -> Result<Self, QmpError> {
        let stream = BufReader::new(UnixStream::connect(path).await?);
        let mut qmp = Self { stream, events: Vec::new() };
        let _greeting = qmp.read().await?;
        qmp.run("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    async fn read(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        let read =
            timeout(DEADLINE, self.stream.read_line(&mut line)).await.map_err(|_| QmpError::Mute)??;
        if read == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Runs a command to its answer.
    pub async fn run(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream.get_mut().write_all(line.as_bytes()).await?;
        loop {
            let mut said = self.read().await?;
            if said.get("event").is_some() {
                self.events.push(said);
            } else if let Some(error) = said.get("error") {
                let detail = error["desc"].as_str().unwrap_or_default().to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), detail });
            } else {
                return Ok(said["return"].take());
            }
        }
    }

    /// Waits for an event of that name whose data is so.
    pub async fn event(&mut self, name: &str, is: impl Fn(&Value) -> bool) -> Result<Value, QmpError> {
        let meant = |said: &Value| said["event"] == name && is(&said["data"]);
        if let Some(at) = self.events.iter().position(meant) {
            return Ok(self.events.remove(at)["data"].take());
        }
        loop {
            let mut said = self.read().await?;
            if meant(&said) {
                return Ok(said["data"].take());
            }
            if said.get("event").is_some() {
                self.events.push(said);
            }
        }
    }
}
