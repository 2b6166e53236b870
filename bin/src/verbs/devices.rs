//! `devices`.

use farmhand::protocol::{Answer, DeviceState, DeviceView, Request};
use serde_json::json;

use crate::exit;
use crate::failed::Failed;
use crate::json;
use crate::reach::Reach;
use crate::table::table;
use crate::term::Term;
use crate::units::{age, clock, now_unix_ms};

pub(crate) async fn run(reach: &mut Reach, term: &Term) -> Result<u8, Failed> {
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(exit::PASSED) };
    if term.json {
        let devices: Vec<_> = devices.iter().map(json::device).collect();
        term.answer(&json!(devices));
    } else if devices.is_empty() {
        term.say("no device is plugged in; `farmhand run` makes a virtual one where it can");
    } else {
        term.text(&shown(&devices, now_unix_ms()));
    }
    Ok(exit::PASSED)
}

pub(super) fn shown(devices: &[DeviceView], now: u64) -> String {
    let row = |view: &DeviceView| {
        let name = view.name.as_ref().map_or("-", |name| name.as_str()).to_owned();
        let at = view.port.clone().unwrap_or_else(|| "-".into());
        if view.state == DeviceState::Unclaimed {
            let note = view.note.clone().unwrap_or_else(|| "unclaimed".into());
            return vec![name, view.board.clone(), at, note];
        }
        let holder = match (view.holder, view.since_unix_ms) {
            (Some(session), Some(since)) if view.state == DeviceState::Leased => {
                format!("{session}  {}", clock(since, now))
            }
            (Some(session), _) => session.to_string(),
            (None, _) => "-".into(),
        };
        let seen = view.seen_unix_ms.map_or_else(|| "not yet".into(), |seen| age(seen, now));
        let mut row = vec![name, view.board.clone(), at, state_word(view.state).into(), holder, seen];
        row.extend(view.note.clone());
        row
    };
    table(&["NAME", "BOARD", "AT", "STATE", "HOLDER", "SEEN"], &devices.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn state_word(state: DeviceState) -> &'static str {
    match state {
        DeviceState::Free => "free",
        DeviceState::Leased => "leased",
        DeviceState::Quarantined => "quarantined",
        DeviceState::Absent => "absent",
        DeviceState::Unclaimed => "unclaimed",
    }
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::{DeviceName, SessionId};
    use insta::assert_snapshot;

    use super::*;

    fn device(name: Option<&str>, board: &str, state: DeviceState) -> DeviceView {
        DeviceView {
            name: name.map(|name| DeviceName::new(name).unwrap()),
            board: board.into(),
            driver: String::new(),
            state,
            holder: None,
            since_unix_ms: None,
            port: None,
            serial: None,
            seen_unix_ms: Some(200_000),
            virtual_: false,
            epoch: None,
            note: None,
        }
    }

    #[test]
    fn a_table() {
        let leased = DeviceView {
            holder: Some(SessionId(9)),
            since_unix_ms: Some(158_000),
            port: Some("/dev/ttyACM0".into()),
            ..device(Some("uno-1"), "arduino:avr:uno", DeviceState::Leased)
        };
        let aside = DeviceView {
            holder: Some(SessionId(7)),
            seen_unix_ms: Some(80_000),
            note: Some("cannot prove whether it booted".into()),
            ..device(Some("phone-1"), "oneplus-fajita", DeviceState::Quarantined)
        };
        let unclaimed = DeviceView {
            port: Some("1-4.3".into()),
            note: Some("unclaimed: farmhand init --add 1-4.3".into()),
            ..device(None, "2e8a:000a", DeviceState::Unclaimed)
        };
        let free = device(Some("pico-1"), "rp2040", DeviceState::Free);
        assert_snapshot!(shown(&[leased, free, aside, unclaimed], 200_000), @r"
        NAME     BOARD            AT            STATE                                 HOLDER     SEEN
        uno-1    arduino:avr:uno  /dev/ttyACM0  leased                                s-9  0:42  now
        pico-1   rp2040           -             free                                  -          now
        phone-1  oneplus-fajita   -             quarantined                           s-7        2 min  cannot prove whether it booted
        -        2e8a:000a        1-4.3         unclaimed: farmhand init --add 1-4.3
        ");
    }
}
