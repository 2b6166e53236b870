//! Fastboot over UDP: the documents' sequences, byte for byte, and what must not be.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use farmhand_wire::fastboot::udp::{
    ATTEMPTS_MAX, Answer, Device, DeviceEvent, EMPTY_READS_MAX, Host, QUERY_ATTEMPTS_MAX, RESEND_AFTER, Step,
    UdpError,
};

/// A host that has been told number 0x55aa and is about to agree on sizes.
fn beginning(packet_len_max: u16) -> Host {
    let mut host = Host::new(packet_len_max);
    assert_eq!(host.start(), Ok(Step::Send));
    assert_eq!(host.datagram(), b"\x01\0\0\0");
    assert_eq!(host.on_datagram(b"\x01\0\0\0\x55\xaa"), Ok(Step::Send));
    host
}

/// A host whose next packet is 0x55ab, of 1024 bytes at most.
fn connected() -> Host {
    let mut host = beginning(2048);
    host.on_datagram(b"\x02\0\x55\xaa\0\x01\x04\0").unwrap();
    host
}

/// A device whose next packet is 1, with packets of 512 bytes.
fn connected_device() -> Device {
    let mut device = Device::new(0, 512);
    device.on_datagram(b"\x02\0\0\0\0\x01\x02\0");
    device
}

fn sends(bytes: &[u8]) -> Answer<'static> {
    Answer { send: Some(bytes.to_vec()), event: None }
}

#[test]
fn the_documents_initialization() {
    let mut host = beginning(2048);
    assert_eq!(host.datagram(), b"\x02\0\x55\xaa\0\x01\x08\0");
    let connected = Step::Connected { version: 1, packet_len_max: 1024 };
    assert_eq!(host.on_datagram(b"\x02\0\x55\xaa\0\x02\x04\0"), Ok(connected));

    let mut device = Device::new(0x55aa, 1024);
    assert_eq!(device.on_datagram(b"\x01\0\0\0"), sends(b"\x01\0\0\0\x55\xaa"));
    let event = Some(DeviceEvent::Connected { version: 1, packet_len_max: 1024 });
    let send = Some(b"\x02\0\x55\xaa\0\x01\x04\0".to_vec());
    assert_eq!(device.on_datagram(b"\x02\0\x55\xaa\0\x01\x08\0"), Answer { send, event });
}

#[test]
fn the_documents_getvar() {
    let mut host = connected();
    assert_eq!(host.write(b"getvar:version"), Ok(Step::Send));
    assert_eq!(host.datagram(), b"\x03\0\x55\xabgetvar:version");
    assert_eq!(host.on_datagram(b"\x03\0\x55\xab"), Ok(Step::Written));
    assert_eq!(host.read(), Ok(Step::Send));
    assert_eq!(host.datagram(), b"\x03\0\x55\xac");
    let received = Step::Received { bytes: b"OKAY0.4", last: true };
    assert_eq!(host.on_datagram(b"\x03\0\x55\xacOKAY0.4"), Ok(received));

    let mut device = connected_device();
    let event = Some(DeviceEvent::Data { bytes: b"getvar:version", last: true });
    let send = Some(b"\x03\0\0\x01".to_vec());
    assert_eq!(device.on_datagram(b"\x03\0\0\x01getvar:version"), Answer { send, event });
    assert_eq!(device.push(b"OKAY0.4"), None);
    assert_eq!(device.on_datagram(b"\x03\0\0\x02"), sends(b"\x03\0\0\x02OKAY0.4"));
    assert!(device.is_drained());
}

#[test]
fn data_is_chunked_as_in_the_document() {
    let mut host = Host::new(1024);
    host.start().unwrap();
    host.on_datagram(b"\x01\0\0\0\xff\xff").unwrap();
    host.on_datagram(b"\x02\0\xff\xff\0\x01\x08\0").unwrap();
    let data: Vec<u8> = (0..2100u32).map(|n| n as u8).collect();
    host.write(&data).unwrap();
    // The number goes round.
    assert_eq!(host.datagram(), [b"\x03\x01\0\0", &data[..1020]].concat());
    assert_eq!(host.on_datagram(b"\x03\0\0\0"), Ok(Step::Send));
    assert_eq!(host.datagram(), [b"\x03\x01\0\x01", &data[1020..2040]].concat());
    assert_eq!(host.on_datagram(b"\x03\0\0\x01"), Ok(Step::Send));
    assert_eq!(host.datagram(), [b"\x03\0\0\x02", &data[2040..]].concat());
    assert_eq!(host.on_datagram(b"\x03\0\0\x02"), Ok(Step::Written));
}

