//! What a virtual Uno's line and control socket are told, beside what its driver tells it.

use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::Failure;

/// Makes the next open of a line reset its board, as a port that nobody tamed does (`actors/device/uno/README.md`).
pub(crate) fn arm_reset(line: &Path) -> Result<(), Failure> {
    let line = open(line, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut termios = tcgetattr(&line)?;
    termios.control_modes.insert(ControlModes::HUPCL);
    tcsetattr(&line, OptionalActions::Now, &termios)?;
    Ok(())
}

async fn ask(folder: &Path, question: &str) -> Result<String, Failure> {
    let mut stream = UnixStream::connect(folder.join("control")).await?;
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    if answer.starts_with("ok") { Ok(answer) } else { Err(format!("{question}: {answer}").into()) }
}

/// The board's whole flash.
pub(crate) async fn dump(folder: &Path) -> Result<Vec<u8>, Failure> {
    let path = folder.join("bench-dump.bin");
    ask(folder, &format!("dump {}", path.display())).await?;
    Ok(std::fs::read(path)?)
}

/// Has a board leave.
pub(crate) async fn quit(folder: &Path) -> Result<(), Failure> {
    ask(folder, "quit").await.map(drop)
}
