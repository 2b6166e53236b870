//! `devices --watch`: what comes, changes and goes, as it does.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use farmhand::protocol::{Answer, DeviceView, Event, EventBody, Item, Request};
use farmhand::transport::{Client, ClientError, Reply};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::devices::{shown, state_word};
use crate::answer;
use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::signals::Signals;
use crate::term::Term;
use crate::units::now_unix_ms;

/// Between two looks where nothing is told: ages are shown by the second.
const LOOK: Duration = Duration::from_secs(1);
/// After something was told: several events of one device come together.
const SOON: Duration = Duration::from_millis(30);
/// A farm that goes is asked for again so often, without an answer in between.
const LOST_MAX: u32 = 5;
/// Before the next try.
const LOST_PAUSE: Duration = Duration::from_millis(200);
/// A terminal that does not say how wide it is.
const COLUMNS: usize = 80;

pub(crate) async fn run(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let mut signals = Signals::new().map_err(|error| Failed::io("hear signals", &error))?;
    let mut show = Show::new(term);
    let mut lost = 0;
    loop {
        let looks = show.looks;
        let client = reach.client().await?;
        let Err(error) = one_connection(&client, &mut signals, &mut show).await else {
            return Ok(exit::PASSED);
        };
        lost = if show.looks == looks { lost + 1 } else { 1 };
        if !error.is_lost() || lost > LOST_MAX {
            return Err(error.into());
        }
        sleep(LOST_PAUSE).await;
    }
}

/// Until the person has seen enough.
async fn one_connection(client: &Client, signals: &mut Signals, show: &mut Show) -> Result<(), ClientError> {
    let mut events = client.stream(Request::Events { after: None, session: None }).await?;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut soon = false;
    loop {
        tokio::select! {
            event = events.next() => match event?.ok_or(ClientError::Lost)? {
                Reply::Item(Item::Event(event)) if tells(&event) && !soon => {
                    soon = true;
                    looks.reset_after(SOON);
                }
                Reply::Item(_) => {}
                Reply::Done(_) => return Err(ClientError::Lost),
            },
            _ = looks.tick() => {
                soon = false;
                if let Answer::Devices(devices) = client.ask(Request::Devices).await?
                    // Nobody reads any more (`| head`): nothing more is to be seen.
                    && show.look(devices).is_err()
                {
                    return Ok(());
                }
            }
            _ = signals.next() => return Ok(()),
        }
    }
}

/// Whether an event is of a device that came, went or changed hands.
fn tells(event: &Event) -> bool {
    matches!(event.body, EventBody::Presence { .. } | EventBody::Quarantine(_) | EventBody::Device { .. })
}

struct Show {
    json: bool,
    /// A table that is drawn again, on a terminal.
    redraws: bool,
    /// What was drawn last, and its lines.
    drawn: String,
    known: BTreeMap<String, DeviceView>,
    looks: u64,
}

impl Show {
    fn new(term: &Term) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        let redraws = io::stdout().is_terminal() && !dumb && !term.json;
        Self { json: term.json, redraws, drawn: String::new(), known: BTreeMap::new(), looks: 0 }
    }

    fn look(&mut self, devices: Vec<DeviceView>) -> io::Result<()> {
        self.looks += 1;
        if self.redraws {
            return self.draw(&devices);
        }
        let now: BTreeMap<_, _> = devices.into_iter().map(|view| (key(&view), view)).collect();
        for (what, view) in changes(&self.known, &now) {
            let line = match self.json {
                true => json::device_event(what, view, now_unix_ms()).to_string(),
                false => line(what, view),
            };
            answer::put_with(|out| writeln!(out, "{line}"))?;
        }
        self.known = now;
        Ok(())
    }

    fn draw(&mut self, devices: &[DeviceView]) -> io::Result<()> {
        let table = match devices {
            [] => "no device is plugged in\n".to_owned(),
            devices => shown(devices, now_unix_ms()),
        };
        // A line that wraps would take two rows, and the next drawing would begin in the wrong one.
        let width = width();
        let cut = |line: &str| line.chars().take(width).chain(['\n']).collect::<String>();
        let table: String = table.lines().map(cut).collect();
        if table == self.drawn {
            return Ok(());
        }
        let up = self.drawn.lines().count();
        // ECMA-48: CUU (up), ED (erase below).
        let back = if up == 0 { String::new() } else { format!("\x1b[{up}A\r\x1b[J") };
        answer::put_with(|out| write!(out, "{back}{table}"))?;
        self.drawn = table;
        Ok(())
    }
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0).unwrap_or(COLUMNS)
}

