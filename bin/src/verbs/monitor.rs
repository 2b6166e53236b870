//! `monitor`: a board's console, as it comes; what is typed goes to the board.

mod choose;
mod input;

use std::time::Duration;

use bytes::Bytes;
use farmhand::protocol::{Answer, DeviceName, DeviceView, Item, LogFrom, LogOf, Request};
use farmhand::transport::{Client, ClientError, Reply};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::args::{Eol, From, Global};
use crate::console::Console;
use crate::exit;
use crate::failed::Failed;
use crate::reach::Reach;
use crate::signals::Signals;
use crate::term::Term;
use input::Input;

/// A farm, or a serial actor, that goes is asked for again so often without a byte in between.
const LOST_MAX: u32 = 5;
/// Before the next try.
const LOST_PAUSE: Duration = Duration::from_millis(300);
/// Writes that may fail before that is shown.
const ERRORS: usize = 8;

/// What is to be watched, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) name: Option<DeviceName>,
    pub(crate) from: From,
    pub(crate) timestamp: bool,
    pub(crate) input: bool,
    pub(crate) eol: Eol,
    pub(crate) take: bool,
}

enum Left {
    /// The person has seen enough, or nobody reads stdout.
    Done,
    /// The stream ended: the farm, or what serves the port, went.
    Lost(ClientError),
}

pub(crate) async fn run(reach: &mut Reach, global: &Global, term: &Term, wish: &Wish) -> Result<u8, Failed> {
    let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let view = choose::device(reach, global, wish.name.clone()).await?;
    let Some(device) = view.name.clone() else { return Ok(exit::PASSED) };
    let mut console = Console::new(term, wish.timestamp, true);
    let mut input = if wish.input { Input::new(wish.eol) } else { Input::none() };
    let keys = if input.is_terminal() { "; Ctrl-C or Ctrl-] leaves" } else { "" };
    console
        .mark(&format!("{device}{}{keys}", view.port.map(|port| format!(" on {port}")).unwrap_or_default()));
    let from = match (wish.from, view.epoch) {
        (From::Now, _) => LogFrom::Now,
        (From::Start, _) | (From::Epoch, None) => LogFrom::Start,
        (From::Epoch, Some(epoch)) => LogFrom::Epoch(epoch),
        (From::Offset(offset), _) => LogFrom::Offset(offset),
    };
    let mut lost = 0;
    loop {
        let shown = console.shown_bytes;
        let client = reach.client().await?;
        // What of that epoch was shown is passed over.
        let from = console.seen.epoch().map_or(from, LogFrom::Epoch);
        let mut watch = Watch { client, device: &device, console: &mut console, take: wish.take };
        let error = match watch.run(from, &mut input, &mut signals).await {
            Left::Done => return Ok(exit::PASSED),
            Left::Lost(error) => error,
        };
        lost = if console.shown_bytes == shown { lost + 1 } else { 1 };
        if !error.is_lost() || lost > LOST_MAX {
            return Err(error.into());
        }
        console.mark("the connection ended; go on where it was");
        sleep(LOST_PAUSE).await;
    }
}

struct Watch<'a> {
    client: Client,
    device: &'a DeviceName,
    console: &'a mut Console,
    take: bool,
}

impl Watch<'_> {
    /// One connection.
    async fn run(&mut self, from: LogFrom, input: &mut Input, signals: &mut Signals) -> Left {
        let of = LogOf::Device(self.device.clone());
        let mut replies = match self.client.stream(Request::Log { of, from, follow: true }).await {
            Ok(replies) => replies,
            Err(error) => return Left::Lost(error),
        };
        let (errors, mut failed) = mpsc::channel::<ClientError>(ERRORS);
        let (writes, queued) = mpsc::channel::<Bytes>(1);
        let writer = tokio::spawn(write(self.client.clone(), self.device.clone(), self.take, queued, errors));
        let mut typed: Option<Bytes> = None;
        let left = loop {
            tokio::select! {
                reply = replies.next() => match reply {
                    Ok(Some(Reply::Item(Item::Log(item)))) => {
                        if self.console.show(&item).is_err() {
                            break Left::Done;
                        }
                    }
                    Ok(Some(Reply::Item(_))) => {}
                    Ok(Some(Reply::Done(_)) | None) => break Left::Lost(ClientError::Lost),
                    Err(error) => break Left::Lost(error),
                },
                // The board takes what is typed at its own pace; meanwhile its output is shown.
                Ok(room) = writes.reserve(), if typed.is_some() => {
                    room.send(typed.take().unwrap_or_default());
                }
                bytes = input.next(), if typed.is_none() => match bytes {
                    Some(bytes) => typed = Some(bytes),
                    None => break Left::Done,
                },
                Some(error) = failed.recv() => self.console.mark(&format!("not written: {error}")),
                _ = signals.next() => break Left::Done,
            }
        };
        writer.abort();
        left
    }
}

/// Writes what is typed, in order.
async fn write(
    client: Client,
    device: DeviceName,
    take: bool,
    mut queued: mpsc::Receiver<Bytes>,
    errors: mpsc::Sender<ClientError>,
) {
    while let Some(bytes) = queued.recv().await {
        let request = Request::Write { device: device.clone(), bytes, take };
        if let Err(error) = client.ask(request).await
            && errors.send(error).await.is_err()
        {
            return;
        }
    }
}

/// All devices that have a name.
async fn devices(reach: &mut Reach) -> Result<Vec<DeviceView>, Failed> {
    match reach.ask(Request::Devices).await? {
        Answer::Devices(devices) => Ok(devices.into_iter().filter(|view| view.name.is_some()).collect()),
        _ => Ok(Vec::new()),
    }
}