#[test]
fn a_long_answer_is_read_in_pieces() {
    let mut device = connected_device();
    assert_eq!(device.push(&[7; 600]), None);
    assert_eq!(device.on_datagram(b"\x03\0\0\x01"), sends(&[b"\x03\x01\0\x01", &[7; 508][..]].concat()));
    assert_eq!(device.on_datagram(b"\x03\0\0\x02"), sends(&[b"\x03\0\0\x02", &[7; 92][..]].concat()));

    let mut host = connected();
    host.read().unwrap();
    let piece = Step::Received { bytes: b"one", last: false };
    assert_eq!(host.on_datagram(b"\x03\x01\x55\xabone"), Ok(piece));
    host.read().unwrap();
    assert_eq!(host.on_datagram(b"\x03\0\x55\xac"), Ok(Step::Received { bytes: b"", last: true }));
}

#[test]
fn what_is_lost_is_sent_again_and_what_is_late_is_ignored() {
    let mut host = connected();
    host.write(b"boot").unwrap();
    assert_eq!(host.on_timeout(), Ok(Step::Send));
    assert_eq!(host.datagram(), b"\x03\0\x55\xabboot");
    for late in [
        &b"\x03\0\x55\xaa"[..],
        b"\x03\0\x55\xac",
        b"\x02\0\x55\xab\0\x01\x04\0",
        b"\0\0\x55\xaaold",
        b"\x03",
    ] {
        assert_eq!(host.on_datagram(late), Ok(Step::Ignored));
    }
    assert_eq!(host.on_datagram(b"\x03\0\x55\xab"), Ok(Step::Written));
    assert_eq!(host.on_datagram(b"\x03\0\x55\xab"), Ok(Step::Ignored));
    assert_eq!(host.on_timeout(), Ok(Step::Ignored));

    let mut device = connected_device();
    device.on_datagram(b"\x03\0\0\x01boot");
    // The answer was lost: the same again, and nothing is carried out twice.
    assert_eq!(device.on_datagram(b"\x03\0\0\x01boot"), sends(b"\x03\0\0\x01"));
    // A read waits for what there is to say, and is told of once.
    let event = Some(DeviceEvent::ReadPending);
    assert_eq!(device.on_datagram(b"\x03\0\0\x02"), Answer { send: None, event });
    assert_eq!(device.on_datagram(b"\x03\0\0\x02"), Answer::default());
    assert_eq!(device.on_datagram(b"\x03\0\0\x01boot"), sends(b"\x03\0\0\x01"));
    assert_eq!(device.push(b"OKAY").unwrap(), b"\x03\0\0\x02OKAY");
    // Late, or early.
    for number in [1u8, 0, 4, 0xff] {
        assert_eq!(device.on_datagram(&[3, 0, 0, number, b'x']), Answer::default(), "{number}");
    }
    assert_eq!(device.on_datagram(b"\x03\0"), Answer::default());
    // Whoever asks for the number is told, and it changes nothing.
    assert_eq!(device.on_datagram(b"\x01\0\x12\x34"), sends(b"\x01\0\x12\x34\0\x03"));
    assert_eq!(device.on_datagram(b"\x03\0\0\x02"), sends(b"\x03\0\0\x02OKAY"));
}

#[test]
fn a_new_host_ends_what_was_under_way() {
    let mut device = connected_device();
    device.on_datagram(b"\x03\x01\0\x01half a com");
    device.push(b"INFOstale");
    let event = Some(DeviceEvent::Connected { version: 1, packet_len_max: 512 });
    let send = Some(b"\x02\0\0\x02\0\x01\x02\0".to_vec());
    assert_eq!(device.on_datagram(b"\x02\0\0\x02\0\x01\x10\0"), Answer { send, event });
    let event = Some(DeviceEvent::ReadPending);
    assert_eq!(device.on_datagram(b"\x03\0\0\x03"), Answer { send: None, event });
}

