//! Bytes to packets and back. All integers are little endian, all headers are packed.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::packet::{
    BulkPacket, Capabilities, Capability, ControlPacket, DeviceConnect, ENDPOINTS, EndpointInfo, Hello,
    InterfaceInfo, InterruptPacket, Packet, Status,
};

/// The most that one packet may bring, in bytes: a bulk transfer of 128 MiB, which no kernel exceeds, and its header.
pub const BODY_BYTES_MAX: u32 = (128 << 20) + 16;
/// The name of a program in a hello, padded with zeros.
const VERSION_BYTES: usize = 64;
/// A header with an id of 64 bits: type and length, 32 bits each, then the id.
const HEADER_BYTES: usize = 16;
/// A header with an id of 32 bits: a hello always has it, and all packets where an end cannot do more.
const SHORT_HEADER_BYTES: usize = 12;

/// Not this protocol.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The first packet is a hello.
    #[error("packet of type {kind} before a hello")]
    BeforeHello {
        /// Its type.
        kind: u32,
    },
    /// There is one hello.
    #[error("a second hello")]
    SecondHello,
    /// It says that it is longer than any can be.
    #[error("packet of type {kind} says that it has {bytes} bytes")]
    TooLong {
        /// Its type.
        kind: u32,
        /// What it says.
        bytes: u32,
    },
    /// Its body is not as long as one of its type is.
    #[error("packet of type {kind} with {bytes} bytes")]
    Length {
        /// Its type.
        kind: u32,
        /// How long it is.
        bytes: usize,
    },
    /// A status that there is not.
    #[error("packet of type {kind} with status {status}")]
    Status {
        /// Its type.
        kind: u32,
        /// The byte.
        status: u8,
    },
}

/// One end's codec of one connection: it knows what both ends can do, on which the format depends.
#[derive(Debug)]
pub struct Codec {
    own: Capabilities,
    peer: Option<Capabilities>,
    unread: BytesMut,
}

impl Codec {
    /// Of an end that can do this.
    #[must_use]
    pub fn new(own: Capabilities) -> Self {
        Self { own, peer: None, unread: BytesMut::new() }
    }

    /// What both can do; nothing before the other's hello.
    #[must_use]
    pub fn both(&self) -> Capabilities {
        self.own.and(self.peer.unwrap_or_default())
    }

    /// Takes what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next whole packet with its id. After an error, nothing more can be read.
    #[allow(clippy::should_implement_trait, reason = "it fails, and `None` is not its end")]
    pub fn next(&mut self) -> Result<Option<(u64, Packet)>, CodecError> {
        let short = !self.both().has(Capability::Ids64);
        let header_bytes = if short { SHORT_HEADER_BYTES } else { HEADER_BYTES };
        if self.unread.len() < header_bytes {
            return Ok(None);
        }
        let mut header = &self.unread[..header_bytes];
        let (kind, bytes) = (header.get_u32_le(), header.get_u32_le());
        let id = if short { u64::from(header.get_u32_le()) } else { header.get_u64_le() };
        match (kind, self.peer) {
            (0, Some(_)) => return Err(CodecError::SecondHello),
            (1.., None) => return Err(CodecError::BeforeHello { kind }),
            _ if bytes > BODY_BYTES_MAX => return Err(CodecError::TooLong { kind, bytes }),
            _ => {}
        }
        let whole = header_bytes + bytes as usize;
        if self.unread.len() < whole {
            self.unread.reserve(whole - self.unread.len());
            return Ok(None);
        }
        let mut body = self.unread.split_to(whole).freeze();
        body.advance(header_bytes);
        let packet = decode(kind, body, self.both())?;
        if let Packet::Hello(hello) = &packet {
            self.peer = Some(hello.capabilities);
        }
        Ok(Some((id, packet)))
    }

    /// Appends a packet to what is to be sent.
    pub fn encode(&self, id: u64, packet: &Packet, out: &mut BytesMut) {
        let both = self.both();
        let start = out.len();
        out.put_u32_le(0);
        out.put_u32_le(0);
        if both.has(Capability::Ids64) && !matches!(packet, Packet::Hello(_)) {
            out.put_u64_le(id);
        } else {
            // Ids are the guest's to choose, and one that has 32 bits for them chooses such.
            out.put_u32_le(id as u32);
        }
        let body = out.len();
        let kind = encode(packet, both, out);
        let bytes = u32::try_from(out.len() - body).expect("a packet has less than 4 GiB");
        out[start..start + 4].copy_from_slice(&kind.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&bytes.to_le_bytes());
    }
}