/// What it is known by: its name, or where it is plugged in.
fn key(view: &DeviceView) -> String {
    let name = view.name.as_ref().map(|name| format!("n {name}"));
    name.unwrap_or_else(|| format!("p {}", view.port.as_deref().unwrap_or_default()))
}

/// What changed between two looks.
fn changes<'a>(
    before: &'a BTreeMap<String, DeviceView>,
    now: &'a BTreeMap<String, DeviceView>,
) -> Vec<(&'static str, &'a DeviceView)> {
    let alike = |one: &DeviceView, other: &DeviceView| {
        (&one.board, one.state, one.holder, &one.port, &one.driver)
            == (&other.board, other.state, other.holder, &other.port, &other.driver)
    };
    let gone = before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, view)| ("gone", view));
    let came = now.iter().filter_map(|(key, view)| match before.get(key) {
        None => Some(("came", view)),
        Some(old) if !alike(old, view) => Some(("changed", view)),
        Some(_) => None,
    });
    gone.chain(came).collect()
}

fn line(what: &str, view: &DeviceView) -> String {
    let name = view.name.as_ref().map_or("-", |name| name.as_str());
    let holder = view.holder.map(|session| format!("  {session}")).unwrap_or_default();
    let port = view.port.as_deref().unwrap_or("-");
    format!("{what:<8} {name}  {}  {}{holder}  {port}", view.board, state_word(view.state))
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::{DeviceName, DeviceState, SessionId};

    use super::*;

    fn device(name: Option<&str>, port: &str, state: DeviceState) -> (String, DeviceView) {
        let view = DeviceView {
            name: name.map(|name| DeviceName::new(name).unwrap()),
            board: "oneplus-fajita".into(),
            driver: "fastboot".into(),
            state,
            holder: (state == DeviceState::Leased).then_some(SessionId(3)),
            since_unix_ms: None,
            port: Some(port.into()),
            serial: None,
            seen_unix_ms: None,
            virtual_: false,
            epoch: None,
            note: None,
        };
        (key(&view), view)
    }

    #[test]
    fn each_change_is_a_line_and_an_age_is_none() {
        let before = BTreeMap::from([
            device(Some("a"), "usb:1-1", DeviceState::Free),
            device(Some("b"), "usb:1-2", DeviceState::Free),
            device(None, "1-3", DeviceState::Unclaimed),
        ]);
        let mut now = BTreeMap::from([
            device(Some("a"), "usb:1-1", DeviceState::Leased),
            device(Some("b"), "usb:1-2", DeviceState::Free),
            device(Some("c"), "tcp:lab:5554", DeviceState::Free),
        ]);
        now.get_mut("n b").unwrap().seen_unix_ms = Some(7);
        let lines: Vec<_> = changes(&before, &now).into_iter().map(|(what, view)| line(what, view)).collect();
        assert_eq!(
            lines,
            [
                "gone     -  oneplus-fajita  unclaimed  1-3",
                "changed  a  oneplus-fajita  leased  s-3  usb:1-1",
                "came     c  oneplus-fajita  free  tcp:lab:5554",
            ]
        );
        assert!(changes(&now, &now).is_empty());
    }
}
