//! What holds for any stream, however it is cut, and for any event and answer that a QEMU may say.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::qmp::{
    Answer, Cause, Client, ClientError, Command, DeviceDeleted, Event, Failure, Fed, Heard, IN_FLIGHT_MAX,
    JobStatus, JobStatusChange, MigrationStatus, PortChange, RunState, ShutdownCause,
};
use farmhand_wire::{TEXT_LEN_MAX, Text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const TRANSCRIPTS: [&str; 4] = [
    include_str!("qmp/run.txt"),
    include_str!("qmp/snapshot.txt"),
    include_str!("qmp/migrate.txt"),
    include_str!("qmp/pretty.txt"),
];

/// Feeds chunks; sends a `stop` whenever it may, so that the ids of a transcript are asked before they are answered.
fn hear<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Heard>, Option<ClientError>) {
    let mut client = Client::new(1);
    let mut all = Vec::new();
    for chunk in chunks {
        let mut rest = chunk;
        loop {
            match client.feed(rest) {
                Ok(Fed::Need) => break,
                Ok(Fed::Heard { heard, unused }) => {
                    assert!(unused.len() < rest.len() && rest.ends_with(unused));
                    all.push(heard);
                    rest = unused;
                    let sent = (0..=IN_FLIGHT_MAX).filter(|_| client.send(&Command::Stop).is_ok()).count();
                    assert!(sent <= IN_FLIGHT_MAX);
                }
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// What QEMU said in a transcript.
fn said(transcript: &str) -> Vec<u8> {
    let lines = transcript.lines().filter_map(|line| line.strip_prefix("S: "));
    lines.flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
}

/// Mostly bytes that mean something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let known = vec![
        r#"{"QMP":{"version":{"qemu":{"micro":1,"minor":2,"major":8},"package":"x"},"capabilities":[]}}"#,
        r#"{"return":{},"id":4294967296}"#,
        r#"{"return":{"status":"paused","running":false},"id":4294967297}"#,
        r#"{"id":4294967298,"error":{"class":"GenericError","desc":"\"}\\"}}"#,
        r#"{"return":[],"id":7}"#,
        r#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}"#,
        r#"{"event":"RESET","data":{"guest":true,"reason":"x}{"}}"#,
        "\r\n",
        " ",
    ];
    let piece = prop_oneof![
        20 => select(known).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
        1 => vec(select(br#"{}[]",:\1"#.to_vec()), 0..6),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn word<T: Clone + std::fmt::Debug + 'static>(
    known: &'static [T],
    other: fn(&str) -> T,
) -> impl Strategy<Value = T> {
    prop_oneof![select(known), "[a-z]{12,20}".prop_map(move |word| other(&word))]
}

fn text() -> impl Strategy<Value = Text> {
    "[^\0-\x1f\x7f-\u{9f}]{0,12}".prop_map(|text| Text::new(&text))
}

/// An event, and the data that QEMU says with it.
fn event() -> impl Strategy<Value = (&'static str, Value, Event)> {
    let cause = (any::<bool>(), word(ShutdownCause::KNOWN, |word| word.into()));
    prop_oneof![
        (cause, any::<bool>()).prop_map(|((guest, reason), reset)| {
            let data = json!({"reason": reason.as_str(), "guest": guest, "new": [1]});
            let cause = Cause { guest, reason };
            if reset {
                ("RESET", data, Event::Reset(cause))
            } else {
                ("SHUTDOWN", data, Event::Shutdown(cause))
            }
        }),
        word(MigrationStatus::KNOWN, |word| word.into()).prop_map(|status| (
            "MIGRATION",
            json!({"status": status.as_str()}),
            Event::Migration { status }
        )),
        (text(), word(JobStatus::KNOWN, |word| word.into())).prop_map(|(id, status)| {
            let data = json!({"id": id.as_str(), "status": status.as_str()});
            ("JOB_STATUS_CHANGE", data, Event::JobStatusChange(JobStatusChange { id, status }))
        }),
        (text(), any::<bool>()).prop_map(|(id, open)| {
            let data = json!({"id": id.as_str(), "open": open});
            ("VSERPORT_CHANGE", data, Event::VserportChange(PortChange { id, open }))
        }),
        (proptest::option::of(text()), text()).prop_map(|(device, path)| {
            let mut data = json!({"path": path.as_str()});
            if let Some(device) = &device {
                data["device"] = device.as_str().into();
            }
            ("DEVICE_DELETED", data, Event::DeviceDeleted(DeviceDeleted { device, path }))
        }),
    ]
}

/// As QEMU writes it: ASCII, in one line or in many.
fn written(value: &Value, pretty: bool) -> Vec<u8> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap();
    let mut ascii = String::new();
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
    (ascii.replace('\n', "\r\n") + "\r\n").into_bytes()
}

fn ready() -> Client {
    let mut client = Client::new(1);
    let greeting = json!({"QMP": {"version": {"qemu": {"major": 1, "minor": 2, "micro": 3}, "package": ""}, "capabilities": []}});
    client.feed(&written(&greeting, true)).unwrap();
    client.feed(&written(&json!({"return": {}, "id": 1u64 << 32}), false)).unwrap();
    client.take_output();
    assert!(client.is_ready());
    client
}

fn one(client: &mut Client, bytes: &[u8]) -> Heard {
    let Ok(Fed::Heard { heard, unused: b"\r\n" }) = client.feed(bytes) else { panic!() };
    heard
}

proptest! {
    #[test]
    fn a_transcript_is_the_same_however_it_is_cut(which in 0..TRANSCRIPTS.len(), cuts in vec(any::<Index>(), 0..40)) {
        let bytes = said(TRANSCRIPTS[which]);
        let (all, error) = hear(cut(&bytes, &cuts).into_iter());
        prop_assert_eq!(&error, &None);
        prop_assert!(all.len() >= 6);
        prop_assert_eq!(hear(std::iter::once(&bytes[..])).0, all);
    }

    #[test]
    fn any_stream_is_the_same_however_it_is_cut(bytes in stream(), cuts in vec(any::<Index>(), 0..12)) {
        let whole = hear(std::iter::once(&bytes[..]));
        prop_assert_eq!(&hear(cut(&bytes, &cuts).into_iter()), &whole);
        prop_assert_eq!(&hear(bytes.chunks(1)), &whole);
    }

    #[test]
    fn an_event_is_heard_as_it_was_said(
        (name, data, event) in event(), seconds in 0..1u64 << 40, micros in 0..1_000_000u64, pretty in any::<bool>(),
    ) {
        let said = json!({"timestamp": {"seconds": seconds, "microseconds": micros}, "event": name, "data": data, "__new": 1});
        let at = Some(std::time::Duration::from_micros(seconds * 1_000_000 + micros));
        prop_assert_eq!(one(&mut ready(), &written(&said, pretty)), Heard::Event { event, at });
    }

    #[test]
    fn an_answer_is_heard_as_it_was_said(
        running in any::<bool>(), state in word(RunState::KNOWN, |word| word.into()), desc in text(), ok in any::<bool>(),
    ) {
        let mut client = ready();
        let id = client.send(&Command::QueryStatus).unwrap();
        let on_wire: Value = serde_json::from_slice(&client.take_output()).unwrap();
        let mut said = if ok {
            json!({"return": {"running": running, "status": state.as_str(), "singlestep": false}})
        } else {
            json!({"error": {"class": "GenericError", "desc": desc.as_str()}})
        };
        said["id"] = on_wire["id"].clone();
        let Heard::Answer { id: of, result, .. } = one(&mut client, &written(&said, false)) else { panic!() };
        prop_assert_eq!(of, id);
        match result {
            Ok(Answer::Status(status)) => prop_assert_eq!((ok, status.running, status.state), (true, running, state)),
            Err(Failure::Refused(refusal)) => prop_assert_eq!((ok, refusal.desc), (false, desc)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn whatever_a_name_is_it_arrives(id in any::<String>()) {
        let mut client = ready();
        client.send(&Command::JobDismiss { id: id.clone() }).unwrap();
        let line = client.take_output();
        let control = line.iter().filter(|byte| **byte < 0x20).count();
        prop_assert_eq!((line.last(), control), (Some(&b'\n'), 1));
        let value: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(&value["arguments"]["id"], &Value::from(id));
    }

    #[test]
    fn a_text_is_safe_and_stays_itself(text in prop_oneof![any::<String>(), "[\u{1b}\u{9b}é\u{1F600}a]{4090,4100}"]) {
        let safe = Text::new(&text);
        prop_assert!(safe.as_str().len() <= TEXT_LEN_MAX);
        prop_assert!(!safe.as_str().contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        prop_assert_eq!(&Text::new(safe.as_str()), &safe);
        if safe != text[..] {
            prop_assert!(text.contains(char::is_control) || safe.as_str().ends_with('…'));
        }
    }
}
