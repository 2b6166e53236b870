//! A device behind the protocol, with the guest's side played here; on the USB bench the guest is a kernel.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use farmhand_sim::usbredir::{
    Acm, BulkPacket, Capabilities, Capability, Codec, Control, ControlPacket, Descriptors, Endpoint,
    Function, Hello, In, Interface, Out, Packet, PlugError, Plugged, Redirected, Setup, Speed, Status,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const CAPABILITIES: [Capability; 4] = [
    Capability::ConnectDeviceVersion,
    Capability::EpInfoMaxPacketSize,
    Capability::Ids64,
    Capability::BulkLength32,
];

/// The guest's end.
struct Guest(Codec);

impl Guest {
    fn new() -> (Self, BytesMut) {
        let codec = Codec::new(Capabilities::of(&CAPABILITIES));
        let mut bytes = BytesMut::new();
        let hello = Hello { version: "guest".into(), capabilities: Capabilities::of(&CAPABILITIES) };
        codec.encode(0, &Packet::Hello(hello), &mut bytes);
        (Self(codec), bytes)
    }

    fn hears(&mut self, bytes: &[u8]) -> Vec<(u64, Packet)> {
        self.0.feed(bytes);
        std::iter::from_fn(|| self.0.next().unwrap()).collect()
    }
}

/// Both ends, in one place.
struct Bus<F> {
    guest: Guest,
    device: Redirected<F>,
}

impl<F: Function> Bus<F> {
    /// Gives what the device said as it was plugged in, too.
    fn new(function: F) -> (Self, Vec<Packet>) {
        let (guest, hello) = Guest::new();
        let mut bus = Self { guest, device: Redirected::new(function) };
        bus.device.received(&hello).unwrap();
        let said = bus.says().into_iter().map(|(_, packet)| packet).collect();
        (bus, said)
    }

    fn says(&mut self) -> Vec<(u64, Packet)> {
        let bytes = self.device.output().split();
        self.guest.hears(&bytes)
    }

    fn tell(&mut self, id: u64, packet: &Packet) -> Vec<(u64, Packet)> {
        let mut bytes = BytesMut::new();
        self.guest.0.encode(id, packet, &mut bytes);
        self.device.received(&bytes).unwrap();
        self.says()
    }

    fn now(&mut self, change: impl FnOnce(&mut F)) -> Vec<(u64, Packet)> {
        change(self.device.function());
        self.device.settle();
        self.says()
    }

    fn control(
        &mut self,
        request_type: u8,
        request: u8,
        value: u16,
        index: u16,
        data: Result<&[u8], u16>,
    ) -> (Status, Bytes) {
        let (length, data) = match data {
            Ok(data) => (data.len() as u16, Bytes::copy_from_slice(data)),
            Err(length) => (length, Bytes::new()),
        };
        let endpoint = request_type & 0x80;
        let status = Status::Success;
        let packet = ControlPacket { endpoint, request, request_type, status, value, index, length, data };
        match &self.tell(77, &Packet::Control(packet))[..] {
            [(77, Packet::Control(done))] => (done.status, done.data.clone()),
            other => panic!("a control transfer ends with {other:?}"),
        }
    }
}

fn bulk(endpoint: u8, length: u32, data: &[u8]) -> Packet {
    let data = Bytes::copy_from_slice(data);
    Packet::Bulk(BulkPacket { endpoint, status: Status::Success, length, stream: 0, data })
}

fn sends(data: &[u8]) -> Packet {
    bulk(0x01, data.len() as u32, data)
}

fn takes(length: u32) -> Packet {
    bulk(0x81, length, &[])
}

/// How transfers ended: id, status, length, data.
fn ends<'a>(packets: &'a [(u64, Packet)]) -> Vec<(u64, Status, u32, &'a [u8])> {
    let end = |(id, packet): &'a (u64, Packet)| match packet {
        Packet::Bulk(bulk) => (*id, bulk.status, bulk.length, &bulk.data[..]),
        other => panic!("{other:?}"),
    };
    packets.iter().map(end).collect()
}

/// A device that does what a test tells it to.
#[derive(Default)]
struct Puppet {
    plug: u32,
    absent: bool,
    product: u16,
    outs: VecDeque<Out>,
    ins: VecDeque<In>,
    took: Vec<Bytes>,
    cleared: Vec<u8>,
}

impl Function for Puppet {
    fn plugged_in(&self) -> Option<u32> {
        (!self.absent).then_some(self.plug)
    }

    fn descriptors(&self) -> Descriptors {
        Descriptors {
            speed: Speed::High,
            class: [0; 3],
            vendor: 0x18d1,
            product: self.product,
            version_bcd: 0,
            manufacturer: None,
            product_name: None,
            serial: Some("puppet".into()),
            interfaces: vec![Interface {
                class: [0xff, 0x42, 3],
                name: None,
                extra: Vec::new(),
                endpoints: vec![Endpoint::bulk(0x01), Endpoint::bulk(0x81)],
            }],
        }
    }

