//! The wire format: golden bytes after the protocol's description (0.7), and what holds for all packets.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use bytes::{Bytes, BytesMut};
use farmhand_sim::usbredir::{
    BulkPacket, Capabilities, Capability, Codec, CodecError, ControlPacket, DeviceConnect, EndpointInfo,
    Hello, InterfaceInfo, InterruptPacket, Packet, Status, endpoint_index,
};
use proptest::prelude::*;

const ALL: [Capability; 4] = [
    Capability::ConnectDeviceVersion,
    Capability::EpInfoMaxPacketSize,
    Capability::Ids64,
    Capability::BulkLength32,
];

fn hello(capabilities: Capabilities) -> Packet {
    Packet::Hello(Hello { version: "q".into(), capabilities })
}

/// Two ends that have greeted each other.
fn ends(one: Capabilities, other: Capabilities) -> (Codec, Codec) {
    let (mut left, mut right) = (Codec::new(one), Codec::new(other));
    let mut bytes = BytesMut::new();
    left.encode(0, &hello(one), &mut bytes);
    right.feed(&bytes);
    assert_eq!(right.next().unwrap(), Some((0, hello(one))));
    // The other greets after it was greeted: its hello has a short id all the same.
    let mut bytes = BytesMut::new();
    right.encode(0, &hello(other), &mut bytes);
    left.feed(&bytes);
    assert_eq!(left.next().unwrap(), Some((0, hello(other))));
    (left, right)
}

fn encoded(codec: &Codec, id: u64, packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    codec.encode(id, packet, &mut bytes);
    bytes.to_vec()
}

#[test]
fn a_hello_has_a_short_id_a_padded_name_and_one_word_of_capabilities() {
    let codec = Codec::new(Capabilities::of(&ALL));
    let bytes = encoded(&codec, 0, &hello(Capabilities::of(&ALL)));
    let mut expected = vec![0, 0, 0, 0, 68, 0, 0, 0, 0, 0, 0, 0, b'q'];
    expected.resize(12 + 64, 0);
    expected.extend([0b0111_0010, 0, 0, 0]);
    assert_eq!(bytes, expected);
}

#[test]
fn what_both_can_do_decides_the_format() {
    let bulk = Packet::Bulk(BulkPacket {
        endpoint: 0x81,
        status: Status::Stall,
        length: 0x0001_0002,
        stream: 0,
        data: Bytes::new(),
    });
    let connect = Packet::DeviceConnect(DeviceConnect {
        speed: 2,
        class: [0xff, 0x42, 3],
        vendor: 0x18d1,
        product: 0x4ee0,
        version_bcd: 0x0100,
    });
    let (_, new) = ends(Capabilities::of(&ALL), Capabilities::of(&ALL));
    assert_eq!(
        encoded(&new, 7, &bulk),
        [101, 0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0x81, 4, 2, 0, 0, 0, 0, 0, 1, 0]
    );
    assert_eq!(
        encoded(&new, 0, &connect),
        [1, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0x42, 3, 0xd1, 0x18, 0xe0, 0x4e, 0, 1]
    );
    let (_, old) = ends(Capabilities::of(&ALL), Capabilities::default());
    assert_eq!(encoded(&old, 7, &bulk), [101, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0x81, 4, 2, 0, 0, 0, 0, 0]);
    assert_eq!(
        encoded(&old, 0, &connect),
        [1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0x42, 3, 0xd1, 0x18, 0xe0, 0x4e]
    );
}

#[test]
fn a_control_packet() {
    let (_, codec) = ends(Capabilities::of(&ALL), Capabilities::of(&ALL));
    let packet = Packet::Control(ControlPacket {
        endpoint: 0x80,
        request: 6,
        request_type: 0x80,
        status: Status::Success,
        value: 0x0100,
        index: 0,
        length: 2,
        data: Bytes::from_static(&[18, 1]),
    });
    assert_eq!(
        encoded(&codec, 1, &packet),
        [100, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x80, 6, 0x80, 0, 0, 1, 0, 0, 2, 0, 18, 1]
    );
}