/// How long the fixed part of a body is, and whether data may follow.
fn shape(kind: u32, both: Capabilities) -> Option<(usize, bool)> {
    let if_both = |capability, bytes: usize| if both.has(capability) { bytes } else { 0 };
    Some(match kind {
        0 => (VERSION_BYTES, true),
        1 => (8 + if_both(Capability::ConnectDeviceVersion, 2), false),
        2 | 3 | 7 | 21 | 22 | 24 => (0, false),
        4 => (4 + 4 * ENDPOINTS, false),
        5 => {
            let sizes = if_both(Capability::EpInfoMaxPacketSize, 2 * ENDPOINTS);
            (3 * ENDPOINTS + sizes + if_both(Capability::BulkStreams, 4 * ENDPOINTS), false)
        }
        6 | 10 | 15 | 16 => (1, false),
        8 | 9 | 17 => (2, false),
        11 => (3, false),
        23 => (0, true),
        100 => (10, true),
        101 => (8 + if_both(Capability::BulkLength32, 2), true),
        103 => (4, true),
        _ => return None,
    })
}

fn decode(kind: u32, mut body: Bytes, both: Capabilities) -> Result<Packet, CodecError> {
    let Some((fixed, with_data)) = shape(kind, both) else { return Ok(Packet::Other { kind, body }) };
    let wrong_length = CodecError::Length { kind, bytes: body.len() };
    if body.len() < fixed || (body.len() > fixed && !with_data) {
        return Err(wrong_length);
    }
    let status = |byte: u8| Status::of(byte).ok_or(CodecError::Status { kind, status: byte });
    // A request has none: QEMU leaves in its place what was in memory.
    let end_status = |byte: u8| Status::of(byte).unwrap_or_default();
    let packet = match kind {
        0 => {
            let name = body.split_to(VERSION_BYTES);
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            // The first word has all that are known; an end without any sends none.
            let capabilities = if body.len() >= 4 { body.get_u32_le() } else { 0 };
            let version = String::from_utf8_lossy(name).into_owned();
            Packet::Hello(Hello { version, capabilities: Capabilities(capabilities) })
        }
        1 => Packet::DeviceConnect(DeviceConnect {
            speed: body.get_u8(),
            class: [body.get_u8(), body.get_u8(), body.get_u8()],
            vendor: body.get_u16_le(),
            product: body.get_u16_le(),
            version_bcd: if body.is_empty() { 0 } else { body.get_u16_le() },
        }),
        2 => Packet::DeviceDisconnect,
        3 => Packet::Reset,
        4 => {
            let count = body.get_u32_le() as usize;
            if count > ENDPOINTS {
                return Err(wrong_length);
            }
            let at = |row: usize, number: usize| body[row * ENDPOINTS + number];
            let one = |number| InterfaceInfo {
                number: at(0, number),
                class: [at(1, number), at(2, number), at(3, number)],
            };
            Packet::InterfaceInfo((0..count).map(one).collect())
        }
        5 => {
            let at = |row: usize, number: usize| body[row * ENDPOINTS + number];
            let size = |number: usize| {
                let at = 3 * ENDPOINTS + 2 * number;
                if body.len() < 5 * ENDPOINTS { 0 } else { u16::from_le_bytes([body[at], body[at + 1]]) }
            };
            let one = |number| EndpointInfo {
                kind: at(0, number),
                interval: at(1, number),
                interface: at(2, number),
                max_packet: size(number),
            };
            Packet::EpInfo(Box::new(std::array::from_fn(one)))
        }
        6 => Packet::SetConfiguration(body.get_u8()),
        7 => Packet::GetConfiguration,
        8 => Packet::ConfigurationStatus { status: status(body.get_u8())?, configuration: body.get_u8() },
        9 => Packet::SetAltSetting { interface: body.get_u8(), alt: body.get_u8() },
        10 => Packet::GetAltSetting { interface: body.get_u8() },
        11 => Packet::AltSettingStatus {
            status: status(body.get_u8())?,
            interface: body.get_u8(),
            alt: body.get_u8(),
        },
        15 => Packet::StartInterruptReceiving { endpoint: body.get_u8() },
        16 => Packet::StopInterruptReceiving { endpoint: body.get_u8() },
        17 => Packet::InterruptReceivingStatus { status: status(body.get_u8())?, endpoint: body.get_u8() },
        21 => Packet::CancelDataPacket,
        22 => Packet::FilterReject,
        23 => Packet::FilterFilter(body),
        24 => Packet::DeviceDisconnectAck,
        100 => Packet::Control(ControlPacket {
            endpoint: body.get_u8(),
            request: body.get_u8(),
            request_type: body.get_u8(),
            status: end_status(body.get_u8()),
            value: body.get_u16_le(),
            index: body.get_u16_le(),
            length: body.get_u16_le(),
            data: body,
        }),
        101 => {
            let (endpoint, status) = (body.get_u8(), end_status(body.get_u8()));
            let (low, stream) = (body.get_u16_le(), body.get_u32_le());
            let high = if both.has(Capability::BulkLength32) { body.get_u16_le() } else { 0 };
            let length = u32::from(high) << 16 | u32::from(low);
            Packet::Bulk(BulkPacket { endpoint, status, length, stream, data: body })
        }
        103 => Packet::Interrupt(InterruptPacket {
            endpoint: body.get_u8(),
            status: end_status(body.get_u8()),
            length: body.get_u16_le(),
            data: body,
        }),
        _ => unreachable!("a type with a shape has an arm"),
    };
    // What travels with a transfer is as long as the transfer says.
    let consistent = match &packet {
        Packet::Control(ControlPacket { length, data, .. }) => {
            data.is_empty() || data.len() == usize::from(*length)
        }
        Packet::Bulk(BulkPacket { length, data, .. }) => data.is_empty() || data.len() == *length as usize,
        Packet::Interrupt(InterruptPacket { length, data, .. }) => {
            data.is_empty() || data.len() == usize::from(*length)
        }
        _ => true,
    };
    if consistent { Ok(packet) } else { Err(wrong_length) }
}

