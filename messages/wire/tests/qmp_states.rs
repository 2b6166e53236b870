//! The client's states, enumerated: before the greeting, negotiating, ready and with commands in flight, against a model
//! that says in a few lines what is to happen; and the stream's errors, byte by byte.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::qmp::{
    Client, ClientError, Command, Failure, Fed, FrameError, Heard, IN_FLIGHT_MAX, Id, MESSAGE_LEN_MAX,
    MessageError, SendError,
};

const CONNECTION: u32 = 3;
const GREETING: &str =
    r#"{"QMP":{"version":{"qemu":{"micro":0,"minor":0,"major":9},"package":"p"},"capabilities":["oob"]}}"#;

/// Each thing that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Negotiated,
    Refused,
    /// To the oldest, or the newest, of those in flight.
    AnswerOldest,
    ErrorNewest,
    /// To an id of this connection that was not asked, of the next connection, of the one before.
    AnswerNever,
    AnswerLater,
    AnswerEarlier,
    AnswerText,
    AnswerNobody,
    ErrorNobody,
    Event,
    Send,
    GiveUpOldest,
}

const STEPS: [Step; 14] = [
    Step::Greeting,
    Step::Negotiated,
    Step::Refused,
    Step::AnswerOldest,
    Step::ErrorNewest,
    Step::AnswerNever,
    Step::AnswerLater,
    Step::AnswerEarlier,
    Step::AnswerText,
    Step::AnswerNobody,
    Step::ErrorNobody,
    Step::Event,
    Step::Send,
    Step::GiveUpOldest,
];

/// What is to be so.
#[derive(Debug, Clone, Default)]
struct Model {
    greeted: bool,
    ready: bool,
    failed: bool,
    sent: u64,
    /// The number of each command, and whether it was given up.
    in_flight: Vec<(u64, bool)>,
    given_up: u64,
    predecessors: u64,
}

fn wire(number: u64) -> u64 {
    (u64::from(CONNECTION) << 32) + number
}