/// As QEMU 7.2 sends it: what is in the place of the status of a request is noise.
#[test]
fn a_request_has_no_status() {
    let (mut codec, _) = ends(Capabilities::of(&ALL), Capabilities::of(&ALL));
    let header = [0x64, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0xb0, 0x7d, 0x02, 0, 0, 0, 0];
    codec.feed(&[&header[..], &[0x80, 0x06, 0x80, 0x3d, 0x00, 0x01, 0, 0, 0x40, 0]].concat());
    let Some((0x027d_b000, Packet::Control(control))) = codec.next().unwrap() else {
        panic!("it is a request")
    };
    assert_eq!((control.request, control.value, control.length), (6, 0x0100, 64));
}

#[test]
fn what_is_not_the_protocol_has_a_name() {
    let next = |bytes: &[u8]| {
        let mut codec = Codec::new(Capabilities::of(&ALL));
        codec.feed(bytes);
        codec.next()
    };
    assert_eq!(next(b"HTTP/1.1 400"), Err(CodecError::BeforeHello { kind: u32::from_le_bytes(*b"HTTP") }));
    let long = [[0; 4], [0xff; 4], [0; 4]].concat();
    assert_eq!(next(&long), Err(CodecError::TooLong { kind: 0, bytes: u32::MAX }));
    let short = [[0; 4], 3_u32.to_le_bytes(), [0; 4], [0; 4]].concat();
    assert_eq!(next(&short[..15]), Err(CodecError::Length { kind: 0, bytes: 3 }));

    let (mut codec, other) = ends(Capabilities::of(&ALL), Capabilities::of(&ALL));
    let mut bytes = BytesMut::new();
    other.encode(0, &Packet::ConfigurationStatus { status: Status::Babble, configuration: 1 }, &mut bytes);
    let status = bytes.len() - 2;
    bytes[status] = 7;
    codec.feed(&bytes);
    assert_eq!(codec.next(), Err(CodecError::Status { kind: 8, status: 7 }));
}