    fn control(&mut self, setup: Setup, data: &Bytes) -> Control {
        // Vendor request 1 sends back the value, 2 takes data.
        match setup.request {
            1 => Control::Done(Bytes::copy_from_slice(&setup.value.to_le_bytes())),
            2 => {
                self.took.push(data.clone());
                Control::Done(Bytes::new())
            }
            _ => Control::Stall,
        }
    }

    fn bulk_out(&mut self, _endpoint: u8, data: &Bytes) -> Out {
        let answer = self.outs.pop_front().unwrap_or(Out::Nak);
        if answer == Out::Taken {
            self.took.push(data.clone());
        }
        answer
    }

    fn bulk_in(&mut self, _endpoint: u8, _length: u32) -> In {
        self.ins.pop_front().unwrap_or(In::Nak)
    }

    fn halt_cleared(&mut self, endpoint: u8) {
        self.cleared.push(endpoint);
    }
}

#[test]
fn a_guest_hears_what_is_there_before_that_it_is_there() {
    let (_, said) = Bus::new(Acm::new("a"));
    let [
        Packet::Hello(hello),
        Packet::InterfaceInfo(interfaces),
        Packet::EpInfo(_),
        Packet::DeviceConnect(device),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    for needed in CAPABILITIES {
        assert!(hello.capabilities.has(needed), "{needed:?}");
    }
    assert_eq!(interfaces.len(), 2);
    assert_eq!((device.vendor, device.product, device.speed), (0x2341, 0x0043, 2));
}

#[test]
fn a_serial_port_is_configured_set_and_echoes() {
    let (mut bus, _) = Bus::new(Acm::new("a").echoing());
    let (status, descriptor) = bus.control(0x80, 6, 0x0100, 0, Err(8));
    assert_eq!((status, descriptor.len(), descriptor[0]), (Status::Success, 8, 18));
    assert_eq!(bus.control(0x80, 6, 0x0600, 0, Err(10)).0, Status::Stall, "it has no other speed");
    let configured = bus.tell(3, &Packet::SetConfiguration(1));
    assert!(bus.device.is_configured());
    let done = Packet::ConfigurationStatus { status: Status::Success, configuration: 1 };
    assert!(
        matches!(&configured[..], [(_, Packet::InterfaceInfo(_)), (_, Packet::EpInfo(_)), (3, last)] if *last == done)
    );

    let line = [0x00, 0xc2, 0x01, 0x00, 0, 0, 8];
    assert_eq!(bus.control(0x21, 0x20, 0, 0, Ok(&line)).0, Status::Success);
    assert_eq!(bus.control(0xa1, 0x21, 0, 0, Err(7)).1[..], line);
    assert_eq!(bus.device.function().line().baud, 115_200);
    for value in [1, 0, 3, 3] {
        bus.control(0x21, 0x22, value, 0, Ok(&[]));
    }
    assert_eq!(bus.device.function().dtr_raised(), 2);

    assert_eq!(bus.tell(10, &takes(512)), [], "it has nothing to say");
    let echoed = bus.tell(11, &sends(b"hello"));
    assert_eq!(ends(&echoed), [(11, Status::Success, 5, &b""[..]), (10, Status::Success, 5, b"hello")]);
    assert_eq!(bus.device.function().received(), b"hello");
}

#[test]
fn transfers_of_an_endpoint_end_in_their_order() {
    let (mut bus, _) = Bus::new(Puppet::default());
    for id in [1, 2, 3] {
        assert_eq!(bus.tell(id, &sends(&[id as u8])), []);
    }
    let ended = bus.now(|puppet| puppet.outs.extend([Out::Taken, Out::Taken]));
    assert_eq!(ends(&ended), [(1, Status::Success, 1, &b""[..]), (2, Status::Success, 1, b"")]);
    assert_eq!(bus.device.function().took, [&[1][..], &[2]]);
}

#[test]
fn a_stalled_endpoint_stays_so_until_it_is_cleared() {
    let (mut bus, _) = Bus::new(Puppet::default());
    bus.tell(1, &takes(512));
    bus.tell(2, &takes(512));
    let ended = bus.now(|puppet| puppet.ins.push_back(In::Stall));
    assert_eq!(ends(&ended), [(1, Status::Stall, 0, &b""[..]), (2, Status::Stall, 0, b"")]);
    assert_eq!(bus.control(0x82, 0, 0, 0x81, Err(2)).1[..], [1, 0]);
    assert_eq!(bus.control(0x02, 1, 0, 0x81, Ok(&[])).0, Status::Success);
    assert_eq!(bus.control(0x82, 0, 0, 0x81, Err(2)).1[..], [0, 0]);
    assert_eq!(bus.device.function().cleared, [0x81]);
    bus.device.function().ins.push_back(In::Data(Bytes::from_static(b"ok")));
    assert_eq!(ends(&bus.tell(3, &takes(512))), [(3, Status::Success, 2, &b"ok"[..])]);
}

#[test]
fn too_much_is_babble_and_cancelled_is_cancelled() {
    let (mut bus, _) = Bus::new(Puppet::default());
    bus.device.function().ins.push_back(In::Data(Bytes::from_static(b"12345")));
    assert_eq!(ends(&bus.tell(1, &takes(4))), [(1, Status::Babble, 4, &b"1234"[..])]);
    assert_eq!(bus.tell(2, &takes(4)), []);
    assert_eq!(ends(&bus.tell(2, &Packet::CancelDataPacket)), [(2, Status::Cancelled, 0, &b""[..])]);
    assert_eq!(bus.tell(2, &Packet::CancelDataPacket), [], "it has ended");
    bus.device.function().ins.push_back(In::Data(Bytes::from_static(b"x")));
    assert_eq!(
        ends(&bus.tell(3, &takes(4))),
        [(3, Status::Success, 1, &b"x"[..])],
        "and took nothing with it"
    );
    assert_eq!(ends(&bus.tell(4, &bulk(0x85, 4, &[]))), [(4, Status::Invalid, 0, &b""[..])]);
}

#[test]
fn control_requests_of_its_own_reach_it() {
    let (mut bus, _) = Bus::new(Puppet::default());
    assert_eq!(bus.control(0xc0, 1, 0x1234, 0, Err(1)), (Status::Success, Bytes::from_static(&[0x34])));
    assert_eq!(bus.control(0x40, 2, 0, 0, Ok(b"abc")).0, Status::Success);
    assert_eq!(bus.device.function().took, [&b"abc"[..]]);
    assert_eq!(bus.control(0x40, 9, 0, 0, Ok(b"")).0, Status::Stall);
}

#[test]
fn it_vanishes_and_comes_back_as_something_else() {
    let (mut bus, _) = Bus::new(Puppet::default());
    bus.tell(1, &Packet::SetConfiguration(1));
    bus.tell(2, &takes(512));
    let gone = bus.now(|puppet| puppet.absent = true);
    assert_eq!(gone, [(0, Packet::DeviceDisconnect)]);
    assert!(!bus.device.is_configured());
    assert_eq!(bus.tell(3, &sends(b"late")), [], "nobody is there to answer");
    let back = bus.now(|puppet| {
        (puppet.absent, puppet.plug, puppet.product) = (false, 1, 0xd00d);
    });
    assert!(
        matches!(&back[..], [.., (_, Packet::DeviceConnect(device))] if device.product == 0xd00d),
        "{back:?}"
    );
    // At once, without a look in between.
    let swapped = bus.now(|puppet| (puppet.plug, puppet.product) = (2, 0xbeef));
    assert!(
        matches!(&swapped[..], [(_, Packet::DeviceDisconnect), .., (_, Packet::DeviceConnect(device))] if device.product == 0xbeef),
        "{swapped:?}"
    );
}

async fn greeted(listener: &UnixListener) -> (UnixStream, Guest) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let (mut guest, hello) = Guest::new();
    socket.write_all(&hello).await.unwrap();
    let mut heard = Vec::new();
    while !heard.iter().any(|(_, packet)| matches!(packet, Packet::DeviceConnect(_))) {
        let mut bytes = BytesMut::new();
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
        heard.extend(guest.hears(&bytes));
    }
    (socket, guest)
}

#[tokio::test]
async fn a_device_is_pulled_out_and_plugged_in_again_with_what_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usb");
    let listener = UnixListener::bind(&path).unwrap();
    let plugged = Plugged::into_socket(&path, Acm::new("a")).await.unwrap();
    let (mut socket, mut guest) = greeted(&listener).await;
    plugged.call(|acm| acm.print(b"kept")).await.unwrap();
    let acm = plugged.pull().await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert_eq!(guest.hears(&rest), [], "the cable is the connection");

    let plugged = Plugged::into_socket(&path, acm).await.unwrap();
    let (mut socket, mut guest) = greeted(&listener).await;
    let mut bytes = BytesMut::new();
    guest.0.encode(5, &takes(512), &mut bytes);
    socket.write_all(&bytes).await.unwrap();
    let mut bytes = BytesMut::new();
    socket.read_buf(&mut bytes).await.unwrap();
    assert_eq!(ends(&guest.hears(&bytes)), [(5, Status::Success, 4, &b"kept"[..])]);
    assert_eq!(plugged.call(|acm| acm.unread()).await.unwrap(), 0);
    drop(socket);
    while plugged.call(|_| ()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(plugged.pull().await, Err(PlugError::Lost(_))), "the other end was gone first");
}
