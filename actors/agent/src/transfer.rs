//! Files, into a guest and out of it.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use farmhand_agent_messages::{DATA_LEN_MAX, How};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::Job;
use crate::error::LinkError;
use crate::link::AgentLink;

/// For the next piece of a file, each way.
const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// For the guest to bring what it has to its disk.
const SYNCED_WITHIN: Duration = Duration::from_secs(120);

fn local(error: &io::Error) -> LinkError {
    LinkError::Local(error.to_string())
}

impl AgentLink {
    /// Writes a file in the guest: `len` bytes of `reader`. It is there whole and synced, or what was there
    /// is as it was. [`LinkError::Gone`] and [`LinkError::Silent`] leave open which.
    pub async fn put(
        &self,
        path: &str,
        mode: u32,
        len: u64,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), LinkError> {
        let mut running = self.begin(Job::Put { path: path.into(), mode, len }).await?;
        let mut missing = len;
        while missing > 0 {
            let most = usize::try_from(missing).unwrap_or(usize::MAX).min(DATA_LEN_MAX);
            let mut bytes = BytesMut::zeroed(most);
            let read = reader.read(&mut bytes).await.map_err(|error| local(&error))?;
            if read == 0 {
                return Err(LinkError::Local(format!("{missing} bytes are missing")));
            }
            bytes.truncate(read);
            missing -= read as u64;
            let what = "a piece of a file";
            let silent = LinkError::Silent { what, within: PIECE_WITHIN };
            match timeout(PIECE_WITHIN, running.input(bytes)).await.unwrap_or(Err(silent)) {
                // It says why.
                Err(LinkError::Ended) => break,
                sent => sent?,
            }
        }
        done(running.ended_within("the end of a file", SYNCED_WITHIN).await?)
    }

    /// Reads a file of the guest into `writer`, and says how long it was. If that fails, some of it may have
    /// been written.
    pub async fn get(&self, path: &str, writer: &mut (impl AsyncWrite + Unpin)) -> Result<u64, LinkError> {
        let mut running = self.begin(Job::Get { path: path.into() }).await?;
        let silent = |_| LinkError::Silent { what: "a piece of a file", within: PIECE_WITHIN };
        while let Some((_, bytes)) = timeout(PIECE_WITHIN, running.output.recv()).await.map_err(silent)? {
            writer.write_all(&bytes).await.map_err(|error| local(&error))?;
        }
        writer.flush().await.map_err(|error| local(&error))?;
        done(running.ended_within("the end of a file", PIECE_WITHIN).await?)?;
        Ok(running.output.taken())
    }
}

fn done(how: How) -> Result<(), LinkError> {
    match how {
        How::Exit(0) => Ok(()),
        How::Failed(words) | How::NotStarted(words) => Err(LinkError::Failed(words)),
        How::Aborted { epoch } => Err(LinkError::Failed(format!("the guest was restored (epoch {epoch})"))),
        other => Err(LinkError::Failed(format!("it ended: {other:?}"))),
    }
}