fn data(max: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn status() -> impl Strategy<Value = Status> {
    use Status::{Babble, Cancelled, Invalid, IoError, Stall, Success, Timeout};
    prop::sample::select(vec![Success, Cancelled, Invalid, IoError, Stall, Timeout, Babble])
}

/// Any packet that both ends can say in full.
fn packet() -> impl Strategy<Value = Packet> {
    let interface = any::<(u8, [u8; 3])>().prop_map(|(number, class)| InterfaceInfo { number, class });
    let endpoint = any::<(u8, u8, u8, u16)>().prop_map(|(kind, interval, interface, max_packet)| {
        EndpointInfo { kind, interval, interface, max_packet }
    });
    // With data as long as it says, or none.
    let transfer = (any::<u8>(), status(), data(700), any::<u16>(), any::<bool>());
    prop_oneof![
        any::<(u8, [u8; 3], u16, u16, u16)>().prop_map(|(speed, class, vendor, product, version_bcd)| {
            Packet::DeviceConnect(DeviceConnect { speed, class, vendor, product, version_bcd })
        }),
        Just(Packet::DeviceDisconnect),
        Just(Packet::Reset),
        proptest::collection::vec(interface, 0..=32).prop_map(Packet::InterfaceInfo),
        proptest::collection::vec(endpoint, 32)
            .prop_map(|all| Packet::EpInfo(Box::new(all.try_into().unwrap()))),
        any::<u8>().prop_map(Packet::SetConfiguration),
        Just(Packet::GetConfiguration),
        (status(), any::<u8>())
            .prop_map(|(status, configuration)| Packet::ConfigurationStatus { status, configuration }),
        any::<(u8, u8)>().prop_map(|(interface, alt)| Packet::SetAltSetting { interface, alt }),
        any::<u8>().prop_map(|interface| Packet::GetAltSetting { interface }),
        (status(), any::<(u8, u8)>()).prop_map(|(status, (interface, alt))| Packet::AltSettingStatus {
            status,
            interface,
            alt
        }),
        any::<u8>().prop_map(|endpoint| Packet::StartInterruptReceiving { endpoint }),
        any::<u8>().prop_map(|endpoint| Packet::StopInterruptReceiving { endpoint }),
        (status(), any::<u8>())
            .prop_map(|(status, endpoint)| Packet::InterruptReceivingStatus { status, endpoint }),
        Just(Packet::CancelDataPacket),
        Just(Packet::FilterReject),
        data(100).prop_map(Packet::FilterFilter),
        Just(Packet::DeviceDisconnectAck),
        (transfer, any::<(u8, u8, u16, u16)>()).prop_map(
            |((endpoint, status, data, length, with), (request, request_type, value, index))| {
                let (length, data) = if with { (data.len() as u16, data) } else { (length, Bytes::new()) };
                Packet::Control(ControlPacket {
                    endpoint,
                    request,
                    request_type,
                    status,
                    value,
                    index,
                    length,
                    data,
                })
            }
        ),
        (any::<(u8, u32, u32)>(), status(), data(70_000), any::<bool>()).prop_map(
            |((endpoint, length, stream), status, data, with)| {
                let (length, data) = if with { (data.len() as u32, data) } else { (length, Bytes::new()) };
                Packet::Bulk(BulkPacket { endpoint, status, length, stream, data })
            }
        ),
        (any::<(u8, u16)>(), status(), data(700), any::<bool>()).prop_map(
            |((endpoint, length), status, data, with)| {
                let (length, data) = if with { (data.len() as u16, data) } else { (length, Bytes::new()) };
                Packet::Interrupt(InterruptPacket { endpoint, status, length, data })
            }
        ),
        data(100).prop_map(|body| Packet::Other { kind: 14, body }),
    ]
}

/// What is left of a packet where an end is old.
fn as_the_old_say_it(packet: Packet) -> Packet {
    match packet {
        Packet::DeviceConnect(device) => Packet::DeviceConnect(DeviceConnect { version_bcd: 0, ..device }),
        Packet::EpInfo(mut all) => {
            all.iter_mut().for_each(|endpoint| endpoint.max_packet = 0);
            Packet::EpInfo(all)
        }
        Packet::Bulk(bulk) if bulk.data.is_empty() => {
            Packet::Bulk(BulkPacket { length: bulk.length & 0xffff, ..bulk })
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn all_packets_arrive_however_they_are_cut(
        packets in proptest::collection::vec((any::<u32>(), packet()), 1..6),
        cut in 1_usize..5000,
        streams in any::<bool>(),
    ) {
        let extra = if streams { Capabilities::of(&[Capability::BulkStreams]).0 } else { 0 };
        let capabilities = Capabilities(Capabilities::of(&ALL).0 | extra);
        let (mut left, right) = ends(capabilities, capabilities);
        let mut bytes = BytesMut::new();
        for (id, packet) in &packets {
            right.encode(u64::from(*id) << 20, packet, &mut bytes);
        }
        let mut arrived = Vec::new();
        for piece in bytes.chunks(cut) {
            left.feed(piece);
            while let Some(packet) = left.next().unwrap() {
                arrived.push(packet);
            }
        }
        let sent: Vec<_> = packets.into_iter().map(|(id, packet)| (u64::from(id) << 20, packet)).collect();
        prop_assert_eq!(arrived, sent);
    }

    #[test]
    fn an_old_end_is_understood(id in any::<u32>(), packet in packet()) {
        // It cannot say more than 64 KiB in one go.
        prop_assume!(!matches!(&packet, Packet::Bulk(bulk) if bulk.data.len() > 0xffff));
        let (mut left, right) = ends(Capabilities::of(&ALL), Capabilities::default());
        left.feed(&encoded(&right, u64::from(id), &packet));
        prop_assert_eq!(left.next().unwrap(), Some((u64::from(id), as_the_old_say_it(packet))));
    }

    #[test]
    fn noise_is_an_error_or_waited_for(noise in proptest::collection::vec(any::<u8>(), 0..400), greeted in any::<bool>()) {
        let mut codec = if greeted {
            ends(Capabilities::of(&ALL), Capabilities::of(&ALL)).0
        } else {
            Codec::new(Capabilities::of(&ALL))
        };
        codec.feed(&noise);
        // Each packet takes a header at least: this ends.
        let mut packets = 0;
        while let Ok(Some(_)) = codec.next() {
            packets += 1;
        }
        prop_assert!(packets * 12 <= noise.len());
    }
}

#[test]
fn endpoints_have_their_places() {
    assert_eq!([0x00, 0x0f, 0x80, 0x81, 0x8f].map(endpoint_index), [0, 15, 16, 17, 31]);
}