/// Appends the body; gives the type.
fn encode(packet: &Packet, both: Capabilities, out: &mut BytesMut) -> u32 {
    match packet {
        Packet::Hello(Hello { version, capabilities }) => {
            let mut name = [0; VERSION_BYTES];
            // It ends with a zero.
            let bytes = version.len().min(VERSION_BYTES - 1);
            name[..bytes].copy_from_slice(&version.as_bytes()[..bytes]);
            out.put_slice(&name);
            out.put_u32_le(capabilities.0);
            0
        }
        Packet::DeviceConnect(device) => {
            out.put_u8(device.speed);
            out.put_slice(&device.class);
            out.put_u16_le(device.vendor);
            out.put_u16_le(device.product);
            if both.has(Capability::ConnectDeviceVersion) {
                out.put_u16_le(device.version_bcd);
            }
            1
        }
        Packet::DeviceDisconnect => 2,
        Packet::Reset => 3,
        Packet::InterfaceInfo(all) => {
            let all = &all[..all.len().min(ENDPOINTS)];
            out.put_u32_le(all.len() as u32);
            let row = |of: fn(&InterfaceInfo) -> u8| {
                std::array::from_fn::<u8, ENDPOINTS, _>(|number| all.get(number).map_or(0, of))
            };
            out.put_slice(&row(|interface| interface.number));
            out.put_slice(&row(|interface| interface.class[0]));
            out.put_slice(&row(|interface| interface.class[1]));
            out.put_slice(&row(|interface| interface.class[2]));
            4
        }
        Packet::EpInfo(all) => {
            out.put_slice(&all.map(|endpoint| endpoint.kind));
            out.put_slice(&all.map(|endpoint| endpoint.interval));
            out.put_slice(&all.map(|endpoint| endpoint.interface));
            if both.has(Capability::EpInfoMaxPacketSize) {
                all.iter().for_each(|endpoint| out.put_u16_le(endpoint.max_packet));
            }
            if both.has(Capability::BulkStreams) {
                out.put_bytes(0, 4 * ENDPOINTS);
            }
            5
        }
        Packet::SetConfiguration(configuration) => {
            out.put_u8(*configuration);
            6
        }
        Packet::GetConfiguration => 7,
        Packet::ConfigurationStatus { status, configuration } => {
            out.put_slice(&[*status as u8, *configuration]);
            8
        }
        Packet::SetAltSetting { interface, alt } => {
            out.put_slice(&[*interface, *alt]);
            9
        }
        Packet::GetAltSetting { interface } => {
            out.put_u8(*interface);
            10
        }
        Packet::AltSettingStatus { status, interface, alt } => {
            out.put_slice(&[*status as u8, *interface, *alt]);
            11
        }
        Packet::StartInterruptReceiving { endpoint } => {
            out.put_u8(*endpoint);
            15
        }
        Packet::StopInterruptReceiving { endpoint } => {
            out.put_u8(*endpoint);
            16
        }
        Packet::InterruptReceivingStatus { status, endpoint } => {
            out.put_slice(&[*status as u8, *endpoint]);
            17
        }
        Packet::CancelDataPacket => 21,
        Packet::FilterReject => 22,
        Packet::FilterFilter(rules) => {
            out.put_slice(rules);
            23
        }
        Packet::DeviceDisconnectAck => 24,
        Packet::Control(control) => {
            out.put_slice(&[control.endpoint, control.request, control.request_type, control.status as u8]);
            out.put_u16_le(control.value);
            out.put_u16_le(control.index);
            out.put_u16_le(control.length);
            out.put_slice(&control.data);
            100
        }
        Packet::Bulk(bulk) => {
            out.put_slice(&[bulk.endpoint, bulk.status as u8]);
            let [low0, low1, high0, high1] = bulk.length.to_le_bytes();
            out.put_slice(&[low0, low1]);
            out.put_u32_le(bulk.stream);
            if both.has(Capability::BulkLength32) {
                out.put_slice(&[high0, high1]);
            }
            out.put_slice(&bulk.data);
            101
        }
        Packet::Interrupt(interrupt) => {
            out.put_slice(&[interrupt.endpoint, interrupt.status as u8]);
            out.put_u16_le(interrupt.length);
            out.put_slice(&interrupt.data);
            103
        }
        Packet::Other { kind, body } => {
            out.put_slice(body);
            *kind
        }
    }
}
