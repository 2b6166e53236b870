//! What a bootloader can be asked to do, one method a command.

use std::time::Duration;

use farmhand_wire::fastboot::variable::{Bare, number, split_line};
use farmhand_wire::fastboot::{
    Arguments, Command, DataPhase, Extent, Partition, RebootTarget, Slot, Variable,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Body, Client, Departure, Listener};
use crate::fastboot::deadlines::silence;
use crate::fastboot::error::ClientError;
use crate::fastboot::pipe::{Connection, PipeError, Recovery};
use crate::fastboot::source::Source;

impl Client {
    /// A variable; `None` where the device answers FAIL, which means that it does not know it.
    pub async fn getvar(&mut self, name: &Variable) -> Result<Option<String>, ClientError> {
        Ok(self.ask(name).await?.ok())
    }

    /// A variable, or the words with which the device says that it does not know it, or does not tell.
    pub async fn ask(&mut self, name: &Variable) -> Result<Result<String, String>, ClientError> {
        match self.simple(&Command::GetVar(name.clone()), None, &mut ()).await {
            Ok(value) => Ok(Ok(value)),
            Err(ClientError::Refused { text, .. }) => Ok(Err(text)),
            Err(error) => Err(error),
        }
    }

    /// A variable that is a number, such as `max-download-size`; `None` where the device does not know it, or says
    /// something that is none.
    pub async fn getvar_number(&mut self, name: &Variable) -> Result<Option<u64>, ClientError> {
        let value = self.getvar(name).await?;
        Ok(value.and_then(|value| number(&value, Bare::of(name.as_str()))))
    }

    /// Every variable that the device tells of, in its order; a line that is none has an empty name. Lines are also
    /// heard as they come.
    pub async fn getvar_all(
        &mut self,
        hear: &mut dyn Listener,
    ) -> Result<Vec<(String, String)>, ClientError> {
        let mut lines = Lines { lines: Vec::new(), hear };
        self.simple(&Command::GetVar(known("all")), None, &mut lines).await?;
        let split = |line: String| match split_line(&line) {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (String::new(), line),
        };
        Ok(lines.lines.into_iter().map(split).collect())
    }

    /// How many bytes a download may have, where the device says so.
    pub async fn max_download_size(&mut self) -> Result<Option<u64>, ClientError> {
        self.getvar_number(&known("max-download-size")).await
    }

    /// Fills the device's memory with `len` bytes. Writes nothing.
    pub async fn download(
        &mut self,
        source: Source,
        len: u32,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        let command = Command::Download(len);
        let wait = silence(&command, None);
        let value = self.run(&command, wait, Body::Send(source), hear).await?;
        self.staged = Some(len);
        Ok(value)
    }

    /// Writes what was downloaded. `len` is what that comes to on the device, for the deadline.
    pub async fn flash(
        &mut self,
        partition: &Partition,
        len: Option<u64>,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        let len = len.or(self.staged.map(u64::from));
        self.simple(&Command::Flash(partition.clone()), len, hear).await
    }

    /// Erases. `len` is the partition's, for the deadline, where it is known.
    pub async fn erase(
        &mut self,
        partition: &Partition,
        len: Option<u64>,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        self.simple(&Command::Erase(partition.clone()), len, hear).await
    }

    /// Starts what the device would have started by itself.
    pub async fn resume_boot(&mut self, hear: &mut dyn Listener) -> Result<Departure, ClientError> {
        self.depart(&Command::Continue, hear).await
    }

    /// Restarts the device.
    pub async fn reboot(
        &mut self,
        target: RebootTarget,
        hear: &mut dyn Listener,
    ) -> Result<Departure, ClientError> {
        self.depart(&Command::Reboot(target), hear).await
    }

    /// Turns the device off.
    pub async fn power_down(&mut self, hear: &mut dyn Listener) -> Result<Departure, ClientError> {
        self.depart(&Command::PowerDown, hear).await
    }

    /// Boots from this slot from now on.
    pub async fn set_active(&mut self, slot: &Slot, hear: &mut dyn Listener) -> Result<String, ClientError> {
        self.simple(&Command::SetActive(slot.clone()), None, hear).await
    }

