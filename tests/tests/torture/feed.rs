//! A steady stream of wishes, from a client that never gives one up: what was not acknowledged is asked for again, with
//! the same key.

use std::collections::BTreeMap;
use std::time::Duration;

use farmhand::transport::{Client, ClientError};
use farmhand_api::{DeviceState, Job, PhaseName, Request, SessionId, SessionView, Settle, Verdict};
use farmhand_records::DeviceName;
use farmhand_tests::{
    BoardControl, Home, LONG, alpha, beta, devices, flash_once, repeatable, run_once, session, submit,
};

use super::{BOARDS, ONCE};

/// Sessions of one board that are not finished: one has it, one waits.
const OUTSTANDING: usize = 2;
/// Between two looks at the sessions.
const LOOK: Duration = Duration::from_millis(20);

/// A wish.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) key: String,
    pub(crate) device: &'static str,
    job: Job,
    /// The session, once it was acknowledged.
    pub(crate) id: Option<SessionId>,
    /// How it ended.
    pub(crate) verdict: Option<Verdict>,
    /// What the board had counted before it.
    leaves_before: u64,
    /// A person has settled it.
    settled: bool,
}

/// The client.
#[derive(Debug)]
pub(crate) struct Feed {
    boards: BTreeMap<&'static str, BoardControl>,
    pub(crate) wishes: Vec<Wish>,
    more: bool,
}

impl Feed {
    pub(crate) fn new(home: &Home) -> Self {
        let boards = BOARDS.into_iter().map(|name| (name, home.board(name))).collect();
        Self { boards, wishes: Vec::new(), more: true }
    }

    /// Asks and looks, as long as the farm is there and beyond.
    pub(crate) async fn run(&mut self, client: &Client) {
        match self.work(client).await {
            Ok(()) => {}
            // It is being killed.
            Err(error) if error.is_lost() => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks for nothing more, and sees what there is to its end.
    pub(crate) async fn finish(&mut self, client: &Client) {
        self.more = false;
        match tokio::time::timeout(2 * LONG, self.work(client)).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => panic!("sessions that do not end: {:#?}", self.open()),
        }
        assert!(self.open().is_empty());
    }

    /// Whether a person has settled it.
    pub(crate) fn settled(&self, id: SessionId) -> bool {
        self.wishes.iter().any(|wish| wish.id == Some(id) && wish.settled)
    }

    fn open(&self) -> Vec<&Wish> {
        self.wishes.iter().filter(|wish| wish.verdict.is_none()).collect()
    }

    /// Until nothing is wanted any more.
    async fn work(&mut self, client: &Client) -> Result<(), ClientError> {
        loop {
            for device in BOARDS {
                self.wish(device);
            }
            let open = self.wishes.iter_mut().filter(|wish| wish.verdict.is_none());
            let mut all_ended = true;
            for wish in open {
                all_ended &= look(client, wish, &self.boards).await?;
            }
            if all_ended && !self.more {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn wish(&mut self, device: &'static str) {
        let outstanding = if device == ONCE { 1 } else { OUTSTANDING };
        let open = self.wishes.iter().filter(|wish| wish.device == device && wish.verdict.is_none()).count();
        if !self.more || open >= outstanding {
            return;
        }
        let number = self.wishes.len();
        // Another image each time, so that there is something to write.
        let of_device = self.wishes.iter().filter(|wish| wish.device == device).count();
        let image = if of_device % 2 == 0 { alpha() } else { beta() };
        let job = match (device == ONCE, of_device % 4) {
            (false, _) => repeatable(image, Some(device)),
            (true, 0) => run_once(image, Some(device)),
            (true, _) => flash_once(image, Some(device)),
        };
        let leaves_before = self.boards[device].counters().leaves;
        let key = format!("wish {number}");
        self.wishes.push(Wish { key, device, job, id: None, verdict: None, leaves_before, settled: false });
    }
}

/// Whether it has ended.
async fn look(
    client: &Client,
    wish: &mut Wish,
    boards: &BTreeMap<&'static str, BoardControl>,
) -> Result<bool, ClientError> {
    let id = match wish.id {
        Some(id) => id,
        None => submit(client, &wish.key, &wish.job).await?,
    };
    assert!(wish.id.replace(id).is_none_or(|known| known == id), "{}: two sessions of one wish", wish.key);
    let view = session(client, id).await?;
    if view.phase != PhaseName::Finished {
        return Ok(false);
    }
    if wish.device == ONCE {
        let leaves = boards[ONCE].counters().leaves - wish.leaves_before;
        assert!(leaves <= 1, "{id}: handed off {leaves} times, and once is once");
        if view.verdict == Some(Verdict::Unknown) && !settle(client, wish, &view, leaves == 1).await? {
            return Ok(false);
        }
        // The device is given back behind the verdict, and the next would be refused before.
        let devices = devices(client).await?;
        let its_own =
            devices.iter().find(|device| device.name.as_ref().is_some_and(|name| name.as_str() == ONCE));
        if its_own.is_none_or(|device| device.state != DeviceState::Free) {
            return Ok(false);
        }
    }
    wish.verdict = view.verdict;
    Ok(true)
}

/// A person looks at the board, and says. Whether there is nothing to say any more.
async fn settle(
    client: &Client,
    wish: &mut Wish,
    view: &SessionView,
    booted: bool,
) -> Result<bool, ClientError> {
    let devices = devices(client).await?;
    if devices.iter().any(|device| device.holder == Some(view.id) && device.state == DeviceState::Leased) {
        return Ok(false);
    }
    let aside = devices
        .iter()
        .any(|device| device.holder == Some(view.id) && device.state == DeviceState::Quarantined);
    if !aside {
        return Ok(true);
    }
    let settle = if booted { Settle::Booted } else { Settle::NotBooted };
    wish.settled = true;
    match client.ask(Request::Resume { session: view.id, settle: Some(settle) }).await {
        Ok(_) => {}
        Err(error) if error.is_lost() => return Err(error),
        // There is nothing to settle: a look at it was all that was wanted.
        Err(_) => {
            client.ask(Request::Unquarantine(DeviceName::new(ONCE).unwrap())).await?;
        }
    }
    Ok(false)
}
