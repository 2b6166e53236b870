//! Linux guests.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use farmhand_agent_messages::{Command, Health, How, Stream};
use farmhand_api::{Answer, GuestCommand, GuestEnded, GuestHealth, INPUT_LEN_MAX, Item, Problem};
use farmhand_messages::device::{GuestSaid, GuestWish, SnapshotWish};
use farmhand_messages::{DeviceMessage, DirectoryMessage};
use farmhand_records::DeviceName;
use farmhand_runtime::{ask, ask_once};
use tokio::sync::mpsc;

use super::bootloader::problem;
use super::{ANSWER, Api};
use crate::devices::machine_of;
use crate::problems::{too_much_input, unanswered};

/// A command may take as long as its person lets it: who gives it up ends the stream, and with that the command.
const RUNS_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Pieces of output that wait to be taken: the guest holds its command back behind them.
const PIECES: usize = 16;

impl Api {
    pub(super) async fn guest(
        &self,
        command: GuestCommand,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        match command {
            GuestCommand::Run { device, board } => self.boot(device, board, items).await,
            GuestCommand::Exec { device, argv, env, cwd, timeout_ms, input } => {
                if input.len() > INPUT_LEN_MAX {
                    return Err(too_much_input(input.len()));
                }
                let command = Command { argv, env, cwd, timeout_ms };
                self.exec(&device, command, input, items).await
            }
            GuestCommand::Health { device } => answer(self.ask_guest(&device, GuestWish::Health).await?),
            GuestCommand::Put { device, from, to } => {
                self.copied(&device, GuestWish::Put { from: PathBuf::from(from), to }).await
            }
            GuestCommand::Get { device, from, to } => {
                self.copied(&device, GuestWish::Get { from, to: PathBuf::from(to) }).await
            }
        }
    }

    async fn boot(
        &self,
        device: DeviceName,
        board: String,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        let make = |reply| DirectoryMessage::Machine { board: board.clone(), device: device.clone(), reply };
        let made = ask(self.names.directory(), ANSWER, make).await;
        let is_new = made.map_err(|error| unanswered("directory", error))??;
        if let Err(problem) = self.of_device(&device, SnapshotWish::Boot, items).await {
            if is_new {
                self.unmade(vec![device]).await;
            }
            return Err(problem);
        }
        let said = self.healthy(&device, String::new()).await?;
        Ok(Answer::Said(said))
    }

    /// What was said, and that it is healthy, once it is; of what is no Linux guest nothing can be said.
    pub(super) async fn healthy(&self, device: &DeviceName, said: String) -> Result<String, Problem> {
        let devices = self.devices().await?;
        let is_linux = |board: &str| machine_of(board).is_some_and(|kind| kind.is_linux());
        if !devices.iter().any(|view| view.name.as_ref() == Some(device) && is_linux(&view.board)) {
            return Ok(said);
        }
        let began = Instant::now();
        self.ask_guest(device, GuestWish::Up).await?;
        let healthy = format!("healthy {} ms later", began.elapsed().as_millis());
        Ok(if said.is_empty() { healthy } else { format!("{said}; {healthy}") })
    }

    async fn exec(
        &self,
        device: &DeviceName,
        command: Command,
        input: Vec<u8>,
        items: &mpsc::Sender<Item>,
    ) -> Result<Answer, Problem> {
        let (output, mut said) = mpsc::channel(PIECES);
        let asked = self.ask_guest(device, GuestWish::Run { command, input, output });
        let told = async move {
            while let Some((stream, bytes)) = said.recv().await {
                let item = Item::Guest { err: stream == Stream::Err, bytes: bytes.into() };
                if items.send(item).await.is_err() {
                    // Whoever asked has gone: the command is ended by that.
                    return;
                }
            }
        };
        let (said, ()) = tokio::join!(asked, told);
        answer(said?)
    }

    async fn copied(&self, device: &DeviceName, wish: GuestWish) -> Result<Answer, Problem> {
        answer(self.ask_guest(device, wish).await?)
    }

    async fn ask_guest(&self, device: &DeviceName, wish: GuestWish) -> Result<GuestSaid, Problem> {
        self.claim(device).await?;
        // A machine that an earlier farm has left is adopted by whoever opens its console.
        let open = |reply| DeviceMessage::OpenConsole { baud: None, reply };
        let opened = ask(self.names.device(device), RUNS_WITHIN, open).await;
        opened.map_err(|error| unanswered("device", error))?.map_err(problem)?;
        let asked =
            ask_once(self.names.device(device), RUNS_WITHIN, |reply| DeviceMessage::Guest { wish, reply });
        asked.await.map_err(|error| unanswered("device", error))?.map_err(problem)
    }
}

fn answer(said: GuestSaid) -> Result<Answer, Problem> {
    Ok(match said {
        GuestSaid::Ended(how) => Answer::Ended(match how {
            How::Exit(code) => GuestEnded::Exit(code),
            How::Signal(number) => GuestEnded::Signal(number),
            How::TimedOut => GuestEnded::TimedOut,
            How::Aborted { .. } => GuestEnded::Aborted,
            How::NotStarted(why) | How::Failed(why) => GuestEnded::Not(why),
        }),
        GuestSaid::Up => Answer::Done,
        GuestSaid::Health { health, ignored } => {
            let Health {
                uptime_ms,
                load_1_hundredths,
                memory_available_bytes,
                commands,
                ignored_restores,
                repeated_restores,
                bad_frames,
            } = health;
            Answer::Health(GuestHealth {
                uptime_ms,
                load_1_hundredths,
                memory_available_bytes,
                commands,
                restores_ignored: ignored_restores,
                restores_repeated: repeated_restores,
                frames_torn: bad_frames,
                answers_ignored: ignored,
            })
        }
    })
}