    /// Whatever its maker made of it.
    pub async fn oem(&mut self, words: &Arguments, hear: &mut dyn Listener) -> Result<String, ClientError> {
        self.simple(&Command::Oem(words.clone()), None, hear).await
    }

    /// `lock`, `unlock`, `get_unlock_ability` and others.
    pub async fn flashing(
        &mut self,
        words: &Arguments,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        self.simple(&Command::Flashing(words.clone()), None, hear).await
    }

    /// Takes what the last command staged, and gives how many bytes it was.
    pub async fn upload(
        &mut self,
        out: &mut (dyn AsyncWrite + Send + Unpin),
        hear: &mut dyn Listener,
    ) -> Result<u64, ClientError> {
        self.take(&Command::Upload, out, hear).await
    }

    /// Reads a part of a partition, and gives how many bytes it was. The device gives no more than its `max-fetch-size`:
    /// [`Client::fetch_whole`] splits.
    pub async fn fetch(
        &mut self,
        partition: &Partition,
        extent: Extent,
        out: &mut (dyn AsyncWrite + Send + Unpin),
        hear: &mut dyn Listener,
    ) -> Result<u64, ClientError> {
        self.take(&Command::Fetch { partition: partition.clone(), extent }, out, hear).await
    }

    /// Any command that has no data phase.
    pub async fn raw(&mut self, command: &Command, hear: &mut dyn Listener) -> Result<String, ClientError> {
        if command.data_phase() != DataPhase::None {
            let argument = "a data phase".to_owned();
            let error = farmhand_wire::fastboot::CommandError::Argument { command: "raw", argument };
            return Err(ClientError::Command { command: command.to_string(), error });
        }
        self.simple(command, None, hear).await
    }

    pub(super) async fn simple(
        &mut self,
        command: &Command,
        len: Option<u64>,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        self.patient(command, silence(command, len), hear).await
    }

    pub(super) async fn patient(
        &mut self,
        command: &Command,
        silence: Duration,
        hear: &mut dyn Listener,
    ) -> Result<String, ClientError> {
        self.run(command, silence, Body::None, hear).await
    }

    /// A command after which the device is not there any more; some go before they answer. On a bus to be gone is to have
    /// done it; a connection that is closed is no such proof.
    async fn depart(&mut self, command: &Command, hear: &mut dyn Listener) -> Result<Departure, ClientError> {
        let departure = match self.simple(command, None, hear).await {
            Ok(_) => Departure::Acknowledged,
            Err(ClientError::Pipe { error: PipeError::Gone(_), .. })
                if self.pipe.recovery() == Recovery::Drain =>
            {
                Departure::Vanished
            }
            Err(error) => return Err(error),
        };
        self.connection = Connection::Gone;
        Ok(departure)
    }

    async fn take(
        &mut self,
        command: &Command,
        out: &mut (dyn AsyncWrite + Send + Unpin),
        hear: &mut dyn Listener,
    ) -> Result<u64, ClientError> {
        let mut counted = Counted { hear, len: 0 };
        self.run(command, silence(command, None), Body::Receive(out), &mut counted).await?;
        let len = counted.len;
        let flushed = out.flush().await;
        flushed.map_err(|error| ClientError::Sink { command: command.to_string(), error })?;
        Ok(len)
    }
}

/// A name that is known to be one.
pub(super) fn known(name: &'static str) -> Variable {
    Variable::new(name).expect("a name of the specification is one")
}

/// Keeps the lines, and passes them on.
struct Lines<'a> {
    lines: Vec<String>,
    hear: &'a mut dyn Listener,
}

impl Listener for Lines<'_> {
    fn info(&mut self, line: &str) {
        self.lines.push(line.to_owned());
        self.hear.info(line);
    }

    fn text(&mut self, text: &str) {
        self.hear.text(text);
    }
}

/// Keeps how much came, and passes all on.
struct Counted<'a> {
    hear: &'a mut dyn Listener,
    len: u64,
}

impl Listener for Counted<'_> {
    fn info(&mut self, line: &str) {
        self.hear.info(line);
    }

    fn text(&mut self, text: &str) {
        self.hear.text(text);
    }

    fn progress(&mut self, moved: u64, len: u64) {
        self.len = moved;
        self.hear.progress(moved, len);
    }
}
