//! The bytes on the line: an agent of an older snapshot speaks to a newer farm.

use farmhand_agent_messages::{
    Command, Data, Decoder, FromAgent, Greeting, How, Refusal, Stream, ToAgent, VERSION, encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn check<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: M, expect: &str) {
    let frame = encode(&message).expect("a short message");
    assert_eq!(hex(&frame), expect);
    let mut rest = &frame[..];
    assert_eq!(Decoder::default().next(&mut rest), Some(Ok(message)));
    assert!(rest.is_empty());
}

#[test]
fn to_the_agent() {
    assert_eq!(VERSION, 1, "another version has other bytes: freeze them here too");
    check(ToAgent::Hello { version: 1, nonce: 0x1234 }, "010801b424463a2c9c00");
    let command = Command {
        argv: vec!["/bin/true".into(), "x".into()],
        env: vec![("A".into(), "b".into())],
        cwd: Some("/".into()),
        timeout_ms: Some(300),
    };
    check(
        ToAgent::Run { id: 7, command },
        "1f020702092f62696e2f747275650178010141016201012f01ac028595a53f00",
    );
    check(ToAgent::Restored { epoch: 3 }, "0701030472cbc100");
    check(ToAgent::Taken { id: 1 << 40 }, "0c0a8080808080204231cb9a00");
}

#[test]
fn from_the_agent() {
    let greeting = Greeting { boot: [0xab; 16], epoch: 2, highest: 9, commands: vec![8, 9] };
    check(
        FromAgent::Hello { version: 1, nonce: 0x1234, greeting },
        "011d01b424abababababababababababababababab02090208097d316b5100",
    );
    let bytes = Data(b"a\0b".to_vec());
    check(FromAgent::Output { id: 7, stream: Stream::Err, at: 200, bytes }, "08050701c80103610662a8e8eb3800");
    check(FromAgent::Refused { id: 7, why: Refusal::Old }, "080307011ac141c500");
    check(FromAgent::Ended { id: 7, how: How::Exit(-1) }, "0306070601d3a6677600");
}