fn answer(id: &str) -> String {
    format!(r#"{{"return":{{}},"id":{id}}}"#)
}

impl Model {
    /// What QEMU says, and what of it is to be heard: `Err` where the connection is to end.
    fn say(&mut self, step: Step) -> (String, Result<Option<&'static str>, &'static str>) {
        let error = r#""error":{"class":"GenericError","desc":"no"}"#;
        let negotiating = self.greeted && !self.ready;
        match step {
            Step::Greeting if self.greeted => (GREETING.into(), Err("greets a second time")),
            Step::Greeting => {
                self.greeted = true;
                (GREETING.into(), Ok(Some("greeting")))
            }
            Step::Negotiated => {
                self.ready |= negotiating;
                (answer(&wire(0).to_string()), if negotiating { Ok(Some("ready")) } else { Err("not asked") })
            }
            Step::Refused => {
                let said = format!(r#"{{"id":{},{error}}}"#, wire(0));
                (said, Err(if negotiating { "does not leave negotiation" } else { "not asked" }))
            }
            Step::AnswerOldest if !self.in_flight.is_empty() => {
                let (number, given_up) = self.in_flight.remove(0);
                self.given_up += u64::from(given_up);
                (answer(&wire(number).to_string()), Ok((!given_up).then_some("done")))
            }
            Step::ErrorNewest if !self.in_flight.is_empty() => {
                let (number, given_up) = self.in_flight.pop().unwrap();
                self.given_up += u64::from(given_up);
                (format!(r#"{{"id":{},{error}}}"#, wire(number)), Ok((!given_up).then_some("refused")))
            }
            Step::AnswerOldest | Step::ErrorNewest | Step::AnswerNever => {
                (answer(&wire(self.sent + 1).to_string()), Err("not asked"))
            }
            Step::AnswerLater => (answer(&(wire(1) + (1 << 32)).to_string()), Err("not asked")),
            Step::AnswerEarlier => {
                self.predecessors += 1;
                (answer(&(wire(1) - (1 << 32)).to_string()), Ok(None))
            }
            Step::AnswerText => (answer("\"1\""), Err("not asked")),
            Step::AnswerNobody => (r#"{"return":{}}"#.into(), Err("does not say what")),
            Step::ErrorNobody => (format!("{{{error}}}"), Err("does not understand")),
            Step::Event => (r#"{"event":"STOP"}"#.into(), Ok(Some("event"))),
            Step::Send | Step::GiveUpOldest => unreachable!("QEMU does not say it"),
        }
    }
}

fn id(client: &Client, at: usize) -> Id {
    client.unanswered().nth(at).unwrap().0
}

fn word(heard: &Heard) -> &'static str {
    match heard {
        Heard::Greeting(_) => "greeting",
        Heard::Ready => "ready",
        Heard::Answer { result: Ok(_), command: "stop", .. } => "done",
        Heard::Answer { result: Err(Failure::Refused(_)), command: "stop", .. } => "refused",
        Heard::Event { .. } => "event",
        other => panic!("{other:?}"),
    }
}

/// One step of both, and whether they agree.
fn step(client: &mut Client, model: &mut Model, step: Step) {
    match step {
        Step::Send => {
            let expected = match () {
                () if model.failed => Err(SendError::Ended),
                () if !model.ready => Err(SendError::NotReady),
                () if model.in_flight.len() == IN_FLIGHT_MAX => Err(SendError::Busy),
                () => Ok(()),
            };
            let before = client.unanswered().map(|(id, _)| id).max();
            let sent = client.send(&Command::Stop);
            assert_eq!(sent.clone().map(|_| ()), expected);
            if let Ok(id) = sent {
                assert!(before < Some(id), "ids grow");
                model.sent += 1;
                model.in_flight.push((model.sent, false));
                let line = format!("{{\"execute\":\"stop\",\"id\":{}}}\n", wire(model.sent));
                assert_eq!(String::from_utf8(client.take_output()).unwrap(), line);
            }
        }
        Step::GiveUpOldest => {
            let Some(waiting) = model.in_flight.iter_mut().find(|(_, given_up)| !given_up) else { return };
            waiting.1 = true;
            let id = id(client, 0);
            assert!(client.give_up(id) && !client.give_up(id));
        }
        said => {
            let was_failed = model.failed;
            let mut next = model.clone();
            let (bytes, expected) = next.say(said);
            let fed = client.feed(bytes.as_bytes());
            match (was_failed, &fed) {
                (true, result) => assert!(result.is_err(), "an error stays"),
                (false, Ok(Fed::Heard { heard, unused: b"" })) => assert_eq!(expected, Ok(Some(word(heard)))),
                (false, Ok(Fed::Need)) => assert_eq!(expected, Ok(None)),
                (false, Ok(Fed::Heard { .. })) => panic!("bytes are left of {bytes}"),
                (false, Err(error)) => assert!(error.to_string().contains(expected.unwrap_err()), "{error}"),
            }
            let greets = !was_failed && said == Step::Greeting && fed.is_ok();
            if !was_failed {
                let failed = fed.is_err();
                *model = if failed { Model { failed, ..model.clone() } } else { next };
            }
            let output = if greets {
                format!("{{\"execute\":\"qmp_capabilities\",\"id\":{}}}\n", wire(0))
            } else {
                String::new()
            };
            assert_eq!(String::from_utf8(client.take_output()).unwrap(), output);
        }
    }
    let waited = model.in_flight.iter().filter(|(_, given_up)| !given_up).count();
    assert_eq!(client.unanswered().count(), waited);
    assert_eq!(
        (client.ignored().given_up, client.ignored().predecessors),
        (model.given_up, model.predecessors)
    );
    assert_eq!(client.is_ready(), model.ready && !model.failed);
}

fn every_way(client: &Client, model: &Model, depth: usize, count: &mut usize) {
    *count += 1;
    if depth == 0 {
        return;
    }
    for next in STEPS {
        let (mut client, mut model) = (client.clone(), model.clone());
        step(&mut client, &mut model, next);
        // Behind an error all is the same: one step more, and no tree.
        every_way(&client, &model, if model.failed { (depth - 1).min(1) } else { depth - 1 }, count);
    }
}

/// Seen red, each with its guard taken out of the client: a second greeting, `id == ours`, a refused negotiation, an id that was
/// not asked (of this connection, of a later one, of an earlier one), `given_up`, giving up twice, the error that stays,
/// `NotReady`; and `IN_FLIGHT_MAX`, by the last test of the three.
#[test]
fn every_way_of_five_steps() {
    let mut count = 0;
    every_way(&Client::new(CONNECTION), &Model::default(), 5, &mut count);
    assert!(count > 5_000, "{count}");
}

#[test]
fn every_way_of_five_steps_from_ready() {
    let (mut client, mut model) = (Client::new(CONNECTION), Model::default());
    for next in [Step::Greeting, Step::Negotiated] {
        step(&mut client, &mut model, next);
    }
    let mut count = 0;
    every_way(&client, &model, 5, &mut count);
    assert!(count > 20_000, "{count}");
}

#[test]
fn as_many_commands_as_may_be() {
    let (mut client, mut model) = (Client::new(CONNECTION), Model::default());
    let begin = [Step::Greeting, Step::Negotiated].into_iter();
    let sends = std::iter::repeat_n(Step::Send, IN_FLIGHT_MAX + 1);
    // One that was given up holds its place until it is answered.
    let end = [Step::GiveUpOldest, Step::Send, Step::AnswerOldest, Step::Send, Step::Send];
    for next in begin.chain(sends).chain(end) {
        step(&mut client, &mut model, next);
    }
    assert_eq!((model.in_flight.len(), model.given_up), (IN_FLIGHT_MAX, 1));
}

/// What it ends in, in whatever chunks it comes.
fn ends(bytes: &[u8]) -> ClientError {
    let end = |chunk_len: usize| {
        let mut client = Client::new(CONNECTION);
        bytes.chunks(chunk_len).find_map(|chunk| client.feed(chunk).err()).expect("an error")
    };
    let whole = end(bytes.len());
    assert_eq!(end(1), whole);
    whole
}

#[test]
fn what_is_no_message() {
    let byte = |byte, behind: &str| ClientError::Frame(FrameError::Byte { byte, behind: behind.into() });
    let table: [(&[u8], ClientError); 8] = [
        (b"qemu: could not\r\n", byte(b'q', "")),
        (b"\r\n[1]", byte(b'[', "")),
        (b"null", byte(b'n', "")),
        (b"}", byte(b'}', "")),
        (b"\xff{}", byte(0xff, "")),
        (b"{ foo\r\n", byte(b'o', "{ f")),
        (b"{\"a\x1b", byte(0x1b, "{\"a")),
        (b"{\"a\n", byte(b'\n', "{\"a")),
    ];
    for (bytes, error) in table {
        assert_eq!(ends(bytes), error, "{}", bytes.escape_ascii());
    }
    let malformed: [(&str, &str); 7] = [
        (r#"{"return":]"#, "expected value"),
        (r#"{"return" 1}"#, "expected `:`"),
        (r#"{"return":{},"return":{}}"#, "duplicate field"),
        ("{\"event\":\"A\\ud800\"}", "hex escape"),
        (
            r#"{"QMP":{"version":{"qemu":{"major":9},"package":""},"capabilities":[]}}"#,
            "missing field `minor`",
        ),
        (r#"{"event":"STOP","timestamp":7}"#, "invalid type"),
        (r#"{"error":{"class":"X"},"id":1}"#, "missing field `desc`"),
    ];
    for (bytes, says) in malformed {
        let error = ends(bytes.as_bytes());
        let ClientError::Message(MessageError::Malformed { why, .. }) = &error else { panic!("{error}") };
        assert!(why.as_str().contains(says), "{bytes}: {why}");
    }
    for bytes in ["{}", r#"{"id":1}"#, r#"{"return":{},"event":"STOP"}"#, r#"{"QMP":null}"#] {
        let error = ends(bytes.as_bytes());
        assert!(matches!(error, ClientError::Message(MessageError::Unrecognised { .. })), "{error}");
    }
    // Deeper than any message: refused, and no stack is used up.
    let deep = [&b"{\"return\":"[..], &b"[".repeat(100_000), &b"]".repeat(100_000), b"}"].concat();
    assert!(matches!(ends(&deep), ClientError::Message(MessageError::Malformed { .. })));
}

/// Seen red with the bound taken out of the splitter.
#[test]
fn a_message_has_a_bound() {
    let of = |len: usize| {
        let (begin, end) = (r#"{"event":"STOP","x":""#, "\"}");
        format!("{begin}{}{end}", "x".repeat(len - begin.len() - end.len()))
    };
    assert_eq!(ends(of(MESSAGE_LEN_MAX + 1).as_bytes()), ClientError::Frame(FrameError::TooLong));
    let longest = of(MESSAGE_LEN_MAX);
    let fed = Client::new(CONNECTION).feed(longest.as_bytes()).map(|fed| matches!(fed, Fed::Heard { .. }));
    assert_eq!(fed, Ok(true));
    // White space between messages is no part of one.
    assert_eq!(Client::new(CONNECTION).feed(&b"\r\n".repeat(MESSAGE_LEN_MAX)), Ok(Fed::Need));
}

#[test]
fn what_an_error_says_is_printable_and_short() {
    let table = [
        format!("{{\"x{}\u{1b}", "\u{9b}".repeat(100)),
        format!(r#"{{"x":"\u001b{}\u009b" 1}}"#, "é".repeat(100)),
        format!(r#"{{"return":{{}},"id":"{}"}}"#, "\u{9b}é".repeat(100)),
        format!(r#"{{"event":"{}","timestamp":"{}"}}"#, "\u{7f}".repeat(100), "\u{9b}".repeat(100)),
    ];
    for bytes in table {
        let said = ends(bytes.as_bytes()).to_string();
        assert!(said.len() < 700 && !said.contains(char::is_control), "{} {said:?}", said.len());
    }
}
