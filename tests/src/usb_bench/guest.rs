//! Talking to a guest's agent: commands in, exit code and output back.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::desk::Said;

/// For one command, in seconds. The guest ends it then; emulation is slow, and the machine may be loaded.
const COMMAND_S: u64 = 60;
/// The agent's answer comes after the command's end.
const ANSWER: Duration = Duration::from_secs(COMMAND_S + 30);
/// The most that one command may print, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// The connection to a guest that has come up.
#[derive(Debug)]
pub(crate) struct Guest {
    stream: BufReader<UnixStream>,
    commands: u64,
}

impl Guest {
    /// Waits for the agent's first words.
    pub(crate) async fn ready(socket: UnixStream) -> Option<Self> {
        let mut stream = BufReader::new(socket);
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        (line == "READY\n").then_some(Self { stream, commands: 0 })
    }

    /// Runs a line of shell.
    pub(crate) async fn run(&mut self, command: &str) -> Result<Said, String> {
        match timeout(ANSWER, self.exchange(command)).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(error)) => Err(format!("the guest's agent: {error}")),
            Err(_) => Err(format!("the guest's agent does not answer within {} s", ANSWER.as_secs())),
        }
    }

    async fn exchange(&mut self, command: &str) -> std::io::Result<Said> {
        self.commands += 1;
        let line = format!("{} {COMMAND_S} {}\n", self.commands, base64(command.as_bytes()));
        self.stream.get_mut().write_all(line.as_bytes()).await?;
        let mut head = String::new();
        self.stream.read_line(&mut head).await?;
        let words: Vec<_> = head.split_whitespace().map(str::parse::<usize>).collect();
        let [Ok(number), Ok(code), Ok(out), Ok(err)] = words[..] else {
            return Err(std::io::Error::other(format!("it says {head:?}")));
        };
        if number as u64 != self.commands || out.max(err) > OUTPUT_BYTES_MAX {
            return Err(std::io::Error::other(format!("it says {head:?} to command {}", self.commands)));
        }
        let (mut stdout, mut stderr) = (vec![0; out], vec![0; err]);
        self.stream.read_exact(&mut stdout).await?;
        self.stream.read_exact(&mut stderr).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { code: i32::try_from(code).ok(), stdout: text(&stdout), stderr: text(&stderr) })
    }
}

/// The last lines of a file: a guest's console.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..4 {
            let six = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter <= three.len() { char::from(LETTERS[six as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_is_the_rfcs() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