#[test]
fn a_device_refuses_in_words() {
    let mut device = Device::new(0, 512);
    assert_eq!(device.on_datagram(b"\x10\0\0\0"), sends(b"\0\0\0\0unknown packet id"));
    assert_eq!(device.on_datagram(b"\x03\0\0\x01boot"), sends(b"\0\0\0\x01not initialized"));
    assert_eq!(device.on_datagram(b"\x02\0\0\x02\0\x01"), sends(b"\0\0\0\x02init packet is too short"));
    let refused = sends(b"\0\0\0\x03version or packet size is not supported");
    assert_eq!(device.on_datagram(b"\x02\0\0\x03\0\x01\x01\xff"), refused);
    device.on_datagram(b"\x02\0\0\x04\0\x01\x02\0");
    let long = [&b"\x03\0\0\x05"[..], &[0; 509]].concat();
    assert_eq!(device.on_datagram(&long), sends(b"\0\0\0\x05packet is longer than agreed on"));
}

#[test]
fn a_host_gives_up_in_time() {
    assert_eq!(RESEND_AFTER * ATTEMPTS_MAX, std::time::Duration::from_secs(60));
    let mut host = Host::new(512);
    host.start().unwrap();
    for _ in 1..QUERY_ATTEMPTS_MAX {
        assert_eq!(host.on_timeout(), Ok(Step::Send));
    }
    let error = UdpError::NoAnswer { attempts: QUERY_ATTEMPTS_MAX, first: true };
    assert_eq!(host.on_timeout(), Err(error));
    assert_eq!(host.write(b"boot"), Err(UdpError::Misused));

    let mut host = connected();
    host.write(b"boot").unwrap();
    for _ in 1..ATTEMPTS_MAX {
        assert_eq!(host.on_timeout(), Ok(Step::Send));
    }
    assert_eq!(host.on_timeout(), Err(UdpError::NoAnswer { attempts: ATTEMPTS_MAX, first: false }));
}

#[test]
fn a_device_with_nothing_to_say_is_asked_again_but_not_for_ever() {
    let mut host = connected();
    host.read().unwrap();
    for round in 1..=EMPTY_READS_MAX {
        let empty = [&b"\x03\0"[..], &host.datagram()[2..4]].concat();
        if round == EMPTY_READS_MAX {
            assert_eq!(host.on_datagram(&empty), Err(UdpError::NothingToRead));
        } else {
            assert_eq!(host.on_datagram(&empty), Ok(Step::Wait));
            assert_eq!(host.on_datagram(&empty), Ok(Step::Ignored));
            assert_eq!(host.on_timeout(), Ok(Step::Send));
        }
    }
}

#[test]
fn what_a_device_must_not_answer() {
    let mut host = Host::new(512);
    host.start().unwrap();
    assert_eq!(host.on_datagram(b"\x01\0\0\0\x55"), Err(UdpError::BadAnswer { len: 1 }));
    let init = |answer: &[u8]| beginning(512).on_datagram(answer).map(|_| ()).unwrap_err();
    assert_eq!(init(b"\x02\0\x55\xaa\0\x01\x02"), UdpError::BadAnswer { len: 3 });
    assert_eq!(init(b"\x02\0\x55\xaa\0\0\x02\0"), UdpError::Version(0));
    assert_eq!(init(b"\x02\0\x55\xaa\0\x01\x01\xff"), UdpError::PacketSize(511));
    assert_eq!(init(b"\0\0\x55\xaano\x1b"), UdpError::Device("no\\u{1b}".into()));
    let mut host = connected();
    host.write(b"boot").unwrap();
    assert_eq!(host.on_datagram(b"\x03\0\x55\xabOKAY"), Err(UdpError::DataInAck { len: 4 }));
    let mut host = connected();
    host.read().unwrap();
    let long = [&b"\x03\0\x55\xab"[..], &[0; 1021]].concat();
    assert_eq!(host.on_datagram(&long), Err(UdpError::PacketTooLong { len: 1025, len_max: 1024 }));
}

#[test]
fn nothing_is_begun_before_the_last_is_done() {
    assert_eq!(Host::new(512).write(b"boot"), Err(UdpError::Misused));
    assert_eq!(connected().write(b""), Err(UdpError::Misused));
    let mut host = connected();
    host.write(b"boot").unwrap();
    assert!(!host.is_idle());
    assert_eq!(host.read(), Err(UdpError::Misused));
}
