//! A command that the agent has accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmhand_agent_messages::{DATA_LEN_MAX, How, Stream, WINDOW, chunk_cost};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::connection::{Ask, Done};
use crate::error::LinkError;

/// Credit is told when so much of the window was taken: seldom, and long before the command has to wait for
/// it.
const CREDIT_EACH: usize = WINDOW / 4;

/// How a connection ended, once it has.
#[derive(Debug, Clone)]
pub(crate) struct Over(pub(crate) watch::Receiver<Option<String>>);

impl Over {
    pub(crate) fn error(&self) -> LinkError {
        LinkError::Gone(self.0.borrow().clone().unwrap_or_else(|| "the connection is over".into()))
    }
}

/// Input and signals for a command.
#[derive(Debug, Clone)]
pub struct Controls {
    pub(crate) id: u64,
    pub(crate) ask: mpsc::Sender<Ask>,
    /// Bytes of input that may be sent; closed when the command has ended.
    pub(crate) credit: Arc<Semaphore>,
    pub(crate) over: Over,
}

impl Controls {
    /// Sends input, as fast as the command takes it; it waits as long as that runs and takes none. If it is
    /// cancelled, some of it may have been sent.
    pub async fn input(&self, bytes: Bytes) -> Result<(), LinkError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(DATA_LEN_MAX));
            let len = u32::try_from(chunk.len()).expect("a chunk is 16 KiB at most");
            let credit = self.credit.acquire_many(len).await;
            credit.map_err(|_| self.ended_or_over())?.forget();
            self.ask(Ask::Input { id: self.id, bytes: chunk }).await?;
        }
        Ok(())
    }

    /// No more input, behind what was sent.
    pub async fn input_end(&self) -> Result<(), LinkError> {
        self.ask(Ask::InputEnd { id: self.id }).await
    }

    /// A signal for its process group, as Linux numbers them. It overtakes input.
    pub async fn signal(&self, number: i32) -> Result<(), LinkError> {
        self.ask(Ask::Signal { id: self.id, number }).await
    }

    async fn ask(&self, ask: Ask) -> Result<(), LinkError> {
        self.ask.send(ask).await.map_err(|_| self.over.error())
    }

    fn ended_or_over(&self) -> LinkError {
        if self.ask.is_closed() { self.over.error() } else { LinkError::Ended }
    }
}

/// What a command says. What is not taken fills its window, and then the command waits.
#[derive(Debug)]
pub struct Output {
    pub(crate) pieces: mpsc::Receiver<(Stream, Bytes)>,
    pub(crate) controls: Controls,
    /// How many bytes were taken, from the command's first one.
    pub(crate) taken: u64,
    /// Of the window, since credit was told.
    pub(crate) spent: usize,
}

impl Output {
    /// The next piece; `None` behind the last, or when the connection is over: [`Running::ended`] says which.
    /// By asking, the caller tells that it has all pieces before. Nothing is lost if it is cancelled.
    pub async fn recv(&mut self) -> Option<(Stream, Bytes)> {
        if self.spent >= CREDIT_EACH {
            // A connection that is over is told of by the channel of pieces, behind what came before.
            let _over = self.controls.ask(Ask::Credit { id: self.controls.id, upto: self.taken }).await;
            self.spent = 0;
        }
        let (stream, bytes) = self.pieces.recv().await?;
        self.taken += bytes.len() as u64;
        self.spent += chunk_cost(bytes.len());
        Some((stream, bytes))
    }

    /// How many bytes were taken: from here another link would resume.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

/// A command that the agent has accepted. If it is dropped before its end was taken, the command is killed.
#[derive(Debug)]
pub struct Running {
    /// What it says.
    pub output: Output,
    pub(crate) ended: oneshot::Receiver<How>,
    pub(crate) how: Option<How>,
    pub(crate) done: mpsc::UnboundedSender<Done>,
    pub(crate) kept: bool,
}

impl Running {
    /// Its id, by which another link can resume it.
    pub fn id(&self) -> u64 {
        self.output.controls.id
    }

    /// Input and signals, for another task.
    pub fn controls(&self) -> Controls {
        self.output.controls.clone()
    }

    /// See [`Controls::input`].
    pub async fn input(&self, bytes: impl Into<Bytes>) -> Result<(), LinkError> {
        self.output.controls.input(bytes.into()).await
    }

    /// See [`Controls::input_end`].
    pub async fn input_end(&self) -> Result<(), LinkError> {
        self.output.controls.input_end().await
    }

    /// See [`Controls::signal`].
    pub async fn signal(&self, number: i32) -> Result<(), LinkError> {
        self.output.controls.signal(number).await
    }

    /// How it ended, and the agent may forget it. Output that was not taken is thrown away, for a command may
    /// be waiting for that. It waits as long as the command runs: that has its own timeout. Nothing is lost
    /// if it is cancelled.
    pub async fn ended(&mut self) -> Result<How, LinkError> {
        while self.output.recv().await.is_some() {}
        if self.how.is_none() {
            let how = (&mut self.ended).await.map_err(|_| self.output.controls.over.error())?;
            self.how = Some(how);
            self.tell_done(true);
        }
        self.how.clone().ok_or_else(|| self.output.controls.over.error())
    }

    /// All that it says, each stream by itself, and how it ended. What is more than `len_max` bytes is thrown
    /// away.
    pub async fn collect(&mut self, len_max: usize) -> Result<(Vec<u8>, Vec<u8>, How), LinkError> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some((stream, bytes)) = self.output.recv().await {
            let room = len_max.saturating_sub(out.len() + err.len()).min(bytes.len());
            let into = if stream == Stream::Out { &mut out } else { &mut err };
            into.extend_from_slice(&bytes[..room]);
        }
        Ok((out, err, self.ended().await?))
    }

    /// As [`Self::ended`], for what does not last.
    pub(crate) async fn ended_within(
        &mut self,
        what: &'static str,
        within: Duration,
    ) -> Result<How, LinkError> {
        let silent = LinkError::Silent { what, within };
        tokio::time::timeout(within, self.ended()).await.unwrap_or(Err(silent))
    }

    /// Lets it run without this link, and keeps its place in the agent's table: its id, and how many bytes of
    /// its output were taken, for [`crate::AgentLink::resume`] over another.
    pub fn keep(mut self) -> (u64, u64) {
        self.kept = true;
        (self.id(), self.output.taken)
    }

    fn tell_done(&self, ended: bool) {
        let _over = self.done.send(Done { id: self.id(), ended });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.how.is_none() && !self.kept {
            self.tell_done(false);
        }
    }
}
